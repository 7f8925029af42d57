//! Four numbers at once, as the processor has them.
//!
//! Compilers make vectors of plain loops, but not of the hundred sums and products of a Fourier transform's pass: they find
//! some, in the wrong order, and move numbers between them. So this says what the vectors are. Every lane is computed by
//! itself, with the same operations in the same order, so that all processors give the same bits.

#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "calls the processor's instructions for vectors"))]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64 as arch;

/// How many there are.
pub(super) const LANES: usize = 4;

/// What a processor has for vectors.
pub(super) trait Lanes: Copy {
    /// A number in each lane.
    type Reals: Reals;

    /// Returns these numbers.
    fn reals(self, numbers: &[f64; LANES]) -> Self::Reals;
}

/// A number in each lane.
pub(super) trait Reals: Copy {
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, factor: f64) -> Self;
    fn negated(self) -> Self;
    fn squared(self) -> Self;
    fn numbers(self) -> [f64; LANES];
}

/// What can be done with any vectors.
pub(super) trait Work {
    /// Does it; it is compiled once for each kind of vectors, and so is to be inlined.
    fn with(self, lanes: impl Lanes);
}

/// Does something with the widest vectors that the processor has.
pub(super) fn widest(work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn wide(work: impl Work, lanes: Avx2) {
            work.with(lanes);
        }

        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the function is safe but for its need of AVX2, which this processor was just seen to have.
            return unsafe { wide(work, Avx2(())) };
        }
    }
    work.with(Portable);
}

/// Arrays.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

#[expect(clippy::inline_always, reason = "these are parts of vectorised loops")]
impl Lanes for Portable {
    type Reals = [f64; LANES];

    #[inline(always)]
    fn reals(self, numbers: &[f64; LANES]) -> Self::Reals {
        *numbers
    }
}

#[expect(clippy::inline_always, reason = "these are parts of vectorised loops")]
impl Reals for [f64; LANES] {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] + other[lane])
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] - other[lane])
    }

    #[inline(always)]
    fn times(self, factor: f64) -> Self {
        self.map(|number| number * factor)
    }

    #[inline(always)]
    fn negated(self) -> Self {
        self.map(|number| -number)
    }

    #[inline(always)]
    fn squared(self) -> Self {
        self.map(|number| number * number)
    }

    #[inline(always)]
    fn numbers(self) -> [f64; LANES] {
        self
    }
}

/// AVX2, which the processor has where there is one of these.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

/// A vector of AVX2, which the processor has where there is one of these.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Wide(arch::__m256d);

#[cfg(target_arch = "x86_64")]
#[expect(clippy::inline_always, reason = "these are parts of vectorised loops")]
impl Lanes for Avx2 {
    type Reals = Wide;

    #[inline(always)]
    fn reals(self, numbers: &[f64; LANES]) -> Self::Reals {
        // SAFETY: the processor has AVX2, and there are four numbers to be read.
        Wide(unsafe { arch::_mm256_loadu_pd(numbers.as_ptr()) })
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::inline_always, reason = "these are parts of vectorised loops")]
impl Reals for Wide {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: the processor has AVX2.
        Self(unsafe { arch::_mm256_add_pd(self.0, other.0) })
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        // SAFETY: the processor has AVX2.
        Self(unsafe { arch::_mm256_sub_pd(self.0, other.0) })
    }

    #[inline(always)]
    fn times(self, factor: f64) -> Self {
        // SAFETY: the processor has AVX2.
        Self(unsafe { arch::_mm256_mul_pd(self.0, arch::_mm256_set1_pd(factor)) })
    }

    #[inline(always)]
    fn negated(self) -> Self {
        // SAFETY: the processor has AVX2.
        Self(unsafe { arch::_mm256_xor_pd(self.0, arch::_mm256_set1_pd(-0.0)) })
    }

    #[inline(always)]
    fn squared(self) -> Self {
        // SAFETY: the processor has AVX2.
        Self(unsafe { arch::_mm256_mul_pd(self.0, self.0) })
    }

    #[inline(always)]
    fn numbers(self) -> [f64; LANES] {
        let mut numbers = [0.0; LANES];
        // SAFETY: the processor has AVX2, and there is room for four numbers.
        unsafe { arch::_mm256_storeu_pd(numbers.as_mut_ptr(), self.0) };
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Every<'a>(&'a mut Vec<[u64; LANES]>);

    impl Work for Every<'_> {
        fn with(self, lanes: impl Lanes) {
            let (one, other) = ([0.0, -1.5, f64::INFINITY, 1e-320], [-0.0, 1.0 / 3.0, 2.0, 1e-308]);
            let (one, other) = (lanes.reals(&one), lanes.reals(&other));
            let results =
                [one.plus(other), one.minus(other), one.times(-0.1), one.negated(), other.negated(), one.squared()];
            self.0.extend(results.map(|reals| reals.numbers().map(f64::to_bits)));
        }
    }

    #[test]
    fn all_vectors_give_the_same_bits() {
        let (mut widest, mut portable) = (Vec::new(), Vec::new());
        super::widest(Every(&mut widest));
        Every(&mut portable).with(Portable);
        assert_eq!(widest, portable);
        assert_eq!(portable[3], [-0.0, 1.5, f64::NEG_INFINITY, -1e-320].map(f64::to_bits));
    }
}
