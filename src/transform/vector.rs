//! Loops over pixels compiled twice: for every processor, and for those with AVX2.
//!
//! Only the compiler's vectorisation differs, so both give the same bytes: nothing is contracted to fused
//! multiply-adds, and no sum is reordered.

/// Defines a function whose body is compiled for AVX2 too, and which picks that where the processor has it.
macro_rules! vectorised {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? $body:block) => {
        $(#[$meta])*
        $visibility fn $name($($arg: $type),*) $(-> $out)? {
            #[expect(clippy::inline_always, reason = "it must take on the features of the function it is called in")]
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
