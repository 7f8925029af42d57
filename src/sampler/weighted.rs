//! Samples drawn by weight, with replacement, each position by itself.
//!
//! The table is that of A. J. Walker's alias method ("An efficient method for generating discrete random variables with
//! general distributions", ACM TOMS 3, 1977), built as M. D. Vose does ("A linear algorithm for generating random numbers
//! with a given distribution", IEEE TSE 17, 1991). A draw takes a column, each as likely, and from that the column's own
//! sample below its threshold, and its alias above.

use super::table::Table;
use crate::rng::Key;

/// Sets these draws apart from those of transforms and of other orders.
const OP: u64 = u64::MAX - 3;

/// 2^64, of which thresholds are shares.
const WHOLE: f64 = 18_446_744_073_709_551_616.0;

/// Returns the table of these weights: for each sample the threshold of its column, as a share of 2^64, and its alias.
///
/// Weights are finite, none is negative and not all are 0, as [`OrderSpec`](super::OrderSpec) has them. A sample of weight 0
/// is never drawn.
pub(super) fn table(weights: &[f64]) -> Vec<u64> {
    // By the largest first, since the sum of large weights may be infinite.
    let heaviest = (0..weights.len()).fold(0, |best, at| if weights[at] > weights[best] { at } else { best });
    let greatest = weights.get(heaviest).copied().unwrap_or(1.0);
    let sum: f64 = weights.iter().map(|weight| weight / greatest).sum();
    let columns = weights.len() as f64;
    let mut shares: Vec<f64> = weights.iter().map(|weight| weight / greatest / sum * columns).collect();
    let mut aliases: Vec<u64> = vec![heaviest as u64; weights.len()];
    let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..weights.len()).partition(|&at| shares[at] < 1.0);
    while let (Some(&less), Some(&more)) = (small.last(), large.last()) {
        small.pop();
        aliases[less] = more as u64;
        shares[more] -= 1.0 - shares[less];
        if shares[more] < 1.0 {
            large.pop();
            small.push(more);
        }
    }
    // Those that are left are full, but for roundings, which are the heaviest sample's.
    for at in large {
        shares[at] = 1.0;
    }
    shares.iter().zip(aliases).flat_map(|(share, alias)| [(share * WHOLE) as u64, alias]).collect()
}

/// Returns the sample at a position of an epoch, of so many.
pub(super) fn draw(table: &Table, samples: u64, seed: u64, (epoch, position): (u64, u64)) -> u64 {
    let mut draws = Key { seed, epoch, index: position }.rng(OP);
    let (column, height) = (draws.below(samples), draws.below(u64::MAX));
    if height < table.word(2 * column) { column } else { table.word(2 * column + 1) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What share of all draws each sample has, by the table.
    fn shares(weights: &[f64]) -> Vec<f64> {
        let mut shares = vec![0.0; weights.len()];
        for (at, column) in table(weights).chunks_exact(2).enumerate() {
            let own = column[0] as f64 / WHOLE;
            shares[at] += own / weights.len() as f64;
            shares[column[1] as usize] += (1.0 - own) / weights.len() as f64;
        }
        shares
    }

    fn words(weights: &[f64]) -> Table {
        Table::new(bytemuck::cast_slice::<u64, u8>(&table(weights)).to_vec())
    }

    #[test]
    fn golden_draws_never_change() {
        let table = words(&[1.0, 0.0, 3.0, 2.5]);
        assert_eq!((0..12).map(|at| draw(&table, 4, 7, (1, at))).collect::<Vec<_>>(), GOLDEN);
    }

    const GOLDEN: [u64; 12] = [2, 2, 3, 0, 2, 3, 2, 0, 0, 3, 3, 2];

    #[test]
    fn extreme_weights_are_drawn_as_they_are() {
        assert_eq!(shares(&[f64::MAX, f64::MAX]), [0.5, 0.5]);
        assert_eq!(shares(&[5e-324]), [1.0]);
        let found = shares(&[0.0, 5e-324, f64::MAX, 0.0]);
        assert_eq!((found[0], found[3]), (0.0, 0.0));
        assert!((found[2] - 1.0).abs() < 1e-15);
    }

    /// Chi-squared with a fixed outcome: 3 degrees of freedom have a standard deviation of 2.4.
    #[test]
    fn draws_follow_the_weights() {
        let weights = [1.0, 0.0, 3.0, 2.5, 0.5];
        let (table, draws) = (words(&weights), 40_000);
        let mut counts = [0_u32; 5];
        (0..draws).for_each(|at| counts[draw(&table, 5, 3, (at % 2, at)) as usize] += 1);
        assert_eq!(counts[1], 0);
        let expected = weights.map(|weight| weight / 7.0 * draws as f64);
        let chi: f64 =
            [0, 2, 3, 4].iter().map(|&at| (f64::from(counts[at]) - expected[at]).powi(2) / expected[at]).sum();
        assert!(chi < 3.0 + 4.0 * 2.45, "{chi}: {counts:?}");
    }

    proptest! {
        #[test]
        fn a_table_has_the_shares_of_its_weights(weights in prop::collection::vec(prop_oneof![Just(0.0), 1e-3..1e3], 1..200)) {
            let sum: f64 = weights.iter().sum();
            prop_assume!(sum > 0.0);
            for (found, weight) in shares(&weights).into_iter().zip(&weights) {
                prop_assert!((found - weight / sum).abs() < 1e-12, "{found} for {}", weight / sum);
                prop_assert!(*weight > 0.0 || found == 0.0);
            }
        }
    }
}
