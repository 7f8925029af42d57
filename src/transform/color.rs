//! Colour operations on 8-bit images, by the arithmetic of torchvision's kernels for `uint8` tensors.
//!
//! Values are computed in `f32` and truncated, as there; but where an image becomes grey, its shades are those of Pillow's
//! mode "L", whose weights add up to one, so that grey stays as it is. Alpha is left as it is. Where torch fuses a multiplication with an addition, a value on
//! the brink of the next can differ by one.

use super::{
    canvas::Canvas,
    edit::{Edit, Spare, change_colours},
    vector::{truncated, vectorised},
};
use crate::{
    geometry::Size,
    pixel::{self, Channels, PixelType},
};

/// A change of colours, drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Color {
    Brightness(f32),
    Contrast(f64),
    Saturation(f64),
    /// By a part of the full circle, -0.5 to 0.5.
    Hue(f32),
    /// To shades of grey, in as many channels as there are.
    Gray,
    /// To the given number of high bits.
    Posterize(u32),
    /// Inverts from this value on.
    Solarize(f32),
    AutoContrast,
    Equalize,
    Invert,
}

impl Edit for Color {
    fn output(&self, image: Size) -> Size {
        image
    }

    fn is_symmetric(&self) -> bool {
        true
    }

    fn apply(&self, image: &mut Canvas, spare: &mut Spare) {
        change_colours(image, spare, |image, _| {
            let channels = image.pixel.channels.count();
            self.change(image.pixels_mut(), channels);
        });
    }
}

impl Color {
    /// Changes an image of one or three interleaved channels.
    fn change(self, image: &mut [u8], channels: usize) {
        match self {
            Self::Brightness(factor) => blend(image, factor, 0.0),
            Self::Contrast(factor) => blend(image, factor as f32, mean(image, channels) * (1.0 - factor) as f32),
            Self::Saturation(factor) if channels == 3 => saturate(image, factor as f32, (1.0 - factor) as f32),
            Self::Hue(turn) if channels == 3 => rotate_hue(image, turn),
            Self::Gray if channels == 3 => gray(image),
            // Grey has neither.
            Self::Saturation(_) | Self::Hue(_) | Self::Gray => {}
            Self::Posterize(bits) => {
                let mask = !(0xff_u32 >> bits) as u8;
                for value in image {
                    *value &= mask;
                }
            }
            Self::Solarize(threshold) => {
                for value in image {
                    *value ^= if f32::from(*value) >= threshold { 0xff } else { 0 };
                }
            }
            Self::Invert => {
                for value in image {
                    *value ^= 0xff;
                }
            }
            Self::AutoContrast => by_histogram(image, channels, stretch),
            Self::Equalize => by_histogram(image, channels, equalize),
        }
    }
}

/// Returns the brightness of a pixel, not rounded.
#[expect(clippy::inline_always, reason = "it is part of vectorised loops")]
#[inline(always)]
fn luma(red: u8, green: u8, blue: u8) -> f32 {
    0.2989 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)
}

/// To shades of grey without alpha, in one channel or in three equal ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct ToGray(pub(super) Channels);

impl Edit for ToGray {
    fn output(&self, image: Size) -> Size {
        image
    }

    fn is_symmetric(&self) -> bool {
        true
    }

    fn apply(&self, image: &mut Canvas, spare: &mut Spare) {
        let is_colour = image.pixel.channels.is_colour();
        image.keep(if is_colour { Channels::Rgb } else { Channels::Grey });
        match (is_colour, self.0.is_colour()) {
            (true, true) => gray(image.pixels_mut()),
            (true, false) => {
                let pixels = image.pixels_mut();
                for at in 0..pixels.len() / 3 {
                    pixels[at] = shade([pixels[3 * at], pixels[3 * at + 1], pixels[3 * at + 2]]);
                }
                image.pixel = PixelType::GREY8;
            }
            (false, true) => {
                let out = spare.canvas.reset(image.size, PixelType::RGB8).as_chunks_mut::<3>().0;
                out.iter_mut().zip(image.pixels()).for_each(|(to, value)| *to = [*value; 3]);
                std::mem::swap(image, &mut spare.canvas);
            }
            (false, false) => {}
        }
    }
}

/// Returns the shade of grey of a colour.
#[expect(clippy::inline_always, reason = "it is part of vectorised loops")]
#[inline(always)]
fn shade(colour: [u8; 3]) -> u8 {
    pixel::luma(colour.map(u32::from)) as u8
}

vectorised! {
    fn blend(image: &mut [u8], factor: f32, other: f32) {
        for value in image {
            *value = truncated((f32::from(*value) * factor + other).clamp(0.0, 255.0));
        }
    }
}

vectorised! {
    fn saturate(image: &mut [u8], factor: f32, rest: f32) {
        for [red, green, blue] in image.as_chunks_mut::<3>().0 {
            // Exact in `f64`, so that there is one rounding, as of torch's fused multiplication and addition.
            let gray = f64::from(luma(*red, *green, *blue).floor()) * f64::from(rest);
            for value in [red, green, blue] {
                let blended = (f64::from(f32::from(*value) * factor) + gray) as f32;
                *value = truncated(blended.clamp(0.0, 255.0));
            }
        }
    }
}

vectorised! {
    fn gray(image: &mut [u8]) {
        for pixel in image.as_chunks_mut::<3>().0 {
            *pixel = [shade(*pixel); 3];
        }
    }
}

vectorised! {
    /// Returns the mean brightness, of whole numbers as torchvision has it.
    fn mean(image: &[u8], channels: usize) -> f32 {
        let sum: u64 = if channels == 3 {
            // A row of whole numbers below 2^24 is summed exactly in `u32`.
            image.chunks(3 << 16).map(|part| {
                u64::from(part.as_chunks::<3>().0.iter().map(|p| u32::from(truncated(luma(p[0], p[1], p[2])))).sum::<u32>())
            }).sum()
        } else {
            image.chunks(1 << 16).map(|part| u64::from(part.iter().map(|&value| u32::from(value)).sum::<u32>())).sum()
        };
        (sum as f64 / (image.len() / channels) as f64) as f32
    }
}

/// How many pixels are turned at once: as many as let the compiler use wide registers.
const BLOCK: usize = 16;

vectorised! {
    fn rotate_hue(image: &mut [u8], turn: f32) {
        let (blocks, rest) = image.as_chunks_mut::<{ 3 * BLOCK }>();
        for block in blocks {
            rotate_block(block, turn);
        }
        let mut block = [0; 3 * BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        rotate_block(&mut block, turn);
        rest.copy_from_slice(&block[..rest.len()]);
    }
}

/// Turns the hue of some pixels: to hue, saturation and value, and back.
#[expect(clippy::inline_always, reason = "it is part of a vectorised loop")]
#[inline(always)]
#[expect(clippy::float_cmp, reason = "the largest is one of them, bit for bit")]
fn rotate_block(block: &mut [u8; 3 * BLOCK], turn: f32) {
    let mut planes = [[0.0_f32; BLOCK]; 3];
    for at in 0..BLOCK {
        for (channel, plane) in planes.iter_mut().enumerate() {
            plane[at] = f32::from(block[3 * at + channel]) / 255.0;
        }
    }
    let [red, green, blue] = &mut planes;
    for at in 0..BLOCK {
        let (r, g, b) = (red[at], green[at], blue[at]);
        let (high, low) = (r.max(g).max(b), r.min(g).min(b));
        let range = high - low;
        let divisor = if range == 0.0 { 1.0 } else { range };
        let saturation = range / if range == 0.0 { 1.0 } else { high };
        let (rc, gc, bc) = ((high - r) / divisor, (high - g) / divisor, (high - b) / divisor);
        let sixths = if high == r {
            bc - gc
        } else if high == g {
            rc + 2.0 - bc
        } else {
            gc + 4.0 - rc
        };
        let hue = sixths * (1.0 / 6.0) + 1.0;
        let hue = hue - hue.floor() + turn;
        let sixths = (hue - hue.floor()) * 6.0;
        // What is left of each channel at this hue, piece by piece linear: `v`, `q`, `t` or `p` of the usual tables.
        let channel = |offset: f32| {
            let turned = offset + sixths;
            let turned = if turned >= 6.0 { turned - 6.0 } else { turned };
            let fall = turned.min(4.0 - turned).clamp(0.0, 1.0);
            (high * (1.0 - saturation * fall)).clamp(0.0, 1.0)
        };
        (red[at], green[at], blue[at]) = (channel(5.0), channel(3.0), channel(1.0));
    }
    for at in 0..BLOCK {
        for (channel, plane) in planes.iter().enumerate() {
            block[3 * at + channel] = truncated(plane[at] * 255.999);
        }
    }
}

/// Maps each channel by a table made of its histogram.
fn by_histogram(image: &mut [u8], channels: usize, table: fn(&[u32; 256]) -> [u8; 256]) {
    let mut counts = [[0_u32; 256]; 3];
    for pixel in image.chunks_exact(channels) {
        for (value, counts) in pixel.iter().zip(&mut counts) {
            counts[usize::from(*value)] += 1;
        }
    }
    let tables = counts.map(|counts| table(&counts));
    for pixel in image.chunks_exact_mut(channels) {
        for (value, table) in pixel.iter_mut().zip(&tables) {
            *value = table[usize::from(*value)];
        }
    }
}

/// Spreads the values that occur over 0 to 255.
fn stretch(counts: &[u32; 256]) -> [u8; 256] {
    let low = counts.iter().position(|&count| count > 0).unwrap_or(0);
    let high = counts.iter().rposition(|&count| count > 0).unwrap_or(0);
    let scale = (high.saturating_sub(low)) as f32 * (1.0 / 255.0);
    std::array::from_fn(|value| {
        if high <= low { value as u8 } else { ((value as f32 - low as f32) / scale).clamp(0.0, 255.0) as u8 }
    })
}

/// Spreads the values so that each is about as frequent as the others.
fn equalize(counts: &[u32; 256]) -> [u8; 256] {
    let last = counts.iter().rposition(|&count| count > 0).map_or(0, |at| counts[at]);
    let step = (counts.iter().sum::<u32>() - last) / 255;
    let mut below = 0;
    std::array::from_fn(|value| {
        let mapped = (below + step / 2).checked_div(step).map_or(value as u32, |mapped| mapped.min(255));
        below += counts[value];
        mapped as u8
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changed(color: Color, image: &[u8], channels: usize) -> Vec<u8> {
        let mut image = image.to_vec();
        color.change(&mut image, channels);
        image
    }

    #[test]
    fn values_are_those_of_torchvision() {
        // Worked out from the formulas of torchvision 0.29, `transforms/v2/functional/_color.py`.
        let image = [10, 100, 200, 255, 0, 51];
        assert_eq!(changed(Color::Brightness(1.3), &image, 3), [13, 130, 255, 255, 0, 66]);
        assert_eq!(changed(Color::Gray, &image, 3), [84, 84, 84, 82, 82, 82]);
        // Half of the way to the mean of 84 and 82.
        assert_eq!(changed(Color::Contrast(0.5), &image, 3), [46, 91, 141, 169, 41, 67]);
        assert_eq!(changed(Color::Saturation(0.5), &image, 3), [47, 92, 142, 168, 41, 66]);
        assert_eq!(changed(Color::Posterize(2), &image, 3), [0, 64, 192, 192, 0, 0]);
        assert_eq!(changed(Color::Posterize(8), &image, 3), image);
        assert_eq!(changed(Color::Solarize(100.0), &image, 3), [10, 155, 55, 0, 0, 51]);
        assert_eq!(changed(Color::Invert, &image, 3), [245, 155, 55, 0, 255, 204]);
        assert_eq!(changed(Color::AutoContrast, &image, 3), [0, 254, 254, 254, 0, 0]);
        // A third of the circle makes green of red, blue of green, red of blue.
        assert_eq!(
            changed(Color::Hue(1.0 / 3.0), &[255, 0, 0, 0, 255, 0, 0, 0, 255], 3),
            [0, 255, 0, 0, 0, 255, 255, 0, 0]
        );
    }

    #[test]
    fn one_channel_is_left_of_three() {
        let mut image = Canvas::default();
        image.reset(Size { height: 1, width: 2 }, PixelType::RGB8).copy_from_slice(&[10, 100, 200, 255, 0, 51]);
        ToGray(Channels::Grey).apply(&mut image, &mut Spare::default());
        assert_eq!((image.pixels(), image.pixel), (&[84, 82][..], PixelType::GREY8));
    }

    #[test]
    fn few_pixels_cannot_be_equalized() {
        let image = [1, 2, 3, 4, 5, 6];
        assert_eq!(changed(Color::Equalize, &image, 3), image);
        assert_eq!(changed(Color::AutoContrast, &[9, 9], 1), [9, 9]);
    }

    #[test]
    fn equal_counts_are_spread_evenly() {
        let image: Vec<u8> = (0..=255_u8).flat_map(|value| [value / 2; 4]).collect();
        let equal = changed(Color::Equalize, &image, 1);
        assert_eq!((equal[0], equal[1023]), (0, 255));
        assert!(equal.windows(2).all(|pair| pair[0] <= pair[1] && pair[1] - pair[0] <= 3));
    }

    proptest! {
        #[test]
        fn wide_loops_are_the_pixel_by_pixel_ones(
            image in prop::collection::vec(any::<[u8; 3]>(), 1..90), factor in 0.0..3.0_f64, turn in -0.5..0.5_f32,
        ) {
            let image = image.as_flattened();
            for color in [Color::Saturation(factor), Color::Brightness(factor as f32), Color::Hue(turn), Color::Gray] {
                let one_by_one: Vec<u8> =
                    image.as_chunks::<3>().0.iter().flat_map(|pixel| changed(color, pixel, 3)).collect();
                prop_assert_eq!(changed(color, image, 3), one_by_one, "{:?}", color);
            }
        }

        #[test]
        fn a_hue_turned_back_is_nearly_itself(pixel: [u8; 3], turn in -0.5..0.5_f32) {
            let back = changed(Color::Hue(-turn), &changed(Color::Hue(turn), &pixel, 3), 3);
            prop_assert!(back.iter().zip(pixel).all(|(a, b)| a.abs_diff(b) <= 4), "{:?}", back);
            prop_assert_eq!(changed(Color::Hue(0.0), &pixel, 3), pixel);
        }

        #[test]
        fn grey_stays_grey(value: u8, factor in 0.0..3.0_f64, turn in -0.5..0.5_f32) {
            for color in [Color::Hue(turn), Color::Brightness(factor as f32), Color::Gray, Color::Saturation(factor)] {
                let out = changed(color, &[value; 3], 3);
                prop_assert!(out[0] == out[1] && out[1] == out[2]);
            }
        }
    }
}
