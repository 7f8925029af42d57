//! JPEG as a format among others: which decoder takes a file, and how much of it.

use super::{
    decoder::{Decoder, File},
    error::{Damage, Problem},
    exif,
    fallback::Fallback,
    scale::Scale,
};
use crate::{
    decode::{
        format::{Bad, Format, Memory, Opened, ReadMask, Wanted},
        image::Image,
        kept::Kept,
        options::DecodeImage,
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
    taken_by: TakenBy<'a>,
}

/// The decoder that takes a file.
enum TakenBy<'a> {
    /// Our own.
    Own(Box<File<'a>>),
    /// The one for what ours leaves out.
    Fallback(Box<Fallback<'a>>),
}

impl<'a> OpenJpeg<'a> {
    /// Reads the headers.
    pub(in crate::decode) fn read(data: &'a [u8], options: DecodeImage) -> Result<Self, Bad> {
        let damage = Damage::new(options.refuses_damage(), options.pads());
        let taken_by = match File::open(data, damage) {
            Ok(file) => TakenBy::Own(Box::new(file)),
            Err(Problem::Unsupported(what)) => {
                let opened = Fallback::open(data, options);
                TakenBy::Fallback(Box::new(opened.map_err(|reason| format!("{what} is not supported ({reason})"))?))
            }
            Err(problem @ (Problem::Corrupt { .. } | Problem::Ended(_))) => return Err(problem.into()),
        };
        Ok(Self { data, taken_by })
    }

    /// Writes the pixels of `region`, which lies in the scaled image, to `out`, (height, width, 3). Where more must be
    /// decoded, that goes to `image`.
    pub(in crate::decode) fn write(
        self,
        region: Rect,
        scale: Scale,
        kept: &mut Kept,
        image: &mut Image,
        out: &mut [u8],
    ) -> Result<(), Bad> {
        let size = self.size();
        match self.taken_by {
            TakenBy::Own(file) => {
                kept.get::<Decoder>().decode::<3>(&file, region, scale, out)?;
            }
            TakenBy::Fallback(file) if region == Rect::whole(size) => file.decode(out)?,
            TakenBy::Fallback(file) => {
                file.decode(image.reset(size, PixelType::RGB8))?;
                image.write_means(region, scale.divisor(), out);
            }
        }
        Ok(())
    }
}

impl Opened for OpenJpeg<'_> {
    fn size(&self) -> Size {
        match &self.taken_by {
            TakenBy::Own(file) => file.size(),
            TakenBy::Fallback(file) => file.size(),
        }
    }

    fn orientation(&mut self) -> u8 {
        exif::orientation(self.data)
    }

    fn pixel(&self) -> PixelType {
        let is_grey = match &self.taken_by {
            TakenBy::Own(file) => file.is_grey(),
            TakenBy::Fallback(file) => file.is_grey(),
        };
        if is_grey { PixelType::GREY8 } else { PixelType::RGB8 }
    }

    fn memory(&self, wanted: Wanted) -> Memory {
        let size = self.size();
        match &self.taken_by {
            TakenBy::Own(_) => {
                let (_, region) = own_part(size, wanted);
                // The planes of three components, up to two blocks of 16 samples larger on each side; the coefficients
                // of a row of blocks; and the entropy-coded data without stuffing, in memory that grows by doubling.
                let planes = grown(region.size, 64).saturating_mul(3);
                let coefficients = u64::from(size.width).saturating_add(64) * 32 * 2 * 3;
                let beside = planes.saturating_add(coefficients).saturating_add(2 * self.data.len() as u64);
                Memory { size: region.size, pixel: PixelType::RGBX8, beside }
            }
            // Coefficients of two bytes and samples of one, of three components.
            TakenBy::Fallback(_) => Memory { size, pixel: PixelType::RGB8, beside: grown(size, 64).saturating_mul(9) },
        }
    }

    /// Our own decoder reads the region alone, and smaller where it may; the other one always the whole.
    fn decode(self: Box<Self>, wanted: Wanted, kept: &mut Kept, out: &mut Image) -> Result<(), Bad> {
        let size = self.size();
        match self.taken_by {
            TakenBy::Own(file) => {
                let (scale, region) = own_part(size, wanted);
                // Four bytes a pixel are resized faster than three.
                let pixels = out.reset(region.size, PixelType::RGBX8);
                let is_damaged = kept.get::<Decoder>().decode::<4>(&file, region, scale, pixels)?;
                out.set_damaged(is_damaged);
            }
            TakenBy::Fallback(file) => file.decode(out.reset(size, PixelType::RGB8))?,
        }
        Ok(())
    }

    fn is_other_jpeg(&self) -> bool {
        match self.taken_by {
            TakenBy::Own(_) => false,
            TakenBy::Fallback(_) => true,
        }
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
