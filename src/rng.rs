//! Randomness keyed by what it is for, never by who draws it.
//!
//! Every random choice about a sample comes from a generator whose key is (seed, epoch, index, op). So the
//! bytes of a sample depend on neither the worker, the number of workers, nor what was drawn before.
//!
//! The numbers are part of the crate's contract: the tests hold golden values, which never change between
//! releases.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Whose randomness: one sample of one epoch under one seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The loader's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
    /// The sample's index in its source.
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
}
