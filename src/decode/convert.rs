//! From the pixels that a file has to those that were asked for: here, for all formats alike.
//!
//! As Pillow's `convert`: alpha is dropped and not blended, an alpha that is missing is opaque, grey is repeated, and
//! colours become grey by the weights of its mode "L". A deeper type holds a file's numbers as they are; of 16 bits, 8
//! keep the high byte.

use bytemuck::{AnyBitPattern, NoUninit, cast_slice, cast_slice_mut};

use super::image::Image;
use crate::pixel::{Channels, Depth, LUMA_WEIGHTS, PixelType, luma};

/// A channel's value.
trait Value: AnyBitPattern + NoUninit {
    /// White, and an alpha that hides everything.
    const WHITE: Self;

    /// Returns the grey of a colour.
    fn luma(colour: [Self; 3]) -> Self;
}

impl Value for u8 {
    const WHITE: Self = Self::MAX;

    fn luma(colour: [Self; 3]) -> Self {
        luma(colour.map(u32::from)) as Self
    }
}

impl Value for u16 {
    const WHITE: Self = Self::MAX;

    fn luma(colour: [Self; 3]) -> Self {
        luma(colour.map(u32::from)) as Self
    }
}

impl Value for f32 {
    const WHITE: Self = 1.0;

    fn luma(colour: [Self; 3]) -> Self {
        let weighed = colour.into_iter().zip(LUMA_WEIGHTS).map(|(value, weight)| f64::from(value) * f64::from(weight));
        (weighed.sum::<f64>() / 65_536.0) as Self
    }
}

/// Tells whether pixels need no conversion.
pub(super) fn is_kept(from: PixelType, to: PixelType) -> bool {
    from.meant() == to
}

/// Refuses a conversion that has no meaning.
///
/// # Errors
/// The reason why there are no such pixels.
pub(super) fn check(from: PixelType, to: PixelType) -> Result<(), String> {
    match (from.depth, to.depth) {
        (Depth::F32, Depth::U8 | Depth::U16) => Err(format!(
            "its pixels are {from}, which {} does not hold; decode with dtype=\"float32\"",
            to.depth.dtype()
        )),
        (Depth::U8 | Depth::U16, _) | (Depth::F32, Depth::F32) => Ok(()),
    }
}

/// Makes `out` the image with pixels of another type.
///
/// # Errors
/// As of [`check`].
pub(super) fn convert(from: &Image, to: PixelType, out: &mut Image) -> Result<(), String> {
    let (size, pixel) = (from.size(), from.pixel());
    let is_damaged = from.is_damaged();
    let (from, bytes) = (from.pixels(), out.reset(size, to));
    let channels = (pixel.channels, to.channels);
    match (pixel.depth, to.depth) {
        (Depth::U8, Depth::U8) => map::<u8, u8>(from, bytes, channels, |value| value),
        (Depth::U8, Depth::U16) => map::<u8, u16>(from, bytes, channels, u16::from),
        (Depth::U8, Depth::F32) => map::<u8, f32>(from, bytes, channels, f32::from),
        (Depth::U16, Depth::U8) => map::<u16, u8>(from, bytes, channels, |value| (value >> 8) as u8),
        (Depth::U16, Depth::U16) => map::<u16, u16>(from, bytes, channels, |value| value),
        (Depth::U16, Depth::F32) => map::<u16, f32>(from, bytes, channels, f32::from),
        (Depth::F32, Depth::F32) => map::<f32, f32>(from, bytes, channels, |value| value),
        (Depth::F32, Depth::U8 | Depth::U16) => return check(pixel, to),
    }
    out.set_damaged(is_damaged);
    Ok(())
}

/// Writes each pixel with other channels, and each value as what `depth` makes of it.
fn map<T: Value, U: Value>(from: &[u8], out: &mut [u8], channels: (Channels, Channels), depth: impl Fn(T) -> U) {
    use Channels::{Grey, GreyAlpha, Rgb, Rgba, Rgbx};
    let (from, out) = (cast_slice::<u8, T>(from), cast_slice_mut::<u8, U>(out));
    let opaque = depth(T::WHITE);
    // Grey is that of the depth that comes out, as where Pillow reads 8 of 16 bits and then converts.
    let luma = |red: T, green: T, blue: T| U::luma([depth(red), depth(green), depth(blue)]);
    match channels {
        (Grey, Grey) => each(from, out, |[v]| [depth(v)]),
        (Grey, GreyAlpha) => each(from, out, |[v]| [depth(v), opaque]),
        (Grey, Rgb) => each(from, out, |[v]| [depth(v); 3]),
        (Grey, Rgba | Rgbx) => each(from, out, |[v]| [depth(v), depth(v), depth(v), opaque]),
        (GreyAlpha, Grey) => each(from, out, |[v, _]| [depth(v)]),
        (GreyAlpha, GreyAlpha) => each(from, out, |[v, a]| [depth(v), depth(a)]),
        (GreyAlpha, Rgb) => each(from, out, |[v, _]| [depth(v); 3]),
        (GreyAlpha, Rgba | Rgbx) => each(from, out, |[v, a]| [depth(v), depth(v), depth(v), depth(a)]),
        (Rgb, Grey) => each(from, out, |[r, g, b]| [luma(r, g, b)]),
        (Rgb, GreyAlpha) => each(from, out, |[r, g, b]| [luma(r, g, b), opaque]),
        (Rgb, Rgb) => each(from, out, |[r, g, b]| [depth(r), depth(g), depth(b)]),
        (Rgb, Rgba | Rgbx) => each(from, out, |[r, g, b]| [depth(r), depth(g), depth(b), opaque]),
        (Rgba | Rgbx, Grey) => each(from, out, |[r, g, b, _]| [luma(r, g, b)]),
        (Rgba, GreyAlpha) => each(from, out, |[r, g, b, a]| [luma(r, g, b), depth(a)]),
        (Rgbx, GreyAlpha) => each(from, out, |[r, g, b, _]| [luma(r, g, b), opaque]),
        (Rgba | Rgbx, Rgb) => each(from, out, |[r, g, b, _]| [depth(r), depth(g), depth(b)]),
        (Rgba, Rgba | Rgbx) => each(from, out, |[r, g, b, a]| [depth(r), depth(g), depth(b), depth(a)]),
        (Rgbx, Rgba | Rgbx) => each(from, out, |[r, g, b, _]| [depth(r), depth(g), depth(b), opaque]),
    }
}

fn each<T: Value, U: Value, const N: usize, const M: usize>(
    from: &[T],
    out: &mut [U],
    pixel: impl Fn([T; N]) -> [U; M],
) {
    for (from, to) in from.as_chunks::<N>().0.iter().zip(out.as_chunks_mut::<M>().0) {
        *to = pixel(*from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    const ALL: [Channels; 5] = [Channels::Grey, Channels::GreyAlpha, Channels::Rgb, Channels::Rgba, Channels::Rgbx];

    fn converted<T: Value, U: Value>(from: &[T], pixel: PixelType, to: PixelType) -> Result<Vec<U>, String> {
        let width = (from.len() / pixel.channels.stored()) as u32;
        let (mut image, mut out) = (Image::default(), Image::default());
        image.reset(Size { height: 1, width }, pixel).copy_from_slice(cast_slice(from));
        convert(&image, to, &mut out).map(|()| cast_slice(out.pixels()).to_vec())
    }

    #[test]
    fn grey_is_that_of_pillow() {
        // What `Image.new("RGB", (1, 1), colour).convert("L")` of Pillow 13.0 gives.
        let colours = [10, 100, 200, 255, 0, 51, 1, 2, 3, 255, 255, 255, 128, 128, 129];
        let (rgb, grey) = (PixelType::RGB8, PixelType::GREY8);
        assert_eq!(converted::<u8, u8>(&colours, rgb, grey).unwrap(), [84, 82, 2, 255, 128]);
        for value in 0..=255_u8 {
            assert_eq!(converted::<u8, u8>(&[value; 3], rgb, grey).unwrap(), [value]);
            let deep = u16::from(value) << 8 | 0x7f;
            assert_eq!(u16::luma([deep; 3]), deep);
        }
        assert_eq!(u16::luma([u16::MAX; 3]), u16::MAX);
        assert_eq!(f32::luma([-2.5; 3]).to_bits(), (-2.5_f32).to_bits());
    }

    #[test]
    fn what_is_converted_is_as_damaged_as_it_was() {
        let (mut image, mut out) = (Image::default(), Image::default());
        for is_damaged in [true, false] {
            image.reset(Size { height: 1, width: 1 }, PixelType::GREY8).fill(7);
            image.set_damaged(is_damaged);
            convert(&image, PixelType::RGB8, &mut out).unwrap();
            assert_eq!((out.is_damaged(), out.pixels()), (is_damaged, &[7; 3][..]));
        }
    }

    #[test]
    fn channels_come_and_go_as_in_pillow() {
        let pixel = [10_u8, 100, 200, 7];
        let expected = |from: Channels, to: Channels| {
            let (colour, grey) = if from.is_colour() { ([10, 100, 200], 84) } else { ([10; 3], 10) };
            let alpha = match from {
                Channels::GreyAlpha => 100,
                Channels::Rgba => 7,
                Channels::Grey | Channels::Rgb | Channels::Rgbx => 255,
            };
            match to {
                Channels::Grey => vec![grey],
                Channels::GreyAlpha => vec![grey, alpha],
                Channels::Rgb => colour.to_vec(),
                Channels::Rgba | Channels::Rgbx => [&colour[..], &[alpha]].concat(),
            }
        };
        for from in ALL {
            for to in ALL {
                let [from_type, to_type] = [from, to].map(|channels| PixelType::new(channels, Depth::U8));
                let found = converted::<u8, u8>(&pixel[..from.stored()], from_type, to_type).unwrap();
                assert_eq!(found, expected(from, to), "{from:?} to {to:?}");
                assert_eq!(is_kept(from_type, to_type), from.meant() == to, "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn deeper_types_hold_the_numbers_and_8_bits_the_high_byte() {
        let [eight, sixteen, float] =
            [Depth::U8, Depth::U16, Depth::F32].map(|depth| PixelType::new(Channels::Grey, depth));
        assert_eq!(converted::<u8, u16>(&[0, 7, 255], eight, sixteen).unwrap(), [0, 7, 255]);
        assert_eq!(converted::<u8, f32>(&[0, 7, 255], eight, float).unwrap(), [0.0, 7.0, 255.0]);
        assert_eq!(converted::<u16, f32>(&[0, 7, 65_535], sixteen, float).unwrap(), [0.0, 7.0, 65_535.0]);
        assert_eq!(converted::<u16, u8>(&[255, 256, 65_535], sixteen, eight).unwrap(), [0, 1, 255]);
        // An alpha that is added hides everything, by the numbers of the file.
        let with_alpha = PixelType::new(Channels::GreyAlpha, Depth::F32);
        assert_eq!(converted::<u16, f32>(&[7], sixteen, with_alpha).unwrap(), [7.0, 65_535.0]);
        assert_eq!(converted::<f32, f32>(&[7.0], float, with_alpha).unwrap(), [7.0, 1.0]);
        let refused = converted::<f32, u8>(&[0.5], float, eight).unwrap_err();
        assert_eq!(refused, "its pixels are grey of float32, which uint8 does not hold; decode with dtype=\"float32\"");
    }
}
