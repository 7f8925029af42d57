//! A progressive file: all of its scans, and then samples.

#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
#[cfg(not(target_arch = "x86_64"))]
use super::vector::Avx2;
use super::{
    block::Block,
    coefficients::Coefficients,
    error::{Problem, Result},
    frame::{COMPONENTS, Frame},
    header::{Headers, Scan},
    huffman::Cache,
    inverse,
    pass::Pass,
    plane::{Layout, Plane},
    precision::Precision,
    segments::Segments,
    smooth::Smoothing,
    vector::{Portable, Vector},
};

/// Reads progressive files one after another; its tables and buffers are used again.
#[derive(Debug, Default)]
pub(super) struct Progressive {
    cache: Cache,
    components: [Coefficients; COMPONENTS],
    smoothed: Vec<Block>,
}

/// What the scans have told.
#[derive(Debug, Default)]
struct Known {
    /// The quantisation table of each component, at its first scan.
    quants: [Option<[u16; 64]>; COMPONENTS],
    precisions: [Precision; COMPONENTS],
    /// How many scans there have been.
    scans: u32,
    /// The row of interleaved MCUs in which the last MCU lies for which the last one had data, as far as it was read.
    last_row: u32,
}

impl Known {
    /// Takes note of a scan that is going to be read.
    fn note(&mut self, headers: &Headers<'_>, frame: &Frame, scan: &Scan) -> Result<()> {
        for part in scan.components() {
            let quant = headers.tables.quantisation(frame.components()[part.index].quant);
            let missing = || Problem::corrupt(scan.start, "a scan without its quantisation table");
            let known = &mut self.quants[part.index];
            *known = Some(known.or(quant).ok_or_else(missing)?);
            self.precisions[part.index].note(scan.band, self.scans);
        }
        self.scans += 1;
        Ok(())
    }

    /// Tells whether what is not known of the first `count` components is estimated: as far as libjpeg does so.
    fn asks_for_smoothing(&self, count: usize) -> bool {
        let (quants, precisions) = (&self.quants[..count], &self.precisions[..count]);
        quants.iter().all(|quant| quant.is_some_and(|quant| Smoothing::allows(&quant)))
            && precisions.iter().all(Precision::has_dc)
            && precisions.iter().any(Precision::is_coarse)
    }

    /// Returns how a component is smoothed in a row of MCUs.
    fn smoothing(&self, component: usize, mcu_row: u32) -> Option<Smoothing> {
        let precision = &self.precisions[component];
        let missing = if mcu_row > self.last_row { precision.before(self.scans) } else { precision.now() };
        Some(Smoothing::new(missing, &self.quants[component]?))
    }
}

impl Progressive {
    /// Reads all scans, from the first one on, into the planes, which have their layouts.
    pub(super) fn read(
        &mut self,
        avx2: Option<Avx2>,
        segments: &mut Segments,
        headers: &mut Headers<'_>,
        (frame, first): (&Frame, Scan),
        planes: &mut [Plane; COMPONENTS],
    ) -> Result<()> {
        self.reset(frame, planes);
        let known = self.read_scans(avx2, segments, headers, (frame, first))?;
        match avx2 {
            Some(avx2) => avx2.run(
                #[inline(always)]
                || self.transform(avx2, frame, &known, planes),
            ),
            None => self.transform(Portable, frame, &known, planes),
        }
        Ok(())
    }

    /// Reads all scans into the coefficients.
    fn read_scans(
        &mut self,
        avx2: Option<Avx2>,
        segments: &mut Segments,
        headers: &mut Headers<'_>,
        (frame, mut scan): (&Frame, Scan),
    ) -> Result<Known> {
        let mut known = Known::default();
        loop {
            let Self { cache, components, .. } = self;
            let pass = Pass::new(headers, frame, &scan, components, cache)?;
            known.note(headers, frame, &scan)?;
            segments.read(headers.data, scan.start, pass.intervals(), &mut headers.damage)?;
            let (source, damage) = ((&*segments, headers.data), &mut headers.damage);
            known.last_row = match avx2 {
                Some(avx2) => avx2.run(
                    #[inline(always)]
                    || pass.read(avx2, source, components, damage),
                ),
                None => pass.read(Portable, source, components, damage),
            }?;
            headers.resume(segments.file_end());
            // What there is no scan of is not known, and that is no damage.
            match headers.next_scan() {
                Ok(Some(next)) => scan = next,
                Ok(None) => return Ok(known),
                Err(Problem::Ended(offset)) => return headers.damage.ended(offset).map(|()| known),
                Err(problem) => return Err(problem),
            }
        }
    }

    /// Makes all coefficients zero.
    fn reset(&mut self, frame: &Frame, planes: &[Plane; COMPONENTS]) {
        let planes = &planes[..frame.components().len()];
        let needed = planes.iter().map(|plane| plane.layout.rows.end.div_ceil(plane.layout.v)).max().unwrap_or(0);
        for (component, plane) in self.components.iter_mut().zip(planes) {
            component.reset(&plane.layout, (frame.rows_of_mcus(), needed));
        }
    }

    /// Makes samples of the coefficients.
    #[inline(always)]
    fn transform(&mut self, vector: impl Vector, frame: &Frame, known: &Known, planes: &mut [Plane; COMPONENTS]) {
        let count = frame.components().len();
        let is_smoothed = known.asks_for_smoothing(count);
        for (at, (plane, component)) in planes[..count].iter_mut().zip(&self.components).enumerate() {
            let Some(quant) = known.quants[at] else {
                plane.make_grey();
                continue;
            };
            let Layout { rows, columns, .. } = plane.layout.clone();
            for row in rows.clone() {
                let mut blocks = component.row(row, &columns);
                let smoothing = if is_smoothed { known.smoothing(at, row / component.v) } else { None };
                if let Some(smoothing) = smoothing {
                    smoothing.row(component, row, frame.rows_of_mcus(), &columns, &mut self.smoothed);
                    blocks = &self.smoothed;
                }
                inverse::blocks(vector, blocks, &quant, plane, 0, (row - rows.start) as usize);
            }
        }
    }
}
