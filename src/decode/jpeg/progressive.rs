//! A progressive file: all of its scans, and then samples.

#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
#[cfg(not(target_arch = "x86_64"))]
use super::vector::Avx2;
use super::{
    bits::Segments,
    block::Block,
    coefficients::Coefficients,
    error::{Problem, Result},
    frame::{COMPONENTS, Frame},
    header::{Headers, Scan},
    huffman::Cache,
    inverse,
    pass::{Damage, Pass},
    plane::{Layout, Plane},
    precision::Precision,
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
    /// Where the data of the last one ended too early: the row of interleaved MCUs of the last MCU that had some.
    last_row: Option<u32>,
}

impl Known {
    /// Takes note of a scan that is going to be read.
    fn note(&mut self, headers: &Headers<'_>, frame: &Frame, scan: &Scan) -> Result<()> {
        for part in scan.components() {
            let quant = headers.tables.quant[usize::from(frame.components()[part.index].quant)];
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
        let is_behind = self.last_row.is_some_and(|last| mcu_row > last);
        let missing = if is_behind { precision.before(self.scans) } else { precision.now() };
        Some(Smoothing::new(missing, &self.quants[component]?))
    }
}

/// What is read: a file from its first scan on.
#[derive(Clone, Debug)]
pub(super) struct Source<'a> {
    pub(super) headers: Headers<'a>,
    pub(super) frame: &'a Frame,
    pub(super) scan: Scan,
    /// Whether data that ends too early, or is damaged, is taken as libjpeg takes it.
    pub(super) pads: bool,
}

impl Progressive {
    /// Reads all scans into the planes, which have their layouts.
    pub(super) fn read(
        &mut self,
        avx2: Option<Avx2>,
        segments: &mut Segments,
        source: Source<'_>,
        planes: &mut [Plane; COMPONENTS],
    ) -> Result<()> {
        let frame = source.frame;
        self.reset(frame, planes);
        let known = self.read_scans(avx2, segments, source)?;
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
    fn read_scans(&mut self, avx2: Option<Avx2>, segments: &mut Segments, source: Source<'_>) -> Result<Known> {
        let Source { mut headers, frame, mut scan, pads } = source;
        let mut known = Known::default();
        loop {
            let pass = Pass::new(&headers, &scan, &mut self.cache)?;
            known.note(&headers, frame, &scan)?;
            segments.read(headers.data, scan.start, pass.has_restarts())?;
            let (components, width) = (&mut self.components, frame.mcus_in_row());
            let outcome = match avx2 {
                Some(avx2) => avx2.run(
                    #[inline(always)]
                    || pass.read(avx2, segments, width, components),
                ),
                None => pass.read(Portable, segments, width, components),
            };
            if let Some(damage) = outcome.damage.filter(|_| !pads) {
                return Err(problem(damage, segments, headers.data));
            }
            known.last_row = outcome.damage.map(|_| outcome.last_row);
            headers.resume(segments.file_end());
            scan = match headers.next_scan() {
                Ok(Some(scan)) => scan,
                Err(problem) if !pads => return Err(problem),
                // What there is no scan of is not known, and no error.
                Ok(None) | Err(_) => return Ok(known),
            };
        }
    }

    /// Makes all coefficients zero.
    fn reset(&mut self, frame: &Frame, planes: &[Plane; COMPONENTS]) {
        let planes = &planes[..frame.components().len()];
        let needed = planes.iter().map(|plane| plane.layout.rows.end.div_ceil(plane.layout.v)).max().unwrap_or(0);
        for (component, plane) in self.components.iter_mut().zip(planes) {
            component.reset(&plane.layout, (frame.mcu_rows(), needed));
        }
    }

    /// Makes samples of the coefficients.
    #[inline(always)]
    fn transform(&mut self, vector: impl Vector, frame: &Frame, known: &Known, planes: &mut [Plane; COMPONENTS]) {
        let count = frame.components().len();
        let is_smoothed = known.asks_for_smoothing(count);
        for (at, (plane, component)) in planes[..count].iter_mut().zip(&self.components).enumerate() {
            let Some(quant) = known.quants[at] else {
                plane.fill_grey();
                continue;
            };
            let Layout { rows, columns, .. } = plane.layout.clone();
            for row in rows.clone() {
                let mut blocks = component.row(row, &columns);
                let smoothing = if is_smoothed { known.smoothing(at, row / component.v) } else { None };
                if let Some(smoothing) = smoothing {
                    smoothing.row(component, row, frame.mcu_rows(), &columns, &mut self.smoothed);
                    blocks = &self.smoothed;
                }
                inverse::blocks(vector, blocks, &quant, plane, 0, (row - rows.start) as usize);
            }
        }
    }
}

/// Returns what is wrong with a scan's data.
fn problem(damage: Damage, segments: &Segments, data: &[u8]) -> Problem {
    let Damage { interval, byte } = damage;
    match byte {
        Some(byte) => Problem::corrupt(segments.offset(data, interval, byte), "bits that are no Huffman code"),
        None => {
            let end = segments.get(interval).map(|bytes| segments.offset(data, interval, bytes.len()));
            Problem::end_of_data(end.unwrap_or_else(|| segments.file_end()))
        }
    }
}
