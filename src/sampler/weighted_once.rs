//! Samples drawn by weight, without replacement: each at most once in an epoch.
//!
//! Each sample waits an exponential time of the rate of its weight, and those that are over first come first: then each next
//! sample is chosen among the others as their weights say. It is the sampling of P. S. Efraimidis and P. G. Spirakis ("Weighted
//! random sampling with a reservoir", Information Processing Letters 97, 2006), whose keys u^(1/w) fall as these times rise.
//!
//! The times are compared by their logarithms, ln(-ln u) - ln w, which are finite for any weights. The table has ln w of each
//! sample.

use super::{
    order_spec::{OrderKind, OrderSpec, positive},
    table::Table,
    weights::check_drawn,
};
use crate::{
    error::{Error, Result},
    rng::Key,
};

/// Sets these draws apart from those of transforms and of other orders.
const OP: u64 = u64::MAX - 6;

impl OrderSpec {
    /// Draws `num_samples` positions, by default as many as there are weights above 0, by weight and without replacement, anew in
    /// each epoch.
    ///
    /// # Errors
    /// [`Error::Config`] where there are no weights, one is negative, infinite or not a number, or all are 0; or for no
    /// positions, or more than there are weights above 0.
    pub fn weighted_once(weights: &[f64], num_samples: Option<u64>) -> Result<(Self, Vec<u8>)> {
        check_drawn("Weighted: weights", weights)?;
        let most = weights.iter().filter(|weight| **weight > 0.0).count() as u64;
        let num_samples = positive("Weighted", num_samples)?.unwrap_or(most);
        if num_samples > most {
            return Err(Error::Config(format!(
                "Weighted: num_samples must be {most} or less without replacement, as many as there are weights above 0, \
                 not {num_samples}"
            )));
        }
        let table = weights.iter().flat_map(|weight| libm::log(*weight).to_bits().to_ne_bytes()).collect::<Vec<u8>>();
        Ok((Self::new(OrderKind::WeightedOnce { weights: weights.len() as u64, num_samples }, &table), table))
    }
}

/// Draws the samples of an epoch: so many of those that the table has.
pub(super) fn draw(table: &Table, (samples, num_samples): (u64, u64), seed: u64, epoch: u64) -> Vec<u64> {
    // One stream of numbers, of which each sample has its own one, also those that cannot come.
    let mut draws = Key { seed, epoch, index: u64::MAX }.rng(OP);
    let mut times: Vec<(f64, u64)> = (0..samples)
        .map(|index| {
            let wait = libm::log(-libm::log(1.0 - draws.unit()));
            (wait - f64::from_bits(table.word(index)), index)
        })
        // A weight of 0 has the logarithm of minus infinity, and its time never ends.
        .filter(|(time, _)| *time < f64::INFINITY)
        .collect();
    let sooner = |one: &(f64, u64), other: &(f64, u64)| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1));
    let num_samples = num_samples as usize;
    if num_samples < times.len() {
        times.select_nth_unstable_by(num_samples, sooner);
        times.truncate(num_samples);
    }
    times.sort_unstable_by(sooner);
    times.into_iter().map(|(_, index)| index).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drawn(weights: &[f64], num_samples: Option<u64>, seed: u64, epoch: u64) -> Vec<u64> {
        let (spec, table) = OrderSpec::weighted_once(weights, num_samples).unwrap();
        let OrderKind::WeightedOnce { weights, num_samples } = spec.kind else { panic!("{spec:?}") };
        draw(&Table::new(table), (weights, num_samples), seed, epoch)
    }

    #[test]
    fn golden_draws_never_change() {
        let weights = [1.0, 0.0, 3.0, 2.5, 0.25, 8.0, 1.0];
        assert_eq!([0, 1, 2].map(|epoch| drawn(&weights, None, 7, epoch)), GOLDEN);
    }

    const GOLDEN: [[u64; 6]; 3] = [[5, 3, 0, 2, 6, 4], [5, 3, 0, 2, 6, 4], [0, 5, 2, 3, 6, 4]];

    #[test]
    fn extreme_weights_are_drawn_as_they_are() {
        for epoch in 0..50 {
            assert_eq!(drawn(&[5e-324, 0.0, f64::MAX, 1.0], None, 3, epoch), [2, 3, 0]);
        }
    }

    /// The law of the order: the first by weight, the second by weight among the others. Chi-squared with a fixed outcome; 5
    /// degrees of freedom have a standard deviation of 3.2.
    #[test]
    fn each_next_sample_is_chosen_by_weight_among_the_others() {
        let (weights, epochs) = ([1.0, 2.0, 5.0], 20_000);
        let mut counts = std::collections::BTreeMap::new();
        for epoch in 0..epochs {
            *counts.entry(drawn(&weights, None, 3, epoch)).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        let sum: f64 = weights.iter().sum();
        let chi: f64 = counts
            .iter()
            .map(|(order, count)| {
                let [first, second] = [order[0], order[1]].map(|index| weights[index as usize]);
                let expected = f64::from(epochs as u32) * first / sum * second / (sum - first);
                (f64::from(*count) - expected).powi(2) / expected
            })
            .sum();
        assert!(chi < 5.0 + 4.0 * 3.2, "{chi}: {counts:?}");
    }

    proptest! {
        #[test]
        fn fewer_are_the_first_of_all(
            weights in prop::collection::vec(prop_oneof![Just(0.0), 1e-3..1e3], 1..100), seed: u64, epoch: u64, part in 0.0..1.0,
        ) {
            let above = (0..weights.len() as u64).filter(|at| weights[*at as usize] > 0.0).collect::<Vec<_>>();
            prop_assume!(!above.is_empty());
            let all = drawn(&weights, None, seed, epoch);
            let mut sorted = all.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, above);
            let some = 1 + (part * (all.len() - 1) as f64) as usize;
            prop_assert_eq!(&drawn(&weights, Some(some as u64), seed, epoch), &all[..some]);
        }
    }
}
