//! TIFF, of 32 bits and of 64 (`BigTIFF`).

use image::ImageFormat;

use super::{
    format::{Bad, Format, Opened, ReadMask},
    options::DecodeImage,
    raster,
};

/// TIFF files.
#[derive(Debug)]
pub(super) struct Tiff;

impl Format for Tiff {
    fn name(&self) -> &'static str {
        "TIFF"
    }

    fn recognises(&self, data: &[u8]) -> bool {
        matches!(data, [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..])
    }

    fn open<'a>(&self, data: &'a [u8], options: DecodeImage) -> Result<Box<dyn Opened + 'a>, Bad> {
        raster::open(data, ImageFormat::Tiff, options)
    }

    fn mask(&self) -> Option<ReadMask> {
        Some(|data, options, out| raster::grey_mask(data, ImageFormat::Tiff, options, out))
    }
}
