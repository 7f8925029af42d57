//! Encoded masks to class indices.

use std::io::Cursor;

use image::ColorType as Colors;
use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use super::{DecodeImage, Format, other, unknown};
use crate::{
    error::{Failure, Stage},
    geometry::Size,
};

/// A class index for each pixel, (height, width), C-contiguous, in memory that is used again.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    size: Size,
    buffer: Vec<u8>,
}

impl Mask {
    /// Returns the size in pixels.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Returns the class indices.
    pub fn indices(&self) -> &[u8] {
        &self.buffer
    }

    fn reset(&mut self, size: Size) -> &mut [u8] {
        self.size = size;
        self.buffer.resize(size.area() as usize, 0);
        &mut self.buffer
    }
}

/// Decodes a mask into `out`: a palette's indices, or the values of a grey image, which Pillow gives as well.
///
/// # Errors
/// A [`Failure`] of the decode stage for bytes that are no image, and for an image with colours, alpha or 16 bits:
/// none of them is an index.
pub fn decode_mask(data: &[u8], out: &mut Mask) -> Result<(), Failure> {
    let failed = |reason| Failure::new(Stage::Decode, reason);
    match Format::sniff(data) {
        None => Err(failed(unknown(data))),
        Some(Format::Other(image::ImageFormat::Png)) => {
            png(data, out).map_err(|reason| failed(format!("as a mask in PNG: {reason}")))
        }
        Some(Format::Jpeg) => Err(failed("as a mask: JPEG changes the indices; use PNG".to_owned())),
        Some(format @ Format::Other(kind)) => {
            grey(data, kind, out).map_err(|reason| failed(format!("as a mask in {}: {reason}", format.name())))
        }
    }
}

fn no_indices(what: &str) -> String {
    format!("has {what}, which are no class indices; a mask is a palette image or an 8-bit grey one")
}

fn png(data: &[u8], out: &mut Mask) -> Result<(), String> {
    let options = DecodeImage::default();
    let limits = Limits { bytes: (2 * options.max_pixels) as usize };
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

fn grey(data: &[u8], kind: image::ImageFormat, out: &mut Mask) -> Result<(), String> {
    let options = DecodeImage::default();
    let decoder = other::open(data, kind, options)?;
    let size = other::size(&*decoder);
    options.check_size(size)?;
    if decoder.color_type() != Colors::L8 {
        return Err(no_indices(&format!("pixels of type {:?}", decoder.color_type())));
    }
    decoder.read_image_boxed(out.reset(size)).map_err(other::reason)
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, Rgb};

    use super::*;

    fn encoded(color: ColorType, depth: BitDepth, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 3, 2);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            encoder.set_palette([9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200].as_slice());
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        bytes
    }

    fn indices(data: &[u8]) -> Result<Vec<u8>, String> {
        let mut mask = Mask { size: Size { height: 9, width: 9 }, buffer: vec![0xee; 81] };
        decode_mask(data, &mut mask).map_err(|failure| failure.reason)?;
        assert_eq!(mask.size(), Size { height: 2, width: 3 });
        Ok(mask.indices().to_vec())
    }

    #[test]
    fn a_palette_gives_its_indices_and_grey_its_values() {
        assert_eq!(
            indices(&encoded(ColorType::Indexed, BitDepth::Eight, &[0, 1, 2, 3, 2, 1])).unwrap(),
            [0, 1, 2, 3, 2, 1]
        );
        assert_eq!(
            indices(&encoded(ColorType::Indexed, BitDepth::Two, &[0b0001_1000, 0b1110_0100])).unwrap(),
            [0, 1, 2, 3, 2, 1]
        );
        assert_eq!(
            indices(&encoded(ColorType::Indexed, BitDepth::One, &[0b0110_0000, 0b1000_0000])).unwrap(),
            [0, 1, 1, 1, 0, 0]
        );
        assert_eq!(
            indices(&encoded(ColorType::Grayscale, BitDepth::Eight, &[5, 255, 2, 3, 2, 1])).unwrap(),
            [5, 255, 2, 3, 2, 1]
        );
        assert_eq!(
            indices(&encoded(ColorType::Grayscale, BitDepth::Two, &[0b0001_1000, 0b1110_0100])).unwrap(),
            [0, 85, 170, 255, 170, 85]
        );
    }

    #[test]
    fn other_formats_give_8_bit_grey() {
        let image = DynamicImage::from(ImageBuffer::from_fn(3, 2, |x, y| Luma([(x + 3 * y) as u8])));
        for format in [ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::Pnm] {
            let mut bytes = Cursor::new(Vec::new());
            image.write_to(&mut bytes, format).unwrap();
            let found = indices(&bytes.into_inner());
            assert!(
                found == Ok(vec![0, 1, 2, 3, 4, 5]) || found.unwrap_err().contains("no class indices"),
                "{format:?}"
            );
        }
    }

    #[test]
    fn what_is_no_index_is_refused() {
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::from(ImageBuffer::from_pixel(3, 2, Rgb([1_u8, 2, 3])))
            .write_to(&mut bytes, ImageFormat::Png)
            .unwrap();
        assert!(indices(&bytes.into_inner()).unwrap_err().starts_with("as a mask in PNG: has colours"));
        let deep = encoded(ColorType::Grayscale, BitDepth::Sixteen, &[0; 12]);
        assert!(indices(&deep).unwrap_err().contains("16 bits"));
        assert!(indices(&[0xff, 0xd8, 0xff]).unwrap_err().contains("JPEG changes the indices"));
        let whole = encoded(ColorType::Indexed, BitDepth::Eight, &[0, 1, 2, 3, 2, 1]);
        assert!(indices(&whole[..whole.len() - 20]).is_err());
        assert!(indices(b"no").unwrap_err().contains("not an image format"));
    }
}
