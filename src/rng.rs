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

    /// Returns which of several is chosen, each as likely as its weight says, up to a common factor.
    ///
    /// # Panics
    /// Where there are no weights.
    pub fn choose(&mut self, weights: &[f64]) -> usize {
        let mut left = self.unit() * weights.iter().sum::<f64>();
        let below = |weight: &f64| {
            left -= weight;
            left < 0.0
        };
        // Rounding may leave a little over: it belongs to the last that can be chosen.
        let last = weights.iter().rposition(|weight| *weight > 0.0);
        weights.iter().position(below).or(last).unwrap_or(weights.len() - 1)
    }

    /// Puts things in an order, each of which is equally likely.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for at in (1..things.len()).rev() {
            things.swap(at, self.below(at as u64 + 1) as usize);
        }
    }

    /// Returns a number from the standard normal distribution, by Box and Muller's method, which takes two draws.
    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.unit(), self.unit());
        (-2.0 * libm::log(radius)).sqrt() * libm::cos(TAU * angle)
    }

    /// Returns `n` positive numbers whose sum is 1, from the symmetric Dirichlet distribution of this parameter.
    ///
    /// # Panics
    /// Where `alpha` is not positive and finite.
    pub fn dirichlet(&mut self, alpha: f64, n: usize) -> Vec<f64> {
        assert!(alpha > 0.0 && alpha.is_finite(), "there is no Dirichlet distribution of {alpha}");
        // In logarithms, because the powers of a small alpha are below any float.
        let logs: Vec<f64> = (0..n).map(|_| self.log_gamma(alpha)).collect();
        let greatest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = logs.iter().map(|log| libm::exp(log - greatest)).collect();
        let sum: f64 = shares.iter().sum();
        shares.into_iter().map(|share| share / sum).collect()
    }

    /// Returns the logarithm of a number from the gamma distribution of shape `alpha`, by Marsaglia and Tsang's rejection;
    /// below 1, of a number of shape `alpha` + 1 times a power of a uniform one.
    fn log_gamma(&mut self, alpha: f64) -> f64 {
        let (shape, power) = if alpha < 1.0 {
            (alpha + 1.0, (libm::log(1.0 - self.unit()) / alpha).max(f64::MIN))
        } else {
            (alpha, 0.0)
        };
        let middle = shape - 1.0 / 3.0;
        let width = 1.0 / (9.0 * middle).sqrt();
        loop {
            let normal = self.normal();
            let root = 1.0 + width * normal;
            let cube = root * root * root;
            if cube <= 0.0 {
                continue;
            }
            let log = libm::log(cube);
            if libm::log(1.0 - self.unit()) < 0.5 * normal * normal + middle * (1.0 - cube + log) {
                return libm::log(middle) + log + power;
            }
        }
    }

    /// Returns noise, which takes one draw.
    pub fn noise(&mut self) -> Noise {
        Noise(self.0.next_u64())
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

/// Numbers by position, each of which can be had without the others: those of the generator `SplitMix64`, whose state
/// is a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise(u64);

impl Noise {
    /// Returns the number that tells it from any other noise.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Returns the number at a position: uniform in [-1, 1), a multiple of 2^-23.
    #[inline]
    pub const fn at(self, position: u64) -> f32 {
        const STEP: f32 = 1.0 / (1_u32 << 23) as f32;
        let mut word = self.0.wrapping_add(position.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        (word >> 40) as f32 * STEP - 1.0
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
    fn normal_values_are_normal() {
        let mut draws = Key { seed: 0, epoch: 0, index: 0 }.rng(0);
        let values: Vec<f64> = (0..20_000).map(|_| draws.normal()).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 20_000.0;
        let beyond_two = values.iter().filter(|value| value.abs() > 2.0).count() as f64 / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
        assert!((beyond_two - 0.0455).abs() < 0.006, "{beyond_two}");
    }

    #[test]
    fn a_choice_follows_its_weights() {
        let mut draws = KEY.rng(7);
        let mut seen = [0_u32; 3];
        for _ in 0..6000 {
            seen[draws.choose(&[2.0, 0.0, 1.0])] += 1;
        }
        // Four standard deviations of 6000 draws of probability 1/3 are 146.
        assert!(seen[1] == 0 && seen[2].abs_diff(2000) < 146, "{seen:?}");
        assert_eq!(draws.choose(&[0.0, 1e-300, 0.0]), 1);
    }

    #[test]
    fn every_order_is_as_likely() {
        let mut draws = KEY.rng(8);
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..6000 {
            let mut order = [0, 1, 2];
            draws.shuffle(&mut order);
            *seen.entry(order).or_insert(0_u32) += 1;
        }
        // Four standard deviations of 6000 draws of probability 1/6 are 116.
        assert!(seen.len() == 6 && seen.values().all(|count| count.abs_diff(1000) < 116), "{seen:?}");
    }

    #[test]
    fn shares_have_the_moments_of_dirichlet() {
        for alpha in [1e-300, 0.01, 0.3, 1.0, 2.5, 1e6] {
            let mut draws = KEY.rng(9);
            let all: Vec<Vec<f64>> = (0..20_000).map(|_| draws.dirichlet(alpha, 4)).collect();
            assert!(all.iter().all(|shares| (shares.iter().sum::<f64>() - 1.0).abs() < 1e-12), "{alpha}");
            // A share has the mean 1/4 and the variance (1/4) (3/4) / (4 alpha + 1).
            let variance = 0.1875 / (4.0 * alpha + 1.0);
            for of in 0..4 {
                let mean = all.iter().map(|shares| shares[of]).sum::<f64>() / 20_000.0;
                assert!((mean - 0.25).abs() < 4.0 * (variance / 20_000.0).sqrt(), "{alpha}: {mean}");
                let found = all.iter().map(|shares| (shares[of] - 0.25).powi(2)).sum::<f64>() / 20_000.0;
                // The kurtosis of a share is below 6 for all of these: four deviations of the variance are 4 sqrt(5 / n).
                assert!((found / variance - 1.0).abs() < 0.064, "{alpha}: {found} for {variance}");
            }
        }
    }

    #[test]
    fn noise_is_uniform_and_each_position_has_its_own() {
        let noise = KEY.rng(10).noise();
        let all: Vec<f64> = (0..20_000).map(|at| f64::from(noise.at(at))).collect();
        assert!(all.iter().all(|value| (-1.0..1.0).contains(value)));
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / 20_000.0;
        // The variance of a value is 1/3, of its square 4/45, of a product of two 1/9; five deviations each.
        let root = 20_000_f64.sqrt();
        assert!(mean(&mut all.iter().copied()).abs() < 5.0 * (1.0 / 3.0_f64).sqrt() / root);
        assert!((mean(&mut all.iter().map(|x| x * x)) - 1.0 / 3.0).abs() < 5.0 * (4.0 / 45.0_f64).sqrt() / root);
        for step in [1, 2, 64, 1000] {
            let products = mean(&mut all.iter().zip(&all[step..]).map(|(a, b)| a * b));
            assert!(products.abs() < 5.0 / 3.0 / root, "{step}: {products}");
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
