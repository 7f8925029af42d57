//! What becomes of a single value.

use half::{bf16, f16};

use crate::spec::DType;

/// What a transform does to each value.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// From 0 to white to 0 to 1.
    Scale { white: f32 },
    /// Less the mean of the channel, over its standard deviation.
    Normalize { mean: Vec<f32>, std: Vec<f32> },
}

/// What becomes of a single value: some steps in `f64`, then one rounding to the dtype of the result.
#[derive(Clone, Debug)]
pub(crate) struct Encode {
    dtype: DType,
    steps: Vec<Step>,
}

impl Encode {
    /// Returns what these steps and a rounding to this dtype make of a value.
    pub(super) const fn new(dtype: DType, steps: Vec<Step>) -> Self {
        Self { dtype, steps }
    }

    /// Returns the size of an element in bytes.
    pub(super) const fn element(&self) -> usize {
        self.dtype.size()
    }

    /// Returns the element, in the first bytes of eight.
    pub(super) fn bytes(&self, channel: usize, value: f64) -> [u8; 8] {
        fn first<const N: usize>(bytes: [u8; N]) -> [u8; 8] {
            let mut all = [0; 8];
            all[..N].copy_from_slice(&bytes);
            all
        }
        let value = self.steps.iter().fold(value, |value, step| match step {
            Step::Scale { white } => value / f64::from(*white),
            Step::Normalize { mean, std } => {
                let at = if mean.len() == 1 { 0 } else { channel };
                (value - f64::from(mean[at])) / f64::from(std[at])
            }
        });
        match self.dtype {
            DType::Bool => first([u8::from(value != 0.0)]),
            DType::UInt8 | DType::Int8 => first((value as u8).to_ne_bytes()),
            DType::UInt16 => first((value as u16).to_ne_bytes()),
            DType::Int16 => first((value as i16).to_ne_bytes()),
            DType::UInt32 => first((value as u32).to_ne_bytes()),
            DType::Int32 => first((value as i32).to_ne_bytes()),
            DType::UInt64 => first((value as u64).to_ne_bytes()),
            DType::Int64 => first((value as i64).to_ne_bytes()),
            DType::Float16 => first(f16::from_f32(to_odd(value)).to_ne_bytes()),
            DType::BFloat16 => first(bf16::from_f32(to_odd(value)).to_ne_bytes()),
            DType::Float32 => first((value as f32).to_ne_bytes()),
            DType::Float64 => first(value.to_ne_bytes()),
        }
    }
}

/// Rounds to `f32` so that a second rounding, to 16 bits, gives what one alone would have given: a number that is none in
/// `f32` goes to that of its two neighbours whose last bit is 1 (Boldo and Melquiond, "Emulation of FMA and
/// correctly rounded sums: proved algorithms using rounding to odd").
fn to_odd(value: f64) -> f32 {
    let near = value as f32;
    let error = value - f64::from(near);
    if error == 0.0 || !near.is_finite() || near.to_bits() & 1 == 1 {
        return near;
    }
    // The neighbour on the other side of the value. Away from zero is up, for either sign.
    let outwards = (error > 0.0) == near.is_sign_positive();
    f32::from_bits(if outwards { near.to_bits() + 1 } else { near.to_bits() - 1 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_beyond_the_middle_by_a_hair_is_rounded_up() {
        // Between 1 and its neighbour in `float16`, by less than `f32` can tell.
        let middle = 1.0 + 2.0_f64.powi(-11);
        let rounded = [0.0, 2.0_f64.powi(-50), -2.0_f64.powi(-50)].map(|hair| f16::from_f32(to_odd(middle + hair)));
        assert_eq!(rounded, [f16::ONE, f16::from_bits(f16::ONE.to_bits() + 1), f16::ONE]);
    }

    proptest! {
        #[test]
        fn two_roundings_are_one(mantissa in 1.0..2.0_f64, exponent in -100..100_i32, negative: bool, middle: bool) {
            let mut value = mantissa * 2.0_f64.powi(exponent) * if negative { -1.0 } else { 1.0 };
            if middle {
                // Half way between two numbers of 8 bits, or next to that.
                value = f64::from_bits((value.to_bits() & !0x1fff_ffff_ffff | 0x1000_0000_0000) + (value.to_bits() & 2) - 1);
            }
            let error = |half: bf16| (half.to_f64() - value).abs();
            let found = bf16::from_f32(to_odd(value));
            for neighbour in [found.to_bits() - 1, found.to_bits() + 1].map(bf16::from_bits) {
                let nearer = error(found).total_cmp(&error(neighbour));
                prop_assert!(nearer.is_lt() || found.to_bits() & 1 == 0 && nearer.is_eq());
            }
        }
    }
}
