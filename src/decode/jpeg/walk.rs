//! The way through a progressive scan: from MCU to MCU and from block to block, and where restart intervals begin.

use std::ops::Range;

use super::{
    bits::Bits,
    block::Block,
    coefficients::Coefficients,
    error::{Damage, Result},
    frame::COMPONENTS,
    intervals::{Interval, by_rows},
    segments::Segments,
};
use crate::geometry::Size;

/// The way through a scan.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    pub(super) segments: &'a Segments,
    /// The whole file.
    pub(super) data: &'a [u8],
    /// MCUs, across and down.
    pub(super) mcus: Size,
    /// MCUs between restart markers; 0 for none.
    pub(super) restart_interval: u32,
    pub(super) damage: &'a mut Damage,
}

/// What is done with MCUs.
trait Visitor {
    /// Begins a restart interval.
    fn restart(&mut self);

    /// Reads the MCUs of some columns in a row. Behind each it calls `look`, and ends where that returns true.
    fn row(
        &mut self,
        bits: &mut Bits<'_>,
        bytes: &[u8],
        row: u32,
        columns: Range<u32>,
        look: impl FnMut(&mut Bits<'_>) -> Result<bool>,
    ) -> Result<()>;
}

impl Walk<'_> {
    /// Goes through the blocks of a scan of DC coefficients.
    ///
    /// `read` gets the position, the bytes, the number of the component in the scan, the value before in it, and the
    /// coefficient, where it is kept. Returns the row of interleaved MCUs of the last MCU for which there was data.
    #[inline(always)]
    pub(super) fn dc(
        &mut self,
        components: &mut [Coefficients; COMPONENTS],
        parts: &[usize],
        read: impl FnMut(&mut Bits<'_>, &[u8], usize, &mut i32, Option<&mut i16>),
    ) -> Result<u32> {
        let alone = &components[parts[0]];
        let (rows, rows_in_mcu) = if parts.len() == 1 {
            (alone.dc_rows().min(alone.size.height), alone.v)
        } else {
            let rows = parts.iter().map(|&at| components[at].dc_rows().div_ceil(components[at].v));
            (rows.max().unwrap_or(0), 1)
        };
        let mut visitor = Dc { components, parts, before: [0; COMPONENTS], read };
        Ok(self.visit(rows, &mut visitor)? / rows_in_mcu)
    }

    /// Goes through the blocks of a scan of AC coefficients.
    ///
    /// `read` gets the position, the bytes, how many further blocks have ended, a block, and which of its coefficients are
    /// not zero. Returns the row of interleaved MCUs of the last block for which there was data.
    #[inline(always)]
    pub(super) fn ac(
        &mut self,
        component: &mut Coefficients,
        read: impl FnMut(&mut Bits<'_>, &[u8], &mut u32, &mut Block, &mut u64),
    ) -> Result<u32> {
        let (rows, rows_in_mcu) = (component.ac_rows, component.v);
        let mut visitor = Ac { component, run: 0, lost: [0; 64], read };
        Ok(self.visit(rows, &mut visitor)? / rows_in_mcu)
    }

    /// Goes through the first `rows` rows of MCUs; returns the row of the last MCU for which there was data.
    #[inline(always)]
    fn visit(&mut self, rows: u32, visitor: &mut impl Visitor) -> Result<u32> {
        let Size { height, width } = self.mcus;
        let (all, end) = (height * width, rows * width);
        let length = if self.restart_interval == 0 { all } else { self.restart_interval };
        let (mut last_row, mut is_over) = (0, false);
        for number in 0..end.div_ceil(length) {
            let bytes = self.segments.get(number);
            if is_over && bytes.is_none() {
                // An interval without data is not read, unless the one before had enough: then it begins with zeros.
                continue;
            }
            let bytes = bytes.unwrap_or_default();
            let interval = Interval { segments: self.segments, data: self.data, number, bytes };
            let mut bits = Bits::new(bytes);
            is_over = false;
            visitor.restart();
            let first = number * length;
            for (row, columns) in by_rows(first..end.min(first.saturating_add(length)), width) {
                last_row = row;
                visitor.row(&mut bits, bytes, row, columns, |bits| {
                    if bits.is_beyond() || bits.has_nonsense() {
                        is_over = interval.look_at_damage(bits, self.damage)?;
                    }
                    Ok(is_over)
                })?;
                if is_over {
                    break;
                }
            }
            if !is_over && (end == all || end - first >= length) {
                interval.look_for_rest(&bits, self.damage)?;
            }
        }
        Ok(last_row)
    }
}

/// What becomes of DC coefficients.
struct Dc<'a, F> {
    components: &'a mut [Coefficients; COMPONENTS],
    parts: &'a [usize],
    before: [i32; COMPONENTS],
    read: F,
}

impl<F: FnMut(&mut Bits<'_>, &[u8], usize, &mut i32, Option<&mut i16>)> Visitor for Dc<'_, F> {
    fn restart(&mut self) {
        self.before = [0; COMPONENTS];
    }

    #[inline(always)]
    fn row(
        &mut self,
        bits: &mut Bits<'_>,
        bytes: &[u8],
        row: u32,
        columns: Range<u32>,
        mut look: impl FnMut(&mut Bits<'_>) -> Result<bool>,
    ) -> Result<()> {
        for column in columns {
            for (part, &at) in self.parts.iter().enumerate() {
                let component = &mut self.components[at];
                let (h, v) = if self.parts.len() == 1 { (1, 1) } else { (component.h, component.v) };
                for (y, x) in (0..v).flat_map(|y| (0..h).map(move |x| (row * v + y, column * h + x))) {
                    (self.read)(bits, bytes, part, &mut self.before[part], component.dc_mut(x, y));
                }
            }
            if look(bits)? {
                break;
            }
        }
        Ok(())
    }
}

/// What becomes of AC coefficients.
struct Ac<'a, F> {
    component: &'a mut Coefficients,
    /// How many further blocks have ended.
    run: u32,
    /// What is read of blocks that are not kept.
    lost: Block,
    read: F,
}

impl<F: FnMut(&mut Bits<'_>, &[u8], &mut u32, &mut Block, &mut u64)> Visitor for Ac<'_, F> {
    fn restart(&mut self) {
        self.run = 0;
    }

    #[inline(always)]
    fn row(
        &mut self,
        bits: &mut Bits<'_>,
        bytes: &[u8],
        row: u32,
        columns: Range<u32>,
        mut look: impl FnMut(&mut Bits<'_>) -> Result<bool>,
    ) -> Result<()> {
        let first = self.component.columns().start;
        let (kept, nonzero) = self.component.row_mut(row);
        for column in columns {
            let block = kept.get_mut(column.wrapping_sub(first) as usize).unwrap_or(&mut self.lost);
            (self.read)(bits, bytes, &mut self.run, block, &mut nonzero[column as usize]);
            if look(bits)? {
                break;
            }
        }
        Ok(())
    }
}
