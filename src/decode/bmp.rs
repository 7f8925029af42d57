//! Windows bitmaps.

use image::ImageFormat;

use super::{
    format::{Bad, Format, Opened, ReadMask},
    options::DecodeImage,
    raster,
};

/// BMP files.
#[derive(Debug)]
pub(super) struct Bmp;

impl Format for Bmp {
    fn name(&self) -> &'static str {
        "BMP"
    }

    fn recognises(&self, data: &[u8]) -> bool {
        data.starts_with(b"BM")
    }

    fn open<'a>(&self, data: &'a [u8], options: DecodeImage) -> Result<Box<dyn Opened + 'a>, Bad> {
        raster::open(data, ImageFormat::Bmp, options)
    }

    fn mask(&self) -> Option<ReadMask> {
        Some(|data, options, out| raster::grey_mask(data, ImageFormat::Bmp, options, out))
    }
}
