//! An encoded image, of whatever format, whose header has been read.

use std::fmt;

use super::{
    convert,
    format::{Bad, Format, Memory, Opened, Wanted},
    image::{stored_region, turned_size},
    options::DecodeImage,
    recognise::recognise,
};
use crate::{
    error::Failure,
    geometry::{Rect, Size},
    pixel::PixelType,
};

/// An image whose header has been read.
pub struct Encoded<'a> {
    pub(super) format: &'static dyn Format,
    pub(super) file: Box<dyn Opened + 'a>,
    /// The size in pixels, as they are stored.
    pub(super) stored: Size,
    /// The orientation by which the image is to be turned, 1 for none.
    pub(super) orientation: u8,
    pub(super) options: DecodeImage,
    /// What the file's pixels are.
    has: PixelType,
    /// What they become.
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
        let file = format.open(data, options).map_err(|bad| bad.of(format))?;
        let stored = file.size();
        options.check_size(stored).map_err(|reason| Bad::from(reason).of(format))?;
        let has = file.pixel().meant();
        let bad = |reason: String| Bad::from(reason).of(format);
        let pixel = options.pixel_of(has).map_err(bad)?;
        convert::check(has, pixel).map_err(bad)?;
        let orientation = file.orientation(options.apply_exif_orientation);
        Ok(Self { format, file, stored, orientation, options, has, pixel })
    }

    /// Returns the size in pixels, turned as the options say.
    pub const fn size(&self) -> Size {
        turned_size(self.stored, self.orientation)
    }

    /// Returns what the decoded pixels are.
    pub const fn pixel(&self) -> PixelType {
        self.pixel
    }

    /// Returns the most bytes that it takes to decode `region`; see [`Decoder::decode`](super::Decoder::decode).
    pub fn memory(&self, region: Rect, reduced_to: Option<Size>) -> u64 {
        let Memory { size, pixel, beside } = self.file.memory(self.wanted(region, reduced_to));
        let bytes = |pixel: PixelType| size.area().saturating_mul(pixel.size() as u64);
        let (converts, turns) = (!convert::is_kept(pixel, self.pixel), self.orientation != 1);
        let kept = if converts { self.pixel } else { pixel };
        let further = [converts.then(|| bytes(kept)), turns.then(|| bytes(kept))];
        further.into_iter().flatten().fold(beside.saturating_add(bytes(pixel)), u64::saturating_add)
    }

    /// Returns what is wanted of the image as it is stored.
    pub(super) fn wanted(&self, region: Rect, reduced_to: Option<Size>) -> Wanted {
        Wanted {
            region: stored_region(region, self.size(), self.orientation),
            reduced_to: reduced_to
                .filter(|_| self.options.scaled_decode)
                .map(|size| turned_size(size, self.orientation)),
        }
    }

    /// Returns what the file's pixels are.
    pub const fn has(&self) -> PixelType {
        self.has
    }
}
