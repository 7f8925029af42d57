//! Randomness keyed by what it is for, never by who draws it.
//!
//! Every random choice about a sample comes from a generator whose key is (seed, epoch, index, op), where op stands for
//! one transform of one field. So the bytes of a sample depend on neither the worker, the number of workers, nor what was
//! drawn before.
//!
//! The numbers are part of the crate's contract: the tests hold golden values, which never change between
//! releases.

use std::f64::consts::TAU;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Whose randomness: one sample of one epoch under one seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The loader's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
    /// The sample's index in its source; for a choice about a whole batch, where the batch begins in the epoch's order.
    pub index: u64,
}

impl Key {
    /// Returns the draws of operation `op` on this sample, from their beginning.
    pub fn rng(self, op: u64) -> Draws {
        let mut key = [0; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip([self.seed, self.epoch, self.index, op]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Draws(ChaCha8Rng::from_seed(key))
    }
}

/// A stream of draws.
#[derive(Clone, Debug)]
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// Returns a number in [0, 1), a multiple of 2^-53.
    pub fn unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.0.next_u64() >> 11) as f64 * STEP
    }

    /// Returns a number between `low` and `high`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Returns an integer in [0, n), each equally likely.
    ///
    /// # Panics
    /// Where `n` is zero.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "there is no integer below zero");
        // The high half of a product is unbiased once the low halves that occur too often are drawn again.
        let surplus = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(n);
            if product as u64 >= surplus {
                return (product >> 64) as u64;
            }
        }
    }

    /// Returns a number in [0, 1] from the symmetric beta distribution Beta(`alpha`, `alpha`), rounded to `f32`.
    ///
    /// Ulrich's transformation for `alpha` above 1/2, which takes two draws, and Jöhnk's rejection below, where it takes
    /// fewer than three on average; written out here because these numbers must not change with a library's version.
    ///
    /// # Panics
    /// Where `alpha` is not positive and finite.
    pub fn symmetric_beta(&mut self, alpha: f64) -> f32 {
        assert!(alpha > 0.0 && alpha.is_finite(), "there is no Beta({alpha}, {alpha})");
        if alpha > 0.5 {
            let length = (1.0 - libm::pow(self.unit(), 2.0 / (2.0 * alpha - 1.0))).sqrt();
            return (0.5 + 0.5 * length * libm::cos(TAU * self.unit())) as f32;
        }
        loop {
            // In logarithms, because the powers of a small alpha are below any float.
            let [x, y] = [libm::log(1.0 - self.unit()), libm::log(1.0 - self.unit())];
            if libm::exp(x / alpha) + libm::exp(y / alpha) <= 1.0 {
                return (1.0 / (1.0 + libm::exp((y - x) / alpha))) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { seed: 1, epoch: 2, index: 3 };

    #[test]
    fn golden_values_never_change() {
        let mut draws = KEY.rng(4);
        let units = [draws.unit(), draws.unit()];
        let integers = [draws.below(1000), draws.below(u64::MAX)];
        assert_eq!(
            (units, integers),
            ([0.066_344_732_577_036_99, 0.345_256_835_142_653_5], [251, 5_027_844_928_882_384_813])
        );
    }

    #[test]
    fn every_word_of_the_key_counts() {
        let first = |key: Key, op| key.rng(op).below(u64::MAX);
        let all = [
            first(KEY, 0),
            first(KEY, 1),
            first(Key { seed: 9, ..KEY }, 0),
            first(Key { epoch: 9, ..KEY }, 0),
            first(Key { index: 9, ..KEY }, 0),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one));
        }
    }

    #[test]
    fn draws_stay_in_range() {
        let mut draws = KEY.rng(0);
        let mut seen = [0_u32; 7];
        for _ in 0..7000 {
            let unit = draws.unit();
            assert!((0.0..1.0).contains(&unit));
            assert!((-2.0..=5.0).contains(&draws.uniform(-2.0, 5.0)));
            seen[draws.below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| (850..1150).contains(&count)), "{seen:?}");
        assert_eq!(draws.below(1), 0);
    }

    /// The largest distance between the share of draws below each of `n` and what the distribution says.
    fn distance(alpha: f64, cdf: impl Fn(f64) -> f64) -> f64 {
        const N: u32 = 20_000;
        let mut draws = KEY.rng(alpha.to_bits());
        let mut all: Vec<f64> = (0..N).map(|_| f64::from(draws.symmetric_beta(alpha))).collect();
        all.sort_by(f64::total_cmp);
        let share = |at: usize| at as f64 / f64::from(N);
        let gaps =
            all.iter().enumerate().map(|(at, &x)| (cdf(x) - share(at)).abs().max((cdf(x) - share(at + 1)).abs()));
        gaps.fold(0.0, f64::max)
    }

    #[test]
    fn beta_is_distributed_as_its_name_says() {
        // Kolmogorov and Smirnov's limit for one in a thousand: 1.95 / sqrt(n).
        let limit = 1.95 / 20_000_f64.sqrt();
        let arcsine = |x: f64| 2.0 / std::f64::consts::PI * libm::asin(x.sqrt());
        assert!(distance(0.5, arcsine) < limit);
        assert!(distance(0.5 + 1e-9, arcsine) < limit);
        assert!(distance(1.0, |x| x) < limit);
        assert!(distance(2.0, |x| x * x * (3.0 - 2.0 * x)) < limit);
        assert!(distance(1.0, |x| x * x * (3.0 - 2.0 * x)) > limit, "the measure tells two distributions apart");
    }

    #[test]
    fn beta_has_its_moments_for_any_alpha() {
        for alpha in [5e-324, 1e-6, 0.01, 0.1, 0.2, 0.4, 0.7, 3.0, 50.0, 1e6] {
            let mut draws = KEY.rng(1);
            let all: Vec<f64> = (0..20_000).map(|_| f64::from(draws.symmetric_beta(alpha))).collect();
            assert!(all.iter().all(|x| (0.0..=1.0).contains(x)), "{alpha}");
            let moment = |power| all.iter().map(|x| (x - 0.5).powi(power)).sum::<f64>() / all.len() as f64;
            let variance = 0.25 / (2.0 * alpha + 1.0);
            assert!(moment(1).abs() < 4.0 * (variance / 20_000.0).sqrt(), "{alpha}: mean {}", moment(1));
            assert!((moment(2) / variance - 1.0).abs() < 0.05, "{alpha}: {} for {variance}", moment(2));
        }
    }

    #[test]
    fn golden_values_of_beta_never_change() {
        let mut draws = KEY.rng(4);
        let values = [0.2, 0.2, 1.0, 1.0, 4.0].map(|alpha| draws.symmetric_beta(alpha));
        let golden = [0.854_994_24, 0.536_414_6, 0.671_528_34, 0.405_214_1, 0.432_108_8];
        assert_eq!(values.map(f32::to_bits), golden.map(f32::to_bits));
    }
}
