//! Numbers as decibels, many at once.
//!
//! The logarithm of `libm` takes one number at a time, by branches; this one is sums and products alone, in one order, of
//! which compilers make vectors. It is computed in `float64` and rounded once.

use std::f64::consts::{LN_10, LOG10_2, SQRT_2};

use super::super::vector::vectorised;

/// The bits of a fraction of a `float32`, which stand below those of its exponent.
const FRACTION_BITS: u32 = 23;
/// The root of a half, as `float32`: the least part of a number beside its power of two.
const LEAST_PART: u32 = ((SQRT_2 / 2.0) as f32).to_bits();
/// What is added to the exponent in the bits of a `float32`.
const BIAS: i32 = 127;

/// How many powers of the series are summed up: the next one would add less than 2^-60 of the sum.
const POWERS: usize = 11;

vectorised! {
    /// Replaces each value by `factor` times its decimal logarithm; values that are less than `least`, or no numbers, count
    /// as `least`, which is a normal number.
    pub(in crate::transform) fn decibels(values: &mut [f32], factor: f64, least: f32) {
        for value in values {
            // What is no number is not greater either.
            let number = if *value >= least { *value } else { least };
            let decibels = (factor * log10(number)) as f32;
            *value = if number == f32::INFINITY { number } else { decibels };
        }
    }
}

/// Returns the decimal logarithm of a number that is positive, normal and finite.
///
/// The number is a power of two times a part `p` between the roots of a half and of two, and with `s = (p - 1) / (p + 1)`,
/// `ln p = 2 (s + s^3 / 3 + s^5 / 5 + ...)` (Abramowitz and Stegun, Handbook of Mathematical Functions, 4.1.27).
#[expect(clippy::inline_always, reason = "it is the body of a vectorised loop")]
#[inline(always)]
fn log10(number: f32) -> f64 {
    let above = number.to_bits().wrapping_sub(LEAST_PART).wrapping_add((BIAS as u32) << FRACTION_BITS);
    let exponent = (above >> FRACTION_BITS) as i32 - BIAS;
    let part = f64::from(f32::from_bits((above & ((1 << FRACTION_BITS) - 1)) + LEAST_PART));
    let s = (part - 1.0) / (part + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    for power in (0..POWERS).rev() {
        sum = sum * square + 1.0 / (2 * power + 1) as f64;
    }
    f64::from(exponent) * LOG10_2 + 2.0 * s * sum / LN_10
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEAST: f32 = 1e-10;

    /// Sees that a value has these decibels, in a vector and beside one.
    fn check(value: f32, expected: f32) {
        let mut values = [value; 9];
        decibels(&mut values, 10.0, LEAST);
        assert_eq!(values.map(f32::to_bits), [expected.to_bits(); 9], "{value}: {} {expected}", values[0]);
    }

    #[test]
    fn powers_of_ten_are_exact() {
        let mut power = 1.0;
        for exponent in 0..11 {
            check(power, 10.0 * exponent as f32);
            power *= 10.0;
        }
        check(0.1, -10.0);
    }

    #[test]
    fn what_is_less_or_none_is_the_least() {
        for value in [0.0, -0.0, -1.0, 1e-11, 1e-40, f32::NAN, -f32::NAN, f32::NEG_INFINITY, LEAST] {
            check(value, -100.0);
        }
        check(f32::INFINITY, f32::INFINITY);
        check(f32::MAX, 385.318_4);
    }

    proptest! {
        /// The logarithm of `libm` is off by less than one unit in the last place of a `float64`, this one by a few.
        #[test]
        fn logarithms_are_those_of_libm(bits in LEAST.to_bits()..f32::INFINITY.to_bits()) {
            let number = f32::from_bits(bits);
            let (found, expected) = (log10(number), libm::log10(f64::from(number)));
            prop_assert!((found - expected).abs() <= expected.abs().max(1e-300) * 2.0_f64.powi(-50), "{found} {expected}");
        }

        #[test]
        fn logarithms_near_one_are_those_of_libm(steps in -10_000..10_000_i32) {
            let number = f32::from_bits((1.0_f32.to_bits() as i32 + steps) as u32);
            let (found, expected) = (log10(number), libm::log10(f64::from(number)));
            prop_assert!((found - expected).abs() <= expected.abs() * 2.0_f64.powi(-50), "{found} {expected}");
        }
    }
}
