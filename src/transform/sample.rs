//! Pixels taken from positions between those of an image, by the arithmetic of torchvision's `grid_sample` on tensors.
//!
//! The two functions are the bodies of vectorised loops: whoever has positions compiles them with its own, by
//! [`resampling`].

use bytemuck::{cast_slice, cast_slice_mut};

use super::{
    args::Interpolation,
    fill::{Fill, LARGEST},
    value::Value,
};
use crate::{
    geometry::Size,
    pixel::{Channels, Depth, PixelType},
};

/// How an image is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampling {
    /// Whether four neighbours are mixed, rather than the nearest taken.
    pub(super) mixes: bool,
    /// What lies outside the image; `None` is black, and at a mixed edge less so than `Some` of zeros: torchvision
    /// then weighs the edge once instead of twice.
    pub(super) fill: Option<Fill>,
}

impl Sampling {
    pub(super) fn new(interpolation: Interpolation, fill: Option<Fill>) -> Self {
        Self { mixes: interpolation == Interpolation::Bilinear, fill }
    }

    /// Returns what lies outside the image.
    pub(super) fn outside(self) -> Fill {
        self.fill.unwrap_or_default()
    }
}

/// How many positions are computed at once.
const BLOCK: usize = 16;

/// Rounds to a whole number, halves to even; what is negative becomes larger than any image.
#[inline(always)]
const fn nearest_whole(position: f32) -> u32 {
    /// 1.5 * 2^23: added to a smaller number, it leaves the whole part in the lowest bits, negative ones too.
    const WHOLE: f32 = 12_582_912.0;
    (position.clamp(-1.0, 1e6) + WHOLE).to_bits().wrapping_sub(WHOLE.to_bits())
}

/// Takes the nearest pixel, of `N` bytes, to each `position`, in pixels from the centre of the image's first one, of the
/// result's pixels.
#[expect(clippy::inline_always, reason = "it is the body of vectorised loops")]
#[inline(always)]
pub(super) fn nearest<const N: usize>(
    fill: [u8; LARGEST],
    position: impl Fn(f32, f32) -> (f32, f32),
    (image, size): (&[u8], Size),
    (out, width): (&mut [u8], u32),
) {
    let image = image.as_chunks::<N>().0;
    let fill: [u8; N] = std::array::from_fn(|at| fill[at]);
    let rows = out.as_chunks_mut::<N>().0.chunks_exact_mut(width as usize);
    for (y, out) in rows.enumerate() {
        for (start, out) in (0..).step_by(BLOCK).zip(out.chunks_mut(BLOCK)) {
            let mut pixels = [(0, 0); BLOCK];
            for (x, to) in pixels.iter_mut().enumerate() {
                let (h, v) = position((start + x) as f32, y as f32);
                *to = (nearest_whole(h), nearest_whole(v));
            }
            for ((h, v), out) in pixels.into_iter().zip(out) {
                // What is negative is large as an unsigned number.
                *out = if h < size.width && v < size.height {
                    image[v as usize * size.width as usize + h as usize]
                } else {
                    fill
                };
            }
        }
    }
}

/// Mixes four neighbours, of `C` channels; what lies outside the image weighs nothing, and the fill makes up for it.
#[expect(clippy::inline_always, reason = "it is the body of vectorised loops")]
#[inline(always)]
pub(super) fn mixed<T: Value, const C: usize>(
    fill: Option<Fill>,
    position: impl Fn(f32, f32) -> (f32, f32),
    (image, size): (&[u8], Size),
    (out, width): (&mut [u8], u32),
) {
    let Fill(colour) = fill.unwrap_or_default();
    let image = cast_slice::<u8, T>(image).as_chunks::<C>().0;
    let rows = cast_slice_mut::<u8, T>(out).as_chunks_mut::<C>().0.chunks_exact_mut(width as usize);
    for (y, out) in rows.enumerate() {
        for (x, out) in out.iter_mut().enumerate() {
            let (h, v) = position(x as f32, y as f32);
            let (left, top) = (h.floor(), v.floor());
            let (right, bottom) = (h - left, v - top);
            let weights =
                [(1.0 - right) * (1.0 - bottom), right * (1.0 - bottom), (1.0 - right) * bottom, right * bottom];
            let (left, top) = (left as i32, top as i32);
            let (mut sums, mut inside) = ([0.0; C], 0.0);
            for (at, weight) in weights.into_iter().enumerate() {
                let (h, v) = (left.wrapping_add(at as i32 & 1), top.wrapping_add(at as i32 >> 1));
                if (h as u32) < size.width && (v as u32) < size.height {
                    let pixel = image[v as usize * size.width as usize + h as usize];
                    inside += weight;
                    for (sum, value) in sums.iter_mut().zip(pixel) {
                        *sum += weight * value.number();
                    }
                }
            }
            *out = std::array::from_fn(|channel| {
                T::nearest(match fill {
                    Some(_) => (sums[channel] - colour[channel]) * inside + colour[channel],
                    None => sums[channel],
                })
            });
        }
    }
}

/// Takes the nearest pixels of an image whose pixels have any size.
pub(super) fn any_nearest(
    pixel: PixelType,
    fill: [u8; LARGEST],
    position: impl Fn(f32, f32) -> (f32, f32),
    from: (&[u8], Size),
    out: (&mut [u8], u32),
) {
    match pixel.size() {
        1 => nearest::<1>(fill, position, from, out),
        2 => nearest::<2>(fill, position, from, out),
        3 => nearest::<3>(fill, position, from, out),
        4 => nearest::<4>(fill, position, from, out),
        6 => nearest::<6>(fill, position, from, out),
        8 => nearest::<8>(fill, position, from, out),
        12 => nearest::<12>(fill, position, from, out),
        _ => nearest::<LARGEST>(fill, position, from, out),
    }
}

/// Mixes pixels of an image of any depth and any channels.
pub(super) fn any_mixed(
    pixel: PixelType,
    fill: Option<Fill>,
    position: impl Fn(f32, f32) -> (f32, f32),
    from: (&[u8], Size),
    out: (&mut [u8], u32),
) {
    match pixel.depth {
        Depth::U8 => mixed_channels::<u8>(pixel.channels, fill, position, from, out),
        Depth::U16 => mixed_channels::<u16>(pixel.channels, fill, position, from, out),
        Depth::F32 => mixed_channels::<f32>(pixel.channels, fill, position, from, out),
    }
}

fn mixed_channels<T: Value>(
    channels: Channels,
    fill: Option<Fill>,
    position: impl Fn(f32, f32) -> (f32, f32),
    from: (&[u8], Size),
    out: (&mut [u8], u32),
) {
    match channels {
        Channels::Grey => mixed::<T, 1>(fill, position, from, out),
        Channels::GreyAlpha => mixed::<T, 2>(fill, position, from, out),
        Channels::Rgb => mixed::<T, 3>(fill, position, from, out),
        Channels::Rgba | Channels::Rgbx => mixed::<T, 4>(fill, position, from, out),
    }
}

/// Defines `resample`, which makes what an edit shows of an image: from the edit's `positions`, by its `sampling`. The
/// usual pixels have vectorised loops of their own.
macro_rules! resampling {
    ($edit:ty) => {
        $crate::transform::vector::vectorised! {
            fn nearest_rgb(edit: &$edit, fill: [u8; 16], from: (&[u8], Size), out: (&mut [u8], u32)) {
                $crate::transform::sample::nearest::<3>(fill, edit.positions(from.1), from, out);
            }
        }

        $crate::transform::vector::vectorised! {
            fn nearest_gray(edit: &$edit, fill: [u8; 16], from: (&[u8], Size), out: (&mut [u8], u32)) {
                $crate::transform::sample::nearest::<1>(fill, edit.positions(from.1), from, out);
            }
        }

        $crate::transform::vector::vectorised! {
            fn mixed_rgb(edit: &$edit, from: (&[u8], Size), out: (&mut [u8], u32)) {
                $crate::transform::sample::mixed::<u8, 3>(edit.sampling.fill, edit.positions(from.1), from, out);
            }
        }

        $crate::transform::vector::vectorised! {
            fn mixed_gray(edit: &$edit, from: (&[u8], Size), out: (&mut [u8], u32)) {
                $crate::transform::sample::mixed::<u8, 1>(edit.sampling.fill, edit.positions(from.1), from, out);
            }
        }

        /// Replaces the image by what the edit shows of it, which has this size.
        fn resample(edit: &$edit, size: Size, image: &mut Canvas, spare: &mut Spare) {
            use $crate::{pixel::PixelType, transform::sample};
            let (pixel, sampling) = (image.pixel, edit.sampling);
            let from = (image.pixels(), image.size);
            let out = (spare.canvas.reset(size, pixel), size.width);
            let outside = sampling.outside().bytes(pixel);
            match (pixel, sampling.mixes) {
                (PixelType::RGB8, false) => nearest_rgb(edit, outside, from, out),
                (PixelType::GREY8, false) => nearest_gray(edit, outside, from, out),
                (PixelType::RGB8, true) => mixed_rgb(edit, from, out),
                (PixelType::GREY8, true) => mixed_gray(edit, from, out),
                (_, false) => sample::any_nearest(pixel, outside, edit.positions(from.1), from, out),
                (_, true) => sample::any_mixed(pixel, sampling.fill, edit.positions(from.1), from, out),
            }
            std::mem::swap(image, &mut spare.canvas);
        }
    };
}

pub(super) use resampling;
