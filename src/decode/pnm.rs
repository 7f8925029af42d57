//! Netpbm: PBM, PGM, PPM and PAM.

use image::ImageFormat;

use super::{
    format::{Bad, Format, Opened, ReadMask},
    options::DecodeImage,
    raster,
};

/// PNM files.
#[derive(Debug)]
pub(super) struct Pnm;

impl Format for Pnm {
    fn name(&self) -> &'static str {
        "PNM"
    }

    fn recognises(&self, data: &[u8]) -> bool {
        matches!(data, [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n', ..])
    }

    fn open<'a>(&self, data: &'a [u8], options: DecodeImage) -> Result<Box<dyn Opened + 'a>, Bad> {
        raster::open(data, ImageFormat::Pnm, options)
    }

    fn mask(&self) -> Option<ReadMask> {
        Some(|data, options, out| raster::grey_mask(data, ImageFormat::Pnm, options, out))
    }
}
