//! Samples to red, green and blue.
//!
//! Source: JFIF 1.02 (ITU-R BT.601, full range), in the 16-bit fixed-point arithmetic of libjpeg's `jdcolor.c`; of inks,
//! Pillow's `convert("RGB")`.

use super::frame::{COMPONENTS, Colour};

const BITS: u32 = 16;
const HALF: i32 = 1 << (BITS - 1);
const RED_CR: i32 = 91881;
const GREEN_CB: i32 = -22554;
const GREEN_CR: i32 = -46802;
const BLUE_CB: i32 = 116_130;

/// Writes a row of pixels of `N` bytes: red, green, blue and, with four, 255. Only inks have four samples.
#[inline(always)]
pub(super) fn write<const N: usize>(colour: Colour, [a, b, c, d]: [&[u8]; COMPONENTS], out: &mut [u8]) {
    let pixels = out.as_chunks_mut::<N>().0;
    let samples = a.iter().zip(b).zip(c);
    match colour {
        Colour::Grey => pixels.iter_mut().zip(a).for_each(|(to, &grey)| *to = pixel([grey; 3])),
        Colour::Rgb => pixels.iter_mut().zip(samples).for_each(|(to, ((&a, &b), &c))| *to = pixel([a, b, c])),
        Colour::YCbCr => {
            pixels.iter_mut().zip(samples).for_each(|(to, ((&y, &cb), &cr))| *to = pixel(rgb(y, cb, cr)));
        }
        Colour::Cmyk => pixels.iter_mut().zip(samples.zip(d)).for_each(|(to, (((&a, &b), &c), &d))| {
            *to = pixel(printed([255 - a, 255 - b, 255 - c], d));
        }),
        Colour::Ycck => pixels.iter_mut().zip(samples.zip(d)).for_each(|(to, (((&y, &cb), &cr), &d))| {
            *to = pixel(printed(rgb(y, cb, cr), d));
        }),
    }
}

#[inline(always)]
fn pixel<const N: usize>(rgb: [u8; 3]) -> [u8; N] {
    std::array::from_fn(|at| if at < 3 { rgb[at] } else { 255 })
}

#[inline(always)]
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let clamped = |value: i32| value.clamp(0, 255) as u8;
    [
        clamped(y + ((RED_CR * cr + HALF) >> BITS)),
        clamped(y + ((GREEN_CB * cb + GREEN_CR * cr + HALF) >> BITS)),
        clamped(y + ((BLUE_CB * cb + HALF) >> BITS)),
    ]
}

/// Returns the colour of three inks on paper that black has darkened to `white`.
#[inline(always)]
fn printed(inks: [u8; 3], white: u8) -> [u8; 3] {
    inks.map(|ink| {
        let product = u32::from(ink) * u32::from(white) + 128;
        white - (((product >> 8) + product) >> 8) as u8
    })
}
