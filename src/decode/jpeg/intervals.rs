//! The restart intervals of a scan, and what may be wrong with their bits.

use std::ops::Range;

use super::{
    bits::Bits,
    error::{Damage, Problem, Result},
    segments::Segments,
};

/// A restart interval whose bits are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval<'a> {
    pub(super) segments: &'a Segments,
    /// The whole file.
    pub(super) data: &'a [u8],
    pub(super) number: u32,
    /// The interval's bytes; none where it has none of its own.
    pub(super) bytes: &'a [u8],
}

impl Interval<'_> {
    /// Takes note of bits that made no sense, and of a position behind the last bit: then it returns true.
    #[cold]
    pub(super) fn look_at_damage(&self, bits: &mut Bits<'_>, damage: &mut Damage) -> Result<bool> {
        if let Some(bit) = bits.take_nonsense().filter(|bit| bit / 8 < self.bytes.len()) {
            damage.found(Problem::corrupt(self.offset(bit / 8), "bits that are no Huffman code"))?;
        }
        if !bits.is_beyond() {
            return Ok(false);
        }
        let offset = self.offset(self.bytes.len());
        if self.segments.is_cut(self.number) {
            damage.ended(offset)?;
        } else {
            damage.found(Problem::corrupt(offset, "a marker before the end of the scan"))?;
        }
        Ok(true)
    }

    /// Takes note of bytes that are left where all MCUs are read.
    pub(super) fn look_for_rest(&self, bits: &Bits<'_>, damage: &mut Damage) -> Result<()> {
        let read = bits.position(self.bytes).div_ceil(8);
        if read >= self.bytes.len() {
            return Ok(());
        }
        damage.found(Problem::corrupt(self.offset(read), "bytes that belong to no block"))
    }

    fn offset(&self, byte: usize) -> usize {
        self.segments.offset(self.data, self.number, byte)
    }
}

/// Cuts MCUs of a scan that has `width` of them to a row at the ends of rows: row, and columns.
#[inline(always)]
pub(super) fn by_rows(mcus: Range<u32>, width: u32) -> impl Iterator<Item = (u32, Range<u32>)> {
    let rows = mcus.start / width..mcus.end.div_ceil(width);
    rows.map(move |row| {
        let first = row * width;
        (row, mcus.start.max(first) - first..mcus.end.min(first + width) - first)
    })
}
