//! LZW as TIFF has it: codes of 9 to 12 bits, the highest bits first, and longer by one code sooner than in GIF.

const CLEAR: usize = 256;
const END: usize = 257;
const FIRST: usize = 258;
const MAX_CODES: usize = 4096;
/// So many bytes are copied at once where there is room for them.
const AT_ONCE: usize = 16;

/// What codes stand for: bytes that have been written before.
#[derive(Debug)]
pub(super) struct Lzw {
    /// Of each code from 258 on, where its bytes begin in the output, and how many there are.
    entries: Box<[(u32, u32)]>,
}

impl Default for Lzw {
    fn default() -> Self {
        Self { entries: vec![(0, 0); MAX_CODES].into() }
    }
}

impl Lzw {
    /// Fills `out`; tells whether the data was enough for that. What follows is not looked at.
    pub(super) fn expand(&mut self, data: &[u8], out: &mut [u8]) -> Option<()> {
        let mut codes = Codes { data, at: 0, buffer: 0, count: 0 };
        let (mut at, mut next, mut width) = (0, FIRST, 9);
        // The string before: where it begins and how long it is; of a string and the next one's first byte comes a code.
        let mut before: Option<(usize, usize)> = None;
        while at < out.len() {
            let code = codes.take(width)?;
            if code == CLEAR {
                (next, width, before) = (FIRST, 9, None);
                continue;
            }
            if code == END {
                return None;
            }
            let start = at;
            if code < CLEAR {
                out[at] = code as u8;
                at += 1;
            } else if code < next {
                let (from, len) = self.entries[code];
                at = copy(out, from as usize, at, len as usize);
            } else {
                // The code that is just being made: the string before and its own first byte.
                let (from, len) = before.filter(|_| code == next)?;
                at = copy(out, from, at, len);
                if at < out.len() {
                    out[at] = out[from];
                    at += 1;
                }
            }
            if let Some((from, len)) = before
                && next < MAX_CODES
            {
                self.entries[next] = (from as u32, len as u32 + 1);
                next += 1;
                if next + 1 >= 1 << width && width < 12 {
                    width += 1;
                }
            }
            before = Some((start, at - start));
        }
        Some(())
    }
}

/// Copies bytes of `out` to a later offset, as many of them as there is room for; returns where they end.
fn copy(out: &mut [u8], from: usize, to: usize, len: usize) -> usize {
    if len <= AT_ONCE && to + AT_ONCE <= out.len() {
        // What is copied beyond the string is written over by what follows.
        let mut bytes = [0; AT_ONCE];
        bytes.copy_from_slice(&out[from..from + AT_ONCE]);
        out[to..to + AT_ONCE].copy_from_slice(&bytes);
        return to + len;
    }
    let len = len.min(out.len() - to);
    out.copy_within(from..from + len, to);
    to + len
}

/// Takes numbers of some bits.
struct Codes<'a> {
    data: &'a [u8],
    at: usize,
    buffer: u64,
    /// How many of the buffer's low bits are not taken yet.
    count: u32,
}

impl Codes<'_> {
    fn take(&mut self, bits: u32) -> Option<usize> {
        if self.count < bits {
            self.fill();
            if self.count < bits {
                return None;
            }
        }
        self.count -= bits;
        Some((self.buffer >> self.count) as usize & ((1 << bits) - 1))
    }

    fn fill(&mut self) {
        if let Some(four) = self.data.get(self.at..).and_then(<[u8]>::first_chunk::<4>) {
            self.buffer = self.buffer << 32 | u64::from(u32::from_be_bytes(*four));
            (self.at, self.count) = (self.at + 4, self.count + 32);
            return;
        }
        for &byte in &self.data[self.at..] {
            self.buffer = self.buffer << 8 | u64::from(byte);
            self.count += 8;
        }
        self.at = self.data.len();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Packs codes with the widths that a reader expects.
    fn pack(codes: &[usize]) -> Vec<u8> {
        let (mut bits, mut next, mut width, mut has_before) = (Vec::new(), FIRST, 9, false);
        for &code in codes {
            bits.extend((0..width).rev().map(|bit| code >> bit & 1 == 1));
            if code == CLEAR {
                (next, width, has_before) = (FIRST, 9, false);
                continue;
            }
            if has_before && next < MAX_CODES {
                next += 1;
                if next + 1 >= 1 << width && width < 12 {
                    width += 1;
                }
            }
            has_before = true;
        }
        bits.chunks(8).map(|bits| bits.iter().enumerate().map(|(at, &bit)| u8::from(bit) << (7 - at)).sum()).collect()
    }

    /// Returns the codes of some bytes.
    fn codes(bytes: &[u8]) -> Vec<usize> {
        let (mut codes, mut strings, mut rest) = (vec![CLEAR], std::collections::HashMap::new(), bytes);
        while !rest.is_empty() {
            let mut len = 1;
            let mut code = usize::from(rest[0]);
            while len < rest.len()
                && let Some(&longer) = strings.get(&rest[..=len])
            {
                (len, code) = (len + 1, longer);
            }
            codes.push(code);
            if len < rest.len() && strings.len() < MAX_CODES - FIRST - 2 {
                strings.insert(&rest[..=len], FIRST + strings.len());
            }
            rest = &rest[len..];
        }
        codes.push(END);
        codes
    }

    #[test]
    fn a_code_may_be_the_one_that_is_being_made() {
        let mut out = [0; 7];
        assert_eq!(Lzw::default().expand(&pack(&[CLEAR, 7, 258, 259, END]), &mut out[..6]), Some(()));
        assert_eq!(out, [7, 7, 7, 7, 7, 7, 0]);
        assert_eq!(Lzw::default().expand(&pack(&[CLEAR, 7, 258, 259, END]), &mut out), None);
        // A code that nothing has made yet.
        assert_eq!(Lzw::default().expand(&pack(&[CLEAR, 7, 259, END]), &mut out), None);
        assert_eq!(Lzw::default().expand(&pack(&[258]), &mut out), None);
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_back(bytes in prop::collection::vec(0..4_u8, 0..6000), cut in 0..6000_usize) {
            let data = pack(&codes(&bytes));
            let mut lzw = Lzw::default();
            let mut out = vec![9; bytes.len()];
            prop_assert_eq!(lzw.expand(&data, &mut out), Some(()));
            prop_assert_eq!(&out, &bytes);
            // The first bytes alone, with what the table holds of the image before.
            out.truncate(cut.min(bytes.len()));
            out.fill(9);
            prop_assert_eq!(lzw.expand(&data, &mut out), Some(()));
            prop_assert_eq!(&out[..], &bytes[..out.len()]);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(data in prop::collection::vec(any::<u8>(), 0..200), len in 0..900_usize) {
            let _ = Lzw::default().expand(&data, &mut vec![0; len]);
        }
    }
}
