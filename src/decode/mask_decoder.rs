//! Encoded masks to class indices.

use super::{image::Image, mask::Mask, options::DecodeImage, recognise::recognise};
use crate::{
    error::{Failure, Stage},
    pixel::Depth,
};

/// Decodes a mask in memory of `mask` to an image of one channel, of 8 or of 16 bits: a palette's indices, or the values
/// of a grey image as the file has them, which are not spread to 8 bits where they have fewer.
///
/// # Errors
/// A [`Failure`] of the decode stage for bytes that are no image, for an image with colours or alpha, which are no
/// indices, and for one of 16 bits where 8 are asked for.
pub fn decode_mask<'a>(data: &[u8], depth: Depth, mask: &'a mut Mask) -> Result<&'a Image, Failure> {
    let failed = |reason| Failure::new(Stage::Decode, reason);
    let format = recognise(data)?;
    let name = format.name();
    let Some(read) = format.mask() else {
        return Err(failed(format!("as a mask: {name} changes the indices; use PNG")));
    };
    let failed = |reason| failed(format!("as a mask in {name}: {reason}"));
    read(data, DecodeImage::default(), mask).map_err(failed)?;
    mask.indices(depth).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, ImageBuffer, ImageFormat, Rgb};
    use png::{BitDepth, ColorType};

    use super::*;
    use crate::geometry::Size;

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
        let mut mask = Mask::default();
        mask.reset(Size { height: 9, width: 9 }).fill(0xee);
        let image = decode_mask(data, Depth::U8, &mut mask).map_err(|failure| failure.reason)?;
        assert_eq!(image.size(), Size { height: 2, width: 3 });
        Ok(image.pixels().to_vec())
    }

    fn deep_indices(data: &[u8]) -> Vec<u16> {
        let mut mask = Mask::default();
        bytemuck::cast_slice(decode_mask(data, Depth::U16, &mut mask).unwrap().pixels()).to_vec()
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
    }

    #[test]
    fn grey_of_few_bits_is_not_spread() {
        for (depth, data, expected) in [
            (BitDepth::One, &[0b0110_0000, 0b1000_0000][..], [0, 1, 1, 1, 0, 0]),
            (BitDepth::Two, &[0b0001_1000, 0b1110_0100], [0, 1, 2, 3, 2, 1]),
            (BitDepth::Four, &[0x01, 0x20, 0xfe, 0x10], [0, 1, 2, 15, 14, 1]),
        ] {
            assert_eq!(indices(&encoded(ColorType::Grayscale, depth, data)).unwrap(), expected);
            let deep = deep_indices(&encoded(ColorType::Grayscale, depth, data));
            assert_eq!(deep, expected.map(u16::from));
        }
    }

    #[test]
    fn instances_of_16_bits_are_kept_where_asked_for() {
        let values = [0_u16, 1, 255, 256, 40_000, 65_535];
        let data = values.map(u16::to_be_bytes);
        let file = encoded(ColorType::Grayscale, BitDepth::Sixteen, data.as_flattened());
        assert_eq!(deep_indices(&file), values);
        let refused = indices(&file).unwrap_err();
        assert!(
            refused.ends_with("has 16 bits; for such indices, give the mask dtype \"uint16\" or \"int32\""),
            "{refused}"
        );
    }

    #[test]
    fn what_is_no_index_is_refused() {
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::from(ImageBuffer::from_pixel(3, 2, Rgb([1_u8, 2, 3])))
            .write_to(&mut bytes, ImageFormat::Png)
            .unwrap();
        assert!(indices(&bytes.into_inner()).unwrap_err().starts_with("as a mask in PNG: has colours"));
        assert!(indices(&[0xff, 0xd8, 0xff]).unwrap_err().contains("JPEG changes the indices"));
        let whole = encoded(ColorType::Indexed, BitDepth::Eight, &[0, 1, 2, 3, 2, 1]);
        assert!(indices(&whole[..whole.len() - 20]).is_err());
        assert!(indices(b"no").unwrap_err().contains("not an image format"));
    }
}
