//! How an epoch's global order is cut into ranks, batches and rows.

use super::order::{EpochOrder, Order};

/// The length of a source whose samples come as streams, one for each worker: nobody knows how many there are.
///
/// Indices count them in turn, a batch of each stream after the other; those behind a stream's end are nobody's.
pub const ENDLESS: u64 = 1 << 62;

/// Everything that decides which sample comes when: the order, and this rank's part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// The number of samples of the source.
    pub len: u64,
    /// How they are ordered.
    pub order: Order,
    /// The seed of every random choice.
    pub seed: u64,
    /// Rows of a batch.
    pub batch_size: u32,
    /// Whether samples that do not fill a batch on every rank are left out. If not, the last batch may be smaller,
    /// and the first samples of the order fill up the ranks that would get fewer, as in torch's `DistributedSampler`.
    pub drop_last: bool,
    /// This trainer's number.
    pub rank: u32,
    /// The number of trainers.
    pub world_size: u32,
}

impl Sampler {
    /// Tells whether samples come as streams.
    pub fn is_endless(&self) -> bool {
        self.len == ENDLESS
    }

    /// Returns the partition of an epoch from `cursor` on, a position in its global order.
    ///
    /// The cursor is all that a resumed epoch needs to know: rank r of W takes the positions cursor + r,
    /// cursor + r + W, and so on, whatever the number of ranks and the batch size were before.
    pub fn partition(&self, epoch: u64, cursor: u64) -> Partition {
        let cursor = cursor.min(self.len);
        let order = self.order.of_epoch(self.len, self.seed, epoch);
        Partition { sampler: self.clone(), order, epoch, cursor }
    }
}

/// One epoch, or the rest of it, for one rank. Every rank has the same number of batches of the same sizes.
#[derive(Clone, Debug)]
pub struct Partition {
    sampler: Sampler,
    order: EpochOrder,
    epoch: u64,
    cursor: u64,
}

#[expect(clippy::len_without_is_empty, reason = "it is the source's length, which is never 0")]
impl Partition {
    /// Returns the epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns the position in the global order at which the partition begins.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Returns the number of samples of the source.
    pub fn len(&self) -> u64 {
        self.sampler.len
    }

    /// Returns how many batches of this rank stand before this one in the whole epoch, also where it begins at a cursor.
    pub fn turn(&self, batch: u64) -> u64 {
        let Sampler { batch_size, world_size, .. } = self.sampler;
        self.position(batch, 0) / (u64::from(batch_size) * u64::from(world_size))
    }

    /// Tells whether rows that do not fill a batch are left out.
    pub fn drops_last(&self) -> bool {
        self.sampler.drop_last
    }

    /// Tells whether samples come as streams, and so whether batches may have fewer rows, and be missing.
    pub fn is_endless(&self) -> bool {
        self.sampler.is_endless()
    }

    /// Returns the seed of every random choice.
    pub fn seed(&self) -> u64 {
        self.sampler.seed
    }

    fn rows_of_rank(&self) -> u64 {
        let left = self.sampler.len - self.cursor;
        let (world, batch) = (u64::from(self.sampler.world_size), u64::from(self.sampler.batch_size));
        if self.sampler.drop_last { left / (world * batch) * batch } else { left.div_ceil(world) }
    }

    /// Returns the number of batches.
    pub fn batches(&self) -> u64 {
        self.rows_of_rank().div_ceil(u64::from(self.sampler.batch_size))
    }

    /// Returns the number of rows of a batch; 0 past the end.
    pub fn rows(&self, batch: u64) -> u32 {
        let size = u64::from(self.sampler.batch_size);
        let before = batch.saturating_mul(size);
        self.rows_of_rank().saturating_sub(before).min(size) as u32
    }

    /// Returns the sample of a row. `attempt` counts the samples that have been tried there before:
    /// each one steps on to the next of the order.
    pub fn index(&self, batch: u64, row: u32, attempt: u32) -> u64 {
        let position = self.position(batch, row).wrapping_add(u64::from(attempt));
        self.at(if position < self.sampler.len { position } else { position % self.sampler.len })
    }

    /// Returns where a row stands in the epoch's global order, or behind its end where the order begins again.
    ///
    /// It is the same for a partition that begins at another cursor, if batch size and world size are the same: what names
    /// a batch for good is the position of its first row.
    pub fn position(&self, batch: u64, row: u32) -> u64 {
        let nth = batch * u64::from(self.sampler.batch_size) + u64::from(row);
        let step = nth * u64::from(self.sampler.world_size) + u64::from(self.sampler.rank);
        // Both are below 2^63 for any source that fits a disk; a wrapped sum would still be some sample.
        self.cursor.wrapping_add(step)
    }

    /// Returns the sample at a position of the global order.
    pub fn at(&self, position: u64) -> u64 {
        self.order.get(position)
    }

    /// Returns the cursor at which an epoch goes on after `batches` batches on every rank.
    pub fn cursor_after(&self, batches: u64) -> u64 {
        let rows = batches.saturating_mul(u64::from(self.sampler.batch_size)).min(self.rows_of_rank());
        let world = u64::from(self.sampler.world_size);
        self.cursor.saturating_add(rows.saturating_mul(world)).min(self.sampler.len)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::{super::Blocks, *};

    fn sampler(len: u64, batch_size: u32, world_size: u32, drop_last: bool, shuffle: bool) -> Sampler {
        let order = if shuffle { Order::Shuffled } else { Order::Source };
        Sampler { len, order, seed: 1, batch_size, drop_last, rank: 0, world_size }
    }

    /// Blocks of so many samples each, the last one smaller; or all samples alike.
    fn in_blocks(sampler: Sampler, block: Option<u64>) -> Sampler {
        let Some(block) = block else { return sampler };
        let ends = (1..=sampler.len.div_ceil(block)).map(|end| (end * block).min(sampler.len)).collect();
        Sampler { order: Order::Blocks(Arc::new(Blocks { ends, window: 2 })), ..sampler }
    }

    /// What every rank sees: all rows of all its batches.
    fn indices(sampler: &Sampler, epoch: u64, cursor: u64, batches: Option<u64>) -> Vec<u64> {
        (0..sampler.world_size)
            .flat_map(|rank| {
                let partition = Sampler { rank, ..sampler.clone() }.partition(epoch, cursor);
                let batches = batches.unwrap_or(u64::MAX).min(partition.batches());
                (0..batches).flat_map(move |batch| {
                    let partition = partition.clone();
                    (0..partition.rows(batch)).map(move |row| partition.index(batch, row, 0))
                })
            })
            .collect()
    }

    #[test]
    fn the_last_batch_may_be_smaller() {
        let partition = sampler(10, 4, 1, false, false).partition(0, 0);
        assert_eq!((0..4).map(|batch| partition.rows(batch)).collect::<Vec<_>>(), [4, 4, 2, 0]);
        assert_eq!(partition.batches(), 3);
        assert_eq!(sampler(10, 4, 1, true, false).partition(0, 0).batches(), 2);
    }

    #[test]
    fn ranks_are_padded_from_the_front() {
        assert_eq!(indices(&sampler(5, 2, 2, false, false), 0, 0, None), [0, 2, 4, 1, 3, 0]);
    }

    #[test]
    fn a_given_up_sample_is_stepped_over() {
        let partition = sampler(5, 5, 1, false, false).partition(0, 0);
        assert_eq!([0, 1, 2].map(|attempt| partition.index(0, 3, attempt)), [3, 4, 0]);
    }

    #[test]
    fn an_epoch_resumed_at_its_end_has_no_batches() {
        assert_eq!(sampler(10, 4, 1, false, true).partition(0, 10).batches(), 0);
        assert_eq!(sampler(10, 4, 1, false, true).partition(0, u64::MAX).batches(), 0);
    }

    #[test]
    fn epochs_differ_and_repeat() {
        let sampler = sampler(100, 10, 1, false, true);
        assert_ne!(indices(&sampler, 0, 0, None), indices(&sampler, 1, 0, None));
        assert_eq!(indices(&sampler, 1, 0, None), indices(&sampler, 1, 0, None));
    }

    #[test]
    fn a_batch_keeps_its_position_when_it_is_resumed_and_shares_it_with_no_rank() {
        let sampler = sampler(100, 4, 3, false, true);
        let whole = sampler.partition(2, 0);
        let resumed = sampler.partition(2, whole.cursor_after(5));
        for batch in 0..resumed.batches() {
            assert_eq!(resumed.position(batch, 0), whole.position(batch + 5, 0));
        }
        let positions: std::collections::BTreeSet<u64> =
            (0..3).map(|rank| Sampler { rank, ..sampler.clone() }.partition(2, 0).position(0, 0)).collect();
        assert_eq!(positions.len(), 3);
    }

    proptest! {
        #[test]
        fn each_sample_comes_exactly_once(
            len in 1u64..500, batch in 1u32..40, world in 1u32..9, drop_last: bool, shuffle: bool,
            block in prop::option::of(1u64..60),
        ) {
            let sampler = in_blocks(sampler(len, batch, world, drop_last, shuffle), block);
            let mut all = indices(&sampler, 3, 0, None);
            let total = all.len() as u64;
            all.sort_unstable();
            all.dedup();
            if drop_last {
                prop_assert_eq!(all.len() as u64, total);
                prop_assert!(len - total < u64::from(batch) * u64::from(world));
            } else {
                prop_assert_eq!(all.len() as u64, len);
                prop_assert!(total < len + u64::from(world));
            }
        }

        /// Stop after any batch, go on with another batch size and world size: together, each sample once.
        #[test]
        fn a_resumed_epoch_takes_exactly_the_rest(
            len in 1u64..400, stop in 0u64..20,
            before in (1u32..20, 1u32..5), after in (1u32..20, 1u32..5), shuffle: bool,
            block in prop::option::of(1u64..60),
        ) {
            let first = in_blocks(sampler(len, before.0, before.1, false, shuffle), block);
            let second = in_blocks(sampler(len, after.0, after.1, false, shuffle), block);
            let cursor = first.partition(2, 0).cursor_after(stop);
            let mut all = indices(&first, 2, 0, Some(stop));
            all.extend(indices(&second, 2, cursor, None));
            all.sort_unstable();
            let padding = u64::from(before.1 + after.1);
            prop_assert!(all.len() as u64 <= len + padding);
            all.dedup();
            prop_assert_eq!(all.len() as u64, len);
        }

        #[test]
        fn every_rank_has_the_same_batches(len in 1u64..500, batch in 1u32..40, world in 1u32..9, drop_last: bool, cursor in 0u64..600) {
            let sampler = sampler(len, batch, world, drop_last, false);
            let sizes = |rank| {
                let partition = Sampler { rank, ..sampler.clone() }.partition(0, cursor);
                (0..partition.batches()).map(|batch| partition.rows(batch)).collect::<Vec<_>>()
            };
            for rank in 1..world {
                prop_assert_eq!(sizes(rank), sizes(0));
            }
        }
    }
}
