//! Blurring and sharpening, by the arithmetic of torchvision's kernels for `uint8` tensors.

use bytemuck::{cast_slice, cast_slice_mut};

use super::{
    canvas::Canvas,
    edit::{Edit, Spare, change_colours},
    value::Value,
    vector::{rounded, truncated, vectorised},
};
use crate::{geometry::Size, pixel::Depth};

/// Blurs by a Gaussian.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Blur {
    /// The taps: width, height. They reach no further than the image: half of each is less than its edge.
    pub(super) kernel: [u32; 2],
    pub(super) sigma: f32,
}

impl Edit for Blur {
    fn output(&self, image: Size) -> Size {
        image
    }

    fn is_symmetric(&self) -> bool {
        true
    }

    fn apply(&self, image: &mut Canvas, spare: &mut Spare) {
        let (size, channels) = (image.size, image.pixel.channels.count());
        let Spare { canvas, floats, .. } = spare;
        let (from, to) = (image.pixels(), canvas.reset(size, image.pixel));
        match image.pixel.depth {
            Depth::U8 => self.gaussian(from, size, channels, &BYTES, floats, to),
            Depth::U16 => {
                self.gaussian(cast_slice(from), size, channels, &Loops::<u16>::of(), floats, cast_slice_mut(to));
            }
            Depth::F32 => {
                self.gaussian(cast_slice(from), size, channels, &Loops::<f32>::of(), floats, cast_slice_mut(to));
            }
        }
        std::mem::swap(image, canvas);
    }
}

/// Moves the image away from a smoothed one by this factor; 0 is the smoothed one, 1 the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sharpness(pub(super) f64);

impl Edit for Sharpness {
    fn output(&self, image: Size) -> Size {
        image
    }

    fn is_symmetric(&self) -> bool {
        true
    }

    fn apply(&self, image: &mut Canvas, spare: &mut Spare) {
        change_colours(image, spare, |image, spare| {
            let (size, channels) = (image.size, image.pixel.channels.count());
            let canvas = &mut spare.canvas;
            smooth(image.pixels(), size, channels, (1.0 - self.0) as f32, canvas.reset(size, image.pixel));
            std::mem::swap(image, canvas);
        });
    }
}

/// What is done to the values of a row, by their type.
struct Loops<T> {
    /// Adds values, weighed, to sums.
    add: fn(&mut [f32], f32, &[T]),
    /// Writes sums as values.
    round: fn(&[f32], &mut [T]),
}

/// The loops over bytes, which are vectorised.
const BYTES: Loops<u8> = Loops { add: add_bytes, round };

impl<T: Value> Loops<T> {
    fn of() -> Self {
        let add = |sums: &mut [f32], weight: f32, values: &[T]| {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value.number());
        };
        let round = |sums: &[f32], out: &mut [T]| {
            sums.iter().zip(out).for_each(|(sum, out)| *out = T::nearest(*sum));
        };
        Self { add, round }
    }
}

impl Blur {
    /// Writes the image blurred; the edges are continued by reflection.
    fn gaussian<T>(
        &self,
        image: &[T],
        size: Size,
        channels: usize,
        loops: &Loops<T>,
        scratch: &mut Vec<f32>,
        out: &mut [T],
    ) {
        let Self { kernel, sigma } = *self;
        let (across, down) = (kernel[0] as usize, kernel[1] as usize);
        let row = size.width as usize * channels;
        scratch.clear();
        scratch.resize(across + down + row + (across - 1) * channels + row, 0.0);
        let (weights, sums) = scratch.split_at_mut(across + down);
        let (horizontal, vertical) = weights.split_at_mut(across);
        fill_weights(horizontal, sigma);
        fill_weights(vertical, sigma);
        let (padded, sums) = sums.split_at_mut(row + (across - 1) * channels);
        for (y, out) in out.chunks_exact_mut(row).enumerate() {
            let edge = across / 2 * channels;
            padded[edge..edge + row].fill(0.0);
            for (at, weight) in vertical.iter().enumerate() {
                let from = reflected(y as i64 + at as i64 - down as i64 / 2, size.height) * row;
                (loops.add)(&mut padded[edge..edge + row], *weight, &image[from..from + row]);
            }
            for step in 1..=across / 2 {
                let (left, right) = ((across / 2 - step) * channels, edge + row + (step - 1) * channels);
                padded.copy_within(edge + step * channels..edge + (step + 1) * channels, left);
                let from = edge + row - (step + 1) * channels;
                padded.copy_within(from..from + channels, right);
            }
            sums.fill(0.0);
            for (at, weight) in horizontal.iter().enumerate() {
                add(sums, *weight, &padded[at * channels..at * channels + row]);
            }
            (loops.round)(sums, out);
        }
    }
}

/// Returns where a row outside the image is mirrored to, without the edge itself.
pub(super) fn reflected(at: i64, len: u32) -> usize {
    let last = i64::from(len) - 1;
    (last - (last - at.abs()).abs()) as usize
}

/// Fills in torchvision's weights, whose sum is one.
pub(super) fn fill_weights(weights: &mut [f32], sigma: f32) {
    let last = (weights.len() - 1) as f64;
    let limit = last / (2.0 * 2.0_f64.sqrt());
    for (at, weight) in weights.iter_mut().enumerate() {
        let distance = if last == 0.0 { 0.0 } else { (2.0 * at as f64 / last - 1.0) * limit };
        let deviations = distance / f64::from(sigma);
        *weight = libm::exp(-(deviations * deviations)) as f32;
    }
    let sum: f32 = weights.iter().sum();
    for weight in weights {
        *weight /= sum;
    }
}

vectorised! {
    fn add_bytes(sums: &mut [f32], weight: f32, values: &[u8]) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += weight * f32::from(*value);
        }
    }
}

vectorised! {
    /// Adds values, weighed, to sums.
    pub(super) fn add(sums: &mut [f32], weight: f32, values: &[f32]) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += weight * value;
        }
    }
}

vectorised! {
    fn round(sums: &[f32], out: &mut [u8]) {
        for (sum, out) in sums.iter().zip(out) {
            *out = rounded(sum.min(255.0));
        }
    }
}

vectorised! {
    /// Writes the image moved towards a smoothed one by a part of their difference; the outermost pixels stay.
    fn smooth(image: &[u8], size: Size, channels: usize, part: f32, out: &mut [u8]) {
        out.copy_from_slice(image);
        let row = size.width as usize * channels;
        if size.height <= 2 || size.width <= 2 {
            return;
        }
        let rows = image.chunks_exact(row).zip(image[row..].chunks_exact(row)).zip(image[2 * row..].chunks_exact(row));
        for (((above, here), below), out) in rows.zip(out[row..].chunks_exact_mut(row)) {
            for at in 0..row - 2 * channels {
                let three = |row: &[u8]| {
                    u16::from(row[at]) + u16::from(row[at + channels]) + u16::from(row[at + 2 * channels])
                };
                let sum = three(above) + three(here) + three(below) + 4 * u16::from(here[at + channels]);
                // To the nearest: of thirteenths, none lies half-way.
                let smooth = (2 * sum + 13) / 26;
                let value = f32::from(here[at + channels]);
                out[at + channels] = truncated((value + part * (f32::from(smooth) - value)).clamp(0.0, 255.0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reflections_leave_out_the_edge() {
        let shown: Vec<usize> = (-3..8).map(|at| reflected(at, 5)).collect();
        assert_eq!(shown, [3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1]);
    }

    #[test]
    fn the_whole_of_the_difference_is_the_smoothed_image() {
        let image = [0, 0, 0, 0, 130, 0, 0, 0, 0];
        let mut out = [0; 9];
        smooth(&image, Size { height: 3, width: 3 }, 1, 1.0, &mut out);
        assert_eq!(out, [0, 0, 0, 0, 50, 0, 0, 0, 0]);
        smooth(&image, Size { height: 3, width: 3 }, 1, 0.0, &mut out);
        assert_eq!(out, image);
        smooth(&image[..6], Size { height: 2, width: 3 }, 1, -4.0, &mut out[..6]);
        assert_eq!(out[..6], image[..6]);
    }

    proptest! {
        #[test]
        fn a_blur_is_the_two_dimensional_sum(
            height in 4..12_u32, width in 4..12_u32, grey: bool, across in 0..4_u32, down in 0..4_u32,
            sigma in 0.1..3.0_f32, seed: u8,
        ) {
            let (size, channels) = (Size { height, width }, if grey { 1 } else { 3 });
            let kernel = [2 * across + 1, 2 * down + 1];
            let image: Vec<u8> = (0..size.area() as usize * channels)
                .map(|at| (at as u8).wrapping_mul(91).wrapping_add(seed) ^ (at >> 3) as u8)
                .collect();
            let mut out = vec![0; image.len()];
            Blur { kernel, sigma }.gaussian(&image, size, channels, &BYTES, &mut Vec::new(), &mut out);
            let mut deep = vec![0_u16; image.len()];
            let wide: Vec<u16> = image.iter().map(|&value| u16::from(value)).collect();
            Blur { kernel, sigma }.gaussian(&wide, size, channels, &Loops::of(), &mut Vec::new(), &mut deep);
            prop_assert!(deep.iter().zip(&out).all(|(deep, byte)| *deep == u16::from(*byte)));
            let weights = kernel.map(|len| {
                let mut weights = vec![0.0; len as usize];
                fill_weights(&mut weights, sigma);
                weights
            });
            for y in 0..height {
                for x in 0..width as usize * channels {
                    let mut sum = 0.0;
                    for (j, down) in weights[1].iter().enumerate() {
                        for (i, across) in weights[0].iter().enumerate() {
                            let row = reflected(i64::from(y) + j as i64 - i64::from(kernel[1]) / 2, height);
                            let column =
                                reflected((x / channels) as i64 + i as i64 - i64::from(kernel[0]) / 2, width);
                            let at = (row * width as usize + column) * channels + x % channels;
                            sum += f64::from(down * across) * f64::from(image[at]);
                        }
                    }
                    let found = f64::from(out[y as usize * width as usize * channels + x]);
                    prop_assert!((found - sum).abs() <= 0.501, "{found} {sum}");
                }
            }
        }
    }
}
