//! Estimates of coefficients that a progressive file has not brought, from the DC coefficients of the blocks around.
//!
//! Source: the method of ITU-T T.81, annex K.8, over 5x5 blocks as libjpeg-turbo has it from version 2.1 on
//! (`decompress_smooth_data` in `jdcoefct.c`), with its weights and its choice of neighbours, so that pixels are the same.

use std::ops::Range;

use super::{
    block::Block,
    coefficients::Coefficients,
    precision::{SEEN, UNKNOWN},
    tables::ZIGZAG,
};

/// Weights of 5x5 DC coefficients around a block, in 1/256 of a step.
type Weights = [i32; 25];

#[rustfmt::skip]
const MEAN: Weights = [
    -2, -6, -8, -6, -2,
    -6, 6, 42, 6, -6,
    -8, 42, 152, 42, -8,
    -6, 6, 42, 6, -6,
    -2, -6, -8, -6, -2,
];
#[rustfmt::skip]
const WIDE_01: Weights = [
    -1, -1, 0, 1, 1,
    -3, 13, 0, -13, 3,
    -3, 38, 0, -38, 3,
    -3, 13, 0, -13, 3,
    -1, -1, 0, 1, 1,
];
#[rustfmt::skip]
const WIDE_02: Weights = [
    0, 0, 0, 0, 0,
    0, 2, -5, 2, 0,
    1, 7, -14, 7, 1,
    0, 2, -5, 2, 0,
    0, 0, 0, 0, 0,
];
#[rustfmt::skip]
const WIDE_11: Weights = [
    -1, 0, 0, 0, 1,
    0, 9, 0, -9, 0,
    0, 0, 0, 0, 0,
    0, -9, 0, 9, 0,
    1, 0, 0, 0, -1,
];
#[rustfmt::skip]
const WIDE_03: Weights = [
    0, 0, 0, 0, 0,
    0, 1, 0, -1, 0,
    0, 2, 0, -2, 0,
    0, 1, 0, -1, 0,
    0, 0, 0, 0, 0,
];
#[rustfmt::skip]
const WIDE_12: Weights = [
    0, 0, 0, 0, 0,
    0, 1, -3, 1, 0,
    0, 0, 0, 0, 0,
    0, -1, 3, -1, 0,
    0, 0, 0, 0, 0,
];
#[rustfmt::skip]
const NARROW_01: Weights = [
    0, 0, 0, 0, 0,
    0, 0, 0, 0, 0,
    -7, 50, 0, -50, 7,
    0, 0, 0, 0, 0,
    0, 0, 0, 0, 0,
];
#[rustfmt::skip]
const NARROW_02: Weights = [
    0, 0, 0, 0, 0,
    0, 0, 0, 0, 0,
    -1, 13, -24, 13, -1,
    0, 0, 0, 0, 0,
    0, 0, 0, 0, 0,
];
#[rustfmt::skip]
const NARROW_11: Weights = [
    0, -1, 0, 1, 0,
    -1, 10, 0, -10, 1,
    0, 0, 0, 0, 0,
    1, -10, 0, 10, -1,
    0, 1, 0, -1, 0,
];

/// The weights where nothing but DC coefficients is known, by zigzag order.
const WIDE: [Weights; SEEN] = [
    MEAN,
    WIDE_01,
    turned(WIDE_01),
    turned(WIDE_02),
    WIDE_11,
    WIDE_02,
    WIDE_03,
    WIDE_12,
    turned(WIDE_12),
    turned(WIDE_03),
];

/// The weights where some other coefficient is known, of those that are estimated then.
const NARROW: [Weights; 6] = [[0; 25], NARROW_01, turned(NARROW_01), turned(NARROW_02), NARROW_11, NARROW_02];

/// Returns the weights with rows and columns exchanged.
const fn turned(weights: Weights) -> Weights {
    let mut turned = [0; 25];
    let mut at = 0;
    while at < 25 {
        turned[at % 5 * 5 + at / 5] = weights[at];
        at += 1;
    }
    turned
}

/// How the blocks of a component are smoothed.
#[derive(Debug)]
pub(super) struct Smoothing {
    /// How many of their lowest bits the coefficients lack, by zigzag order.
    missing: [i8; SEEN],
    /// The steps of the coefficients.
    steps: [i64; SEEN],
}

impl Smoothing {
    /// Tells whether no step is zero, by which estimates are divided.
    pub(super) fn allows(quant: &[u16; 64]) -> bool {
        ZIGZAG[..SEEN].iter().all(|&at| quant[usize::from(at)] != 0)
    }

    pub(super) fn new(missing: [i8; SEEN], quant: &[u16; 64]) -> Self {
        Self { missing, steps: std::array::from_fn(|at| quant[usize::from(ZIGZAG[at])].into()) }
    }

    /// Makes `out` the blocks of `columns` in a row, with estimates where coefficients are zero that are not known
    /// exactly.
    pub(super) fn row(
        &self,
        component: &Coefficients,
        row: u32,
        mcu_rows: u32,
        columns: &Range<u32>,
        out: &mut Vec<Block>,
    ) {
        out.clear();
        out.extend_from_slice(component.row(row, columns));
        let kept = component.columns();
        let rows = rows_around(component, row, mcu_rows).map(|row| component.row(row, &kept));
        let last = component.size.width - 1;
        for (column, block) in columns.clone().zip(out) {
            let around: [usize; 5] = std::array::from_fn(|at| {
                let beside = (column + at as u32).saturating_sub(2).min(last);
                (beside - kept.start) as usize
            });
            let window = std::array::from_fn(|at| i32::from(rows[at / 5][around[at % 5]][0]));
            self.block(&window, block);
        }
    }

    fn block(&self, window: &[i32; 25], block: &mut Block) {
        let has_dc_alone = self.missing[1..].iter().all(|&missing| missing == UNKNOWN);
        let weights: &[Weights] = if has_dc_alone { &WIDE } else { &NARROW };
        for (at, weights) in weights.iter().enumerate().skip(1) {
            let value = &mut block[usize::from(ZIGZAG[at])];
            if self.missing[at] != 0 && *value == 0 {
                *value = self.estimate(at, weights, window);
            }
        }
        if has_dc_alone {
            block[0] = self.estimate(0, &MEAN, window);
        }
    }

    fn estimate(&self, at: usize, weights: &Weights, window: &[i32; 25]) -> i16 {
        let sum: i32 = weights.iter().zip(window).map(|(weight, dc)| weight * dc).sum();
        let (sum, step) = (self.steps[0] * i64::from(sum), self.steps[at]);
        let size = ((step << 7) + sum.abs()) / (step << 8);
        // The first bits have been read and are zero, so the estimate stays below them.
        let size = if at > 0 && self.missing[at] > 0 { size.min((1 << self.missing[at]) - 1) } else { size };
        (if sum < 0 { -size } else { size }) as i16
    }
}

/// Returns the rows of blocks around a row, two above to two below it. At the image's edges they are what libjpeg takes
/// for them: mostly the row itself, and below it those rows too that only fill the last row of MCUs.
fn rows_around(component: &Coefficients, row: u32, mcu_rows: u32) -> [u32; 5] {
    let v = component.v;
    let is_last = row / v == mcu_rows - 1;
    let in_mcu = if is_last { (component.size.height - 1) % v + 1 } else { v };
    let (number, count) = (row / v * in_mcu + row % v, in_mcu * mcu_rows);
    let above = if number > 0 { row - 1 } else { row };
    let below = if number + 1 < count { row + 1 } else { row };
    [if number > 1 { row - 2 } else { above }, above, row, below, if number + 2 < count { row + 2 } else { below }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode::jpeg::plane::Layout, geometry::Size};

    fn component(v: u32, height: u32, mcu_rows: u32) -> Coefficients {
        let blocks = Size { height, width: 3 };
        let mut component = Coefficients::default();
        component.reset(
            &Layout { h: 1, v, blocks, columns: 0..3, rows: 0..height, ..Layout::default() },
            (mcu_rows, mcu_rows),
        );
        component
    }

    #[test]
    fn weights_keep_means_and_find_nothing_where_all_is_the_same() {
        assert_eq!(MEAN.iter().sum::<i32>(), 256);
        for weights in WIDE[1..].iter().chain(&NARROW) {
            assert_eq!(weights.iter().sum::<i32>(), 0);
        }
    }

    #[test]
    fn rows_end_at_the_edges_or_with_the_last_row_of_mcus() {
        let single = component(1, 3, 3);
        assert_eq!(rows_around(&single, 0, 3), [0, 0, 0, 1, 2]);
        assert_eq!(rows_around(&single, 2, 3), [0, 1, 2, 2, 2]);
        // Five of six rows are rows of the image.
        let double = component(2, 5, 3);
        assert_eq!(rows_around(&double, 3, 3), [1, 2, 3, 4, 5]);
        assert_eq!(rows_around(&double, 4, 3), [2, 3, 4, 4, 4]);
        // libjpeg takes the only row of the second row of MCUs for the image's second.
        let short = component(2, 3, 2);
        assert_eq!(rows_around(&short, 2, 2), [1, 1, 2, 2, 2]);
    }

    #[test]
    fn estimates_stay_below_what_was_read() {
        let mut component = component(1, 1, 1);
        for (column, dc) in [(0, 800), (1, 0), (2, -800)] {
            *component.dc_mut(column, 0).unwrap() = dc;
        }
        let mut out = Vec::new();
        for (missing, expected) in [(UNKNOWN, 269), (3, 7), (1, 1), (0, 0)] {
            let mut precision = [0; SEEN];
            precision[1] = missing;
            Smoothing::new(precision, &[1; 64]).row(&component, 0, 1, &(1..2), &mut out);
            assert_eq!((out[0][0], out[0][1]), (0, expected), "{missing}");
        }
    }
}
