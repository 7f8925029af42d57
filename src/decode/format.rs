//! What a format of image files is.
//!
//! Each is a file of this folder that implements [`Format`], with an entry in `recognise.rs`; nothing else names it.

use std::fmt::Debug;

use super::{image::Image, kept::Kept, mask::Mask, options::DecodeImage};
use crate::{
    error::{Failure, Stage},
    geometry::{Rect, Size},
    pixel::PixelType,
};

/// A format of image files.
pub(super) trait Format: Debug + Sync {
    /// Returns the name that errors give it.
    fn name(&self) -> &'static str;

    /// Tells whether a file that begins with these bytes is of this format.
    fn recognises(&self, data: &[u8]) -> bool;

    /// Reads a file's header, and takes no memory for pixels.
    fn open<'a>(&self, data: &'a [u8], options: DecodeImage) -> Result<Box<dyn Opened + 'a>, Bad>;

    /// Returns how a mask is read from a file; none where the format does not keep values as they are.
    fn mask(&self) -> Option<ReadMask>;
}

/// Reads a mask from a file's bytes; the reason of an error is about the file alone.
pub(super) type ReadMask = fn(&[u8], DecodeImage, &mut Mask) -> Result<(), String>;

/// A file whose header has been read.
pub(super) trait Opened {
    /// Returns the size in pixels, as they are stored.
    fn size(&self) -> Size;

    /// Returns the orientation by which the image is turned, from 1 to 8: that of its EXIF where that is wanted; that of
    /// a TIFF, which is part of the format, in any case.
    fn orientation(&self, by_exif: bool) -> u8;

    /// Returns what the file's pixels are: of a palette, what its colours are.
    fn pixel(&self) -> PixelType;

    /// Returns what [`decode`](Self::decode) takes of memory, at most, by what the header says.
    fn memory(&self, wanted: Wanted) -> Memory;

    /// Makes `out` the image: all of it, or, where that saves time, what is wanted alone.
    ///
    /// Its pixels are what [`pixel`](Self::pixel) says, or hold the same values in more channels: grey as equal colours,
    /// and colours with a fourth that means nothing. Where 8 bits were asked for, 16 may have become 8, if a format has its
    /// own way for that. What was asked for is made of them elsewhere. The size is within
    /// the limit. `kept` holds what formats use again.
    fn decode(self: Box<Self>, wanted: Wanted, kept: &mut Kept, out: &mut Image) -> Result<(), Bad>;
}

/// What decoding a file takes of memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// The size of the image that comes out.
    pub(super) size: Size,
    /// What its pixels are.
    pub(super) pixel: PixelType,
    /// The bytes that the decoder takes beside it.
    pub(super) beside: u64,
}

/// What is wanted of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// A box that has pixels and lies in the image.
    pub(super) region: Rect,
    /// The size to which the region will be reduced, where it may be decoded smaller, but no smaller than that.
    pub(super) reduced_to: Option<Size>,
}

/// What is wrong with a file, and where.
#[derive(Debug)]
pub(super) struct Bad {
    /// A fragment, for which the format stands before it.
    pub(super) reason: String,
    /// Where in the file it was noticed, if that is known.
    pub(super) offset: Option<u64>,
}

impl Bad {
    /// Returns the failure to decode a file of `format`.
    pub(super) fn of(self, format: &dyn Format) -> Failure {
        let failure = Failure::new(Stage::Decode, format!("as {}: {}", format.name(), self.reason));
        Failure { offset: self.offset, ..failure }
    }
}

impl Bad {
    /// Returns that the file ends too early.
    pub(super) fn end_of_data() -> Self {
        Self::from("unexpected end of data".to_owned())
    }
}

impl From<String> for Bad {
    fn from(reason: String) -> Self {
        Self { reason, offset: None }
    }
}
