//! PNG by the `png` crate: an image comes out whole, whatever is wanted of it.

use std::io::{Cursor, ErrorKind};

use png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Reader, Transformations};

use super::super::{
    format::{Bad, Memory, Opened, Wanted},
    image::Image,
    kept::Kept,
    options::DecodeImage,
    orientation,
};
use crate::{
    geometry::Size,
    pixel::{Channels, Depth, PixelType},
};

/// What a decoder takes whatever the image.
const TABLE_BYTES: u64 = 1 << 20;
/// What a PNG's side chunks may take, inflated: colour profile, texts, EXIF. Beyond that, a profile is left out.
const CHUNK_BYTES: u64 = 16 << 20;
/// The part of what decoding may take that those may take: a sixteenth.
const CHUNKS_PART: u64 = 16;
/// The most bytes of a pixel of a PNG.
const PNG_PIXEL_BYTES: u64 = 8;

/// A file whose header has been read.
struct Raster<'a> {
    data: &'a [u8],
    reader: Reader<Cursor<&'a [u8]>>,
    pixel: PixelType,
}

/// Reads a file's header.
pub(super) fn open(data: &[u8], options: DecodeImage) -> Result<Box<dyn Opened + '_>, Bad> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(data), limits(data, options));
    // Palettes and what has fewer than 8 bits; 16 bits stay.
    decoder.set_transformations(Transformations::EXPAND);
    let reader = decoder.read_info().map_err(reason)?;
    let pixel = pixel(reader.output_color_type())?;
    Ok(Box::new(Raster { data, reader, pixel }))
}

impl Opened for Raster<'_> {
    fn size(&self) -> Size {
        let (width, height) = self.reader.info().size();
        Size { height, width }
    }

    fn orientation(&self, by_exif: bool) -> u8 {
        if by_exif { orientation::of_png(self.data) } else { 1 }
    }

    fn pixel(&self) -> PixelType {
        self.pixel
    }

    fn memory(&self, _: Wanted) -> Memory {
        let (size, pixel) = (self.size(), self.pixel);
        Memory { size, pixel, beside: beside(size, pixel) }
    }

    fn decode(mut self: Box<Self>, _: Wanted, _: &mut Kept, out: &mut Image) -> Result<(), Bad> {
        let pixels = out.reset(self.size(), self.pixel);
        self.reader.next_frame(pixels).map_err(reason)?;
        if self.pixel.depth == Depth::U16 {
            for value in pixels.as_chunks_mut().0 {
                *value = u16::from_be_bytes(*value).to_ne_bytes();
            }
        }
        Ok(())
    }
}

/// Returns what `png` may take: it counts a row of pixels, and side chunks, each of which it may inflate to all that is left.
pub(super) fn limits(data: &[u8], options: DecodeImage) -> Limits {
    // A PNG's width stands at byte 16.
    let width = data.get(16..20).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
    let row = options.max_bytes.min(u64::from(width) * PNG_PIXEL_BYTES);
    Limits { bytes: ((options.max_bytes / CHUNKS_PART).min(CHUNK_BYTES) + row) as usize }
}

/// Returns what a decoder takes beside the pixels that it gives.
///
/// Source: the decoder of `png` 0.18.
fn beside(size: Size, pixel: PixelType) -> u64 {
    // Two rows, and two more while they grow.
    let row = u64::from(size.width) * pixel.size() as u64;
    row.saturating_mul(4).saturating_add(TABLE_BYTES)
}

/// Returns what pixels of a type are here.
fn pixel((color, depth): (ColorType, BitDepth)) -> Result<PixelType, String> {
    let channels = match color {
        ColorType::Grayscale => Channels::Grey,
        ColorType::GrayscaleAlpha => Channels::GreyAlpha,
        ColorType::Rgb => Channels::Rgb,
        ColorType::Rgba => Channels::Rgba,
        ColorType::Indexed => return Err("the indices of a palette were not expanded".into()),
    };
    let depth = match depth {
        BitDepth::Eight => Depth::U8,
        BitDepth::Sixteen => Depth::U16,
        BitDepth::One | BitDepth::Two | BitDepth::Four => return Err(format!("{depth:?} bits were not expanded")),
    };
    Ok(PixelType::new(channels, depth))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is another crate's, and the rest is alike")]
fn reason(error: DecodingError) -> String {
    match error {
        DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            "unexpected end of data".to_owned()
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};

    use super::{
        super::{super::convert::convert, Png},
        *,
    };
    use crate::geometry::Rect;

    const SIZE: Size = Size { height: 3, width: 5 };

    fn encode(image: impl Into<DynamicImage>) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn read(data: &[u8]) -> Result<Image, String> {
        let file = open(data, DecodeImage::default()).map_err(|bad| bad.of(&Png).reason)?;
        let wanted = Wanted { region: Rect::whole(file.size()), reduced_to: None };
        let (mut image, mut rgb) = (Image::default(), Image::default());
        file.decode(wanted, &mut Kept::default(), &mut image).map_err(|bad| bad.of(&Png).reason)?;
        convert(&image, PixelType::RGB8, &mut rgb)?;
        Ok(rgb)
    }

    fn rgb(x: u32, y: u32) -> [u8; 3] {
        [(x * 50) as u8, (y * 80) as u8, (200 - x) as u8]
    }

    fn expected() -> Vec<u8> {
        (0..SIZE.height).flat_map(|y| (0..SIZE.width).flat_map(move |x| rgb(x, y))).collect()
    }

    #[test]
    fn pixels_are_given_back() {
        let image = ImageBuffer::from_fn(SIZE.width, SIZE.height, |x, y| Rgb(rgb(x, y)));
        let decoded = read(&encode(image)).unwrap();
        assert_eq!((decoded.size(), decoded.pixels()), (SIZE, &expected()[..]));
    }

    #[test]
    fn alpha_is_dropped_not_blended() {
        let image = ImageBuffer::from_fn(SIZE.width, SIZE.height, |x, y| {
            let [r, g, b] = rgb(x, y);
            Rgba([r, g, b, x as u8])
        });
        assert_eq!(read(&encode(image)).unwrap().pixels(), expected());
    }

    #[test]
    fn sixteen_bits_are_cut_and_grey_is_repeated() {
        let deep =
            ImageBuffer::from_fn(SIZE.width, SIZE.height, |x, y| Rgb(rgb(x, y).map(|v| u16::from(v) << 8 | 0xff)));
        assert_eq!(read(&encode(deep)).unwrap().pixels(), expected());
        let grey = ImageBuffer::from_pixel(2, 1, Luma([0x12ff_u16]));
        assert_eq!(read(&encode(grey)).unwrap().pixels(), [0x12; 6]);
        let grey = ImageBuffer::from_pixel(2, 1, LumaA([9_u8, 0]));
        assert_eq!(read(&encode(grey)).unwrap().pixels(), [9; 6]);
    }

    #[test]
    fn cut_files_are_errors() {
        let image = ImageBuffer::from_fn(64, 64, |x, y| Rgb(rgb(x, y)));
        let bytes = encode(image);
        assert!(read(&bytes[..bytes.len() / 2]).is_err());
    }
}
