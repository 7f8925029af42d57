//! Huffman and quantisation tables as the file has them.
//!
//! Source: ITU-T T.81, annexes B.2.4.1 and B.2.4.2.

use super::error::{Problem, Result};

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
    pub(super) quant: [Option<[u16; 64]>; 4],
    dc: [Option<HuffmanSpec<'a>>; 4],
    ac: [Option<HuffmanSpec<'a>>; 4],
}

impl<'a> Tables<'a> {
    /// Returns the Huffman table of DC or AC coefficients with a number.
    pub(super) fn huffman(&self, is_dc: bool, number: usize) -> Option<HuffmanSpec<'a>> {
        let tables = if is_dc { &self.dc } else { &self.ac };
        tables.get(number).copied().flatten()
    }

    /// Reads the body of a segment of Huffman tables, which stands at `start`.
    pub(super) fn read_huffman(&mut self, start: usize, mut body: &'a [u8]) -> Result<()> {
        let whole = body.len();
        while let Some((&class, rest)) = body.split_first() {
            let offset = start + whole - body.len();
            let corrupt = |reason| Err(Problem::corrupt(offset, reason));
            let Some((counts, rest)) = rest.split_first_chunk::<16>() else {
                return corrupt("a Huffman table of a wrong length");
            };
            let length = counts.iter().map(|&count| usize::from(count)).sum();
            let Some((symbols, rest)) = rest.split_at_checked(length) else {
                return corrupt("a Huffman table of a wrong length");
            };
            let tables = match class >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return corrupt("a Huffman table of an unknown class"),
            };
            let Some(table) = tables.get_mut(usize::from(class & 15)) else {
                return corrupt("a Huffman table with a number above 3");
            };
            *table = Some(HuffmanSpec { counts, symbols, offset });
            body = rest;
        }
        Ok(())
    }

    /// Reads the body of a segment of quantisation tables, which stands at `start`.
    pub(super) fn read_quantisation(&mut self, start: usize, mut body: &[u8]) -> Result<()> {
        let whole = body.len();
        while let Some((&kind, rest)) = body.split_first() {
            let offset = start + whole - body.len();
            let Some(table) = self.quant.get_mut(usize::from(kind & 15)) else {
                return Err(Problem::corrupt(offset, "a quantisation table with a number above 3"));
            };
            let bytes = if kind >> 4 == 0 { 1 } else { 2 };
            let Some((values, rest)) = rest.split_at_checked(64 * bytes) else {
                return Err(Problem::corrupt(offset, "a quantisation table of a wrong length"));
            };
            let mut natural = [0; 64];
            for (value, &position) in values.chunks_exact(bytes).zip(&ZIGZAG) {
                natural[usize::from(position)] = value.iter().fold(0, |sum, &byte| sum << 8 | u16::from(byte));
            }
            *table = Some(natural);
            body = rest;
        }
        Ok(())
    }
}
