//! Encoded images to pixels, with memory that is used again.

use super::{
    convert::{convert, is_kept},
    encoded::Encoded,
    format::Bad,
    image::Image,
    kept::Kept,
};
use crate::{
    budget::Budget,
    error::{Failure, Stage},
    geometry::{Rect, Size},
};

/// Decodes images one after another; its tables and buffers are used again.
#[derive(Debug, Default)]
pub struct Decoder {
    pub(super) kept: Kept,
    pub(super) image: Image,
    converted: Image,
    turned: Image,
}

impl Decoder {
    /// Returns a decoder that uses no instructions but those that every processor of its kind has. Pixels are the same.
    pub fn portable() -> Self {
        Self { kept: Kept::portable(), ..Self::default() }
    }

    /// Decodes an image: all of it, or, where that saves time, exactly the pixels of `region`. Its pixels are of the
    /// [type](Encoded::pixel) that was asked for; colours may have a fourth value that means nothing.
    ///
    /// `reduced_to` says to which size the region will be reduced, so that it may be decoded smaller, if the options
    /// allow that.
    ///
    /// # Errors
    /// A [`Failure`] of the decode stage that names the format, what is wrong and, in a JPEG, where; or for a region that
    /// is empty or does not lie in the image; or for one that takes more memory than the options allow.
    pub fn decode(&mut self, encoded: Encoded<'_>, region: Rect, reduced_to: Option<Size>) -> Result<&Image, Failure> {
        if region.intersection(encoded.size()) != Some(region) {
            return Err(Failure::new(Stage::Decode, format!("{region:?}: it does not lie in the image")));
        }
        let (wanted, pixel, needed) =
            (encoded.wanted(region, reduced_to), encoded.pixel(), encoded.memory(region, reduced_to));
        let Encoded { format, file, orientation, options, .. } = encoded;
        Budget::new(options.max_bytes).take(needed, "decoding").map_err(|reason| Bad::from(reason).of(format))?;
        file.decode(wanted, &mut self.kept, &mut self.image).map_err(|bad| bad.of(format))?;
        let mut image = &self.image;
        if !is_kept(image.pixel(), pixel) {
            convert(image, pixel, &mut self.converted).map_err(|reason| Bad::from(reason).of(format))?;
            self.converted.set_damaged(image.is_damaged());
            image = &self.converted;
        }
        if orientation == 1 {
            return Ok(image);
        }
        self.turned.turned(image, orientation);
        Ok(&self.turned)
    }
}
