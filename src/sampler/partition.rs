//! How an epoch's global order is cut into ranks, batches and rows.

use std::sync::OnceLock;

use super::{
    cut::Cut,
    even::Even,
    given::seed_of,
    groups::Groups,
    grown::Grown,
    multi_scale::MultiScale,
    order::{EpochOrder, Order},
    table::Table,
};
use crate::error::{Error, Result};

/// The length of a source whose samples come as streams, one for each worker: nobody knows how many there are.
///
/// Indices count them in turn, a batch of each stream after the other; those behind a stream's end are nobody's.
pub const ENDLESS: u64 = 1 << 62;

/// Everything that decides which sample comes when: the order, and this rank's part of it.
#[derive(Clone, Debug)]
pub struct Sampler {
    /// The number of samples of the source.
    pub len: u64,
    /// How they are ordered.
    pub order: Order,
    /// How samples become batches; none where a batch has so many rows, a sample each.
    pub cut: Option<Cut>,
    /// How many samples the source had in earlier epochs, where it has grown.
    pub grown: Grown,
    /// The seed of every random choice.
    pub seed: u64,
    /// Rows of a batch; with a cut, its groups of samples.
    pub batch_size: u32,
    /// Whether samples that do not fill a batch are left out: on every rank, or, with [`Even::Uneven`], on a rank. If
    /// not, the last batch may be smaller.
    pub drop_last: bool,
    /// What becomes of samples that cannot be shared out evenly among the ranks.
    pub even: Even,
    /// This trainer's number.
    pub rank: u32,
    /// The number of trainers.
    pub world_size: u32,
}

impl Sampler {
    /// Returns the sampler of a single trainer, with seed 0 and batches of one sample.
    pub fn new(len: u64, order: Order) -> Self {
        Self {
            len,
            order,
            cut: None,
            grown: Grown::default(),
            seed: 0,
            batch_size: 1,
            drop_last: false,
            even: Even::Pad,
            rank: 0,
            world_size: 1,
        }
    }

    /// Tells whether samples come as streams.
    pub fn is_endless(&self) -> bool {
        self.len == ENDLESS
    }

    /// Returns how many samples the source had in an epoch.
    pub fn samples_in(&self, epoch: u64) -> u64 {
        self.grown.samples(epoch, self.len)
    }

    /// Returns how many samples there were up to which epoch, where that were fewer.
    pub fn grown(&self) -> Vec<(u64, u64)> {
        self.grown.stages()
    }

    /// Returns the sampler of an epoch: over the samples that the source had.
    pub(super) fn of_epoch(&self, epoch: u64) -> Self {
        let len = self.samples_in(epoch);
        if len == self.len { self.clone() } else { self.of_first(len) }
    }

    /// Returns the same sampler of the first samples alone, without what it knows of earlier epochs.
    #[must_use]
    pub fn of_first(&self, samples: u64) -> Self {
        Self { len: samples, order: self.order.of_first(samples), grown: Grown::default(), ..self.clone() }
    }

    /// Takes how many samples the source had in earlier epochs: pairs of the last epoch and the samples up to it, both rising.
    /// All clones of the sampler know it then, and no groups of epochs that they had.
    pub fn give_grown(&self, table: Table) {
        self.grown.give(table);
        self.cut.iter().for_each(Cut::forget_all);
    }

    /// Returns the length of an epoch: how many positions its global order has, over all ranks.
    pub fn positions(&self, epoch: u64) -> u64 {
        self.order.positions(self.samples_in(epoch))
    }

    /// Tells whether it is known which samples an epoch has: indices that each epoch has of its own have been given, and
    /// the groups of a cut.
    pub fn is_known(&self, epoch: u64) -> bool {
        self.order.is_known(epoch) && self.cut.as_ref().is_none_or(|cut| cut.is_known(epoch))
    }

    /// Tells whether it is known which samples an epoch has, or the order draws that itself.
    pub fn can_plan(&self, epoch: u64) -> bool {
        self.order.is_known(epoch) || self.order.draws_indices()
    }

    /// Forgets the groups of an epoch. All clones of the sampler do then.
    pub fn forget_groups(&self, epoch: u64) {
        if let Some(cut) = &self.cut {
            cut.forget(epoch);
        }
    }

    /// Returns how many units an epoch has that ranks and batches take in turn: positions, or the groups of a cut, which is
    /// none where they are not known.
    pub fn units(&self, epoch: u64) -> u64 {
        self.cut.as_ref().map_or_else(|| self.positions(epoch), |cut| cut.groups(epoch).count())
    }

    /// Takes the indices of an epoch, of an order that has others in each. All clones of the sampler have them then.
    ///
    /// # Errors
    /// Those of [`Given::give`](super::Given::give), and [`Error::Config`] where the order is none of those.
    pub fn give(&self, epoch: u64, table: Table) -> Result<()> {
        match &self.order {
            Order::Given(order) => order.give(epoch, table),
            Order::Source | Order::Shuffled | Order::Blocks(_) => Err(Error::config("the order takes no indices")),
        }
    }

    /// Takes the groups of an epoch, as [`plan`](Self::plan) has made them. All clones of the sampler have them then.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no cut.
    pub fn give_groups(&self, epoch: u64, table: Table) -> Result<()> {
        let cut = self.cut.as_ref().ok_or_else(|| Error::config("there is no cut that takes groups"))?;
        cut.give(epoch, table);
        Ok(())
    }

    /// Returns as many rows as a batch usually has.
    pub fn usual_rows(&self) -> u32 {
        self.cut.as_ref().map_or(self.batch_size, |cut| cut.spec().usual_samples(self.batch_size))
    }

    /// Returns the partition of an epoch from `cursor` on, the number of a [unit](Self::units).
    ///
    /// The cursor is all that a resumed epoch needs to know: rank r of W takes the units cursor + r,
    /// cursor + r + W, and so on, whatever the number of ranks and the batch size were before.
    pub fn partition(&self, epoch: u64, cursor: u64) -> Partition {
        let sampler = self.of_epoch(epoch);
        let groups = sampler.cut.as_ref().map(|cut| cut.groups(epoch));
        let units = groups.as_ref().map_or_else(|| sampler.order.positions(sampler.len), Groups::count);
        let order = sampler.order.of_epoch(sampler.len, sampler.seed, epoch);
        let next_order = OnceLock::new();
        let next_len = self.samples_in(epoch.saturating_add(1));
        Partition { sampler, units, order, next_order, next_len, groups, epoch, cursor: cursor.min(units) }
    }

    /// Returns how many units a rank gets, in all its batches, of so many.
    pub(super) fn units_of(&self, rank: u32, units: u64) -> u64 {
        let batch = u64::from(self.batch_size);
        match (self.drop_last, self.even) {
            (false, even) => even.share(units, rank, self.world_size),
            // Samples that do not fill a batch are left out, and none come again to fill it.
            (true, Even::Pad | Even::Drop) => Even::Drop.share(units, rank, self.world_size) / batch * batch,
            (true, Even::Uneven) => Even::Uneven.share(units, rank, self.world_size) / batch * batch,
        }
    }
}

/// One epoch, or the rest of it, for one rank. Every rank has the same number of batches of the same sizes, unless shares
/// are [uneven](Even::Uneven).
#[derive(Clone, Debug)]
pub struct Partition {
    pub(super) sampler: Sampler,
    /// How many units there are in the epoch.
    pub(super) units: u64,
    order: EpochOrder,
    /// The order of the epoch that follows, once anybody asks what it begins with.
    next_order: OnceLock<EpochOrder>,
    /// How many samples that has.
    next_len: u64,
    /// The units, where they are groups of a cut.
    pub(super) groups: Option<Groups>,
    epoch: u64,
    cursor: u64,
}

#[expect(clippy::len_without_is_empty, reason = "it is the source's length, which is never 0")]
impl Partition {
    /// Stands for a sample in a row of a cut by lengths whose own one is left out. No source has so many samples.
    pub const NO_SAMPLE: u64 = u64::MAX;

    /// Returns the epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns the unit of the epoch at which the partition begins.
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
        self.unit(batch, 0) / (u64::from(batch_size) * u64::from(world_size))
    }

    /// Tells whether rows that do not fill a batch are left out.
    pub fn drops_last(&self) -> bool {
        self.sampler.drop_last
    }

    /// Tells whether samples come as streams, and so whether batches may have fewer rows, and be missing.
    pub fn is_endless(&self) -> bool {
        self.sampler.is_endless()
    }

    /// Returns the seed of every random choice about the epoch, and about its batches as a whole.
    pub fn seed(&self) -> u64 {
        self.sampler.seed
    }

    /// Returns the seed of every random choice about the sample of a row: the same, or, where the order may give a sample
    /// more than once, one of the row's position.
    pub fn seed_of(&self, batch: u64, row: u32) -> u64 {
        let Sampler { seed, ref order, .. } = self.sampler;
        if order.repeats() { seed_of(self.position(batch, row), seed, self.epoch) } else { seed }
    }

    fn units_of(&self, rank: u32) -> u64 {
        self.sampler.units_of(rank, self.units - self.cursor)
    }

    /// Returns the number of batches.
    pub fn batches(&self) -> u64 {
        self.units_of(self.sampler.rank).div_ceil(u64::from(self.sampler.batch_size))
    }

    /// Returns the number of units of a batch; 0 past the end.
    pub(super) fn units_in(&self, batch: u64) -> u32 {
        let size = u64::from(self.sampler.batch_size);
        let before = batch.saturating_mul(size);
        self.units_of(self.sampler.rank).saturating_sub(before).min(size) as u32
    }

    /// Returns the number of rows of a batch, a sample each; 0 past the end.
    pub fn rows(&self, batch: u64) -> u32 {
        let units = self.units_in(batch);
        self.groups.as_ref().map_or(units, |groups| self.groups_in(batch).map(|group| groups.size(group)).sum())
    }

    /// Tells whether a row has the sample whose turn it is, which so comes once in an epoch on all ranks together, if that
    /// is the one of this index. Else it evens out the ranks, or has the sample of another row in place of a bad one.
    pub fn is_valid(&self, batch: u64, row: u32, index: u64) -> bool {
        // Samples of streams have their numbers in turn, and stand in no other row.
        let is_in_turn = || match &self.groups {
            None => self.unit(batch, row) < self.units,
            Some(groups) => self.spot(groups, batch, row).unit < self.units,
        };
        self.is_endless() || (is_in_turn() && self.index(batch, row, 0) == index)
    }

    /// Returns how many of a batch's rows, its last ones, have samples that come again to even out the ranks.
    pub fn padding(&self, batch: u64) -> u32 {
        let units = self.units_in(batch);
        let before_end = self.units.saturating_sub(self.unit(batch, 0));
        let in_turn = before_end.div_ceil(u64::from(self.sampler.world_size)).min(u64::from(units)) as u32;
        match &self.groups {
            None => units - in_turn,
            Some(groups) => self.groups_in(batch).skip(in_turn as usize).map(|group| groups.size(group)).sum(),
        }
    }

    /// Returns the sample of a row. `attempt` counts the samples that have been tried there before:
    /// each one steps on to the next of the order, or, where samples may come more than once, to the next other one. A row whose
    /// sample has a span has room for that alone: after it there is [none](Self::NO_SAMPLE).
    pub fn index(&self, batch: u64, row: u32, attempt: u32) -> u64 {
        let position = self.position(batch, row);
        if attempt == 0 {
            return self.at(position);
        }
        if self.spanned().is_some() {
            return Self::NO_SAMPLE;
        }
        if self.sampler.order.repeats() {
            return self.other(position, attempt);
        }
        self.at(self.behind(position, attempt.into()))
    }

    /// Returns the sample that is the `attempt`th other one from a position on, as far as there are so many nearby.
    fn other(&self, position: u64, attempt: u32) -> u64 {
        const NEARBY: u64 = 4096;
        let mut found = vec![self.at(position)];
        for step in 1..=NEARBY.min(self.sampler.positions(self.epoch)) {
            let index = self.at(self.behind(position, step));
            if !found.contains(&index) {
                if found.len() as u64 == u64::from(attempt) {
                    return index;
                }
                found.push(index);
            }
        }
        found[attempt as usize % found.len()]
    }

    /// Returns the position that is so many behind another one; behind the epoch's end, where it begins again.
    fn behind(&self, position: u64, by: u64) -> u64 {
        let (position, positions) = (position.wrapping_add(by), self.sampler.positions(self.epoch));
        if position < positions { position } else { position % positions }
    }

    fn variants(&self) -> Option<&MultiScale> {
        self.sampler.cut.as_ref()?.spec().variants()
    }

    /// Tells whether batches have variants.
    pub fn has_variants(&self) -> bool {
        self.variants().is_some()
    }

    /// Returns the variant of a batch, where batches have some; else 0.
    pub fn variant(&self, batch: u64) -> u32 {
        self.variants().map_or(0, |cut| cut.variant(self.seed(), self.epoch, self.wrapped(self.unit(batch, 0))))
    }

    /// Returns a unit of the epoch for one behind its end, where it begins again.
    pub(super) fn wrapped(&self, unit: u64) -> u64 {
        if unit < self.units { unit } else { unit % self.units }
    }

    /// Returns where a row's sample stands in the epoch's global order.
    pub fn position(&self, batch: u64, row: u32) -> u64 {
        match &self.groups {
            None => self.wrapped(self.unit(batch, row)),
            Some(groups) => u64::from(groups.member(self.spot(groups, batch, row).member).position),
        }
    }

    /// Returns the number in the epoch of the `nth` unit of a batch, or one behind its end where it begins again.
    ///
    /// It is the same for a partition that begins at another cursor, if batch size and world size are the same: what names
    /// a batch for good is its first unit.
    pub fn unit(&self, batch: u64, nth: u32) -> u64 {
        let nth = batch * u64::from(self.sampler.batch_size) + u64::from(nth);
        let step = nth * u64::from(self.sampler.world_size) + u64::from(self.sampler.rank);
        // Both are below 2^63 for any source that fits a disk; a wrapped sum would still be some sample.
        self.cursor.wrapping_add(step)
    }

    /// Returns the sample at a position of the global order.
    pub fn at(&self, position: u64) -> u64 {
        self.order.get(position)
    }

    /// Returns the sample that stands so many positions of the global order behind a row, which goes on with the epoch that
    /// follows this one; none where that says nothing about where in the source samples are read. Rows before the epoch's last
    /// window of blocks get none of the next epoch: that one may be short, and samples of three windows would be read at a time.
    pub fn ahead(&self, batch: u64, row: u32, by: u64) -> Option<u64> {
        if !self.order.is_local() {
            return None;
        }
        let unit = match &self.groups {
            None => self.unit(batch, row),
            Some(_) if self.has_variants() => self.position(batch, row),
            // Its samples come in no order of positions.
            Some(_) => return None,
        };
        let Sampler { len, seed, ref order, .. } = self.sampler;
        let position = unit.checked_add(by)?;
        let Some(behind) = position.checked_sub(len) else { return Some(self.at(position)) };
        if behind >= len || self.next_len != len || !self.order.is_near_end(unit) {
            return None;
        }
        let epoch = self.epoch.checked_add(1)?;
        let next = self.next_order.get_or_init(|| order.of_epoch(len, seed, epoch));
        Some(next.get(behind))
    }

    /// Returns the cursor at which an epoch goes on after `batches` batches on every rank, or on every one that has as many.
    pub fn cursor_after(&self, batches: u64) -> u64 {
        // Rank 0 has as many as any other one.
        let units = batches.saturating_mul(u64::from(self.sampler.batch_size)).min(self.units_of(0));
        let world = u64::from(self.sampler.world_size);
        self.cursor.saturating_add(units.saturating_mul(world)).min(self.units)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::{super::Blocks, *};

    fn sampler(len: u64, batch_size: u32, world_size: u32, drop_last: bool, shuffle: bool) -> Sampler {
        let order = if shuffle { Order::Shuffled } else { Order::Source };
        Sampler { seed: 1, batch_size, drop_last, world_size, ..Sampler::new(len, order) }
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
    fn what_comes_is_known_where_the_order_goes_by_where_samples_lie() {
        let ranks = Sampler { rank: 1, ..sampler(24, 3, 2, false, false) };
        for sampler in [ranks.clone(), in_blocks(ranks.clone(), Some(4))] {
            let (partition, next) = (sampler.partition(5, 2), sampler.partition(6, 0));
            // Row 0 of batch 1 stands at 2 + 3 * 2 + 1.
            assert_eq!(partition.ahead(1, 0, 4), Some(partition.at(13)));
            assert_eq!(partition.ahead(1, 0, 14), Some(partition.at(23)));
            assert_eq!(partition.ahead(1, 0, u64::MAX), None);
            // Row 1 of batch 2 stands at 17, the second one of the last window of 2 blocks of 4.
            assert_eq!(partition.ahead(2, 1, 6), Some(partition.at(23)));
            assert_eq!(partition.ahead(2, 1, 7), Some(next.at(0)));
            assert_eq!((partition.ahead(2, 1, 30), partition.ahead(2, 1, 31)), (Some(next.at(23)), None));
            // So does a row that evens out the ranks, behind the end.
            assert_eq!((partition.unit(3, 2), partition.ahead(3, 2, 4)), (25, Some(next.at(5))));
        }
        let shuffled = Sampler { order: Order::Shuffled, ..ranks };
        assert_eq!(shuffled.partition(5, 2).ahead(1, 0, 4), None);
    }

    #[test]
    fn the_next_epoch_is_known_from_the_last_window_on() {
        let in_order = sampler(20, 4, 1, false, false);
        // Windows of 8 samples, 8 and 4.
        let in_windows = in_blocks(in_order.clone(), Some(4));
        let first = |sampler: &Sampler| {
            let (partition, next) = (sampler.partition(0, 0), sampler.partition(1, 0).at(0));
            (0..20).find(|&at| partition.ahead(at / 4, (at % 4) as u32, 20 - at) == Some(next))
        };
        assert_eq!((first(&in_order), first(&in_windows)), (Some(0), Some(16)));
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

    /// Each rank's rows of the positions from a cursor on, batch by batch, and whether each is valid: dealt like cards.
    fn dealt(sampler: &Sampler, cursor: u64) -> Vec<Vec<Vec<(u64, bool)>>> {
        let (world, batch) = (sampler.world_size as usize, sampler.batch_size as usize);
        let mut cards: Vec<(u64, bool)> = (cursor..sampler.len).map(|position| (position, true)).collect();
        let even = cards.len() / world * world;
        match (sampler.drop_last, sampler.even) {
            (true, Even::Pad | Even::Drop) => cards.truncate(cards.len() / (world * batch) * world * batch),
            (false, Even::Drop) => cards.truncate(even),
            (false, Even::Pad) => {
                let again = (0..).map(|position| (position % sampler.len, false));
                let lacking = cards.len().next_multiple_of(world) - cards.len();
                cards.extend(again.take(lacking));
            }
            (_, Even::Uneven) => {}
        }
        let hand = |rank| cards.iter().skip(rank).step_by(world).copied().collect::<Vec<_>>();
        let batches = |hand: Vec<(u64, bool)>| {
            let whole = |rows: &&[(u64, bool)]| !sampler.drop_last || rows.len() == batch;
            hand.chunks(batch).filter(whole).map(<[_]>::to_vec).collect()
        };
        (0..world).map(|rank| batches(hand(rank))).collect()
    }

    /// The same, as the partitions of the ranks have them.
    fn read(sampler: &Sampler, cursor: u64) -> Vec<Vec<Vec<(u64, bool)>>> {
        let of = |rank| {
            let partition = Sampler { rank, ..sampler.clone() }.partition(0, cursor);
            let row = |batch, row| {
                let index = partition.index(batch, row, 0);
                (index, partition.is_valid(batch, row, index))
            };
            let rows = |batch| (0..partition.rows(batch)).map(|at| row(batch, at)).collect::<Vec<_>>();
            let batches: Vec<_> = (0..partition.batches()).map(rows).collect();
            for (number, batch) in batches.iter().enumerate() {
                let padding = batch.iter().filter(|(_, is_valid)| !is_valid).count();
                assert_eq!(partition.padding(number as u64) as usize, padding);
                assert!(batch[batch.len() - padding..].iter().all(|(_, is_valid)| !is_valid));
            }
            batches
        };
        (0..sampler.world_size).map(of).collect()
    }

    /// What is valid of the first batches of each rank, or of all.
    fn valid(ranks: &[Vec<Vec<(u64, bool)>>], batches: usize) -> Vec<u64> {
        let rows = ranks.iter().flat_map(|rank| rank.iter().take(batches).flatten());
        rows.filter(|(_, is_valid)| *is_valid).map(|(index, _)| *index).collect()
    }

    /// Every small source, batch size and world size.
    fn small_samplers(drop_last: bool, even: Even) -> impl Iterator<Item = Sampler> {
        let sizes =
            (1..=13).flat_map(|len| (1..=3).flat_map(move |batch| (1..=4).map(move |world| (len, batch, world))));
        sizes.map(move |(len, batch, world)| Sampler { even, ..sampler(len, batch, world, drop_last, false) })
    }

    const EVENS: [Even; 3] = [Even::Pad, Even::Drop, Even::Uneven];

    #[test]
    fn ranks_get_what_they_are_dealt_from_any_cursor() {
        for (even, drop_last) in EVENS.into_iter().flat_map(|even| [(even, false), (even, true)]) {
            for sampler in small_samplers(drop_last, even) {
                for cursor in 0..=sampler.len {
                    assert_eq!(read(&sampler, cursor), dealt(&sampler, cursor), "{sampler:?} from {cursor}");
                }
            }
        }
    }

    /// Stop where each rank has had so many batches, or all of its own; go on with any batch size and number of ranks: each
    /// sample is valid once, and what is left out is less than the ranks, or their batches, could not share out.
    #[test]
    fn what_is_valid_comes_once_also_where_ranks_and_batches_change() {
        for (even, drop_last) in EVENS.into_iter().flat_map(|even| [(even, false), (even, true)]) {
            for (before, after) in
                small_samplers(drop_last, even).flat_map(|before| (1..=12).map(move |at| (before.clone(), at)))
            {
                let after = Sampler { batch_size: after % 3 + 1, world_size: after.div_ceil(3), ..before.clone() };
                let first = read(&before, 0);
                for stop in 0..=first[0].len() {
                    // Rank 0 has most batches.
                    let cursor = before.partition(0, 0).cursor_after(stop as u64);
                    let mut all = valid(&first, stop);
                    all.extend(valid(&read(&after, cursor), usize::MAX));
                    let count = all.len() as u64;
                    all.sort_unstable();
                    all.dedup();
                    assert_eq!(all.len() as u64, count, "{before:?} until {stop}, then {after:?}");
                    let lost = before.len - count;
                    match (drop_last, even) {
                        (false, Even::Pad | Even::Uneven) => assert_eq!(lost, 0),
                        (false, Even::Drop) => assert!(lost < u64::from(after.world_size)),
                        (true, Even::Pad | Even::Drop) => {
                            assert!(lost < u64::from(after.world_size) * u64::from(after.batch_size));
                        }
                        // Every rank may lack up to a batch, in either part of the epoch.
                        (true, Even::Uneven) => {
                            let lacking = |of: &Sampler| u64::from(of.world_size) * u64::from(of.batch_size - 1);
                            assert!(lost <= lacking(&before) + lacking(&after));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn ranks_that_have_had_as_many_batches_are_at_the_same_place() {
        for (even, drop_last) in EVENS.into_iter().flat_map(|even| [(even, false), (even, true)]) {
            for sampler in small_samplers(drop_last, even) {
                let ranks: Vec<_> =
                    (0..sampler.world_size).map(|rank| Sampler { rank, ..sampler.clone() }.partition(0, 0)).collect();
                for batches in 0..=ranks[0].batches() {
                    let as_many = ranks.iter().filter(|rank| rank.batches() >= batches);
                    assert!(
                        as_many.map(|rank| rank.cursor_after(batches)).all(|at| at == ranks[0].cursor_after(batches))
                    );
                }
            }
        }
    }

    #[test]
    fn a_row_with_the_sample_of_another_one_is_not_valid() {
        let partition = sampler(5, 5, 1, false, true).partition(0, 0);
        for row in 0..5 {
            assert!(partition.is_valid(0, row, partition.index(0, row, 0)));
            assert!(!partition.is_valid(0, row, partition.index(0, row, 1)));
        }
        // Where bad samples of a stream are left out, rows have the numbers of later ones.
        let stream = sampler(ENDLESS, 5, 2, false, false).partition(0, 0);
        assert!(stream.is_valid(0, 1, stream.index(0, 3, 0)));
        assert_eq!(stream.padding(7), 0);
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

        /// Up to an epoch there were fewer samples: these epochs are as they were, and all others as if it had always been so.
        #[test]
        fn epochs_before_a_source_grew_stay_what_they_were(
            had in 1u64..200, more in 1u64..200, batch in 1u32..20, world in 1u32..5, shuffle: bool, cursor in 0u64..200,
            block in prop::option::of(1u64..60),
        ) {
            let of = |len| in_blocks(sampler(len, batch, world, false, shuffle), block);
            let grown = of(had + more);
            grown.give_grown(Table::new([2, had].map(u64::to_ne_bytes).concat()));
            for epoch in 0..5 {
                let plain = of(if epoch <= 2 { had } else { had + more });
                prop_assert_eq!(indices(&grown, epoch, cursor, None), indices(&plain, epoch, cursor, None));
                prop_assert_eq!((grown.samples_in(epoch), grown.positions(epoch)), (plain.len, plain.positions(0)));
                prop_assert_eq!(grown.audit(epoch, None), plain.audit(epoch, None));
                prop_assert_eq!(grown.partition(epoch, 0).len(), plain.len);
            }
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
