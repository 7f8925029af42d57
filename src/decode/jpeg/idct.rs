//! The inverse cosine transform, with the arithmetic of libjpeg's `islow`, so that pixels are the same.
//!
//! Source: C. Loeffler, A. Ligtenberg, G. Moschytz, "Practical fast 1-D DCT algorithms with 11 multiplications",
//! ICASSP 1989, in the 13-bit fixed-point form of `jidctint.c`; the reduced ones as `jidctred.c` has them. As
//! in the vector code of libjpeg-turbo, coefficients, sums of two and the values between the two passes have 16 bits.

use super::block::Block;

/// The bits of the fixed-point constants.
const CONST_BITS: u32 = 13;
/// The bits that the first pass leaves behind the point.
const PASS1_BITS: u32 = 2;

/// The constants of the odd and even parts, times 2^13.
pub(super) mod fix {
    pub(in super::super) const F0_298: i32 = 2446;
    pub(in super::super) const F0_390: i32 = 3196;
    pub(in super::super) const F0_541: i32 = 4433;
    pub(in super::super) const F0_765: i32 = 6270;
    pub(in super::super) const F0_899: i32 = 7373;
    pub(in super::super) const F1_175: i32 = 9633;
    pub(in super::super) const F1_501: i32 = 12299;
    pub(in super::super) const F1_847: i32 = 15137;
    pub(in super::super) const F1_961: i32 = 16069;
    pub(in super::super) const F2_053: i32 = 16819;
    pub(in super::super) const F2_562: i32 = 20995;
    pub(in super::super) const F3_072: i32 = 25172;
}

/// Multiplies coefficients by their steps.
fn dequantised(block: &Block, quant: &[u16; 64]) -> Block {
    std::array::from_fn(|at| block[at].wrapping_mul(quant[at] as i16))
}

/// One pass over eight values; the results still have `CONST_BITS` more bits behind the point.
fn pass(v: [i16; 8]) -> [i32; 8] {
    use fix::{F0_298, F0_390, F0_541, F0_765, F0_899, F1_175, F1_501, F1_847, F1_961, F2_053, F2_562, F3_072};
    let wide = |value: i16| i32::from(value);
    let (z2, z3) = (wide(v[2]), wide(v[6]));
    let tmp2 = z2 * F0_541 + z3 * (F0_541 - F1_847);
    let tmp3 = z2 * (F0_541 + F0_765) + z3 * F0_541;
    let tmp0 = wide(v[0].wrapping_add(v[4])) << CONST_BITS;
    let tmp1 = wide(v[0].wrapping_sub(v[4])) << CONST_BITS;
    let even = [tmp0 + tmp3, tmp1 + tmp2, tmp1 - tmp2, tmp0 - tmp3];

    let (z3, z4) = (wide(v[7].wrapping_add(v[3])), wide(v[5].wrapping_add(v[1])));
    let sum3 = z3 * (F1_175 - F1_961) + z4 * F1_175;
    let sum4 = z3 * F1_175 + z4 * (F1_175 - F0_390);
    let (v1, v3, v5, v7) = (wide(v[1]), wide(v[3]), wide(v[5]), wide(v[7]));
    let odd = [
        v1 * (F1_501 - F0_899) - v7 * F0_899 + sum4,
        v3 * (F3_072 - F2_562) - v5 * F2_562 + sum3,
        v5 * (F2_053 - F2_562) - v3 * F2_562 + sum4,
        v7 * (F0_298 - F0_899) - v1 * F0_899 + sum3,
    ];
    std::array::from_fn(|at| if at < 4 { even[at] + odd[at] } else { even[7 - at] - odd[7 - at] })
}

/// Rounds `bits` away, to 16 bits.
fn descale(value: i32, bits: u32) -> i16 {
    ((value + (1 << (bits - 1))) >> bits).clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// Returns the pixel of a value around zero.
fn pixel(value: i16) -> u8 {
    (value.clamp(-128, 127) + 128) as u8
}

/// Transforms blocks that lie side by side; writes their pixels to `out`, whose rows are `stride` bytes apart.
pub(super) fn blocks(blocks: &[Block], quant: &[u16; 64], out: &mut [u8], stride: usize) {
    for (number, block) in blocks.iter().enumerate() {
        for (at, row) in samples(block, quant).iter().enumerate() {
            let start = at * stride + number * 8;
            out[start..start + 8].copy_from_slice(row);
        }
    }
}

/// Transforms one block.
pub(super) fn samples(coefficients: &Block, quant: &[u16; 64]) -> [[u8; 8]; 8] {
    let input = dequantised(coefficients, quant);
    let mut between = [[0; 8]; 8];
    let is_flat = coefficients[8..].iter().all(|&coefficient| coefficient == 0);
    for column in 0..8 {
        if is_flat {
            // Where nothing stands below the first row, the vector code takes a short way, which wraps.
            for row in &mut between {
                row[column] = input[column] << PASS1_BITS;
            }
            continue;
        }
        let values = pass(std::array::from_fn(|row| input[row * 8 + column]));
        for (row, value) in values.into_iter().enumerate() {
            between[row][column] = descale(value, CONST_BITS - PASS1_BITS);
        }
    }
    between.map(|row| pass(row).map(|value| pixel(descale(value, CONST_BITS + PASS1_BITS + 3))))
}
