//! A keyed permutation of 0..n in constant memory.
//!
//! A Feistel network permutes the numbers of an even number of bits; results of n or more are fed in again
//! ("cycle walking") until one falls below n. Both are described in J. Black and P. Rogaway, "Ciphers with
//! arbitrary finite domains" (CT-RSA 2002). It mixes well; it is no cipher.

use crate::rng::Key;

const ROUNDS: usize = 8;
/// Small sets are permuted inside at least 2^8 numbers: with fewer, a Feistel network reaches too few orders.
const MIN_HALF_BITS: u32 = 4;
/// Sets this operation's draws apart from those of transforms, which count from 0.
const OP: u64 = u64::MAX;
/// The same for parts of an epoch. Replacements of bad samples have the number in between.
const PART_OP: u64 = u64::MAX - 2;
/// The same for passes over a part of a source.
const PASS_OP: u64 = u64::MAX - 5;
/// The same for groups of samples.
const GROUP_OP: u64 = u64::MAX - 12;

/// An order of the numbers 0..n, any of which can be asked for on its own.
#[derive(Clone, Debug)]
pub struct Permutation {
    n: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// Returns the order of 0..n that belongs to this seed and epoch.
    pub fn new(n: u64, seed: u64, epoch: u64) -> Self {
        Self::keyed(n, Key { seed, epoch, index: u64::MAX }, OP)
    }

    /// Returns the order of 0..n that belongs to part `number` of an epoch whose parts are shuffled each by itself.
    pub(super) fn of_part(n: u64, seed: u64, epoch: u64, number: u64) -> Self {
        Self::keyed(n, Key { seed, epoch, index: number }, PART_OP)
    }

    /// Returns the order of 0..n in a pass over a part of a source; the key says which pass, and of which part.
    pub(super) fn of_pass(n: u64, key: Key) -> Self {
        Self::keyed(n, key, PASS_OP)
    }

    /// Returns the order of 0..n groups of samples, of window `number` of an epoch.
    pub(super) fn of_groups(n: u64, seed: u64, epoch: u64, number: u64) -> Self {
        Self::keyed(n, Key { seed, epoch, index: number }, GROUP_OP)
    }

    fn keyed(n: u64, key: Key, op: u64) -> Self {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        let mut draws = key.rng(op);
        let keys = std::array::from_fn(|_| draws.below(u64::MAX));
        Self { n, half_bits: bits.div_ceil(2).max(MIN_HALF_BITS), keys }
    }

    /// Returns the number at `position`.
    ///
    /// # Panics
    /// Where `position` is not below n.
    pub fn get(&self, position: u64) -> u64 {
        assert!(position < self.n, "position {position} of {}", self.n);
        let mut value = position;
        loop {
            value = self.permute(value);
            if value < self.n {
                return value;
            }
        }
    }

    fn permute(&self, value: u64) -> u64 {
        let mask = (1_u64 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        left << self.half_bits | right
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_orders_never_change() {
        let order = |n, seed, epoch| (0..n).map(|p| Permutation::new(n, seed, epoch).get(p)).collect::<Vec<_>>();
        assert_eq!(order(10, 0, 0), GOLDEN_0);
        assert_eq!(order(10, 0, 1), GOLDEN_1);
    }

    const GOLDEN_0: [u64; 10] = [2, 4, 5, 6, 9, 1, 8, 3, 7, 0];
    const GOLDEN_1: [u64; 10] = [8, 0, 1, 6, 2, 4, 9, 5, 7, 3];

    /// Every number is equally likely at every position: chi-squared over many seeds, with a fixed outcome.
    #[test]
    fn small_orders_are_uniform() {
        for n in [2_u64, 3, 7, 16, 50] {
            let seeds = 4000;
            let mut counts = vec![0_u32; (n * n) as usize];
            for seed in 0..seeds {
                let order = Permutation::new(n, seed, 5);
                for position in 0..n {
                    counts[(position * n + order.get(position)) as usize] += 1;
                }
            }
            let expected = seeds as f64 / n as f64;
            let chi: f64 = counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
            let freedom = ((n - 1) * (n - 1)) as f64;
            assert!(
                (chi - freedom).abs() < 5.0 * (2.0 * freedom).sqrt().max(1.5),
                "n {n}: chi {chi}, freedom {freedom}"
            );
        }
    }

    #[test]
    fn every_order_of_four_occurs() {
        let orders: std::collections::HashSet<Vec<u64>> = (0..2000)
            .map(|seed| {
                let order = Permutation::new(4, seed, 0);
                (0..4).map(|position| order.get(position)).collect()
            })
            .collect();
        assert_eq!(orders.len(), 24);
    }

    proptest! {
        #[test]
        fn each_number_comes_exactly_once(n in 1u64..3000, seed: u64, epoch: u64) {
            let order = Permutation::new(n, seed, epoch);
            let mut seen = vec![false; n as usize];
            for position in 0..n {
                let value = order.get(position) as usize;
                prop_assert!(!std::mem::replace(&mut seen[value], true));
            }
        }

        #[test]
        fn the_largest_sets_work(n in (1u64 << 62)..=u64::MAX, seed: u64) {
            let order = Permutation::new(n, seed, 0);
            prop_assert!(order.get(n - 1) < n);
            prop_assert_ne!(order.get(0), order.get(1));
        }
    }
}
