//! The easiest samples first, and more of them as positions go by.
//!
//! It is the sampling of E. A. Platanios and others ("Competence-based curriculum learning for neural machine translation",
//! NAACL 2019): each position has one of the samples that may be drawn there, each as likely. Samples as easy as each other may
//! be drawn from the same position on. Where it can be, a sample is not drawn but dealt: positions go through all samples in
//! passes, each in a random order, and only where the sample whose turn it is may not come yet, one that may is drawn in its
//! stead. So from the position on at which all may come, each comes once in a pass.
//!
//! The table has two numbers for each sample, from the easiest on: its index, and behind how many of them all come that are as
//! easy.

use super::{
    order_spec::{OrderKind, OrderSpec, positive},
    pacing::{Paced, Pacing},
    permutation::Permutation,
    table::Table,
    weights,
};
use crate::{
    error::{Error, Result},
    rng::Key,
};

/// Sets these draws apart from those of transforms and of other orders.
const OP: u64 = u64::MAX - 7;

impl OrderSpec {
    /// Draws the easiest samples first. `start` is the share of them that may be drawn at the beginning, and after `epochs` of
    /// `num_samples` positions all may be; by default an epoch has as many positions as there are samples.
    ///
    /// # Errors
    /// [`Error::Config`] where there are no difficulties, or one is infinite or not a number; for no positions, or more than there
    /// can be; where `start` is not above 0 and at most 1, or `epochs` not above 0.
    pub fn curriculum(
        difficulty: &[f64],
        pacing: Pacing,
        (start, epochs): (f64, f64),
        num_samples: Option<u64>,
    ) -> Result<(Self, Vec<u8>)> {
        weights::check("Curriculum: difficulty", difficulty, |_| true, "one for each sample")?;
        let samples = difficulty.len() as u64;
        if samples == 0 {
            return Err(Error::config("Curriculum: difficulty must have at least one number"));
        }
        let num_samples = positive("Curriculum", num_samples)?.unwrap_or(samples);
        if !(start > 0.0 && start <= 1.0) {
            return Err(Error::Config(format!("Curriculum: start must be more than 0 and at most 1, not {start}")));
        }
        let positions = (epochs * num_samples as f64).ceil();
        // What is no number is none of these either.
        if !(epochs > 0.0 && positions < 2_f64.powi(62)) {
            return Err(Error::Config(format!(
                "Curriculum: epochs must be more than 0, and of fewer than 2**62 positions, not {epochs}"
            )));
        }
        let first = ((start * samples as f64).ceil() as u64).clamp(1, samples);
        let paced = Paced { pacing, samples, first, positions: positions as u64 };
        let table = bytemuck::cast_slice(&table(difficulty)).to_vec();
        Ok((Self::new(OrderKind::Curriculum { paced, num_samples }, &table), table))
    }
}

fn table(difficulty: &[f64]) -> Vec<u64> {
    // A sum with 0 makes one of the two zeros.
    let mut sorted: Vec<(f64, u64)> = difficulty.iter().map(|number| number + 0.0).zip(0..).collect();
    sorted.sort_unstable_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    let mut end = 0;
    let as_easy = sorted.chunk_by(|one, other| one.0.total_cmp(&other.0).is_eq());
    as_easy
        .flat_map(|group| {
            end += group.len() as u64;
            group.iter().flat_map(move |(_, index)| [*index, end])
        })
        .collect()
}

/// Returns the sample at a position of an epoch of so many.
pub(super) fn draw(
    table: &Table,
    (paced, num_samples): (&Paced, u64),
    seed: u64,
    (epoch, position): (u64, u64),
) -> u64 {
    let number = u128::from(epoch) * u128::from(num_samples) + u128::from(position);
    let eligible = table.word(2 * paced.eligible(number) - 1);
    let samples = u128::from(paced.samples);
    let turn = Permutation::new(paced.samples, seed, (number / samples) as u64).get((number % samples) as u64);
    let from_easiest =
        if turn < eligible { turn } else { Key { seed, epoch, index: position }.rng(OP).below(eligible) };
    table.word(2 * from_easiest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Made {
        paced: Paced,
        num_samples: u64,
        table: Table,
    }

    impl Made {
        fn new(difficulty: &[f64], pacing: Pacing, ramp: (f64, f64), num_samples: Option<u64>) -> Self {
            let (spec, table) = OrderSpec::curriculum(difficulty, pacing, ramp, num_samples).unwrap();
            let OrderKind::Curriculum { paced, num_samples } = spec.kind else { panic!("{spec:?}") };
            Self { paced, num_samples, table: Table::new(table) }
        }

        fn epoch(&self, seed: u64, epoch: u64) -> Vec<u64> {
            let of = (&self.paced, self.num_samples);
            (0..self.num_samples).map(|position| draw(&self.table, of, seed, (epoch, position))).collect()
        }
    }

    #[test]
    fn golden_draws_never_change() {
        let made = Made::new(&[5.0, 1.0, 3.0, 2.0, 4.0, 0.0], Pacing::Root, (0.2, 2.0), None);
        assert_eq!([0, 1, 2].map(|epoch| made.epoch(7, epoch)), GOLDEN);
    }

    const GOLDEN: [[u64; 6]; 3] = [[5, 1, 2, 2, 3, 4], [2, 5, 1, 3, 4, 5], [3, 4, 2, 5, 0, 1]];

    #[test]
    fn samples_as_easy_as_each_other_come_together() {
        assert_eq!(table(&[2.0, 1.0, 2.0, -0.0, 0.0]), [3, 2, 4, 2, 1, 3, 0, 5, 2, 5]);
        let levels: Vec<f64> = (0..30).map(|at| f64::from(at % 3)).collect();
        let made = Made::new(&levels, Pacing::Linear, (0.01, 1000.0), None);
        let mut found = (0..20).flat_map(|epoch| made.epoch(1, epoch)).collect::<Vec<_>>();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, (0..30).step_by(3).collect::<Vec<u64>>());
    }

    /// Each sample that may come is as likely: chi-squared with a fixed outcome.
    #[test]
    fn draws_are_uniform_over_those_that_may_come() {
        let difficulty: Vec<f64> = (0..20).map(f64::from).collect();
        let made = Made::new(&difficulty, Pacing::Linear, (0.5, 1e9), None);
        let (mut counts, epochs) = ([0_u32; 20], 2000);
        (0..epochs).flat_map(|epoch| made.epoch(3, epoch)).for_each(|index| counts[index as usize] += 1);
        assert_eq!(counts[11..], [0; 9]);
        let expected = (20 * epochs) as f64 / 11.0;
        let chi: f64 = counts[..11].iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
        // 10 degrees of freedom have a standard deviation of 4.5; half of the samples are dealt, which has less.
        assert!(chi < 10.0 + 4.0 * 4.5, "{chi}: {counts:?}");
    }

    proptest! {
        #[test]
        fn a_sample_comes_when_it_may_and_then_once_in_a_pass(
            difficulty in prop::collection::vec(prop_oneof![0.0..1.0, Just(0.5)], 1..60),
            start in 0.01..=1.0, epochs in 0.1..3.0, seed: u64, is_root: bool,
        ) {
            let pacing = if is_root { Pacing::Root } else { Pacing::Linear };
            let made = Made::new(&difficulty, pacing, (start, epochs), None);
            let mut sorted = difficulty.clone();
            sorted.sort_by(f64::total_cmp);
            for epoch in 0..5 {
                let order = made.epoch(seed, epoch);
                for (position, index) in order.iter().enumerate() {
                    let number = epoch * made.num_samples + position as u64;
                    let hardest = sorted[made.paced.eligible(u128::from(number)) as usize - 1];
                    prop_assert!(difficulty[*index as usize] <= hardest);
                }
                if epoch as f64 >= epochs {
                    let mut all = order;
                    all.sort_unstable();
                    prop_assert_eq!(all, (0..difficulty.len() as u64).collect::<Vec<_>>());
                }
            }
        }
    }
}
