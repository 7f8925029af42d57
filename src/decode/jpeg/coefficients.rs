//! The coefficients of a component, kept from scan to scan.

use std::ops::Range;

use super::{block::Block, plane::Layout};
use crate::geometry::Size;

/// How far around a block smoothing looks at others.
pub(super) const REACH: u32 = 2;

/// The coefficients of a component.
///
/// They are kept for the blocks that a region needs and for those around them. Of all others it is known which are not
/// zero, since the code of a refinement depends on that.
#[derive(Debug, Default)]
pub(super) struct Coefficients {
    /// Blocks of the component in an MCU, across and down.
    pub(super) h: u32,
    pub(super) v: u32,
    /// Blocks that hold samples of the image, across and down.
    pub(super) size: Size,
    /// How many rows of blocks hold AC coefficients that are needed, or lie above those.
    pub(super) ac_rows: u32,
    /// The blocks that are kept.
    columns: Range<u32>,
    rows: Range<u32>,
    blocks: Vec<Block>,
    /// For each block of the first `ac_rows` rows: a bit for each coefficient, from the top bit on in zigzag order, that
    /// is one where it is not zero. That of the DC coefficient means nothing.
    nonzero: Vec<u64>,
}

impl Coefficients {
    /// Makes all of them zero. `mcu_rows` are all rows of MCUs of the image, and how many of them are needed.
    pub(super) fn reset(&mut self, layout: &Layout, mcu_rows: (u32, u32)) {
        let Layout { h, v, blocks, columns, rows, .. } = layout;
        let around = |range: &Range<u32>, end: u32| range.start.saturating_sub(REACH)..(range.end + REACH).min(end);
        (self.h, self.v) = (*h, *v);
        (self.size, self.ac_rows) = (*blocks, (mcu_rows.1 * v).min(blocks.height));
        // An interleaved scan also has the blocks below the image that fill its last row of MCUs.
        (self.columns, self.rows) = (around(columns, blocks.width), around(rows, mcu_rows.0 * v));
        self.blocks.clear();
        self.blocks.resize(self.columns.len() * self.rows.len(), [0; 64]);
        self.nonzero.clear();
        self.nonzero.resize(self.size.width as usize * self.ac_rows as usize, 0);
    }

    /// Returns the columns of blocks that are kept.
    pub(super) fn columns(&self) -> Range<u32> {
        self.columns.clone()
    }

    /// Returns how many rows of blocks have DC coefficients that are kept, or lie above those; the last ones may lie below
    /// the image.
    pub(super) const fn dc_rows(&self) -> u32 {
        self.rows.end
    }

    /// Returns the DC coefficient of a block, if it is kept.
    #[inline(always)]
    pub(super) fn dc_mut(&mut self, column: u32, row: u32) -> Option<&mut i16> {
        if !self.columns.contains(&column) || !self.rows.contains(&row) {
            return None;
        }
        let start = self.start_of(row);
        self.blocks[start + (column - self.columns.start) as usize].first_mut()
    }

    /// Returns the blocks of a row that are kept, and which coefficients of all blocks of the row are not zero.
    #[inline(always)]
    pub(super) fn row_mut(&mut self, row: u32) -> (&mut [Block], &mut [u64]) {
        let (start, width) = (self.start_of(row), self.size.width as usize);
        let kept = if self.rows.contains(&row) { start..start + self.columns.len() } else { 0..0 };
        (&mut self.blocks[kept], &mut self.nonzero[row as usize * width..][..width])
    }

    /// Returns those of `columns` in a row, all of which are kept.
    pub(super) fn row(&self, row: u32, columns: &Range<u32>) -> &[Block] {
        let first = self.start_of(row) + (columns.start - self.columns.start) as usize;
        &self.blocks[first..first + columns.len()]
    }

    /// Returns where a row begins among the blocks that are kept, if it is.
    #[inline(always)]
    fn start_of(&self, row: u32) -> usize {
        row.wrapping_sub(self.rows.start) as usize * self.columns.len()
    }
}
