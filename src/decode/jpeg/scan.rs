//! The entropy-coded data of a scan: which of its blocks are decoded, which passed over.

use std::{ops::Range, sync::Arc};

use super::{
    bits::{Bits, Segments},
    block::{self, Block, Tables},
    error::{Problem, Result},
    frame::{COMPONENTS, Frame},
    header::{Headers, Scan},
    huffman::{Cache, Class, Table},
    plane::Plane,
    standard::standard,
};

/// A component's part in a scan.
#[derive(Debug)]
pub(super) struct Part {
    /// Which component of the frame.
    pub(super) index: usize,
    /// Its blocks in an MCU, across and down.
    h: u32,
    v: u32,
    /// The blocks that are needed.
    pub(super) columns: Range<u32>,
    rows: Range<u32>,
    /// Where its blocks begin among those of a group of MCUs.
    start: usize,
    dc: Arc<Table>,
    ac: Arc<Table>,
    pub(super) quant: [u16; 64],
}

/// How many MCUs are decoded before their blocks are transformed: few, so that the coefficients stay in the first-level
/// cache beside the tables.
pub(super) const GROUP: u32 = 4;

impl Part {
    /// Returns the needed blocks of a group of MCUs, by rows: the column and row of the first, counted among all that
    /// are needed, and their indices among the coefficients.
    #[inline(always)]
    pub(super) fn rows_of(&self, row: u32, group: &Range<u32>) -> impl Iterator<Item = (usize, usize, Range<usize>)> {
        let first = group.start * self.h;
        let columns = first.max(self.columns.start)..(group.end * self.h).min(self.columns.end);
        let is_empty = columns.is_empty();
        (0..self.v).filter(move |v| self.rows.contains(&(row * self.v + v)) && !is_empty).map(move |v| {
            let start = self.start + (v * GROUP * self.h + columns.start - first) as usize;
            let column = columns.start - self.columns.start;
            let row = row * self.v + v - self.rows.start;
            (column as usize, row as usize, start..start + columns.len())
        })
    }
}

/// What to read of a scan.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) parts: Vec<Part>,
    /// MCUs in a row.
    width: u32,
    /// The MCUs that hold needed blocks.
    columns: Range<u32>,
    pub(super) rows: Range<u32>,
    restart_interval: u32,
    /// Blocks of a group of MCUs.
    blocks: usize,
}

impl Plan {
    /// Plans a scan by the needs of `planes`.
    pub(super) fn new(
        headers: &Headers<'_>,
        frame: &Frame,
        scan: &Scan,
        planes: &[Plane],
        cache: &mut Cache,
    ) -> Result<Self> {
        let is_interleaved = scan.components().len() > 1;
        let mut plan = Self {
            parts: Vec::with_capacity(scan.components().len()),
            width: frame.mcus_in_row(),
            columns: 0..0,
            rows: 0..0,
            restart_interval: headers.restart_interval,
            blocks: 0,
        };
        for component in scan.components() {
            let layout = &planes[component.index].layout;
            // The MCU of a single component is one block, and only blocks within the image are coded.
            let (h, v) = if is_interleaved { (layout.h, layout.v) } else { (1, 1) };
            if !is_interleaved {
                plan.width = layout.blocks.width;
            }
            let missing = || Problem::corrupt(scan.start, "a scan without one of its Huffman tables");
            let spec = |class, table: usize| {
                let given = headers.tables.huffman(class == Class::Dc, table);
                given.or_else(|| standard(class, table)).ok_or_else(missing)
            };
            let dc = cache.table(Class::Dc, spec(Class::Dc, component.dc)?)?;
            let ac = cache.table(Class::Ac, spec(Class::Ac, component.ac)?)?;
            let quant = headers.tables.quant[usize::from(frame.components()[component.index].quant)]
                .ok_or_else(|| Problem::corrupt(scan.start, "a scan without its quantisation table"))?;
            let (columns, rows) = (layout.columns.clone(), layout.rows.clone());
            let joined = |all: &Range<u32>, part: &Range<u32>, to: u32| {
                let part = part.start / to..part.end.div_ceil(to);
                if all.is_empty() { part } else { all.start.min(part.start)..all.end.max(part.end) }
            };
            plan.columns = joined(&plan.columns, &columns, h);
            plan.rows = joined(&plan.rows, &rows, v);
            let start = plan.blocks;
            plan.blocks += (GROUP * h * v) as usize;
            plan.parts.push(Part { index: component.index, h, v, columns, rows, start, dc, ac, quant });
        }
        Ok(plan)
    }

    /// Returns how many blocks a group of MCUs has.
    pub(super) const fn blocks(&self) -> usize {
        self.blocks
    }

    /// Returns the groups of MCUs in a row that hold needed blocks.
    pub(super) fn groups(&self) -> impl Iterator<Item = Range<u32>> + use<> {
        let Range { start, end } = self.columns;
        (start..end).step_by(GROUP as usize).map(move |first| first..(first + GROUP).min(end))
    }
}

/// Reads a scan from its beginning.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    plan: &'a Plan,
    segments: &'a Segments,
    data: &'a [u8],
    /// The bytes of the current segment, and the position in them.
    bytes: &'a [u8],
    bits: Bits<'a>,
    segment: usize,
    /// The MCUs that were read, in all.
    mcu: u64,
    /// Whether data that ends too early is taken for zeros.
    pads: bool,
    has_ended: bool,
    dc: [i32; COMPONENTS],
}

impl<'a> Reader<'a> {
    pub(super) fn new(plan: &'a Plan, segments: &'a Segments, data: &'a [u8], pads: bool) -> Self {
        let bytes = segments.get(0).unwrap_or_default();
        let bits = Bits::new(bytes);
        Self { plan, segments, data, bytes, bits, segment: 0, mcu: 0, pads, has_ended: false, dc: [0; COMPONENTS] }
    }

    /// Decodes the needed blocks of a group of MCUs, which are zero at first. Groups are asked for in their order.
    #[inline(always)]
    pub(super) fn group(&mut self, row: u32, group: &Range<u32>, coefficients: &mut [Block]) -> Result<()> {
        let plan = self.plan;
        self.skip_to(u64::from(row) * u64::from(plan.width) + u64::from(group.start))?;
        for column in group.clone() {
            self.restart()?;
            if self.has_ended {
                self.mcu += 1;
                continue;
            }
            for (at, part) in plan.parts.iter().enumerate() {
                let tables = Tables { dc: &part.dc, ac: &part.ac };
                let mut first = part.start + ((column - group.start) * part.h) as usize;
                for v in 0..part.v {
                    let is_needed = part.rows.contains(&(row * part.v + v));
                    for h in 0..part.h {
                        let read = if is_needed && part.columns.contains(&(column * part.h + h)) {
                            let block = &mut coefficients[first + h as usize];
                            block::decode(&mut self.bits, self.bytes, tables, &mut self.dc[at], block)
                        } else {
                            block::skip(&mut self.bits, self.bytes, tables, &mut self.dc[at])
                        };
                        read.ok_or_else(|| self.bad_code())?;
                    }
                    first += (GROUP * part.h) as usize;
                }
            }
            self.finish_mcu()?;
        }
        Ok(())
    }

    /// Passes over all MCUs before MCU `target`.
    #[inline(always)]
    fn skip_to(&mut self, target: u64) -> Result<()> {
        let interval = u64::from(self.plan.restart_interval);
        if interval > 0 && target / interval > self.mcu.div_ceil(interval) {
            self.mcu = target / interval * interval;
        }
        while self.mcu < target {
            self.restart()?;
            if self.has_ended {
                self.mcu += 1;
                continue;
            }
            for (at, part) in self.plan.parts.iter().enumerate() {
                let tables = Tables { dc: &part.dc, ac: &part.ac };
                for _ in 0..part.h * part.v {
                    block::skip(&mut self.bits, self.bytes, tables, &mut self.dc[at]).ok_or_else(|| self.bad_code())?;
                }
            }
            self.finish_mcu()?;
        }
        Ok(())
    }

    /// Goes to the next segment where one begins.
    #[inline(always)]
    fn restart(&mut self) -> Result<()> {
        let interval = u64::from(self.plan.restart_interval);
        if interval == 0 || self.mcu == 0 || !self.mcu.is_multiple_of(interval) {
            return Ok(());
        }
        self.enter((self.mcu / interval) as usize)
    }

    #[cold]
    fn enter(&mut self, segment: usize) -> Result<()> {
        self.dc = [0; COMPONENTS];
        self.segment = segment;
        match self.segments.get(segment) {
            Some(bytes) => {
                self.bytes = bytes;
                self.bits = Bits::new(bytes);
                self.has_ended = false;
            }
            None if self.pads => self.has_ended = true,
            None => return Err(Problem::end_of_data(self.segments.file_end())),
        }
        Ok(())
    }

    #[inline(always)]
    fn finish_mcu(&mut self) -> Result<()> {
        self.mcu += 1;
        if self.bits.is_beyond() {
            return self.overrun();
        }
        Ok(())
    }

    #[cold]
    fn overrun(&mut self) -> Result<()> {
        if self.pads {
            self.has_ended = true;
            return Ok(());
        }
        Err(Problem::end_of_data(self.segments.offset(self.data, self.segment, self.bytes.len())))
    }

    #[cold]
    fn bad_code(&self) -> Problem {
        if self.bits.is_beyond() {
            return Problem::end_of_data(self.segments.offset(self.data, self.segment, self.bytes.len()));
        }
        let offset = self.segments.offset(self.data, self.segment, self.bits.position(self.bytes) / 8);
        Problem::corrupt(offset, "bits that are no Huffman code")
    }
}
