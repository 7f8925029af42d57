//! Small numbers in runs: Parquet's hybrid of run-length encoding and bit packing, of which levels and indices are.

use super::chunk::varint;

/// A run of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run<'a> {
    /// One of them, so many times.
    Same(u64, u64),
    /// So many, packed without gaps.
    Packed(&'a [u8], u64),
}

/// Numbers of so many bits in runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs<'a> {
    pub(super) bytes: &'a [u8],
    /// At most 32.
    pub(super) bits: u32,
}

impl<'a> Runs<'a> {
    /// Gives the runs of the first `count` numbers, or of all that there are, to `each`; a `count` has 32 bits. Returns nothing
    /// where one ends behind the bytes.
    fn each(self, count: u64, mut each: impl FnMut(Run<'a>)) -> Option<()> {
        let (mut bytes, mut left, bits) = (self.bytes, count, u64::from(self.bits));
        while left > 0 && !bytes.is_empty() {
            let head = varint(&mut bytes)?;
            let (is_packed, many) = (head & 1 == 1, head >> 1);
            let used = if is_packed { many.saturating_mul(8) } else { many }.min(left);
            let (size, needed) = if is_packed {
                // Groups of eight; the last ones need not be there where they are not needed.
                (many.saturating_mul(bits), (used * bits).div_ceil(8))
            } else {
                (bits.div_ceil(8), bits.div_ceil(8))
            };
            let run = bytes.get(..usize::try_from(needed).ok()?)?;
            if is_packed && bits > 0 {
                each(Run::Packed(run, used));
            } else if used > 0 {
                each(Run::Same(run.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)), used));
            }
            bytes = bytes.get(usize::try_from(size).ok()?..).unwrap_or_default();
            left -= used;
        }
        Some(())
    }

    /// Tells whether the runs of the first `count` numbers are there.
    pub(super) fn are_there(self, count: u64) -> bool {
        self.each(count, |_| {}).is_some()
    }

    /// Returns how many of the first `count` numbers are this one or larger.
    pub(super) fn at_least(self, number: u64, count: u64) -> Option<u64> {
        let mut found = 0;
        self.each(count, |run| match run {
            Run::Same(value, times) => found += if value >= number { times } else { 0 },
            Run::Packed(bytes, many) => {
                found += unpacked(bytes, self.bits, many).filter(|&value| value >= number).count() as u64;
            }
        })?;
        Some(found)
    }

    /// Returns the largest of the first `count` numbers; 0 where there are none.
    pub(super) fn largest(self, count: u64) -> Option<u64> {
        let mut largest = 0;
        self.each(count, |run| {
            largest = largest.max(match run {
                Run::Same(value, _) => value,
                Run::Packed(bytes, many) => unpacked(bytes, self.bits, many).max().unwrap_or(0),
            });
        })?;
        Some(largest)
    }
}

/// Returns the numbers that are packed, the lowest bits first.
pub(super) fn unpacked(bytes: &[u8], bits: u32, count: u64) -> impl Iterator<Item = u64> {
    let (mut held, mut have, mut rest) = (0_u64, 0, bytes.iter());
    (0..count).map(move |_| {
        while have < bits {
            held |= u64::from(rest.next().copied().unwrap_or(0)) << have;
            have += 8;
        }
        let number = held & ((1 << bits) - 1);
        held >>= bits;
        have -= bits;
        number
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes runs: each a number and how often it comes, or eight numbers packed.
    fn written(parts: &[Result<(u64, u64), [u64; 8]>], bits: u32) -> (Vec<u8>, Vec<u64>) {
        let (mut bytes, mut numbers) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Ok((number, times)) => {
                    bytes.push((times << 1) as u8);
                    bytes.extend(&number.to_le_bytes()[..bits.div_ceil(8) as usize]);
                    numbers.extend((0..*times).map(|_| *number));
                }
                Err(eight) => {
                    bytes.push(3);
                    let packed = eight.iter().rev().fold(0_u128, |packed, &number| packed << bits | u128::from(number));
                    bytes.extend(&packed.to_le_bytes()[..bits as usize]);
                    numbers.extend(eight);
                }
            }
        }
        (bytes, numbers)
    }

    proptest! {
        #[test]
        fn runs_are_the_numbers_that_were_written(
            bits in 1_u32..=16, raw in prop::collection::vec(any::<Result<(u64, u64), [u64; 8]>>(), 0..6), cut in 0_u64..60,
        ) {
            let mask = (1 << bits) - 1;
            let parts: Vec<_> = raw.into_iter().map(|part| {
                part.map(|(number, times)| (number & mask, times % 64)).map_err(|eight| eight.map(|number| number & mask))
            }).collect();
            let (bytes, numbers) = written(&parts, bits);
            let runs = Runs { bytes: &bytes, bits };
            let used = &numbers[..numbers.len().min(cut as usize)];
            prop_assert_eq!(runs.largest(cut), Some(used.iter().copied().max().unwrap_or(0)));
            let number = used.first().copied().unwrap_or(0);
            prop_assert_eq!(runs.at_least(number, cut), Some(used.iter().filter(|&&other| other >= number).count() as u64));
        }

        #[test]
        fn any_bytes_are_runs_or_none(bits in 0_u32..=32, bytes: Vec<u8>, count in 0_u64..1000) {
            let runs = Runs { bytes: &bytes, bits };
            prop_assert_eq!(runs.largest(count).is_some(), runs.are_there(count));
        }
    }

    #[test]
    fn a_packed_run_may_lack_what_is_not_needed() {
        // Two groups of eight numbers of one bit, of which the first one is there.
        let runs = Runs { bytes: &[5, 0xff], bits: 1 };
        assert_eq!((runs.are_there(8), runs.are_there(9)), (true, false));
        assert_eq!((runs.at_least(1, 7), runs.at_least(1, 9)), (Some(7), None));
        assert!(!Runs { bytes: &[0x80], bits: 1 }.are_there(1));
    }
}
