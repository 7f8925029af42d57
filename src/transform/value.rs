//! The value of a channel, as loops over pixels of any depth read and write it.

use bytemuck::Pod;

use super::vector;

/// The value of a channel.
pub(super) trait Value: Pod {
    /// Returns the value as a number, exactly.
    fn number(self) -> f32;

    /// Returns the value nearest to a number; of two, the even one.
    fn nearest(number: f32) -> Self;
}

impl Value for u8 {
    #[inline]
    fn number(self) -> f32 {
        f32::from(self)
    }

    #[inline]
    fn nearest(number: f32) -> Self {
        vector::rounded(number.clamp(0.0, 255.0))
    }
}

impl Value for u16 {
    #[inline]
    fn number(self) -> f32 {
        f32::from(self)
    }

    #[inline]
    fn nearest(number: f32) -> Self {
        // A cast keeps within the bounds.
        number.round_ties_even() as Self
    }
}

impl Value for f32 {
    #[inline]
    fn number(self) -> f32 {
        self
    }

    #[inline]
    fn nearest(number: f32) -> Self {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_and_kept_within_bounds() {
        assert_eq!([-3.0, 0.5, 1.5, 254.6, 300.0].map(u8::nearest), [0, 0, 2, 255, 255]);
        assert_eq!([-3.0, 0.5, 1.5, 65_534.6, 70_000.0].map(u16::nearest), [0, 0, 2, 65_535, 65_535]);
        assert_eq!(f32::nearest(-3.25).to_bits(), (-3.25_f32).to_bits());
    }
}
