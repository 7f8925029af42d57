//! What has a faster form for some processors, behind one trait, so that the rest is written once.

use super::{block::Block, idct};

/// A set of instructions.
pub(super) trait Vector: Copy {
    /// Transforms blocks that lie side by side; writes their pixels to `out`, whose rows are `stride` bytes apart.
    fn idct(self, blocks: &[Block], quant: &[u16; 64], out: &mut [u8], stride: usize);

    /// Spreads the lowest bits of `bits` over the positions of those that are one in `mask`; the others are zero.
    fn deposit(self, bits: u64, mask: u64) -> u64;

    /// Returns bit `number` of those that are one, from the top on; there are more than so many.
    fn nth(self, bits: u64, number: u32) -> u64;
}

/// What every processor has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

impl Vector for Portable {
    #[inline]
    fn idct(self, blocks: &[Block], quant: &[u16; 64], out: &mut [u8], stride: usize) {
        idct::blocks(blocks, quant, out, stride);
    }

    #[inline]
    fn deposit(self, mut bits: u64, mut mask: u64) -> u64 {
        let mut found = 0;
        while mask != 0 && bits != 0 {
            let lowest = mask & mask.wrapping_neg();
            found |= lowest * (bits & 1);
            bits >>= 1;
            mask ^= lowest;
        }
        found
    }

    #[inline]
    fn nth(self, mut bits: u64, number: u32) -> u64 {
        let top = |bits: u64| 1 << 63 >> (bits.leading_zeros() & 63);
        for _ in 0..number {
            bits &= !top(bits);
        }
        top(bits)
    }
}

/// AVX2, where there is none.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Clone, Copy, Debug)]
pub(super) enum Avx2 {}

#[cfg(not(target_arch = "x86_64"))]
impl Avx2 {
    pub(super) const fn new() -> Option<Self> {
        None
    }

    pub(super) fn run<R>(self, _: impl FnOnce() -> R) -> R {
        match self {}
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Vector for Avx2 {
    fn idct(self, _: &[Block], _: &[u16; 64], _: &mut [u8], _: usize) {
        match self {}
    }

    fn deposit(self, _: u64, _: u64) -> u64 {
        match self {}
    }

    fn nth(self, _: u64, _: u32) -> u64 {
        match self {}
    }
}
