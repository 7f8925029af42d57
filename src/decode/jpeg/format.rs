//! JPEG as a format among others.

use super::{
    decoder::{Decoder, File},
    error::{Damage, Problem},
};
use crate::{
    decode::{
        format::{Bad, Format, Memory, Opened, ReadMask, Wanted},
        image::Image,
        kept::Kept,
        options::DecodeImage,
        orientation,
        scale::Scale,
    },
    geometry::{Rect, Size},
    pixel::PixelType,
};

/// JPEG files.
#[derive(Debug)]
pub(in crate::decode) struct Jpeg;

impl Format for Jpeg {
    fn name(&self) -> &'static str {
        "JPEG"
    }

    fn recognises(&self, data: &[u8]) -> bool {
        data.starts_with(&[0xff, 0xd8, 0xff])
    }

    fn open<'a>(&self, data: &'a [u8], options: DecodeImage) -> Result<Box<dyn Opened + 'a>, Bad> {
        Ok(Box::new(OpenJpeg::read(data, options)?))
    }

    fn mask(&self) -> Option<ReadMask> {
        None
    }
}

/// A file whose headers have been read.
pub(in crate::decode) struct OpenJpeg<'a> {
    data: &'a [u8],
    file: File<'a>,
}

impl<'a> OpenJpeg<'a> {
    /// Reads the headers.
    pub(in crate::decode) fn read(data: &'a [u8], options: DecodeImage) -> Result<Self, Bad> {
        let damage = Damage::new(options.refuses_damage(), options.pads());
        Ok(Self { data, file: File::open(data, damage)? })
    }

    /// Writes the pixels of `region`, which lies in the scaled image, to `out`, (height, width, 3).
    pub(in crate::decode) fn write(
        self,
        region: Rect,
        scale: Scale,
        kept: &mut Kept,
        out: &mut [u8],
    ) -> Result<(), Bad> {
        kept.get::<Decoder>().decode::<3>(&self.file, region, scale, out)?;
        Ok(())
    }
}

impl Opened for OpenJpeg<'_> {
    fn size(&self) -> Size {
        self.file.size()
    }

    fn orientation(&self, by_exif: bool) -> u8 {
        if by_exif { orientation::of_jpeg(self.data) } else { 1 }
    }

    fn pixel(&self) -> PixelType {
        if self.file.is_grey() { PixelType::GREY8 } else { PixelType::RGB8 }
    }

    fn memory(&self, wanted: Wanted) -> Memory {
        let (_, region) = own_part(self.size(), wanted);
        // The planes of the components, up to two blocks of 16 samples larger on each side; the coefficients of a row of
        // blocks, or of the whole image where later scans refine them; and the entropy-coded data without stuffing, in
        // memory that grows by doubling.
        let components = self.file.components().max(3) as u64;
        let planes = grown(region.size, 64).saturating_mul(components);
        let rows = if self.file.is_refined() { self.size() } else { Size { height: 32, ..self.size() } };
        let coefficients = grown(rows, 64).saturating_mul(2 * components);
        let beside = planes.saturating_add(coefficients).saturating_add(2 * self.data.len() as u64);
        Memory { size: region.size, pixel: PixelType::RGBX8, beside }
    }

    /// Reads the region alone, and smaller where it may.
    fn decode(self: Box<Self>, wanted: Wanted, kept: &mut Kept, out: &mut Image) -> Result<(), Bad> {
        let (scale, region) = own_part(self.size(), wanted);
        // Four bytes a pixel are resized faster than three.
        let pixels = out.reset(region.size, PixelType::RGBX8);
        let is_damaged = kept.get::<Decoder>().decode::<4>(&self.file, region, scale, pixels)?;
        out.set_damaged(is_damaged);
        Ok(())
    }
}

/// Returns how much smaller our own decoder makes an image of this size, and the part of that which it gives.
fn own_part(size: Size, Wanted { region, reduced_to }: Wanted) -> (Scale, Rect) {
    let scale = reduced_to.map_or(Scale::Whole, |to| Scale::towards(region.size, to));
    (scale, scale.region(region, scale.of(size)))
}

/// Returns the area of an image whose edges are so much longer.
fn grown(Size { height, width }: Size, by: u32) -> u64 {
    u64::from(height.saturating_add(by)) * u64::from(width.saturating_add(by))
}

impl From<Problem> for Bad {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Unsupported(what) => Self { reason: format!("{what} is not supported"), offset: None },
            Problem::Corrupt { offset, reason } => Self { reason: reason.into_owned(), offset: Some(offset as u64) },
            Problem::Ended(offset) => Self { reason: "unexpected end of data".to_owned(), offset: Some(offset as u64) },
        }
    }
}
