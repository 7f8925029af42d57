//! Run-length encoded indices, of 8 bits and of 4.

use crate::decode::format::Bad;

/// Writes the indices of an image of `width` from the code that begins at `start` in the file, in the order of its rows
/// there. What the code passes over is index 0.
pub(super) fn expand(data: &[u8], start: usize, width: usize, has_nibbles: bool, out: &mut [u8]) -> Result<(), Bad> {
    let mut code = Code { data, at: start };
    let (mut filled, mut x) = (0, 0);
    out.fill(0);
    while filled < out.len() {
        let [count, value] = code.take::<2>()?;
        match (count, value) {
            (0, 0) => (filled, x) = (filled.next_multiple_of(width), 0),
            (0, 1) => break,
            (0, 2) => {
                let [right, up] = code.take::<2>()?.map(usize::from);
                filled += right + up * width;
                x = filled % width;
            }
            (0, count) => {
                let count = usize::from(count);
                let room = count.min(out.len() - filled);
                let packed = code.bytes(if has_nibbles { room.div_ceil(2) } else { room })?;
                let index = |at: usize| if has_nibbles { nibble(packed[at / 2], at) } else { packed[at] };
                out[filled..filled + room].iter_mut().enumerate().for_each(|(at, out)| *out = index(at));
                (filled, x) = (filled + room, x + count);
                code.align();
            }
            (count, value) => {
                let count = usize::from(count).min(width.saturating_sub(x)).min(out.len() - filled);
                let index = |at: usize| if has_nibbles { nibble(value, at) } else { value };
                out[filled..filled + count].iter_mut().enumerate().for_each(|(at, out)| *out = index(at));
                (filled, x) = (filled + count, x + count);
            }
        }
    }
    Ok(())
}

/// Returns the upper four bits for an even number, the lower ones for an odd one.
const fn nibble(byte: u8, at: usize) -> u8 {
    if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 }
}

struct Code<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Code<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Bad> {
        let bytes = self.data.get(self.at..self.at + len).ok_or_else(Bad::end_of_data)?;
        self.at += len;
        Ok(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        let mut taken = [0; N];
        taken.copy_from_slice(self.bytes(N)?);
        Ok(taken)
    }

    /// Goes on at an even offset of the file.
    const fn align(&mut self) {
        self.at += self.at % 2;
    }
}
