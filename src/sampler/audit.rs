//! Proof that the ranks share out an epoch: every sample once, and to whom it belongs; where an order gives other samples than
//! each of the source once, every position of it.

use std::{fmt, iter};

use xxhash_rust::xxh3::Xxh3;

use super::{
    cut_spec::CutSpec,
    groups::Groups,
    partition::{Partition, Sampler},
    rest::Rest,
};

/// A row of a rank: where it stands in the epoch's order (of a cut, its number among the rows of all groups), whose turn it
/// is, its sample, and whether that counts, or comes again to even out the ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    position: u64,
    owner: u32,
    index: u64,
    is_valid: bool,
}

/// What a rank gets of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RankShare {
    /// Its batches.
    pub batches: u64,
    /// The rows of all its batches.
    pub rows: u64,
    /// Those of them whose samples come again, to even the ranks out.
    pub padding: u64,
    /// The hash (XXH3, 64 bits) of the indices of its rows, in their order, each as a little-endian `int64`.
    pub digest: u64,
}

/// What is wrong with an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A sample that counts twice.
    Repeated {
        /// Its index.
        index: u64,
        /// The rank that has it once more.
        rank: u32,
    },
    /// A sample that no rank has, although it is not one of those that are left out.
    Missing {
        /// Its index.
        index: u64,
    },
    /// A position that counts twice, of an order that gives other samples than each of the source once.
    RepeatedPosition {
        /// Where in the epoch's order it is.
        position: u64,
        /// The rank that has it once more.
        rank: u32,
    },
    /// A position of such an order that no rank has, although it is not one of those that are left out.
    MissingPosition {
        /// Where in the epoch's order it is.
        position: u64,
    },
    /// A row that belongs to another rank.
    Swapped {
        /// Where it stands in the epoch's order.
        position: u64,
        /// The rank that has it.
        rank: u32,
        /// The one whose turn it is.
        owner: u32,
    },
    /// A row with a number that is no sample's.
    Beyond {
        /// The number.
        index: u64,
        /// The rank that has it.
        rank: u32,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated { index, rank } => write!(f, "rank {rank} has sample {index} once more"),
            Self::Missing { index } => write!(f, "no rank has sample {index}"),
            Self::RepeatedPosition { position, rank } => {
                write!(f, "rank {rank} has position {position} of the order once more")
            }
            Self::MissingPosition { position } => write!(f, "no rank has position {position} of the order"),
            Self::Swapped { position, rank, owner } => {
                write!(f, "rank {rank} has position {position} of the order, which is rank {owner}'s")
            }
            Self::Beyond { index, rank } => write!(f, "rank {rank} has {index}, which is no sample"),
        }
    }
}

/// What an audit of an epoch has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audit {
    /// What each rank gets.
    pub ranks: Vec<RankShare>,
    /// The samples that no rank gets, because they cannot be shared out evenly or do not fill a batch.
    pub left_out: u64,
    /// The first 16 faults, and how many there are in all.
    pub faults: Vec<Fault>,
    /// How many faults there are.
    pub fault_count: u64,
}

impl Audit {
    const SHOWN: usize = 16;

    fn fault(&mut self, fault: Fault) {
        self.fault_count += 1;
        if self.faults.len() < Self::SHOWN {
            self.faults.push(fault);
        }
    }
}

impl Sampler {
    /// Goes over all rows that all ranks get of an epoch, without reading a sample; none where samples come as streams.
    ///
    /// Of an epoch that was continued with another cut, it is the `rest` that is shared out. It takes a bit of memory for each
    /// sample, and about the time that drawing the order takes.
    pub fn audit(&self, epoch: u64, rest: Option<&Rest>) -> Option<Audit> {
        let left_out = self.shares(epoch)?.left_out;
        let (samples, positions) = (self.samples_in(epoch), self.positions(epoch));
        let order = self.order.with_drawn(self.seed, epoch);
        let ranks = (0..self.world_size).map(|rank| {
            let partition = Self { rank, order: order.clone(), ..self.clone() }.partition(epoch, 0);
            (0..partition.batches()).map(move |batch| {
                let rows = 0..partition.rows(batch);
                rows.map(|row| partition.audited(batch, row)).collect::<Vec<_>>()
            })
        });
        let Some(cut) = &self.cut else {
            let by = if self.order.is_permutation() { By::Index } else { By::Position(positions) };
            return Some(audit((samples, by), left_out, ranks));
        };
        let groups = cut.groups(epoch);
        let is_left_out = |unit: &u64| {
            let (rank, turn) = (unit % u64::from(self.world_size), unit / u64::from(self.world_size));
            turn >= self.units_of(rank as u32, groups.count())
        };
        let rows_left_out = (0..groups.count()).filter(is_left_out).map(|unit| u64::from(groups.size(unit))).sum();
        let by = By::Position(groups.members());
        let found = audit((samples, by), rows_left_out, ranks);
        let behind = rest.map_or_else(|| vec![None; positions as usize], |rest| rest.behind(positions));
        Some(self.audit_groups(&groups, cut.spec(), behind, Audit { left_out: 0, ..found }, is_left_out))
    }

    /// Proves that groups have what is not behind of each position of the epoch once, or its parts one after the other.
    fn audit_groups(
        &self,
        groups: &Groups,
        spec: &CutSpec,
        mut had: Vec<Option<u32>>,
        mut found: Audit,
        is_left_out: impl Fn(&u64) -> bool,
    ) -> Audit {
        for fault in &mut found.faults {
            if let Fault::RepeatedPosition { position, .. }
            | Fault::MissingPosition { position }
            | Fault::Swapped { position, .. } = fault
            {
                // Rows were told by their numbers among those of all groups.
                *position = groups.member(*position).position.into();
            }
        }
        for group in 0..groups.count() {
            let rank = (group % u64::from(self.world_size)) as u32;
            let spans = spec.lengths().into_iter().flat_map(|spec| spec.spans(groups, group, 0));
            let parts = spans.map(|span| (span.skip, span.skip + span.len)).chain(iter::repeat((0, 0)));
            for (member, (from, to)) in groups.of_group(group).zip(parts) {
                let position = u64::from(member.position);
                let Some(had) = had.get_mut(member.position as usize) else {
                    found.fault(Fault::Beyond { index: position, rank });
                    continue;
                };
                if *had != (from > 0).then_some(from) {
                    found.fault(Fault::RepeatedPosition { position, rank });
                }
                *had = Some(to);
            }
            found.left_out += if is_left_out(&group) { u64::from(groups.size(group)) } else { 0 };
        }
        let missing = had.iter().zip(0..).filter(|(had, _)| had.is_none());
        for (_, position) in missing {
            found.left_out += 1;
            if !spec.leaves_out(self.drop_last) {
                found.fault(Fault::MissingPosition { position });
            }
        }
        found
    }
}

impl Partition {
    /// Returns what a row has.
    fn audited(&self, batch: u64, row: u32) -> Row {
        let (position, unit) = match &self.groups {
            None => (self.position(batch, row), self.unit(batch, row)),
            Some(groups) => {
                let spot = self.spot(groups, batch, row);
                (spot.member, spot.unit)
            }
        };
        let index = self.index(batch, row, 0);
        let owner = (unit % u64::from(self.sampler.world_size)) as u32;
        Row { position, owner, index, is_valid: self.is_valid(batch, row, index) }
    }
}

/// What is to come once.
#[derive(Clone, Copy, Debug)]
enum By {
    /// Each sample of the source.
    Index,
    /// Each of so many positions.
    Position(u64),
}

/// Audits what each rank gets, batch by batch, of so many samples.
fn audit(
    (len, by): (u64, By),
    left_out: u64,
    ranks: impl Iterator<Item = impl IntoIterator<Item = Vec<Row>>>,
) -> Audit {
    let mut audit = Audit { left_out, ..Audit::default() };
    let count = match by {
        By::Index => len,
        By::Position(positions) => positions,
    };
    let mut seen = vec![0_u64; count.div_ceil(64) as usize];
    for (rank, batches) in (0_u32..).zip(ranks) {
        let (mut share, mut hash) = (RankShare::default(), Xxh3::new());
        for batch in batches {
            share.batches += 1;
            for row in batch {
                share.rows += 1;
                hash.update(&row.index.to_le_bytes());
                if row.owner != rank {
                    audit.fault(Fault::Swapped { position: row.position, rank, owner: row.owner });
                }
                if row.index >= len {
                    audit.fault(Fault::Beyond { index: row.index, rank });
                } else if row.is_valid {
                    let (number, repeated) = match by {
                        By::Index => (row.index, Fault::Repeated { index: row.index, rank }),
                        By::Position(_) => (row.position, Fault::RepeatedPosition { position: row.position, rank }),
                    };
                    let (word, bit) = (&mut seen[(number / 64) as usize], 1 << (number % 64));
                    if *word & bit != 0 {
                        audit.fault(repeated);
                    }
                    *word |= bit;
                } else {
                    share.padding += 1;
                }
            }
        }
        share.digest = hash.digest();
        audit.ranks.push(share);
    }
    let had: u64 = seen.iter().map(|word| u64::from(word.count_ones())).sum();
    // Which samples are left out is the order's business; how many is not.
    if had + left_out < count {
        let missing = (0..count).filter(|number| seen[(number / 64) as usize] >> (number % 64) & 1 == 0);
        missing.for_each(|number| {
            audit.fault(match by {
                By::Index => Fault::Missing { index: number },
                By::Position(_) => Fault::MissingPosition { position: number },
            });
        });
    }
    audit
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{
        super::{
            Blocks, Cut, CutOptions, CutSpec, ENDLESS, Even, Filling, Given, Grouping, LengthCut, Order, OrderSpec,
            Pacing, Table,
            groups::{Member, Plan},
        },
        *,
    };

    const EVENS: [Even; 3] = [Even::Pad, Even::Drop, Even::Uneven];

    fn sampler(len: u64, world_size: u32, even: Even, drop_last: bool, order: Order) -> Sampler {
        Sampler { seed: 3, batch_size: 3, drop_last, even, world_size, ..Sampler::new(len, order) }
    }

    #[test]
    fn every_order_and_cut_shares_out_its_epoch() {
        for (len, world) in (1..30).flat_map(|len| [(len, 1), (len, 2), (len, 5)]) {
            for even in EVENS {
                let blocks = Arc::new(Blocks { ends: (1..=len).collect(), window: 2 });
                for order in [Order::Source, Order::Shuffled, Order::Blocks(blocks)] {
                    for drop_last in [false, true] {
                        let sampler = sampler(len, world, even, drop_last, order.clone());
                        let found = sampler.audit(7, None).unwrap();
                        assert_eq!((found.fault_count, &found.faults), (0, &vec![]), "{sampler:?}");
                        let shares = sampler.shares(7).unwrap();
                        let sum = |of: fn(&RankShare) -> u64| found.ranks.iter().map(of).sum::<u64>();
                        assert_eq!(sum(|rank| rank.padding), shares.padding);
                        assert_eq!(sum(|rank| rank.rows), len + shares.padding - shares.left_out);
                        assert_eq!(found.ranks[0].batches, shares.most_batches);
                    }
                }
            }
        }
    }

    #[test]
    fn a_digest_is_of_the_indices_in_order() {
        let found = sampler(4, 2, Even::Pad, false, Order::Source).audit(0, None).unwrap();
        let of = |indices: [u64; 2]| xxhash_rust::xxh3::xxh3_64(&indices.map(u64::to_le_bytes).concat());
        assert_eq!(found.ranks.iter().map(|rank| rank.digest).collect::<Vec<_>>(), [of([0, 2]), of([1, 3])]);
    }

    #[test]
    fn nobody_knows_of_streams() {
        assert_eq!(sampler(ENDLESS, 1, Even::Pad, false, Order::Source).audit(0, None), None);
    }

    /// Two ranks that share out eight samples in batches of two.
    fn right() -> Vec<Vec<Vec<Row>>> {
        let row = |position| Row { position, owner: (position % 2) as u32, index: 7 - position, is_valid: true };
        (0..2).map(|rank| (0..2).map(|at| vec![row(4 * at + rank), row(4 * at + 2 + rank)]).collect()).collect()
    }

    fn faults(ranks: Vec<Vec<Vec<Row>>>) -> Vec<Fault> {
        audit((8, By::Index), 0, ranks.into_iter()).faults
    }

    fn faults_by_position(ranks: Vec<Vec<Vec<Row>>>) -> Vec<Fault> {
        audit((8, By::Position(8)), 0, ranks.into_iter()).faults
    }

    #[test]
    fn each_kind_of_fault_is_found() {
        assert_eq!(faults(right()), []);
        let mut repeat = right();
        repeat[1][0][1].index = 7;
        assert_eq!(faults(repeat), [Fault::Repeated { index: 7, rank: 1 }, Fault::Missing { index: 4 }]);
        let mut gap = right();
        gap[0][1].pop();
        assert_eq!(faults(gap), [Fault::Missing { index: 1 }]);
        let mut swapped = right();
        let (one, other) = (swapped[0][0][0], swapped[1][1][0]);
        (swapped[0][0][0], swapped[1][1][0]) = (other, one);
        let expected =
            [Fault::Swapped { position: 5, rank: 0, owner: 1 }, Fault::Swapped { position: 0, rank: 1, owner: 0 }];
        assert_eq!(faults(swapped), expected);
        let mut beyond = right();
        beyond[0][0][0].index = 8;
        assert_eq!(faults(beyond), [Fault::Beyond { index: 8, rank: 0 }, Fault::Missing { index: 7 }]);
    }

    #[test]
    fn positions_count_where_samples_may_come_again() {
        let mut right = right();
        right.iter_mut().flatten().flatten().for_each(|row| row.index /= 2);
        assert_eq!(faults_by_position(right.clone()), []);
        let mut repeat = right.clone();
        repeat[1][0][1].position = 1;
        assert_eq!(
            faults_by_position(repeat),
            [Fault::RepeatedPosition { position: 1, rank: 1 }, Fault::MissingPosition { position: 3 }]
        );
        let mut gap = right;
        gap[0][1].pop();
        assert_eq!(faults_by_position(gap), [Fault::MissingPosition { position: 6 }]);
    }

    #[test]
    fn orders_of_other_lengths_share_out_their_positions() {
        let explicit: Vec<u64> = (0..23).map(|at| at * at % 7).collect();
        for (spec, table) in [
            OrderSpec::weighted(&[1.0; 7], Some(23)).unwrap(),
            OrderSpec::weighted_once(&[1.0, 0.0, 2.0, 5.0, 1.0, 1.0, 3.0], Some(5)).unwrap(),
            OrderSpec::curriculum(&[2.0; 7], Pacing::Root, (0.1, 1.5), Some(19)).unwrap(),
            OrderSpec::repeated(3, Some(20)).unwrap(),
            OrderSpec::explicit(&explicit).unwrap(),
            OrderSpec::explicit(&[5, 2]).unwrap(),
            OrderSpec::mixture(&[1.0, 2.0], &[3, 4], Some(50)).unwrap(),
            OrderSpec::scheduled_mixture(&[(0, vec![1.0, 2.0]), (5, vec![1.0, 0.0])], &[3, 4], Some(50)).unwrap(),
        ] {
            let order = Order::Given(Given::open(&spec, Some(Table::new(table)), 7).unwrap());
            for (world, even) in [1, 2, 5].into_iter().flat_map(|world| EVENS.map(|even| (world, even))) {
                for drop_last in [false, true] {
                    let sampler = sampler(7, world, even, drop_last, order.clone());
                    let found = sampler.audit(7, None).unwrap();
                    assert_eq!((found.fault_count, &found.faults), (0, &vec![]), "{sampler:?}");
                    let rows: u64 = found.ranks.iter().map(|rank| rank.rows - rank.padding).sum();
                    assert_eq!(rows + found.left_out, sampler.positions(0));
                }
            }
        }
    }

    /// What is found of an epoch over samples of these lengths, in rows of 4, whose groups are these: of each, what of its
    /// first sample another one has, and where its samples stand in the order.
    fn faults_of_groups(lengths: &[u32], strategy: Filling, groups: &[(u32, &[u32])]) -> Audit {
        let packing = Grouping::Packing { seq_len: 4, strategy };
        let spec = CutSpec::Lengths(LengthCut::new(CutOptions::new(packing, "tokens"), lengths).unwrap());
        let len = lengths.len() as u64;
        let cut = Some(Cut::open(&spec, len).unwrap());
        let sampler = Sampler { cut, batch_size: 1, ..sampler(len, 1, Even::Pad, false, Order::Source) };
        let mut plan = Plan::default();
        for (skip, positions) in groups {
            let length = |position: u32| lengths.get(position as usize).copied().unwrap_or(1);
            plan.push(positions.iter().map(|&position| Member { position, length: length(position) }), *skip);
        }
        sampler.give_groups(0, Table::new(plan.bytes())).unwrap();
        sampler.audit(0, None).unwrap()
    }

    #[test]
    fn groups_have_each_position_once() {
        let of = |groups: &[(u32, &[u32])]| faults_of_groups(&[2, 2, 3], Filling::BestFit, groups);
        assert_eq!(of(&[(0, &[0, 1]), (0, &[2])]).faults, []);
        let repeated = Fault::RepeatedPosition { position: 1, rank: 0 };
        assert_eq!(of(&[(0, &[0, 1]), (0, &[1]), (0, &[2])]).faults, [repeated]);
        let gap = of(&[(0, &[0]), (0, &[2])]);
        assert_eq!((gap.faults, gap.left_out), (vec![Fault::MissingPosition { position: 1 }], 1));
        let beyond = of(&[(0, &[0, 1]), (0, &[2]), (0, &[9])]).faults;
        let found = Fault::Beyond { index: 9, rank: 0 };
        assert_eq!(beyond, [found, Fault::MissingPosition { position: 9 }, found]);
    }

    #[test]
    fn parts_of_a_sample_follow_each_other() {
        let of = |groups: &[(u32, &[u32])]| faults_of_groups(&[3, 6], Filling::Concat, groups);
        assert_eq!(of(&[(0, &[0, 1]), (1, &[1]), (5, &[1])]).faults, []);
        let wrong = [Fault::RepeatedPosition { position: 1, rank: 0 }];
        assert_eq!(of(&[(0, &[0, 1]), (2, &[1])]).faults, wrong, "a value is in no row");
        assert_eq!(of(&[(0, &[0, 1]), (0, &[1]), (4, &[1])]).faults, wrong, "a value is in two rows");
    }

    #[test]
    fn the_first_faults_are_told_and_all_are_counted() {
        let found = audit((100, By::Index), 0, iter::once(Vec::<Vec<Row>>::new()));
        assert_eq!((found.faults.len(), found.fault_count), (16, 100));
    }
}
