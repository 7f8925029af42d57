//! Encoded masks to class indices.

use super::{mask::Mask, options::DecodeImage, recognise::recognise};
use crate::error::{Failure, Stage};

/// Decodes a mask into `out`: a palette's indices, or the values of a grey image, which Pillow gives as well.
///
/// # Errors
/// A [`Failure`] of the decode stage for bytes that are no image, and for an image with colours, alpha or 16 bits:
/// none of them is an index.
pub fn decode_mask(data: &[u8], out: &mut Mask) -> Result<(), Failure> {
    let failed = |reason| Failure::new(Stage::Decode, reason);
    let format = recognise(data)?;
    let name = format.name();
    let Some(read) = format.mask() else {
        return Err(failed(format!("as a mask: {name} changes the indices; use PNG")));
    };
    read(data, DecodeImage::default(), out).map_err(|reason| failed(format!("as a mask in {name}: {reason}")))
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
