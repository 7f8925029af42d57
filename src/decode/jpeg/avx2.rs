//! What AVX2 does in a few instructions.

#![expect(unsafe_code, reason = "vector loads and stores take pointers")]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_broadcastsi128_si256,
    _mm256_castsi128_si256, _mm256_cmpeq_epi16, _mm256_inserti128_si256, _mm256_madd_epi16, _mm256_movemask_epi8,
    _mm256_mullo_epi16, _mm256_packs_epi16, _mm256_packs_epi32, _mm256_permute4x64_epi64, _mm256_set1_epi8,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_slli_epi16, _mm256_srai_epi16, _mm256_srai_epi32,
    _mm256_storeu_si256, _mm256_sub_epi16, _mm256_sub_epi32, _mm256_unpackhi_epi16, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi16, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
    _pdep_u64,
};

use super::{
    block::Block,
    idct::{
        self,
        fix::{F0_298, F0_390, F0_541, F0_765, F0_899, F1_175, F1_501, F1_847, F1_961, F2_053, F2_562, F3_072},
    },
    vector::Vector,
};

/// The proof that this processor has AVX2 and the bit instructions that came with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

impl Avx2 {
    /// Returns the proof, where there is one.
    pub(super) fn new() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt");
        has_all.then_some(Self(()))
    }

    /// Runs `body`, and what is inlined into it, compiled for these instructions.
    #[inline(always)]
    #[expect(clippy::unused_self, reason = "it is the proof")]
    pub(super) fn run<R>(self, body: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
        fn inner<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        // SAFETY: `self` was made where the processor was found to have all four features.
        unsafe { inner(body) }
    }
}

impl Vector for Avx2 {
    #[inline(always)]
    fn idct(self, blocks: &[Block], quant: &[u16; 64], out: &mut [u8], stride: usize) {
        // SAFETY: `self` was made where the processor was found to have AVX2.
        unsafe { idct(blocks, quant, out, stride) }
    }

    #[inline(always)]
    fn deposit(self, bits: u64, mask: u64) -> u64 {
        // SAFETY: `self` was made where the processor was found to have BMI2.
        unsafe { _pdep_u64(bits, mask) }
    }

    #[inline(always)]
    fn nth(self, bits: u64, number: u32) -> u64 {
        self.deposit(1 << (bits.count_ones().wrapping_sub(number + 1) & 63), bits)
    }
}

/// [`idct::blocks`](super::idct::blocks), two blocks at once, each in a half of the registers.
#[target_feature(enable = "avx2")]
fn idct(blocks: &[Block], quant: &[u16; 64], out: &mut [u8], stride: usize) {
    for (number, pair) in blocks.chunks(2).enumerate() {
        let rows = two(&pair[0], &pair[pair.len() - 1], quant);
        let out = &mut out[number * 16..];
        // Copies of a length that is known take one instruction.
        if pair.len() == 2 {
            for (at, row) in rows.iter().enumerate() {
                out[at * stride..at * stride + 16].copy_from_slice(row);
            }
        } else {
            for (at, row) in rows.iter().enumerate() {
                out[at * stride..at * stride + 8].copy_from_slice(&row[..8]);
            }
        }
    }
}

/// Transforms two blocks; returns the pixels of both, row by row.
#[target_feature(enable = "avx2")]
fn two(first: &Block, second: &Block, quant: &[u16; 64]) -> [[u8; 16]; 8] {
    let mut rows: [__m256i; 8] = std::array::from_fn(|row| {
        let (first, second, quant) = (eighth(first, row), eighth(second, row), eighth(quant, row));
        let both = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(first), second);
        _mm256_mullo_epi16(both, _mm256_broadcastsi128_si256(quant))
    });
    // What no encoder writes: values that wrap on the short way for blocks with nothing below the first row.
    let wrapped = _mm256_srai_epi16::<2>(_mm256_slli_epi16::<2>(rows[0]));
    if _mm256_movemask_epi8(_mm256_cmpeq_epi16(wrapped, rows[0])) != -1 {
        return two_portable(first, second, quant);
    }
    rows = pass::<11>(rows);
    rows = pass::<18>(transposed(rows));
    let [r0, r1, r2, r3, r4, r5, r6, r7] = transposed(rows);
    let middle = _mm256_set1_epi8(-128);
    // Two rows of each block in a register; then the first row of both blocks before the second.
    let pixels = |a, b| _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_xor_si256(_mm256_packs_epi16(a, b), middle));
    let pairs = [pixels(r0, r1), pixels(r2, r3), pixels(r4, r5), pixels(r6, r7)];
    let mut out = [[0; 16]; 8];
    for (to, pair) in out.as_chunks_mut::<2>().0.iter_mut().zip(pairs) {
        // SAFETY: two rows of 16 bytes are 32 bytes, which is what is stored; no alignment is asked for.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), pair) };
    }
    out
}

/// [`two`] without vector instructions.
#[cold]
fn two_portable(first: &Block, second: &Block, quant: &[u16; 64]) -> [[u8; 16]; 8] {
    let (first, second) = (idct::samples(first, quant), idct::samples(second, quant));
    std::array::from_fn(|row| std::array::from_fn(|at| if at < 8 { first[row][at] } else { second[row][at - 8] }))
}

/// Loads eight of 64 16-bit values.
#[target_feature(enable = "avx2")]
fn eighth<T: Copy>(values: &[T; 64], number: usize) -> __m128i {
    const { assert!(size_of::<T>() == 2) };
    let values = &values[number * 8..number * 8 + 8];
    // SAFETY: the slice has eight values of two bytes, which is what is loaded; no alignment is asked for.
    unsafe { _mm_loadu_si128(values.as_ptr().cast()) }
}

/// Returns a vector of pairs (a, b).
#[target_feature(enable = "avx2")]
fn pairs(a: i32, b: i32) -> __m256i {
    _mm256_set1_epi32(a & 0xffff | b << 16)
}

/// One pass over eight vectors, with `BITS` rounded away.
#[target_feature(enable = "avx2")]
fn pass<const BITS: i32>(v: [__m256i; 8]) -> [__m256i; 8] {
    let interleaved = |a, b| (_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b));
    let products = |(low, high): (__m256i, __m256i), factors: __m256i| {
        (_mm256_madd_epi16(low, factors), _mm256_madd_epi16(high, factors))
    };
    let sum = |(a, b): (__m256i, __m256i), (c, d): (__m256i, __m256i)| (_mm256_add_epi32(a, c), _mm256_add_epi32(b, d));
    let difference =
        |(a, b): (__m256i, __m256i), (c, d): (__m256i, __m256i)| (_mm256_sub_epi32(a, c), _mm256_sub_epi32(b, d));
    let scaled = |value: __m256i| {
        // The values stand in the high halves, so that a shift to the right extends their sign.
        let zero = _mm256_setzero_si256();
        let (low, high) = interleaved(zero, value);
        (_mm256_srai_epi32::<3>(low), _mm256_srai_epi32::<3>(high))
    };

    let z = interleaved(v[2], v[6]);
    let tmp2 = products(z, pairs(F0_541, F0_541 - F1_847));
    let tmp3 = products(z, pairs(F0_541 + F0_765, F0_541));
    let tmp0 = scaled(_mm256_add_epi16(v[0], v[4]));
    let tmp1 = scaled(_mm256_sub_epi16(v[0], v[4]));
    let even = [sum(tmp0, tmp3), sum(tmp1, tmp2), difference(tmp1, tmp2), difference(tmp0, tmp3)];

    let z = interleaved(_mm256_add_epi16(v[7], v[3]), _mm256_add_epi16(v[5], v[1]));
    let sum3 = products(z, pairs(F1_175 - F1_961, F1_175));
    let sum4 = products(z, pairs(F1_175, F1_175 - F0_390));
    let outer = interleaved(v[1], v[7]);
    let inner = interleaved(v[3], v[5]);
    let odd = [
        sum(products(outer, pairs(F1_501 - F0_899, -F0_899)), sum4),
        sum(products(inner, pairs(F3_072 - F2_562, -F2_562)), sum3),
        sum(products(inner, pairs(-F2_562, F2_053 - F2_562)), sum4),
        sum(products(outer, pairs(-F0_899, F0_298 - F0_899)), sum3),
    ];

    let half = _mm256_set1_epi32(1 << (BITS - 1));
    let descaled = |(low, high): (__m256i, __m256i)| {
        _mm256_packs_epi32(
            _mm256_srai_epi32::<BITS>(_mm256_add_epi32(low, half)),
            _mm256_srai_epi32::<BITS>(_mm256_add_epi32(high, half)),
        )
    };
    [
        descaled(sum(even[0], odd[0])),
        descaled(sum(even[1], odd[1])),
        descaled(sum(even[2], odd[2])),
        descaled(sum(even[3], odd[3])),
        descaled(difference(even[3], odd[3])),
        descaled(difference(even[2], odd[2])),
        descaled(difference(even[1], odd[1])),
        descaled(difference(even[0], odd[0])),
    ]
}

/// Turns rows into columns, in each half by itself.
#[target_feature(enable = "avx2")]
fn transposed(v: [__m256i; 8]) -> [__m256i; 8] {
    let words = |a, b| [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)];
    let double_words = |a, b| [_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)];
    let quad_words = |a, b| [_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)];
    let [a0, a1] = words(v[0], v[1]);
    let [b0, b1] = words(v[2], v[3]);
    let [c0, c1] = words(v[4], v[5]);
    let [d0, d1] = words(v[6], v[7]);
    let [e0, e1] = double_words(a0, b0);
    let [e2, e3] = double_words(a1, b1);
    let [f0, f1] = double_words(c0, d0);
    let [f2, f3] = double_words(c1, d1);
    let [r0, r1] = quad_words(e0, f0);
    let [r2, r3] = quad_words(e1, f1);
    let [r4, r5] = quad_words(e2, f2);
    let [r6, r7] = quad_words(e3, f3);
    [r0, r1, r2, r3, r4, r5, r6, r7]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::vector::Portable, *};

    proptest! {
        #[test]
        fn bits_are_those_of_the_portable_code(bits: u64, mask: u64, number in 0..64_u32) {
            let Some(avx2) = Avx2::new() else { return Ok(()) };
            prop_assert_eq!(avx2.deposit(bits, mask), Portable.deposit(bits, mask));
            if number < mask.count_ones() {
                let found = avx2.nth(mask, number);
                prop_assert_eq!(found, Portable.nth(mask, number));
                prop_assert_eq!((found.count_ones(), found & mask), (1, found));
                prop_assert_eq!((mask & (found << 1).wrapping_neg()).count_ones(), number);
            }
        }

        #[test]
        fn transforms_are_those_of_the_portable_code(
            values in prop::collection::vec(prop_oneof![Just(0_i16), -300..300_i16, any::<i16>()], 3 * 64),
            steps in prop::collection::vec(prop_oneof![1..100_u16, any::<u16>()], 64),
        ) {
            let Some(avx2) = Avx2::new() else { return Ok(()) };
            let blocks: Vec<Block> = values.as_chunks::<64>().0.to_vec();
            let quant: [u16; 64] = steps.try_into().unwrap();
            let (mut ours, mut theirs) = ([0; 8 * 24], [0; 8 * 24]);
            avx2.idct(&blocks, &quant, &mut ours, 24);
            idct::blocks(&blocks, &quant, &mut theirs, 24);
            prop_assert_eq!(&ours[..], &theirs[..]);
        }
    }
}
