//! Batches of several variants, such as images of other sizes: which of them a batch has is drawn for it.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    rng::Key,
};

/// Sets the draws of variants apart from those of transforms and of the order.
const OP: u64 = u64::MAX - 8;

/// Batches each of which has one of several variants, as many samples as that says, in the order of the epoch.
///
/// So are multi-scale training of YOLO9000 (Redmon and Farhadi, 2017, section 2) and the variable batch sampler of `MobileViT`
/// (Mehta and Rastegari, 2022, section 3.3), which trains small images in larger batches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiScale {
    /// The samples of a batch of each variant.
    batch_sizes: Vec<u32>,
    /// How many batches, one after the other, have the same variant.
    repeat: u32,
}

impl MultiScale {
    /// The name that errors have.
    pub(super) const NAME: &'static str = "MultiScale";

    /// Returns the cut into batches of several variants, of so many samples each, `repeat` of which follow each other.
    ///
    /// # Errors
    /// [`Error::Config`] for no variants, and numbers that are 0.
    pub fn new(batch_sizes: impl Into<Vec<u32>>, repeat: u32) -> Result<Self> {
        let (batch_sizes, name) = (batch_sizes.into(), Self::NAME);
        if batch_sizes.is_empty() {
            return Err(Error::Config(format!("{name}: there must be at least one variant")));
        }
        if batch_sizes.contains(&0) {
            return Err(Error::Config(format!("{name}: batch_sizes must be at least 1, unlike {batch_sizes:?}")));
        }
        if repeat == 0 {
            return Err(Error::Config(format!("{name}: repeat must be at least 1, not 0")));
        }
        Ok(Self { batch_sizes, repeat })
    }

    /// Returns the same cut, wherever it comes from.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub(super) fn checked(&self) -> Result<Self> {
        Self::new(&*self.batch_sizes, self.repeat)
    }

    /// Returns the name that errors have.
    pub fn name(&self) -> &'static str {
        Self::NAME
    }

    /// Returns the samples of a batch of each variant.
    pub fn batch_sizes(&self) -> &[u32] {
        &self.batch_sizes
    }

    /// Returns as many samples as a batch has on average.
    pub(super) fn usual_samples(&self) -> u32 {
        let sum: u64 = self.batch_sizes.iter().map(|size| u64::from(*size)).sum();
        (sum / self.batch_sizes.len() as u64) as u32
    }

    /// Returns the variant of a batch of an epoch, by its number among those of all ranks.
    pub(super) fn variant(&self, seed: u64, epoch: u64, batch: u64) -> u32 {
        let key = Key { seed, epoch, index: batch / u64::from(self.repeat) };
        key.rng(OP).below(self.batch_sizes.len() as u64) as u32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{
        super::{Cut, CutSpec, Earlier, Order, Rule, Sampler, Table},
        *,
    };

    fn sampler(cut: MultiScale, len: u64, drop_last: bool, world_size: u32) -> Sampler {
        let cut = Some(Cut::open(&CutSpec::Variants(cut), len).unwrap());
        let sampler = Sampler { cut, seed: 3, drop_last, world_size, ..Sampler::new(len, Order::Shuffled) };
        for epoch in [0, 1] {
            sampler.give_groups(epoch, Table::new(sampler.plan(epoch, &[], &[]).unwrap().unwrap())).unwrap();
        }
        sampler
    }

    /// The variants of all batches of a rank, and how many rows each has.
    fn batches(sampler: &Sampler, rank: u32, epoch: u64, cursor: u64) -> Vec<(u32, u32)> {
        let partition = Sampler { rank, ..sampler.clone() }.partition(epoch, cursor);
        (0..partition.batches()).map(|batch| (partition.variant(batch), partition.rows(batch))).collect()
    }

    #[test]
    fn a_batch_has_the_samples_of_its_variant() {
        let sizes = [4, 3, 2];
        let sampler = sampler(MultiScale::new(sizes, 1).unwrap(), 1000, false, 1);
        let mut made = batches(&sampler, 0, 0, 0);
        let (_, last) = made.pop().unwrap();
        assert!(made.iter().all(|(variant, rows)| *rows == sizes[*variant as usize]));
        assert_eq!(made.iter().map(|(_, rows)| rows).sum::<u32>() + last, 1000);
        for variant in 0..3 {
            let share = made.iter().filter(|(other, _)| *other == variant).count() as f64 / made.len() as f64;
            assert!((share - 1.0 / 3.0).abs() < 0.1, "variant {variant}: {share}");
        }
        assert_ne!(batches(&sampler, 0, 1, 0)[..20], made[..20], "each epoch draws its own");
    }

    #[test]
    fn samples_are_read_ahead_as_without_a_cut() {
        let sampler = Sampler { order: Order::Source, ..sampler(MultiScale::new([4, 3], 1).unwrap(), 50, false, 1) };
        let partition = sampler.partition(0, 0);
        let (second, row) = (u64::from(partition.rows(0)), 1);
        assert_eq!(partition.ahead(1, row, 10), Some(second + u64::from(row) + 10));
        assert_eq!(partition.ahead(1, row, 50), Some(second + u64::from(row)), "of the next epoch");
        assert_eq!(partition.ahead(1, row, 100), None);
    }

    #[test]
    fn the_variants_of_a_seed_stay() {
        let cut = MultiScale::new([1; 4], 1).unwrap();
        let drawn: Vec<u32> = (0..16).map(|batch| cut.variant(7, 2, batch)).collect();
        assert_eq!(drawn, GOLDEN);
    }

    /// What the first release drew.
    const GOLDEN: [u32; 16] = [1, 0, 3, 2, 3, 1, 3, 1, 2, 0, 2, 1, 3, 2, 1, 0];

    #[test]
    fn ranks_have_the_same_variant_at_each_step() {
        let sampler = sampler(MultiScale::new([3, 2, 5, 4], 4).unwrap(), 500, true, 4);
        let ranks: Vec<_> = (0..4).map(|rank| batches(&sampler, rank, 1, 0)).collect();
        assert!(ranks[0].len() > 20 && ranks.iter().all(|rank| *rank == ranks[0]));
        let rest = batches(&sampler, 2, 1, 20);
        assert_eq!(rest, ranks[2][5..], "also where an epoch goes on");
    }

    #[test]
    fn an_epoch_is_continued_with_other_sizes() {
        let (first, second) = (MultiScale::new([3, 5], 2).unwrap(), MultiScale::new([4], 1).unwrap());
        let begun = sampler(first.clone(), 50, false, 1);
        let read: u32 = batches(&begun, 0, 1, 0)[..4].iter().map(|(_, rows)| rows).sum();
        let earlier = [Earlier { rule: Rule::Variants(first), cursor: 4 }];
        let rest = sampler(second, 50, false, 1);
        rest.forget_groups(1);
        let left = rest.rest(1, &[], &earlier).unwrap();
        rest.give_groups(1, Table::new(rest.plan(1, &[], &earlier).unwrap().unwrap())).unwrap();
        let partition = rest.partition(1, 0);
        let rows = |batch| (0..partition.rows(batch)).map(move |row| (batch, row));
        let positions: Vec<u64> =
            (0..partition.batches()).flat_map(rows).map(|(batch, row)| partition.position(batch, row)).collect();
        assert_eq!(positions, (u64::from(read)..50).collect::<Vec<_>>());
        assert_eq!((rest.audit(1, left.as_ref()).unwrap().faults, batches(&rest, 0, 1, 0)[0]), (vec![], (0, 4)));
        let broken = Rule::Variants(MultiScale { batch_sizes: vec![0], repeat: 1 });
        let told = rest.rest(1, &[], &[Earlier { rule: broken, cursor: 0 }]).unwrap_err().to_string();
        assert!(told.contains("batch_sizes must be at least 1"), "{told}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |sizes: &[u32], repeat| MultiScale::new(sizes, repeat).unwrap_err().to_string();
        assert!(refused(&[], 1).contains("at least one variant"));
        assert!(refused(&[4, 0], 1).contains("batch_sizes must be at least 1, unlike [4, 0]"));
        assert!(refused(&[4], 0).contains("repeat must be at least 1, not 0"));
    }

    proptest! {
        /// Stop after any batch, go on with other ranks: together, each position once, and no position twice in an audit.
        #[test]
        fn a_resumed_epoch_has_exactly_the_rest(
            sizes in prop::collection::vec(1_u32..7, 1..5), repeat in 1_u32..5, len in 1_u64..200, stop in 0_u64..20,
            before in 1_u32..4, after in 1_u32..4, drop_last: bool,
        ) {
            let cut = MultiScale::new(sizes, repeat).unwrap();
            let (first, second) = (sampler(cut.clone(), len, drop_last, before), sampler(cut, len, drop_last, after));
            let positions = |sampler: &Sampler, cursor: u64, batches: u64| {
                let of_rank = |rank| {
                    let partition = Sampler { rank, ..sampler.clone() }.partition(1, cursor);
                    let of_row = |batch, row| {
                        let is_valid = partition.is_valid(batch, row, partition.index(batch, row, 0));
                        is_valid.then(|| partition.position(batch, row))
                    };
                    let of_batch =
                        |batch| (0..partition.rows(batch)).filter_map(|row| of_row(batch, row)).collect::<Vec<_>>();
                    (0..partition.batches().min(batches)).flat_map(of_batch).collect::<Vec<_>>()
                };
                (0..sampler.world_size).flat_map(of_rank).collect::<Vec<_>>()
            };
            let cursor = first.partition(1, 0).cursor_after(stop);
            let mut parts = positions(&first, 0, stop);
            parts.extend(positions(&second, cursor, u64::MAX));
            let once: BTreeSet<u64> = parts.iter().copied().collect();
            prop_assert_eq!(parts.len(), once.len());
            if drop_last {
                prop_assert_eq!(first.audit(1, None).unwrap().faults, vec![]);
            } else {
                prop_assert_eq!(once.len() as u64, len);
                let audit = first.audit(1, None).unwrap();
                prop_assert_eq!((audit.faults, audit.left_out), (vec![], 0));
            }
        }
    }
}
