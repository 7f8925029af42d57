//! PNG. Of an animation, the image for those who cannot show it.

mod mended;
mod raster;

use std::io::Cursor;

use bytemuck::cast_slice_mut;
use png::{ColorType, DecodeOptions, Decoder, Transformations};

use self::mended::{Mended, mended};
use super::{
    format::{Bad, Format, Memory, Opened, ReadMask, Wanted},
    image::Image,
    kept::Kept,
    mask::{Mask, no_indices},
    options::DecodeImage,
};
use crate::{geometry::Size, pixel::PixelType};

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
        let file = raster::open(data, options)?;
        Ok(Box::new(OpenPng { data, options, file }))
    }

    fn mask(&self) -> Option<ReadMask> {
        Some(mask_or_mended)
    }
}

/// A file whose header has been read.
struct OpenPng<'a> {
    data: &'a [u8],
    options: DecodeImage,
    file: Box<dyn Opened + 'a>,
}

impl Opened for OpenPng<'_> {
    fn size(&self) -> Size {
        self.file.size()
    }

    fn orientation(&self, by_exif: bool) -> u8 {
        self.file.orientation(by_exif)
    }

    fn pixel(&self) -> PixelType {
        self.file.pixel()
    }

    fn memory(&self, wanted: Wanted) -> Memory {
        // A damaged file is put right in a copy, and checked by rows.
        let Memory { size, pixel, beside } = self.file.memory(wanted);
        Memory { size, pixel, beside: beside.saturating_add(2 * self.data.len() as u64) }
    }

    /// Where the file is damaged, it is put right and decoded again.
    fn decode(self: Box<Self>, wanted: Wanted, kept: &mut Kept, out: &mut Image) -> Result<(), Bad> {
        let Self { data, options, file } = *self;
        let Err(bad) = file.decode(wanted, kept, out) else { return Ok(()) };
        let Some(mended) = mended_where_allowed(data, options) else { return Err(bad) };
        raster::open(&mended, options).and_then(|file| file.decode(wanted, kept, out)).map_err(|_| bad)?;
        out.set_damaged(true);
        Ok(())
    }
}

/// Returns a damaged file put right, where damage is allowed and pixels are what they were.
fn mended_where_allowed(data: &[u8], options: DecodeImage) -> Option<Vec<u8>> {
    let Mended { bytes, may_be_wrong } = mended(data).filter(|_| !options.refuses_damage())?;
    (!may_be_wrong || has_checksum_of_pixels(&bytes, options)).then_some(bytes)
}

/// Tells whether the decompressed bytes of a file have the checksum that stands behind them.
fn has_checksum_of_pixels(data: &[u8], options: DecodeImage) -> bool {
    let mut checks = DecodeOptions::default();
    checks.set_ignore_adler32(false);
    let mut decoder = Decoder::new_with_options(Cursor::new(data), checks);
    decoder.set_limits(raster::limits(data, options));
    let Ok(mut reader) = decoder.read_info() else { return false };
    loop {
        match reader.next_row() {
            Ok(Some(_)) => {}
            Ok(None) => return reader.finish().is_ok(),
            Err(_) => return false,
        }
    }
}

/// Reads a mask, of a damaged file too.
fn mask_or_mended(data: &[u8], options: DecodeImage, out: &mut Mask) -> Result<(), String> {
    let Err(reason) = mask(data, options, out) else { return Ok(()) };
    let mended = mended_where_allowed(data, options).ok_or_else(|| reason.clone())?;
    mask(&mended, options, out).map_err(|_| reason)
}

/// Reads a mask: the indices of a palette, or the values of a grey image.
fn mask(data: &[u8], options: DecodeImage, out: &mut Mask) -> Result<(), String> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(data), raster::limits(data, options));
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let (width, height) = reader.info().size();
    let size = Size { height, width };
    options.check_size(size)?;
    let (color, depth) = reader.output_color_type();
    let bits = match (color, depth) {
        (ColorType::Indexed | ColorType::Grayscale, depth) => depth as usize,
        (ColorType::Rgb, _) => return Err(no_indices("colours")),
        (ColorType::GrayscaleAlpha | ColorType::Rgba, _) => return Err(no_indices("an alpha channel")),
    };
    if bits == 16 {
        let values = out.reset_deep(size);
        reader.next_frame(cast_slice_mut(values)).map_err(|error| error.to_string())?;
        for value in values {
            *value = u16::from_be(*value);
        }
        return Ok(());
    }
    let pixels = out.reset(size);
    if bits == 8 {
        return reader.next_frame(pixels).map(drop).map_err(|error| error.to_string());
    }
    let row = (width as usize * bits).div_ceil(8);
    let mut packed = vec![0; row * height as usize];
    reader.next_frame(&mut packed).map_err(|error| error.to_string())?;
    let largest = (1_u16 << bits) - 1;
    for (packed, pixels) in packed.chunks_exact(row).zip(pixels.chunks_exact_mut(width as usize)) {
        for (at, pixel) in pixels.iter_mut().enumerate() {
            let bit = at * bits;
            *pixel = packed[bit / 8] >> (8 - bits - bit % 8) & largest as u8;
        }
    }
    Ok(())
}
