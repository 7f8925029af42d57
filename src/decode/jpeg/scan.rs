//! The entropy-coded data of a scan: which of its blocks are decoded, which passed over.

use std::{ops::Range, sync::Arc};

use super::{
    bits::Bits,
    block::{self, Block, Tables},
    error::{Damage, Problem, Result},
    frame::{COMPONENTS, Frame},
    header::{Headers, Scan},
    huffman::{Cache, Class, Table},
    intervals::Interval,
    plane::Plane,
    segments::{End, Segments},
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

/// How many bits libjpeg may read ahead.
const AHEAD: usize = 64;

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
    /// MCUs in a row, and rows of them.
    width: u32,
    height: u32,
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
            height: frame.rows_of_mcus(),
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
                (plan.width, plan.height) = (layout.blocks.width, layout.blocks.height);
            }
            let missing = || Problem::corrupt(scan.start, "a scan without one of its Huffman tables");
            let spec = |class, table: usize| {
                let given = headers.tables.huffman(class == Class::Dc, table);
                given.or_else(|| standard(class, table)).ok_or_else(missing)
            };
            let dc = cache.table(Class::Dc, spec(Class::Dc, component.dc)?)?;
            let ac = cache.table(Class::Ac, spec(Class::Ac, component.ac)?)?;
            let quant = headers.tables.quantisation(frame.components()[component.index].quant);
            let quant = quant.ok_or_else(|| Problem::corrupt(scan.start, "a scan without its quantisation table"))?;
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

    /// Returns how many restart intervals the scan has, 1 where it has no restarts.
    pub(super) fn intervals(&self) -> u32 {
        let interval = if self.restart_interval == 0 { self.mcus() } else { self.restart_interval.into() };
        self.mcus().div_ceil(interval) as u32
    }

    fn mcus(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
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
    /// The bytes of the current restart interval, and the position in them.
    bytes: &'a [u8],
    bits: Bits<'a>,
    interval: u32,
    /// The MCUs that were read, in all.
    mcu: u64,
    /// Whether the interval's bits are used up, so that the rest of its blocks stay zero.
    has_ended: bool,
    dc: [i32; COMPONENTS],
    damage: &'a mut Damage,
}

impl<'a> Reader<'a> {
    pub(super) fn new(plan: &'a Plan, segments: &'a Segments, data: &'a [u8], damage: &'a mut Damage) -> Self {
        let bytes = segments.get(0).unwrap_or_default();
        let bits = Bits::new(bytes);
        let dc = [0; COMPONENTS];
        Self { plan, segments, data, bytes, bits, interval: 0, mcu: 0, has_ended: false, dc, damage }
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
                        if is_needed && part.columns.contains(&(column * part.h + h)) {
                            let block = &mut coefficients[first + h as usize];
                            block::decode(&mut self.bits, self.bytes, tables, &mut self.dc[at], block);
                        } else {
                            block::skip(&mut self.bits, self.bytes, tables, &mut self.dc[at]);
                        }
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
        let length = u64::from(self.plan.restart_interval);
        if length > 0 && target / length > self.mcu.div_ceil(length) {
            let first = self.segments.last_with_data((target / length) as u32);
            self.mcu = self.mcu.max(u64::from(first) * length);
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
                    block::skip(&mut self.bits, self.bytes, tables, &mut self.dc[at]);
                }
            }
            self.finish_mcu()?;
        }
        Ok(())
    }

    /// Goes to the next restart interval where one begins.
    #[inline(always)]
    fn restart(&mut self) -> Result<()> {
        let length = u64::from(self.plan.restart_interval);
        if length == 0 || self.mcu == 0 || !self.mcu.is_multiple_of(length) {
            return Ok(());
        }
        self.enter((self.mcu / length) as u32)
    }

    #[cold]
    fn enter(&mut self, interval: u32) -> Result<()> {
        if interval == self.interval + 1 {
            self.look_for_rest()?;
        }
        self.dc = [0; COMPONENTS];
        self.interval = interval;
        let own = self.segments.get(interval);
        self.bytes = own.unwrap_or_default();
        self.bits = Bits::new(self.bytes);
        // Without data of its own, an interval is what the one before made of its end.
        self.has_ended &= own.is_none();
        Ok(())
    }

    #[inline(always)]
    fn finish_mcu(&mut self) -> Result<()> {
        self.mcu += 1;
        if self.bits.is_beyond() || self.bits.has_nonsense() {
            return self.look_at_damage();
        }
        Ok(())
    }

    /// Ends the interval where its bits are used up, and takes note of damage.
    #[cold]
    fn look_at_damage(&mut self) -> Result<()> {
        self.has_ended |= self.stretch().look_at_damage(&mut self.bits, self.damage)?;
        Ok(())
    }

    /// Takes note of bytes that are left of an interval whose MCUs are all read.
    fn look_for_rest(&mut self) -> Result<()> {
        if self.has_ended { Ok(()) } else { self.stretch().look_for_rest(&self.bits, self.damage) }
    }

    /// Returns the current restart interval.
    const fn stretch(&self) -> Interval<'a> {
        Interval { segments: self.segments, data: self.data, number: self.interval, bytes: self.bytes }
    }

    /// Ends a scan. Where no marker follows it, the rest is read too, to see whether the file ends too early.
    #[cold]
    pub(super) fn finish(&mut self) -> Result<()> {
        let all = self.plan.mcus();
        match self.segments.end() {
            End::Marker if self.mcu < all => Ok(()),
            End::Marker => self.look_for_rest(),
            End::File => {
                self.skip_to(all)?;
                // By then libjpeg has asked for so many bits more.
                if self.bits.position(self.bytes) + AHEAD > self.bytes.len() * 8 {
                    return self.damage.ended(self.data.len());
                }
                self.look_for_rest()
            }
        }
    }
}
