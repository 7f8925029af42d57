//! What all ranks together get of an epoch.

use super::partition::Sampler;

/// What all ranks together get in a whole epoch. What is counted are samples; with a [cut](super::Cut), its groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shares {
    /// Those that come again, to even the ranks out.
    pub padding: u64,
    /// Those that no rank gets.
    pub left_out: u64,
    /// The number of batches of the rank that has the fewest, which is the last one.
    pub fewest_batches: u64,
    /// That of the rank that has the most, which is rank 0.
    pub most_batches: u64,
}

impl Sampler {
    /// Returns what all ranks together get in a whole epoch; none where nobody knows, because samples come as streams.
    pub fn shares(&self, epoch: u64) -> Option<Shares> {
        if self.is_endless() {
            return None;
        }
        let units = self.units(epoch);
        let (world, batch) = (u64::from(self.world_size), u64::from(self.batch_size));
        let (most, fewest) = (self.units_of(0, units), self.units_of(self.world_size - 1, units));
        // Ranks below this one have the larger share, where shares differ.
        let larger = units % world;
        let given = most * larger + fewest * (world - larger);
        Some(Shares {
            padding: given.saturating_sub(units),
            left_out: units.saturating_sub(given),
            fewest_batches: fewest.div_ceil(batch),
            most_batches: most.div_ceil(batch),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ENDLESS, Even, Order, Partition},
        *,
    };

    #[test]
    fn shares_are_what_the_ranks_get() {
        for (len, batch_size, world_size) in
            (1..40).flat_map(|len| [(len, 1, 4), (len, 3, 1), (len, 3, 4), (len, 5, 7)])
        {
            for (drop_last, even) in
                [false, true].into_iter().flat_map(|last| [(last, Even::Pad), (last, Even::Drop), (last, Even::Uneven)])
            {
                let order = Order::Source;
                let sampler = Sampler { seed: 1, batch_size, drop_last, even, world_size, ..Sampler::new(len, order) };
                let ranks: Vec<_> =
                    (0..world_size).map(|rank| Sampler { rank, ..sampler.clone() }.partition(0, 0)).collect();
                let batches = || ranks.iter().map(Partition::batches);
                let rows = |of: &Partition| (0..of.batches()).map(|at| u64::from(of.rows(at))).sum::<u64>();
                let padding = |of: &Partition| (0..of.batches()).map(|at| u64::from(of.padding(at))).sum::<u64>();
                let (rows, padding): (u64, u64) = (ranks.iter().map(rows).sum(), ranks.iter().map(padding).sum());
                let found = sampler.shares(0).unwrap();
                assert_eq!(found.padding, padding);
                assert_eq!(found.left_out, len - (rows - padding));
                assert_eq!(found.fewest_batches, batches().min().unwrap());
                assert_eq!(found.most_batches, batches().max().unwrap());
            }
        }
    }

    #[test]
    fn nobody_knows_those_of_streams() {
        let (len, order) = (ENDLESS, Order::Source);
        let sampler = Sampler { seed: 1, batch_size: 2, world_size: 2, ..Sampler::new(len, order) };
        assert_eq!(sampler.shares(0), None);
    }
}
