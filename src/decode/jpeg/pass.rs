//! A scan of a progressive file: which coefficients it has, and into which blocks they go.
//!
//! Source: ITU-T T.81, annex G.1. What is taken for a scan, and what its data means where it ends too early, is as in
//! libjpeg's `jdphuff.c`.

use std::sync::Arc;

use super::{
    coefficients::Coefficients,
    error::{Damage, Problem, Result},
    first,
    frame::{COMPONENTS, Frame},
    header::{Band, Headers, Scan},
    huffman::{Cache, Class, Table},
    refinement::Refinement,
    segments::Segments,
    vector::Vector,
    walk::Walk,
};
use crate::geometry::Size;

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
    /// MCUs, across and down. That of a single component is one block, and only blocks within the image are coded.
    mcus: Size,
}

impl Pass {
    /// Checks a scan's header and takes its tables.
    pub(super) fn new(
        headers: &Headers<'_>,
        frame: &Frame,
        scan: &Scan,
        planes: &[Coefficients; COMPONENTS],
        cache: &mut Cache,
    ) -> Result<Self> {
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
        let components: Vec<_> = parts.iter().map(|part| part.index).collect();
        let mcus = match components[..] {
            [alone] => planes[alone].size,
            _ => Size { height: frame.rows_of_mcus(), width: frame.mcus_in_row() },
        };
        Ok(Self { band: scan.band, kind, components, restart_interval: headers.restart_interval, mcus })
    }

    /// Returns how many restart intervals the scan has, 1 where it has no restarts.
    pub(super) const fn intervals(&self) -> u32 {
        match self.restart_interval {
            0 => 1,
            length => (self.mcus.height * self.mcus.width).div_ceil(length),
        }
    }

    /// Reads as much of the scan as `components` need. Returns the row of interleaved MCUs in which the last MCU lies for
    /// which there was data.
    #[inline(always)]
    pub(super) fn read(
        &self,
        vector: impl Vector,
        (segments, data): (&Segments, &[u8]),
        components: &mut [Coefficients; COMPONENTS],
        damage: &mut Damage,
    ) -> Result<u32> {
        let (band, low) = (self.band, self.band.low);
        let mut walk = Walk { segments, data, mcus: self.mcus, restart_interval: self.restart_interval, damage };
        match &self.kind {
            Kind::FirstDc(tables) => walk.dc(components, &self.components, |bits, bytes, part, before, value| {
                *before = before.wrapping_add(first::difference(&tables[part], bits, bytes));
                if let Some(value) = value {
                    *value = (*before << low) as i16;
                }
            }),
            Kind::RefinedDc => walk.dc(components, &self.components, |bits, _, _, _, value| {
                bits.refill();
                if let Some(value) = value {
                    *value |= ((bits.buffer >> 63) << low) as i16;
                }
                bits.consume(1);
            }),
            Kind::FirstAc(table) => walk.ac(&mut components[self.components[0]], |bits, bytes, run, block, nonzero| {
                if *run > 0 {
                    *run -= 1;
                } else {
                    *run = first::block(bits, bytes, table, band, block, nonzero);
                }
            }),
            Kind::RefinedAc(table) => {
                let refinement = Refinement::new(band, table);
                walk.ac(&mut components[self.components[0]], |bits, bytes, run, block, nonzero| {
                    if *run > 0 {
                        *run -= 1;
                        refinement.ended_block(vector, bits, block, *nonzero);
                    } else {
                        *run = refinement.block(vector, bits, bytes, block, nonzero);
                    }
                })
            }
        }
    }
}
