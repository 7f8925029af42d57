//! PNG. Of an animation, the image for those who cannot show it.

use std::io::Cursor;

use image::ImageFormat;
use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use super::{
    format::{Bad, Format, Opened, ReadMask},
    mask::{Mask, no_indices},
    options::DecodeImage,
    raster,
};
use crate::geometry::Size;

/// PNG files.
#[derive(Debug)]
pub(super) struct Png;

impl Format for Png {
    fn name(&self) -> &'static str {
        "PNG"
    }

    fn recognises(&self, data: &[u8]) -> bool {
        data.starts_with(b"\x89PNG\r\n\x1a\n")
    }

    fn open<'a>(&self, data: &'a [u8], options: DecodeImage) -> Result<Box<dyn Opened + 'a>, Bad> {
        raster::open(data, ImageFormat::Png, options)
    }

    fn mask(&self) -> Option<ReadMask> {
        Some(mask)
    }
}

/// Reads a mask: the indices of a palette, or the values of a grey image of at most 8 bits.
fn mask(data: &[u8], options: DecodeImage, out: &mut Mask) -> Result<(), String> {
    let limits = Limits { bytes: raster::png_limit(data, options) as usize };
    let mut decoder = Decoder::new_with_limits(Cursor::new(data), limits);
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let (width, height) = reader.info().size();
    let size = Size { height, width };
    options.check_size(size)?;
    let (color, depth) = reader.output_color_type();
    let bits = match (color, depth) {
        (ColorType::Indexed | ColorType::Grayscale, BitDepth::Sixteen) => return Err(no_indices("16 bits")),
        (ColorType::Indexed | ColorType::Grayscale, depth) => depth as usize,
        (ColorType::Rgb, _) => return Err(no_indices("colours")),
        (ColorType::GrayscaleAlpha | ColorType::Rgba, _) => return Err(no_indices("an alpha channel")),
    };
    let pixels = out.reset(size);
    if bits == 8 {
        return reader.next_frame(pixels).map(drop).map_err(|error| error.to_string());
    }
    let row = (width as usize * bits).div_ceil(8);
    let mut packed = vec![0; row * height as usize];
    reader.next_frame(&mut packed).map_err(|error| error.to_string())?;
    let largest = (1_u16 << bits) - 1;
    // A grey of few bits is a fraction of white; an index is a number.
    let step = if color == ColorType::Grayscale { (255 / largest) as u8 } else { 1 };
    for (packed, pixels) in packed.chunks_exact(row).zip(pixels.chunks_exact_mut(width as usize)) {
        for (at, pixel) in pixels.iter_mut().enumerate() {
            let bit = at * bits;
            let value = packed[bit / 8] >> (8 - bits - bit % 8) & largest as u8;
            *pixel = value * step;
        }
    }
    Ok(())
}
