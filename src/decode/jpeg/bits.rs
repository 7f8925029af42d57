//! The entropy-coded bytes as bits.

use super::error::{Problem, Result};

/// The entropy-coded data of a scan without its stuffed zeros, cut at its restart markers.
///
/// So the bit reader need not look for markers.
#[derive(Debug, Default)]
pub(super) struct Segments {
    bytes: Vec<u8>,
    /// Where each segment ends.
    ends: Vec<usize>,
    /// Where in the file the data starts and ends.
    file: std::ops::Range<usize>,
}

impl Segments {
    /// Takes the data of the scan that starts at `start`, up to the next marker that does not belong to it.
    pub(super) fn read(&mut self, data: &[u8], start: usize, has_restarts: bool) -> Result<()> {
        self.bytes.clear();
        self.ends.clear();
        let mut at = start;
        loop {
            let rest = &data[at..];
            let Some(length) = memchr::memchr(0xff, rest) else {
                self.bytes.extend_from_slice(rest);
                at = data.len();
                break;
            };
            self.bytes.extend_from_slice(&rest[..length]);
            at += length;
            match rest.get(length + 1) {
                Some(0) => {
                    self.bytes.push(0xff);
                    at += 2;
                }
                Some(0xff) => at += 1,
                Some(&code @ 0xd0..=0xd7) if has_restarts => {
                    if usize::from(code & 7) != self.ends.len() % 8 {
                        return Err(Problem::corrupt(at, "a restart marker out of order"));
                    }
                    self.ends.push(self.bytes.len());
                    at += 2;
                }
                Some(_) => break,
                None => {
                    at += 1;
                    break;
                }
            }
        }
        self.ends.push(self.bytes.len());
        self.file = start..at;
        Ok(())
    }

    /// Returns where in the file the data ends.
    pub(super) const fn file_end(&self) -> usize {
        self.file.end
    }

    /// Returns the bytes of a segment.
    pub(super) fn get(&self, number: usize) -> Option<&[u8]> {
        let end = *self.ends.get(number)?;
        Some(&self.bytes[self.start(number)..end])
    }

    fn start(&self, number: usize) -> usize {
        number.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    /// Returns where in the file byte `byte` of a segment stands.
    pub(super) fn offset(&self, data: &[u8], number: usize, byte: usize) -> usize {
        let (mut left, mut at) = (self.start(number) + byte, self.file.start);
        while left > 0 && at < self.file.end {
            // A stuffed zero and a restart marker leave no bytes.
            match (data[at], data.get(at + 1)) {
                (0xff, Some(0)) => (at, left) = (at + 2, left - 1),
                (0xff, Some(0xd0..=0xd7)) => at += 2,
                (0xff, _) => at += 1,
                _ => (at, left) = (at + 1, left - 1),
            }
        }
        at
    }
}

/// A position in the bits of a segment. The next bit is the top one of `buffer`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bits<'a> {
    pub(super) buffer: u64,
    /// The valid bits of `buffer`, modulo 64: what stands above is whatever a subtraction left there.
    count: u64,
    /// The bytes that are not in `buffer` as a whole.
    rest: &'a [u8],
    /// How many bytes were made up behind the last one.
    missing: usize,
}

impl<'a> Bits<'a> {
    /// Returns the first bit of `bytes`.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { buffer: 0, count: 0, rest: bytes, missing: 0 }
    }

    /// Makes at least 56 bits valid; behind the last byte there are zeros.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        // The bits below the valid ones are already those that come again.
        let used = ((!self.count & 63) >> 3) as usize;
        if let Some(word) = self.rest.first_chunk() {
            self.buffer |= u64::from_be_bytes(*word) >> (self.count & 63);
            self.rest = &self.rest[used..];
        } else {
            let (buffer, rest, missing) = refill_last(*self, used);
            (self.buffer, self.rest, self.missing) = (buffer, rest, missing);
        }
        self.count |= 0b11_1000;
    }

    /// Passes over as many bits as the low six bits of `packed` say, at most as many as are valid.
    #[inline(always)]
    pub(super) const fn consume(&mut self, packed: u64) {
        self.buffer <<= packed & 63;
        self.count = self.count.wrapping_sub(packed);
    }

    /// Returns the position `back` bits before this one; `bytes` are what the bits were made of.
    #[cold]
    #[inline(never)]
    pub(super) fn before(self, bytes: &'a [u8], back: u32) -> Self {
        let bit = self.position(bytes) - back as usize;
        let at = bit / 8;
        let mut position = Self {
            rest: bytes.get(at..).unwrap_or_default(),
            missing: at.saturating_sub(bytes.len()),
            ..Self::new(bytes)
        };
        position.refill();
        position.consume((bit % 8) as u64);
        position
    }

    /// Returns how many bits of `bytes` come before this position.
    pub(super) const fn position(&self, bytes: &[u8]) -> usize {
        (bytes.len() - self.rest.len() + self.missing) * 8 - (self.count & 63) as usize
    }

    /// Tells whether bits were made up and consumed.
    #[inline(always)]
    pub(super) const fn is_beyond(&self) -> bool {
        self.missing * 8 > (self.count & 63) as usize + self.rest.len() * 8
    }
}

#[cold]
fn refill_last(bits: Bits<'_>, used: usize) -> (u64, &[u8], usize) {
    let mut word = [0; 8];
    word[..bits.rest.len()].copy_from_slice(bits.rest);
    let there = used.min(bits.rest.len());
    (bits.buffer | u64::from_be_bytes(word) >> (bits.count & 63), &bits.rest[there..], bits.missing + used - there)
}
