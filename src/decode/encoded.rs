//! An encoded image, of whatever format, whose header has been read.

use std::fmt;

use super::{
    convert,
    format::{Bad, Format, Opened},
    image::turned_size,
    options::DecodeImage,
    recognise::recognise,
};
use crate::{error::Failure, geometry::Size, pixel::PixelType};

/// An image whose header has been read.
pub struct Encoded<'a> {
    pub(super) format: &'static dyn Format,
    pub(super) file: Box<dyn Opened + 'a>,
    /// The size in pixels, as they are stored.
    pub(super) stored: Size,
    /// The EXIF orientation by which the image is to be turned, 1 for none.
    pub(super) orientation: u8,
    pub(super) options: DecodeImage,
    /// What the pixels become.
    pixel: PixelType,
}

impl fmt::Debug for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded").field("format", &self.format).field("stored", &self.stored).finish_non_exhaustive()
    }
}

impl<'a> Encoded<'a> {
    /// Reads an image's header.
    ///
    /// # Errors
    /// A [`Failure`] of the decode stage, for bytes of an unknown format, a broken header, or too many pixels.
    pub fn open(data: &'a [u8], options: DecodeImage) -> Result<Self, Failure> {
        let format = recognise(data)?;
        let mut file = format.open(data, options).map_err(|bad| bad.of(format))?;
        let stored = file.size();
        options.check_size(stored).map_err(|reason| Bad::from(reason).of(format))?;
        let pixel = PixelType::RGB8;
        convert::check(file.pixel(), pixel).map_err(|reason| Bad::from(reason).of(format))?;
        let orientation = if options.apply_exif_orientation { file.orientation() } else { 1 };
        Ok(Self { format, file, stored, orientation, options, pixel })
    }

    /// Returns the size in pixels, turned as the options say.
    pub const fn size(&self) -> Size {
        turned_size(self.stored, self.orientation)
    }

    /// Returns what the decoded pixels are.
    pub const fn pixel(&self) -> PixelType {
        self.pixel
    }
}
