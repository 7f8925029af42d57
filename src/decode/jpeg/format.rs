//! JPEG as a format among others.

use super::{
    decoder::{Decoder, File},
    error::{Damage, Problem},
    exif,
    scale::Scale,
};
use crate::{
    decode::{
        format::{Bad, Format, Opened, ReadMask, Wanted},
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

    fn orientation(&mut self) -> u8 {
        exif::orientation(self.data)
    }

    fn pixel(&self) -> PixelType {
        if self.file.is_grey() { PixelType::GREY8 } else { PixelType::RGB8 }
    }

    /// Reads the region alone, and smaller where it may.
    fn decode(self: Box<Self>, wanted: Wanted, kept: &mut Kept, out: &mut Image) -> Result<(), Bad> {
        let Wanted { region, reduced_to } = wanted;
        let scale = reduced_to.map_or(Scale::Whole, |to| Scale::towards(region.size, to));
        let region = scale.region(region, scale.of(self.size()));
        // Four bytes a pixel are resized faster than three.
        let pixels = out.reset(region.size, PixelType::RGBX8);
        let is_damaged = kept.get::<Decoder>().decode::<4>(&self.file, region, scale, pixels)?;
        out.set_damaged(is_damaged);
        Ok(())
    }
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
