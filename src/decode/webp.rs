//! WebP.

use image::ImageFormat;

use super::{
    format::{Bad, Format, Opened, ReadMask},
    options::DecodeImage,
    orientation, raster,
};

/// WebP files.
#[derive(Debug)]
pub(super) struct WebP;

impl Format for WebP {
    fn name(&self) -> &'static str {
        "WebP"
    }

    fn recognises(&self, data: &[u8]) -> bool {
        matches!(data, [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..])
    }

    fn open<'a>(&self, data: &'a [u8], options: DecodeImage) -> Result<Box<dyn Opened + 'a>, Bad> {
        raster::open(data, ImageFormat::WebP, options, orientation::of_webp)
    }

    fn mask(&self) -> Option<ReadMask> {
        Some(|data, options, out| raster::grey_mask(data, ImageFormat::WebP, options, out))
    }
}
