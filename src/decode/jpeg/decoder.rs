//! A file's scans to pixels.

#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
#[cfg(not(target_arch = "x86_64"))]
use super::vector::Avx2;
use super::{
    block::Block,
    colour,
    error::{Damage, Problem, Result},
    frame::{COMPONENTS, Colour, Frame, Process},
    header::{Headers, Scan},
    huffman::Cache,
    inverse,
    plane::{Layout, Plane, RowBuffer, rows_and_columns},
    progressive::Progressive,
    scan::{Plan, Reader},
    segments::Segments,
    vector::{Portable, Vector},
};
use crate::{
    decode::{kept::Keep, scale::Scale},
    geometry::{Rect, Size},
};

/// A file whose headers have been read, up to the first scan.
#[derive(Clone, Debug)]
pub(super) struct File<'a> {
    headers: Headers<'a>,
    frame: Frame,
    /// What the components mean; as for libjpeg, headers behind the first scan have no say in it.
    colour: Colour,
    scan: Scan,
}

impl<'a> File<'a> {
    /// Reads the headers.
    pub(super) fn open(data: &'a [u8], damage: Damage) -> Result<Self> {
        let (headers, scan) = Headers::read(data, damage)?;
        let frame = headers.frame()?;
        let colour = headers.colour(&frame);
        Ok(Self { headers, frame, colour, scan })
    }

    /// Tells whether there is but one component.
    pub(super) fn is_grey(&self) -> bool {
        self.components() == 1
    }

    /// Tells whether later scans refine earlier ones, so that coefficients of the whole image are kept.
    pub(super) const fn is_refined(&self) -> bool {
        match self.frame.process {
            Process::Sequential => false,
            Process::Progressive => true,
        }
    }

    /// Returns how many components there are.
    pub(super) fn components(&self) -> usize {
        self.frame.components().len()
    }

    /// Returns the size in pixels.
    pub(super) const fn size(&self) -> Size {
        self.frame.size
    }
}

/// Decodes files one after another; its tables and buffers are used again.
#[derive(Debug)]
pub(in crate::decode) struct Decoder {
    avx2: Option<Avx2>,
    cache: Cache,
    segments: Segments,
    coefficients: Vec<Block>,
    progressive: Progressive,
    planes: [Plane; COMPONENTS],
    buffers: [RowBuffer; COMPONENTS],
}

impl Default for Decoder {
    fn default() -> Self {
        Self { avx2: Avx2::new(), ..Self::portable() }
    }
}

impl Keep for Decoder {
    fn new(portable: bool) -> Self {
        if portable { Self::portable() } else { Self::default() }
    }
}

impl Decoder {
    /// Returns a decoder that uses no instructions but those that every processor has.
    fn portable() -> Self {
        Self {
            avx2: None,
            cache: Cache::default(),
            segments: Segments::default(),
            coefficients: Vec::new(),
            progressive: Progressive::default(),
            planes: Default::default(),
            buffers: Default::default(),
        }
    }

    /// Writes the pixels of `region`, which lies in the scaled image, to `out`: rows of red, green and blue and, where `N`
    /// is 4, 255. Tells whether there was damage, as far as the file was read.
    pub(super) fn decode<const N: usize>(
        &mut self,
        file: &File<'_>,
        region: Rect,
        scale: Scale,
        out: &mut [u8],
    ) -> Result<bool> {
        let File { headers, frame, colour, scan } = file;
        let mut headers = headers.clone();
        for (plane, component) in self.planes.iter_mut().zip(frame.components()) {
            plane.reset(Layout::new(frame, *component, 8 / scale.divisor(), region));
        }
        match frame.process {
            Process::Sequential if scan.components().len() == frame.components().len() => {
                self.read_only_scan(&mut headers, frame, scan)?;
            }
            Process::Sequential => self.read_scans(&mut headers, frame, *scan)?,
            Process::Progressive => {
                let Self { avx2, segments, progressive, planes, .. } = self;
                progressive.read(*avx2, segments, &mut headers, (frame, *scan), planes)?;
            }
        }
        let (planes, buffers) = (&self.planes, &mut self.buffers);
        match self.avx2 {
            Some(avx2) => avx2.run(
                #[inline(always)]
                || write_rows::<N>(planes, buffers, *colour, region, out),
            ),
            None => write_rows::<N>(planes, buffers, *colour, region, out),
        }
        Ok(headers.damage.is_found())
    }

    /// Reads a scan of all components, and what follows it. Its pixels need no end-of-image marker.
    fn read_only_scan(&mut self, headers: &mut Headers<'_>, frame: &Frame, scan: &Scan) -> Result<()> {
        self.read_scan(headers, frame, scan)?;
        headers.resume(self.segments.file_end());
        match headers.next_scan() {
            Ok(None) => Ok(()),
            Ok(Some(second)) => Err(Problem::corrupt(second.start, "a scan behind the last one")),
            Err(Problem::Ended(offset)) => headers.damage.ended_behind_pixels(offset),
            Err(problem) => Err(problem),
        }
    }

    /// Reads scans up to the end of the image into the planes. A component without a scan is grey.
    fn read_scans(&mut self, headers: &mut Headers<'_>, frame: &Frame, mut scan: Scan) -> Result<()> {
        let mut is_read = [false; COMPONENTS];
        loop {
            for component in scan.components() {
                if std::mem::replace(&mut is_read[component.index], true) {
                    return Err(Problem::corrupt(scan.start, "a second scan of a component"));
                }
            }
            self.read_scan(headers, frame, &scan)?;
            headers.resume(self.segments.file_end());
            match headers.next_scan() {
                Ok(Some(next)) => scan = next,
                Ok(None) => break,
                Err(Problem::Ended(offset)) => {
                    headers.damage.ended(offset)?;
                    break;
                }
                Err(problem) => return Err(problem),
            }
        }
        for index in (0..frame.components().len()).filter(|&index| !is_read[index]) {
            headers.damage.found(Problem::corrupt(scan.start, "a component without a scan"))?;
            self.planes[index].make_grey();
        }
        Ok(())
    }

    fn read_scan(&mut self, headers: &mut Headers<'_>, frame: &Frame, scan: &Scan) -> Result<()> {
        let Self { avx2, cache, segments, coefficients, planes, .. } = self;
        let plan = Plan::new(headers, frame, scan, planes, cache)?;
        segments.read(headers.data, scan.start, plan.intervals(), &mut headers.damage)?;
        let reader = Reader::new(&plan, segments, headers.data, &mut headers.damage);
        coefficients.resize(plan.blocks(), [0; 64]);
        match *avx2 {
            Some(avx2) => avx2.run(
                #[inline(always)]
                || read_rows(avx2, &plan, reader, coefficients, planes),
            ),
            None => read_rows(Portable, &plan, reader, coefficients, planes),
        }
    }
}

/// Decodes and transforms the needed blocks of a scan.
#[inline(always)]
fn read_rows(
    vector: impl Vector,
    plan: &Plan,
    mut reader: Reader<'_>,
    coefficients: &mut [Block],
    planes: &mut [Plane; COMPONENTS],
) -> Result<()> {
    for row in plan.rows.clone() {
        for group in plan.groups() {
            coefficients.fill([0; 64]);
            reader.group(row, &group, coefficients)?;
            for part in &plan.parts {
                let plane = &mut planes[part.index];
                for (column, row, range) in part.rows_of(row, &group) {
                    inverse::blocks(vector, &coefficients[range], &part.quant, plane, column, row);
                }
            }
        }
    }
    reader.finish()
}

#[inline(always)]
fn write_rows<const N: usize>(
    planes: &[Plane; COMPONENTS],
    [first, second, third, fourth]: &mut [RowBuffer; COMPONENTS],
    colour: Colour,
    region: Rect,
    out: &mut [u8],
) {
    let (rows, columns) = rows_and_columns(region);
    for (y, out) in rows.zip(out.chunks_exact_mut(columns.len() * N)) {
        let a = planes[0].pixels(y, columns.clone(), first);
        if colour == Colour::Grey {
            colour::write::<N>(colour, [a; COMPONENTS], out);
            continue;
        }
        let b = planes[1].pixels(y, columns.clone(), second);
        let c = planes[2].pixels(y, columns.clone(), third);
        let d = match colour {
            Colour::Cmyk | Colour::Ycck => planes[3].pixels(y, columns.clone(), fourth),
            Colour::Grey | Colour::YCbCr | Colour::Rgb => a,
        };
        colour::write::<N>(colour, [a, b, c, d], out);
    }
}
