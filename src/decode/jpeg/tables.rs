//! Huffman and quantisation tables as the file has them.
//!
//! Source: ITU-T T.81, annexes B.2.4.1 and B.2.4.2.

use super::{
    body::Body,
    error::{Problem, Result},
};

/// Zigzag position to natural position, T.81 figure A.6.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// A Huffman table as the file has it: the number of codes of each length, then the symbols.
#[derive(Clone, Copy, Debug)]
pub(super) struct HuffmanSpec<'a> {
    pub(super) counts: &'a [u8; 16],
    pub(super) symbols: &'a [u8],
    /// Where in the file it stands.
    pub(super) offset: usize,
}

/// The tables read so far, by their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables<'a> {
    /// Steps of coefficients in natural order.
    quant: [Option<[u16; 64]>; 4],
    dc: [Option<HuffmanSpec<'a>>; 4],
    ac: [Option<HuffmanSpec<'a>>; 4],
}

impl<'a> Tables<'a> {
    /// Returns the Huffman table of DC or AC coefficients with a number.
    pub(super) fn huffman(&self, is_dc: bool, number: usize) -> Option<HuffmanSpec<'a>> {
        let tables = if is_dc { &self.dc } else { &self.ac };
        tables.get(number).copied().flatten()
    }

    /// Returns the quantisation table with a number.
    pub(super) fn quantisation(&self, number: u8) -> Option<[u16; 64]> {
        self.quant.get(usize::from(number)).copied().flatten()
    }

    /// Reads a segment of Huffman tables.
    pub(super) fn read_huffman(&mut self, mut body: Body<'a>) -> Result<()> {
        while !body.is_empty() {
            let offset = body.start;
            let corrupt = |reason| Err(Problem::corrupt(offset, reason));
            let wrong_length = "a Huffman table of a wrong length";
            let head = body.take(17, wrong_length)?;
            let (class, counts) = (head[0], head[1..].first_chunk::<16>());
            let counts = counts.ok_or_else(|| Problem::corrupt(offset, wrong_length))?;
            let length = counts.iter().map(|&count| usize::from(count)).sum();
            if length > 256 {
                return corrupt("a Huffman table of more than 256 symbols");
            }
            let symbols = body.take(length, wrong_length)?;
            let tables = match class >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return corrupt("a Huffman table of an unknown class"),
            };
            let Some(table) = tables.get_mut(usize::from(class & 15)) else {
                return corrupt("a Huffman table with a number above 3");
            };
            *table = Some(HuffmanSpec { counts, symbols, offset });
        }
        Ok(())
    }

    /// Reads a segment of quantisation tables.
    pub(super) fn read_quantisation(&mut self, mut body: Body<'_>) -> Result<()> {
        let wrong_length = "a quantisation table of a wrong length";
        while !body.is_empty() {
            let offset = body.start;
            let kind = body.take(1, wrong_length)?[0];
            let Some(table) = self.quant.get_mut(usize::from(kind & 15)) else {
                return Err(Problem::corrupt(offset, "a quantisation table with a number above 3"));
            };
            let bytes = if kind >> 4 == 0 { 1 } else { 2 };
            let values = body.take(64 * bytes, wrong_length)?;
            let mut natural = [0; 64];
            for (value, &position) in values.chunks_exact(bytes).zip(&ZIGZAG) {
                natural[usize::from(position)] = value.iter().fold(0, |sum, &byte| sum << 8 | u16::from(byte));
            }
            *table = Some(natural);
        }
        Ok(())
    }

    /// Reads a segment of conditions of arithmetic coding, which mean nothing to Huffman codes but must be possible.
    pub(super) fn read_conditions(mut body: Body<'_>) -> Result<()> {
        while !body.is_empty() {
            let offset = body.start;
            let pair = body.take(2, "conditions of arithmetic coding of a wrong length")?;
            let (number, value) = (pair[0], pair[1]);
            if number > 31 || (number < 16 && value & 15 > value >> 4) {
                return Err(Problem::corrupt(offset, "impossible conditions of arithmetic coding"));
            }
        }
        Ok(())
    }
}
