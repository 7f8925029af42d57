//! From decompressed bytes to numbers in the order of the machine.

use super::layout::{Layout, Number, Predictor};
use crate::decode::{directory::ByteOrder, format::Bad};

const NATIVE: ByteOrder = if cfg!(target_endian = "big") { ByteOrder::Big } else { ByteOrder::Little };

/// Refuses predictors of numbers that they are not made for.
pub(super) fn check(layout: &Layout<'_>) -> Result<(), Bad> {
    let Layout { predictor, bits, number, .. } = layout;
    let is_read = match predictor {
        Predictor::None => true,
        Predictor::Left => matches!(bits, 8 | 16 | 32),
        Predictor::LeftFloat => *bits == 32 && *number == Number::Float,
    };
    if is_read {
        Ok(())
    } else {
        Err(Bad::from(format!("has a predictor of {bits} bits, {number:?}, which is not read")))
    }
}

/// Tells whether bytes are the numbers already.
pub(super) fn is_done(layout: &Layout<'_>, predicts: bool) -> bool {
    let is_native = layout.order == NATIVE || layout.bits < 16;
    is_native && !(predicts && layout.predictor != Predictor::None)
}

/// Makes a row of a strip or tile its numbers.
pub(super) fn restore(layout: &Layout<'_>, predicts: bool, row: &mut [u8]) {
    let samples = layout.samples_together();
    let predictor = if predicts { layout.predictor } else { Predictor::None };
    if predictor == Predictor::LeftFloat {
        add_left::<1>(row, samples);
        return join_floats(row);
    }
    if layout.order != NATIVE {
        match layout.bits {
            16 => row.as_chunks_mut::<2>().0.iter_mut().for_each(|bytes| bytes.reverse()),
            32 => row.as_chunks_mut::<4>().0.iter_mut().for_each(|bytes| bytes.reverse()),
            _ => {}
        }
    }
    if predictor == Predictor::Left {
        match (layout.bits, samples) {
            (8, 1) => add_left_bytes::<1>(row),
            (8, 3) => add_left_bytes::<3>(row),
            (8, 4) => add_left_bytes::<4>(row),
            (16, _) => add_left::<2>(row, samples),
            (32, _) => add_left::<4>(row, samples),
            _ => add_left::<1>(row, samples),
        }
    }
}

/// Adds to each pixel of bytes the one to its left.
fn add_left_bytes<const SAMPLES: usize>(row: &mut [u8]) {
    let mut left = [0_u8; SAMPLES];
    for pixel in row.as_chunks_mut::<SAMPLES>().0 {
        for (value, left) in pixel.iter_mut().zip(&mut left) {
            *left = left.wrapping_add(*value);
            *value = *left;
        }
    }
}

/// Adds to each number of some bytes the one a pixel to its left.
fn add_left<const BYTES: usize>(row: &mut [u8], samples: usize) {
    let numbers = row.as_chunks_mut::<BYTES>().0;
    for at in samples..numbers.len() {
        let sum = number(&numbers[at]).wrapping_add(number(&numbers[at - samples]));
        numbers[at].copy_from_slice(&sum.to_le_bytes()[..BYTES]);
        if NATIVE == ByteOrder::Big {
            numbers[at].reverse();
        }
    }
}

fn number(bytes: &[u8]) -> u32 {
    NATIVE.number(bytes) as u32
}

/// Joins numbers whose first bytes, second bytes and so on lie apart.
fn join_floats(row: &mut [u8]) {
    let apart = row.to_vec();
    let count = apart.len() / 4;
    for (at, out) in row.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *out = u32::from_be_bytes([0, 1, 2, 3].map(|byte| apart[byte * count + at])).to_ne_bytes();
    }
}
