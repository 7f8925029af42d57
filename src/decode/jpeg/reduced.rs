//! The inverse cosine transform to fewer pixels: a block to 4x4, 2x2 or one.
//!
//! Source: the fixed-point arithmetic of libjpeg's `jidctred.c`, so that pixels are the same.

use super::block::Block;

const CONST_BITS: u32 = 13;
const PASS1_BITS: u32 = 2;

/// Transforms blocks that lie side by side to `edge` x `edge` pixels each; writes them to `out`, whose rows are
/// `stride` bytes apart.
pub(super) fn blocks(blocks: &[Block], quant: &[u16; 64], edge: usize, out: &mut [u8], stride: usize) {
    for (number, block) in blocks.iter().enumerate() {
        let input: [i32; 64] = std::array::from_fn(|at| i32::from(block[at]).wrapping_mul(i32::from(quant[at])));
        let samples = match edge {
            4 => samples(&input, four, 1),
            2 => samples(&input, two, 2),
            _ => [[pixel(descale(input[0], 3)); 4]; 4],
        };
        for (at, row) in samples[..edge].iter().enumerate() {
            let start = at * stride + number * edge;
            out[start..start + edge].copy_from_slice(&row[..edge]);
        }
    }
}

/// Runs `pass` over the columns, then over the rows; its results have `more` bits behind the point beside the usual.
fn samples(input: &[i32; 64], pass: fn([i32; 8]) -> [i32; 4], more: u32) -> [[u8; 4]; 4] {
    let mut between = [[0; 8]; 4];
    for column in 0..8 {
        let values = pass(std::array::from_fn(|row| input[row * 8 + column]));
        for (row, value) in values.into_iter().enumerate() {
            between[row][column] = descale(value, CONST_BITS - PASS1_BITS + more);
        }
    }
    between.map(|row| pass(row).map(|value| pixel(descale(value, CONST_BITS + PASS1_BITS + 3 + more))))
}

fn four(v: [i32; 8]) -> [i32; 4] {
    let middle = v[0].wrapping_shl(CONST_BITS + 1);
    let even = products([v[2], v[6], 0, 0], [15137, -6270, 0, 0]);
    let inner = products([v[7], v[5], v[3], v[1]], [-1730, 11893, -17799, 8697]);
    let outer = products([v[7], v[5], v[3], v[1]], [-4176, -4926, 7373, 20995]);
    let (first, second) = (middle.wrapping_add(even), middle.wrapping_sub(even));
    [first.wrapping_add(outer), second.wrapping_add(inner), second.wrapping_sub(inner), first.wrapping_sub(outer)]
}

fn two(v: [i32; 8]) -> [i32; 4] {
    let even = v[0].wrapping_shl(CONST_BITS + 2);
    let odd = products([v[7], v[5], v[3], v[1]], [-5906, 6967, -10426, 29692]);
    [even.wrapping_add(odd), even.wrapping_sub(odd), 0, 0]
}

/// Returns the sum of products; it wraps for coefficients that no encoder writes.
fn products(values: [i32; 4], factors: [i32; 4]) -> i32 {
    values.into_iter().zip(factors).fold(0, |sum, (value, factor)| sum.wrapping_add(value.wrapping_mul(factor)))
}

const fn descale(value: i32, bits: u32) -> i32 {
    value.wrapping_add(1 << (bits - 1)) >> bits
}

fn pixel(value: i32) -> u8 {
    (value.clamp(-128, 127) + 128) as u8
}
