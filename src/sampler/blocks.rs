//! An order that reads a source block by block: a permutation of the blocks, then a shuffle within a window of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::permutation::Permutation;

/// Blocks of samples that are read together, such as the row groups of files, and how many of them are mixed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Blocks {
    /// The index behind the last sample of each block, rising; the last one is the source's length.
    pub ends: Vec<u64>,
    /// How many blocks are shuffled among each other, at least one.
    pub window: u64,
}

/// The order of one epoch. Any position can be asked for on its own, in the time of two binary searches.
#[derive(Clone, Debug)]
pub(super) struct BlockOrder {
    blocks: Arc<Blocks>,
    seed: u64,
    epoch: u64,
    permutation: Permutation,
    /// For each block of this epoch's order, the position behind its last sample.
    ends: Arc<[u64]>,
}

impl BlockOrder {
    pub(super) fn new(blocks: &Arc<Blocks>, seed: u64, epoch: u64) -> Self {
        let permutation = Permutation::new(blocks.ends.len() as u64, seed, epoch);
        let mut end = 0;
        let ends = (0..blocks.ends.len() as u64)
            .map(|position| {
                let (start, behind) = blocks.bounds(permutation.get(position));
                end += behind - start;
                end
            })
            .collect();
        Self { blocks: Arc::clone(blocks), seed, epoch, permutation, ends }
    }

    /// Returns the sample at a position.
    pub(super) fn get(&self, position: u64) -> u64 {
        let window = self.blocks.window.max(1);
        let number = self.block_at(position) / window;
        let first = number * window;
        let last = (first + window).min(self.ends.len() as u64) - 1;
        let start = self.start(first);
        let shuffle = Permutation::of_part(self.ends[last as usize] - start, self.seed, self.epoch, number);
        let position = start + shuffle.get(position - start);
        let block = self.block_at(position);
        self.blocks.bounds(self.permutation.get(block)).0 + position - self.start(block)
    }

    /// Tells whether a position lies in the last window, or behind it.
    pub(super) fn is_in_last_window(&self, position: u64) -> bool {
        let window = self.blocks.window.max(1);
        self.block_at(position) / window >= (self.ends.len() as u64 - 1) / window
    }

    /// Returns which block of this epoch's order a position lies in.
    fn block_at(&self, position: u64) -> u64 {
        self.ends.partition_point(|&end| end <= position) as u64
    }

    fn start(&self, block: u64) -> u64 {
        block.checked_sub(1).map_or(0, |before| self.ends[before as usize])
    }
}

impl Blocks {
    /// Returns the blocks of the first samples, one or more.
    #[must_use]
    pub fn of_first(&self, samples: u64) -> Self {
        let within = self.ends.iter().copied().take_while(|end| *end < samples);
        Self { ends: within.chain([samples]).collect(), window: self.window }
    }

    /// Returns the indices at which a block begins and behind which it ends.
    fn bounds(&self, block: u64) -> (u64, u64) {
        (block.checked_sub(1).map_or(0, |before| self.ends[before as usize]), self.ends[block as usize])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blocks(sizes: &[u64], window: u64) -> Arc<Blocks> {
        let ends = sizes.iter().scan(0, |end, size| {
            *end += size;
            Some(*end)
        });
        Arc::new(Blocks { ends: ends.collect(), window })
    }

    fn order(blocks: &Arc<Blocks>, seed: u64, epoch: u64) -> Vec<u64> {
        let order = BlockOrder::new(blocks, seed, epoch);
        (0..*blocks.ends.last().unwrap()).map(|position| order.get(position)).collect()
    }

    #[test]
    fn golden_orders_never_change() {
        let blocks = blocks(&[3, 1, 4, 2], 2);
        assert_eq!(order(&blocks, 0, 0), GOLDEN_0);
        assert_eq!(order(&blocks, 0, 1), GOLDEN_1);
    }

    const GOLDEN_0: [u64; 10] = [7, 6, 5, 1, 4, 0, 2, 9, 8, 3];
    const GOLDEN_1: [u64; 10] = [1, 6, 0, 5, 2, 4, 7, 8, 3, 9];

    #[test]
    fn epochs_and_seeds_differ() {
        let blocks = blocks(&[50; 8], 3);
        assert_ne!(order(&blocks, 1, 0), order(&blocks, 1, 1));
        assert_ne!(order(&blocks, 1, 0), order(&blocks, 2, 0));
        assert_eq!(order(&blocks, 1, 5), order(&blocks, 1, 5));
    }

    /// Every sample is equally likely at every position, where one window holds all of them.
    #[test]
    fn one_window_is_uniform() {
        let blocks = blocks(&[2, 3, 1], 3);
        let (n, seeds) = (6, 6000);
        let mut counts = [0_u32; 36];
        for seed in 0..seeds {
            for (position, index) in order(&blocks, seed, 1).into_iter().enumerate() {
                counts[position * n + index as usize] += 1;
            }
        }
        let expected = seeds as f64 / n as f64;
        let chi: f64 = counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
        // Chi-squared of 25 degrees of freedom has a standard deviation of 7.1; the seeds make the outcome fixed.
        assert!((chi - 25.0).abs() < 5.0 * 7.1, "{chi}");
    }

    proptest! {
        #[test]
        fn each_sample_comes_once_and_windows_are_read_one_by_one(
            sizes in prop::collection::vec(1u64..40, 1..30), window in 1u64..8, seed: u64, epoch: u64,
        ) {
            let blocks = blocks(&sizes, window);
            let order = order(&blocks, seed, epoch);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..order.len() as u64).collect::<Vec<_>>());
            // Between the first and the last sample of a block come at most those of its window.
            let most: u64 = { let mut by_size = sizes.clone(); by_size.sort_unstable(); by_size.iter().rev().take(window as usize).sum() };
            for block in 0..sizes.len() as u64 {
                let (start, end) = blocks.bounds(block);
                let at: Vec<usize> = (0..order.len()).filter(|&at| (start..end).contains(&order[at])).collect();
                prop_assert!((at[at.len() - 1] - at[0]) as u64 <= most);
            }
        }
    }
}
