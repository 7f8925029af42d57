//! Loops over pixels compiled twice: for every processor, and for those with AVX2.
//!
//! Only the compiler's vectorisation differs, so both give the same bytes: nothing is contracted to fused
//! multiply-adds, and no sum is reordered.

/// Defines a function whose body is compiled for AVX2 too, and which picks that where the processor has it.
macro_rules! vectorised {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? $body:block) => {
        $(#[$meta])*
        $visibility fn $name($($arg: $type),*) $(-> $out)? {
            #[inline(always)]
            fn portable($($arg: $type),*) $(-> $out)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn wide($($arg: $type),*) $(-> $out)? {
                    portable($($arg),*)
                }

                if std::arch::is_x86_feature_detected!("avx2") {
                    #[expect(unsafe_code, reason = "calls a safe function compiled for more than this one")]
                    // SAFETY: the function is safe but for its need of AVX2, which this processor was just seen to have.
                    return unsafe { wide($($arg),*) };
                }
            }
            portable($($arg),*)
        }
    };
}

pub(super) use vectorised;

/// 2^23: added to a smaller number that is not negative, it leaves the whole part in the lowest bits.
const WHOLE: f32 = 8_388_608.0;

/// Cuts off the fraction of a number from 0 to 255; unlike the language's cast, many at once.
#[expect(clippy::inline_always, reason = "it is part of vectorised loops")]
#[inline(always)]
pub(super) fn truncated(value: f32) -> u8 {
    (value.floor() + WHOLE).to_bits() as u8
}

/// Rounds a number from 0 to 255, halves to even; unlike the language's cast, many at once.
#[expect(clippy::inline_always, reason = "it is part of vectorised loops")]
#[inline(always)]
pub(super) const fn rounded(value: f32) -> u8 {
    (value + WHOLE).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_cut_and_rounded_as_by_casts(value in 0.0..=255.0_f32, half in 0..510_u16) {
            for value in [value, f32::from(half) / 2.0] {
                prop_assert_eq!(truncated(value), value as u8);
                prop_assert_eq!(rounded(value), value.round_ties_even() as u8);
            }
        }
    }
}
