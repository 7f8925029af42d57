//! A scan of a progressive file: which coefficients it has, and into which blocks they go.
//!
//! Source: ITU-T T.81, annex G.1. What is taken for a scan, and what its data means where it ends too early, is as in
//! libjpeg's `jdphuff.c`.

use std::sync::Arc;

use super::{
    bits::{Bits, Segments},
    block::Block,
    coefficients::Coefficients,
    error::{Problem, Result},
    first,
    frame::COMPONENTS,
    header::{Band, Headers, Scan},
    huffman::{Cache, Class, Table},
    intervals::{by_rows, intervals},
    refinement::Refinement,
    vector::Vector,
};

/// What a scan has.
#[derive(Debug)]
enum Kind {
    /// The first bits of DC coefficients, with a table for each component.
    FirstDc(Vec<Arc<Table>>),
    /// A further bit of DC coefficients.
    RefinedDc,
    /// The first bits of AC coefficients.
    FirstAc(Arc<Table>),
    /// A further bit of AC coefficients.
    RefinedAc(Arc<Table>),
}

/// A scan and what it takes to read it.
#[derive(Debug)]
pub(super) struct Pass {
    band: Band,
    kind: Kind,
    /// Which components of the frame it has.
    components: Vec<usize>,
    restart_interval: u32,
}

/// How a scan's data was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    /// The row of interleaved MCUs in which the last MCU lies that had data at its beginning.
    pub(super) last_row: u32,
    /// What is wrong with the data, first.
    pub(super) damage: Option<Damage>,
}

/// Where a scan's data is damaged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Damage {
    /// The number of the interval between restart markers.
    pub(super) interval: usize,
    /// How many of the interval's bytes come before; none where they have ended too early.
    pub(super) byte: Option<usize>,
}

impl Outcome {
    /// Takes note of damage in the bits of an interval, or of their end; tells whether they have ended.
    #[cold]
    fn note(&mut self, interval: usize, segments: &Segments, bits: Bits<'_>) -> bool {
        let is_over = bits.is_beyond();
        let bytes = segments.get(interval).unwrap_or_default();
        self.damage.get_or_insert(Damage { interval, byte: (!is_over).then(|| bits.position(bytes) / 8) });
        is_over
    }
}

/// Returns where an interval begins, of which there may be no data. If the one before it had enough, it begins with zeros,
/// which is noticed at its first MCU; otherwise nothing of it is read.
const fn first_bits(bits: Option<Bits<'_>>, was_over: bool) -> Option<Bits<'_>> {
    match bits {
        None if !was_over => Some(Bits::new(&[])),
        found => found,
    }
}

impl Pass {
    /// Checks a scan's header and takes its tables.
    pub(super) fn new(headers: &Headers<'_>, scan: &Scan, cache: &mut Cache) -> Result<Self> {
        let Band { first, last, high, low } = scan.band;
        let is_dc = first == 0;
        let is_band = if is_dc { last == 0 } else { first <= last && last < 64 && scan.components().len() == 1 };
        if !is_band || (high > 0 && low != high - 1) || low > 13 {
            return Err(Problem::corrupt(scan.start, "a progressive scan of impossible coefficients"));
        }
        let mut table = |class, number: usize| {
            let spec = headers.tables.huffman(class == Class::Dc, number);
            let missing = || Problem::corrupt(scan.start, "a scan without one of its Huffman tables");
            cache.table(class, spec.ok_or_else(missing)?)
        };
        let parts = scan.components();
        let kind = match (is_dc, high > 0) {
            (true, false) => Kind::FirstDc(parts.iter().map(|part| table(Class::Dc, part.dc)).collect::<Result<_>>()?),
            (true, true) => Kind::RefinedDc,
            (false, false) => Kind::FirstAc(table(Class::First, parts[0].ac)?),
            (false, true) => Kind::RefinedAc(table(Class::Refinement, parts[0].ac)?),
        };
        let components = parts.iter().map(|part| part.index).collect();
        let restart_interval = headers.restart_interval;
        Ok(Self { band: scan.band, kind, components, restart_interval })
    }

    /// Tells whether restart markers belong to the scan's data.
    pub(super) const fn has_restarts(&self) -> bool {
        self.restart_interval > 0
    }

    /// Reads as much of the scan as `components` need; `width` is the number of interleaved MCUs in a row.
    #[inline(always)]
    pub(super) fn read(
        &self,
        vector: impl Vector,
        segments: &Segments,
        width: u32,
        components: &mut [Coefficients; COMPONENTS],
    ) -> Outcome {
        let low = self.band.low;
        let component = &mut components[self.components[0]];
        match &self.kind {
            Kind::FirstDc(tables) => {
                self.read_dc(segments, width, components, |bits, part, before, value, is_damaged| {
                    *before = before.wrapping_add(first::difference(bits, &tables[part], is_damaged));
                    if let Some(value) = value {
                        *value = (*before << low) as i16;
                    }
                })
            }
            Kind::RefinedDc => self.read_dc(segments, width, components, |bits, _, _, value, _| {
                bits.refill();
                if let Some(value) = value {
                    *value |= ((bits.buffer >> 63) << low) as i16;
                }
                bits.consume(1);
            }),
            Kind::FirstAc(table) => self.read_ac(segments, component, |bits, run, kept, nonzero, is_damaged| {
                if *run > 0 {
                    *run -= 1;
                } else {
                    *run = first::block(bits, table, self.band, kept, nonzero, is_damaged);
                }
            }),
            Kind::RefinedAc(table) => {
                let refinement = Refinement::new(self.band, table);
                self.read_ac(segments, component, |bits, run, kept, nonzero, is_damaged| {
                    if *run > 0 {
                        *run -= 1;
                        refinement.ended_block(vector, bits, kept, *nonzero);
                    } else {
                        *run = refinement.block(vector, bits, kept, nonzero, is_damaged);
                    }
                })
            }
        }
    }

    /// Reads a scan of DC coefficients. `read` gets the position, the number of the component in the scan, the value
    /// before, where the coefficient is kept, and a flag to raise for damage.
    #[inline(always)]
    fn read_dc(
        &self,
        segments: &Segments,
        width: u32,
        components: &mut [Coefficients; COMPONENTS],
        mut read: impl FnMut(&mut Bits<'_>, usize, &mut i32, Option<&mut i16>, &mut bool),
    ) -> Outcome {
        let is_interleaved = self.components.len() > 1;
        let alone = &components[self.components[0]];
        // The MCU of a single component is one block, and only blocks within the image are coded.
        let (width, rows, rows_in_mcu) = if is_interleaved {
            let rows = self.components.iter().map(|&at| components[at].dc_rows().div_ceil(components[at].v));
            (width, rows.max().unwrap_or(0), 1)
        } else {
            (alone.size.width, alone.dc_rows().min(alone.size.height), alone.v)
        };
        let mut outcome = Outcome::default();
        let (mut is_over, mut is_damaged) = (false, false);
        for (number, mcus, bits) in intervals(segments, self.restart_interval, width * rows) {
            let Some(mut bits) = first_bits(bits, is_over) else { continue };
            is_over = false;
            let mut before = [0; COMPONENTS];
            'interval: for (row, columns) in by_rows(mcus, width) {
                outcome.last_row = row / rows_in_mcu;
                for column in columns {
                    for (part, &at) in self.components.iter().enumerate() {
                        let component = &mut components[at];
                        let (h, v) = if is_interleaved { (component.h, component.v) } else { (1, 1) };
                        for (y, x) in (0..v).flat_map(|y| (0..h).map(move |x| (row * v + y, column * h + x))) {
                            read(&mut bits, part, &mut before[part], component.dc_mut(x, y), &mut is_damaged);
                        }
                    }
                    if bits.is_beyond() || is_damaged {
                        is_over = outcome.note(number, segments, bits);
                        is_damaged = false;
                        if is_over {
                            break 'interval;
                        }
                    }
                }
            }
        }
        outcome
    }

    /// Reads a scan of AC coefficients. `read` gets the position, how many further blocks have ended, a block, which of
    /// its coefficients are not zero, and a flag to raise for damage.
    #[inline(always)]
    fn read_ac(
        &self,
        segments: &Segments,
        component: &mut Coefficients,
        mut read: impl FnMut(&mut Bits<'_>, &mut u32, &mut Block, &mut u64, &mut bool),
    ) -> Outcome {
        let (width, first) = (component.size.width, component.columns().start);
        let mut outcome = Outcome::default();
        let (mut is_over, mut is_damaged) = (false, false);
        // What is read of a block that is not kept goes there.
        let mut lost = [0; 64];
        for (number, mcus, bits) in intervals(segments, self.restart_interval, width * component.ac_rows) {
            let Some(mut bits) = first_bits(bits, is_over) else { continue };
            is_over = false;
            let mut run = 0;
            'interval: for (row, columns) in by_rows(mcus, width) {
                outcome.last_row = row / component.v;
                let (kept, nonzero) = component.row_mut(row);
                for column in columns {
                    let block = kept.get_mut(column.wrapping_sub(first) as usize).unwrap_or(&mut lost);
                    read(&mut bits, &mut run, block, &mut nonzero[column as usize], &mut is_damaged);
                    if bits.is_beyond() || is_damaged {
                        is_over = outcome.note(number, segments, bits);
                        is_damaged = false;
                        if is_over {
                            break 'interval;
                        }
                    }
                }
            }
        }
        outcome
    }
}
