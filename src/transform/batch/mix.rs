//! The arithmetic of `MixUp` and `CutMix`, in place, on rows as they lie in a batch.
//!
//! Each row is mixed with the one before it, and the first with the last: torchvision's `batch.roll(1, 0)`. Going from
//! the last row to the first, what a row needs of its predecessor is still untouched; only the last row has to be
//! saved, and of that no more than the columns in work. So every byte is read and written once.

use std::ops::Range;

use bytemuck::Pod;
use half::{bf16, f16, slice::HalfFloatSliceExt};

use crate::{rng::Draws, spec::DType};

/// Elements that are worked on at a time, in all rows: two rows' worth of them fit a core's nearest cache.
const BLOCK: usize = 2048;

/// Mixes every row with the one before it: `own * lam + previous * (1 - lam)`, computed in `f32` and rounded once.
///
/// An 8-bit element becomes the nearest integer, of two that are equally near the even one.
///
/// # Panics
/// For a dtype that [`blends`] refuses.
pub(super) fn blend(dtype: DType, bytes: &mut [u8], rows: usize, lam: f64) {
    let weights = Weights { own: lam as f32, previous: (1.0 - lam) as f32 };
    let columns = 0..bytes.len() / dtype.size() / rows.max(1);
    match dtype {
        DType::UInt8 => roll(bytes, rows, columns, |own, previous| weights.bytes(own, previous)),
        DType::BFloat16 => roll(bytes, rows, columns, |own, previous| weights.brain_floats(own, previous)),
        DType::Float32 => roll(bytes, rows, columns, |own, previous| weights.floats(own, previous)),
        DType::Float16 => {
            let mut space = [[0.0; BLOCK]; 2];
            roll::<f16>(bytes, rows, columns, |own, previous| {
                let [sum, other] = space.each_mut().map(|space| &mut space[..own.len()]);
                // By slices: the machine's instructions for it, where there are any, are looked up once for each.
                own.convert_to_f32_slice(sum);
                previous.convert_to_f32_slice(other);
                weights.floats(sum, other);
                own.convert_from_f32_slice(sum);
            });
        }
        DType::Bool
        | DType::Int8
        | DType::UInt16
        | DType::Int16
        | DType::UInt32
        | DType::Int32
        | DType::UInt64
        | DType::Int64
        | DType::Float64 => unreachable!("{dtype} was refused when the transform was compiled"),
    }
}

/// The weights of a row and of the one before it. The loops are functions of their own, because that is how the
/// compiler knows that the two slices do not overlap, and vectorises.
#[derive(Clone, Copy, Debug)]
struct Weights {
    own: f32,
    previous: f32,
}

impl Weights {
    #[inline]
    fn mix(self, own: f32, previous: f32) -> f32 {
        previous * self.previous + own * self.own
    }

    #[inline(never)]
    fn floats(self, own: &mut [f32], previous: &[f32]) {
        for (own, previous) in own.iter_mut().zip(previous) {
            *own = self.mix(*own, *previous);
        }
    }

    #[inline(never)]
    fn bytes(self, own: &mut [u8], previous: &[u8]) {
        // In this binade floats are the integers, so the sum is rounded to one, and its last byte is the value.
        const INTEGERS: f32 = 8_388_608.0;
        for (own, previous) in own.iter_mut().zip(previous) {
            *own = (self.mix(f32::from(*own), f32::from(*previous)) + INTEGERS).to_bits() as u8;
        }
    }

    #[inline(never)]
    fn brain_floats(self, own: &mut [bf16], previous: &[bf16]) {
        for (own, previous) in own.iter_mut().zip(previous) {
            let bits = self.mix(own.to_f32(), previous.to_f32()).to_bits();
            // To the nearest, of two to the even one. A NaN stays one: its low half is zero, as those of its parents are.
            *own = bf16::from_bits((bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16);
        }
    }
}

/// Tells whether rows of this dtype can be mixed by [`blend`].
pub(super) const fn blends(dtype: DType) -> bool {
    matches!(dtype, DType::UInt8 | DType::Float16 | DType::BFloat16 | DType::Float32)
}

/// Calls `mix` with some columns of every row and those of the row before it, which it has not seen yet.
fn roll<T: Pod>(bytes: &mut [u8], rows: usize, columns: Range<usize>, mut mix: impl FnMut(&mut [T], &[T])) {
    let all: &mut [T] = bytemuck::cast_slice_mut(bytes);
    if rows == 0 {
        return;
    }
    let row_len = all.len() / rows;
    let mut last = [T::zeroed(); BLOCK];
    for start in columns.clone().step_by(BLOCK) {
        let block = start..columns.end.min(start + BLOCK);
        let last = &mut last[..block.len()];
        last.copy_from_slice(&all[(rows - 1) * row_len..][block.clone()]);
        for row in (1..rows).rev() {
            let (before, own) = all.split_at_mut(row * row_len);
            mix(&mut own[block.clone()], &before[(row - 1) * row_len..][block.clone()]);
        }
        mix(&mut all[block], last);
    }
}

/// How the pixels of an image lie in its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Canvas {
    /// How many images of one value per pixel follow each other: the channels of (C, H, W), else one.
    pub(super) planes: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    /// The bytes of a pixel in a plane.
    pub(super) pixel: usize,
}

/// A box of pixels: columns from `left` to before `right`, rows from `top` to before `bottom`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patch {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Patch {
    /// Draws a box as torchvision does: around any pixel, of `1 - lam` of the area, cut to the image.
    pub(super) fn draw(canvas: Canvas, lam: f64, draws: &mut Draws) -> Self {
        let (width, height) = (canvas.width, canvas.height);
        let (x, y) = (draws.below(width as u64) as usize, draws.below(height as u64) as usize);
        let half = 0.5 * (1.0 - lam).sqrt();
        let (half_width, half_height) = ((half * width as f64) as usize, (half * height as f64) as usize);
        Self {
            left: x.saturating_sub(half_width),
            top: y.saturating_sub(half_height),
            right: (x + half_width).min(width),
            bottom: (y + half_height).min(height),
        }
    }

    /// Returns the share of the image that lies outside the box.
    pub(super) fn outside(self, canvas: Canvas) -> f64 {
        let area = (self.right - self.left) * (self.bottom - self.top);
        1.0 - area as f64 / (canvas.width * canvas.height) as f64
    }
}

/// Replaces a box in every row by that of the row before it.
pub(super) fn paste(canvas: Canvas, patch: Patch, bytes: &mut [u8], rows: usize) {
    let Canvas { planes, height, width, pixel } = canvas;
    for line in (0..planes).flat_map(|plane| (patch.top..patch.bottom).map(move |y| plane * height + y)) {
        let at = |x: usize| (line * width + x) * pixel;
        roll::<u8>(bytes, rows, at(patch.left)..at(patch.right), <[u8]>::copy_from_slice);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Key;

    /// Blends `rows` rows of values that the dtype can hold, and returns them with what is expected of each element.
    fn blended<T: Pod + PartialEq>(
        dtype: DType,
        values: &[T],
        rows: usize,
        lam: f64,
        value: impl Fn(T) -> f32,
    ) -> Vec<(T, f32)> {
        let mut mixed = values.to_vec();
        blend(dtype, bytemuck::cast_slice_mut(&mut mixed), rows, lam);
        let row_len = values.len() / rows;
        let expected = (0..values.len()).map(|at| {
            let before = if at < row_len { values.len() - row_len + at } else { at - row_len };
            value(values[before]) * ((1.0 - lam) as f32) + value(values[at]) * (lam as f32)
        });
        mixed.into_iter().zip(expected).collect()
    }

    proptest! {
        #[test]
        fn every_row_is_mixed_with_the_one_before(
            rows in 1usize..6,
            row_len in prop::sample::select(vec![1, 3, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5]),
            lam in 0.0..=1.0,
            seed: u64,
        ) {
            let mut draws = Key { seed, epoch: 0, index: 0 }.rng(0);
            let bytes: Vec<u8> = (0..rows * row_len).map(|_| draws.below(256) as u8).collect();
            for (mixed, expected) in blended(DType::UInt8, &bytes, rows, lam, f32::from) {
                prop_assert_eq!(mixed, expected.round_ties_even() as u8);
            }
            let floats: Vec<f32> = (0..rows * row_len).map(|_| draws.uniform(-3.0, 3.0) as f32).collect();
            for (mixed, expected) in blended(DType::Float32, &floats, rows, lam, |value| value) {
                prop_assert_eq!(mixed.to_bits(), expected.to_bits());
            }
            let halves: Vec<f16> = floats.iter().map(|&value| f16::from_f32(value)).collect();
            for (mixed, expected) in blended(DType::Float16, &halves, rows, lam, f16::to_f32) {
                prop_assert_eq!(mixed, f16::from_f32(expected));
            }
            let halves: Vec<bf16> = floats.iter().map(|&value| bf16::from_f32(value)).collect();
            for (mixed, expected) in blended(DType::BFloat16, &halves, rows, lam, bf16::to_f32) {
                prop_assert_eq!(mixed, bf16::from_f32(expected));
            }
        }

        /// Pixel by pixel, through both layouts: inside the box the previous row's, outside its own.
        #[test]
        fn a_box_comes_from_the_row_before(
            rows in 1usize..5, height in 1usize..7, width in 1usize..7, channels in 1usize..4, size in 1usize..3,
            first: bool, lam in 0.0..=1.0, seed: u64,
        ) {
            let (planes, pixel) = if first { (channels, size) } else { (1, channels * size) };
            let canvas = Canvas { planes, height, width, pixel };
            let mut draws = Key { seed, epoch: 0, index: 0 }.rng(0);
            let patch = Patch::draw(canvas, lam, &mut draws);
            let row_len = height * width * channels * size;
            let before: Vec<u8> = (0..rows * row_len).map(|_| draws.below(256) as u8).collect();
            let mut after = before.clone();
            paste(canvas, patch, &mut after, rows);
            let mut inside = 0;
            for at in 0..after.len() {
                let (row, place) = (at / row_len, at % row_len / pixel);
                let (x, y) = (place % width, place / width % height);
                let boxed = (patch.left..patch.right).contains(&x) && (patch.top..patch.bottom).contains(&y);
                let from = if boxed { (row + rows - 1) % rows } else { row };
                inside += usize::from(boxed);
                prop_assert_eq!(after[at], before[from * row_len + at % row_len]);
            }
            let share = 1.0 - inside as f64 / after.len() as f64;
            prop_assert!((patch.outside(canvas) - share).abs() < 1e-12);
        }
    }

    #[test]
    fn boxes_are_those_of_torchvisions_formula() {
        let canvas = Canvas { planes: 3, height: 224, width: 320, pixel: 1 };
        let key = Key { seed: 1, epoch: 0, index: 0 };
        for lam in [0.0, 0.1, 0.5, 0.97, 0.9999, 1.0] {
            let mut draws = key.rng(7);
            let (x, y) = (draws.below(320) as i64, draws.below(224) as i64);
            // As written in Python: halves are truncated, corners are clamped.
            let half = |extent: f64| (0.5 * f64::sqrt(1.0 - lam) * extent).trunc() as i64;
            let patch = Patch::draw(canvas, lam, &mut key.rng(7));
            let corners = [patch.left, patch.top, patch.right, patch.bottom].map(|corner| corner as i64);
            let (w, h) = (half(320.0), half(224.0));
            assert_eq!(corners, [(x - w).max(0), (y - h).max(0), (x + w).min(320), (y + h).min(224)], "{lam}");
        }
        let whole = Patch { left: 0, top: 0, right: 320, bottom: 224 };
        assert_eq!(whole.outside(canvas).to_bits(), 0.0_f64.to_bits());
        assert_eq!(Patch { right: 80, bottom: 112, ..whole }.outside(canvas).to_bits(), 0.875_f64.to_bits());
    }
}
