//! PNG by the `image` crate: an image comes out whole, whatever is wanted of it.

use std::io::Cursor;

use image::{ColorType, ImageDecoder, ImageError, Limits, codecs::png::PngDecoder};

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
    decoder: PngDecoder<Cursor<&'a [u8]>>,
    pixel: PixelType,
}

/// Reads a file's header.
pub(super) fn open(data: &[u8], options: DecodeImage) -> Result<Box<dyn Opened + '_>, Bad> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(png_limit(data, options));
    let decoder = PngDecoder::with_limits(Cursor::new(data), limits).map_err(reason)?;
    let pixel = pixel(decoder.color_type())?;
    Ok(Box::new(Raster { data, decoder, pixel }))
}

impl Opened for Raster<'_> {
    fn size(&self) -> Size {
        let (width, height) = self.decoder.dimensions();
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

    fn decode(self: Box<Self>, _: Wanted, _: &mut Kept, out: &mut Image) -> Result<(), Bad> {
        let size = self.size();
        Ok(self.decoder.read_image(out.reset(size, self.pixel)).map_err(reason)?)
    }
}

/// Returns what `png` may take: it counts a row of pixels, and side chunks, each of which it may inflate to all that is left.
pub(super) fn png_limit(data: &[u8], options: DecodeImage) -> u64 {
    // A PNG's width stands at byte 16.
    let width = data.get(16..20).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
    (options.max_bytes / CHUNKS_PART).min(CHUNK_BYTES) + options.max_bytes.min(u64::from(width) * PNG_PIXEL_BYTES)
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
fn pixel(color: ColorType) -> Result<PixelType, String> {
    let (channels, depth) = match color {
        ColorType::L8 => (Channels::Grey, Depth::U8),
        ColorType::La8 => (Channels::GreyAlpha, Depth::U8),
        ColorType::Rgb8 => (Channels::Rgb, Depth::U8),
        ColorType::Rgba8 => (Channels::Rgba, Depth::U8),
        ColorType::L16 => (Channels::Grey, Depth::U16),
        ColorType::La16 => (Channels::GreyAlpha, Depth::U16),
        ColorType::Rgb16 => (Channels::Rgb, Depth::U16),
        ColorType::Rgba16 => (Channels::Rgba, Depth::U16),
        ColorType::Rgb32F => (Channels::Rgb, Depth::F32),
        ColorType::Rgba32F => (Channels::Rgba, Depth::F32),
        other => return Err(format!("pixels of type {other:?} are not read")),
    };
    Ok(PixelType::new(channels, depth))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is another crate's, and the rest is alike")]
fn reason(error: ImageError) -> String {
    match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "unexpected end of data".to_owned()
        }
        ImageError::IoError(error) => error.to_string(),
        // The format stands in front already, so only the cause is of use.
        ImageError::Decoding(error) => match std::error::Error::source(&error) {
            Some(cause) => cause.to_string(),
            None => error.to_string(),
        },
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
