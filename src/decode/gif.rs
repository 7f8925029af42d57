//! GIF.

use image::ImageFormat;

use super::{
    format::{Bad, Format, Opened, ReadMask},
    options::DecodeImage,
    raster,
};

/// GIF files.
#[derive(Debug)]
pub(super) struct Gif;

impl Format for Gif {
    fn name(&self) -> &'static str {
        "GIF"
    }

    fn recognises(&self, data: &[u8]) -> bool {
        matches!(data, [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..])
    }

    fn open<'a>(&self, data: &'a [u8], options: DecodeImage) -> Result<Box<dyn Opened + 'a>, Bad> {
        raster::open(data, ImageFormat::Gif, options)
    }

    fn mask(&self) -> Option<ReadMask> {
        Some(|data, options, out| raster::grey_mask(data, ImageFormat::Gif, options, out))
    }
}
