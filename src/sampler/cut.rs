//! The groups of an epoch: a pure function of the order, the seed and the epoch, and of the lengths of samples where they
//! decide which come together.

use std::sync::Arc;

use super::{
    cut_spec::CutSpec,
    groups::{Groups, Member, Plan},
    length_cut::{CutOptions, Filling, Grouping, LengthCut, TooLong},
    lists::Lists,
    multi_scale::MultiScale,
    order::EpochOrder,
    packing,
    permutation::Permutation,
    rest::Rest,
    table::Table,
};
use crate::error::{Error, Result};

/// How the samples of an epoch become batches, and the groups of the epochs that are known. All clones know the same.
#[derive(Clone, Debug)]
pub struct Cut {
    spec: Arc<CutSpec>,
    plans: Lists,
}

impl Cut {
    /// Returns the cut of a source of so many samples.
    ///
    /// # Errors
    /// [`Error::Config`] where lengths decide and there is not one for each.
    pub fn open(spec: &CutSpec, samples: u64) -> Result<Self> {
        if let Some(lengths) = spec.lengths().map(LengthCut::samples).filter(|lengths| *lengths != samples) {
            let name = spec.name();
            return Err(Error::Config(format!(
                "{name}: lengths must be one for each sample of the source, {samples}, not {lengths}"
            )));
        }
        Ok(Self { spec: Arc::new(spec.clone()), plans: Lists::default() })
    }

    /// Returns the cut as data.
    pub fn spec(&self) -> &CutSpec {
        &self.spec
    }

    /// Takes the groups of an epoch.
    pub(super) fn give(&self, epoch: u64, table: Table) {
        self.plans.give(epoch, table);
    }

    /// Forgets the groups of an epoch.
    pub(super) fn forget(&self, epoch: u64) {
        self.plans.forget(epoch);
    }

    /// Forgets the groups of all epochs.
    pub(super) fn forget_all(&self) {
        self.plans.clear();
    }

    /// Tells whether the groups of an epoch are known.
    pub(super) fn is_known(&self, epoch: u64) -> bool {
        self.plans.table(epoch).is_some()
    }

    /// Returns the groups of an epoch; none where they are not known.
    pub(super) fn groups(&self, epoch: u64) -> Groups {
        self.plans.table(epoch).map_or_else(Groups::none, Groups::of)
    }
}

/// What groups are made of.
pub(super) struct Ordered<'a> {
    pub(super) order: &'a EpochOrder,
    /// How many positions it has.
    pub(super) positions: u64,
    /// Those that are left, where others are behind.
    pub(super) rest: Option<&'a Rest>,
    /// Whether it is a random one, so that groups come in a random order too.
    pub(super) is_random: bool,
    pub(super) lengths: &'a [u32],
    pub(super) seed: u64,
    pub(super) epoch: u64,
    /// Whether what does not fill a batch of its bucket is left out.
    pub(super) drop_last: bool,
}

impl Ordered<'_> {
    /// Returns how many positions are left.
    fn left(&self) -> u64 {
        self.rest.map_or(self.positions, |rest| rest.positions.len() as u64)
    }

    /// Returns the position that is the `at`th of those that are left.
    fn position(&self, at: u64) -> u32 {
        self.rest.map_or(at as u32, |rest| rest.positions[at as usize])
    }

    /// Returns the samples at the positions that are left, from the `from`th on up to the `to`th, but for those that are left
    /// out.
    fn members(&self, options: &CutOptions, from: u64, to: u64) -> impl Iterator<Item = Member> {
        let drops = (options.too_long == TooLong::Drop).then(|| options.limit());
        let member = |at| {
            let position = self.position(at);
            let length = self.lengths.get(self.order.get(position.into()) as usize).copied().unwrap_or(0);
            Member { position, length }
        };
        (from..to.min(self.left())).map(member).filter(move |member| drops.is_none_or(|limit| member.length <= limit))
    }

    /// Returns the groups.
    ///
    /// # Errors
    /// [`Error::Config`] where samples are kept whole, and one is half read.
    pub(super) fn plan(&self, spec: &CutSpec) -> Result<Plan> {
        match spec {
            CutSpec::Lengths(spec) => self.by_lengths(spec),
            CutSpec::Variants(spec) => Ok(self.by_variants(spec)),
        }
    }

    /// Returns the batches of several variants, the last of which may be smaller, unless that is left out.
    fn by_variants(&self, spec: &MultiScale) -> Plan {
        let mut plan = Plan::default();
        let mut from = 0;
        for batch in 0.. {
            let size = u64::from(spec.batch_sizes()[spec.variant(self.seed, self.epoch, batch) as usize]);
            let to = (from + size).min(self.left());
            if from == to || (self.drop_last && to - from < size) {
                break;
            }
            plan.push((from..to).map(|at| Member { position: self.position(at), length: 0 }), 0);
            from = to;
        }
        plan
    }

    fn by_lengths(&self, spec: &LengthCut) -> Result<Plan> {
        let (options, most) = (&spec.options, spec.most);
        let had = self.rest.map_or(0, |rest| rest.had);
        if had > 0 && !options.goes_on() {
            let name = spec.name();
            return Err(Error::Config(format!(
                "{name}: the epoch was left in the middle of a sample, {had} values of which are behind, and {name} keeps \
                 samples whole: go on with strategy=\"concat\" to the epoch's end, or from a batch that ends with its sample"
            )));
        }
        Ok(match &options.grouping {
            Grouping::Packing { seq_len, strategy: Filling::BestFit } => {
                self.windows(options, true, |lengths| packing::best_fit(lengths, *seq_len, most))
            }
            Grouping::Packing { seq_len, strategy: Filling::FirstFit } => {
                self.windows(options, true, |lengths| packing::first_fit(lengths, *seq_len, most))
            }
            Grouping::Packing { seq_len, strategy: Filling::Concat } => {
                concat(self.members(options, 0, self.left()), had, *seq_len, most)
            }
            Grouping::Budget { max_tokens, sorted } => self.windows(options, *sorted, |lengths| {
                packing::batches(lengths, *sorted, most, |batch| options.is_within(*max_tokens, batch))
            }),
            Grouping::Buckets { ends, sizes, .. } => self.buckets(options, ends, sizes),
        })
    }

    /// Returns the groups that some samples of the order at a time make, by their lengths; `are_moved` says whether these
    /// decide in which order groups come.
    fn windows(&self, options: &CutOptions, are_moved: bool, make: impl Fn(&[u32]) -> Vec<Vec<u32>>) -> Plan {
        let (limit, window) = (options.limit(), u64::from(options.window));
        let mut plan = Plan::default();
        for number in 0..self.left().div_ceil(window) {
            let from = number * window;
            let members: Vec<Member> = self.members(options, from, from + window).collect();
            let lengths: Vec<u32> = members.iter().map(|member| member.length.min(limit)).collect();
            self.add(&mut plan, make(&lengths), &members, are_moved.then_some(number));
        }
        plan
    }

    /// Adds the groups of a window. Where lengths have decided their order, that is not the one they come in.
    fn add(&self, plan: &mut Plan, mut groups: Vec<Vec<u32>>, members: &[Member], window: Option<u64>) {
        let count = groups.len() as u64;
        let permuted = window.filter(|_| self.is_random && count > 0);
        let permuted = permuted.map(|window| Permutation::of_groups(count, self.seed, self.epoch, window));
        // By their first samples: in the order of the epoch, as far as they can be.
        groups.sort_unstable_by_key(|group| group.first().copied());
        for at in 0..count {
            let at = permuted.as_ref().map_or(at, |order| order.get(at));
            plan.push(groups[at as usize].iter().map(|member| members[*member as usize]), 0);
        }
    }

    /// Gathers samples of like lengths until they are a batch.
    fn buckets(&self, options: &CutOptions, ends: &[u32], sizes: &[u32]) -> Plan {
        let mut plan = Plan::default();
        let mut gathered: Vec<Vec<Member>> = vec![Vec::new(); ends.len()];
        for member in self.members(options, 0, self.left()) {
            let bucket = ends.partition_point(|end| *end < member.length.min(options.limit()));
            let batch = &mut gathered[bucket];
            batch.push(member);
            if batch.len() as u64 == u64::from(sizes[bucket]) {
                plan.push(batch.drain(..), 0);
            }
        }
        if !self.drop_last {
            gathered.into_iter().filter(|batch| !batch.is_empty()).for_each(|batch| plan.push(batch, 0));
        }
        plan
    }
}

/// Puts samples one after the other, of the first one what is not `behind`, and cuts them where a row ends.
fn concat(members: impl Iterator<Item = Member>, behind: u32, seq_len: u32, most: u32) -> Plan {
    let mut plan = Plan::default();
    let mut row: Vec<Member> = Vec::new();
    let (mut skip, mut filled) = (behind, 0);
    let mut behind = Some(behind);
    for member in members {
        let mut had = behind.take().unwrap_or(0);
        loop {
            row.push(member);
            let taken = (member.length - had).min(seq_len - filled);
            filled += taken;
            had += taken;
            let is_full = filled == seq_len || row.len() as u64 == u64::from(most);
            if is_full {
                plan.push(row.drain(..), skip);
                (skip, filled) = (if had < member.length { had } else { 0 }, 0);
            }
            if had == member.length {
                break;
            }
        }
    }
    if !row.is_empty() {
        plan.push(row, skip);
    }
    plan
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{CutField, Earlier, Order, Rule, Sampler, Span},
        *,
    };

    fn options(grouping: Grouping) -> CutOptions {
        CutOptions { window: 64, ..CutOptions::new(grouping, "tokens") }
    }

    fn packing(seq_len: u32, strategy: Filling) -> CutOptions {
        options(Grouping::Packing { seq_len, strategy })
    }

    /// A sampler over samples of these lengths, whose epochs 0 and 1 are planned.
    fn sampler(options: CutOptions, lengths: &[u32], order: Order, batch_size: u32, world_size: u32) -> Sampler {
        let spec = LengthCut::new(options, lengths).unwrap();
        let len = lengths.len() as u64;
        let cut = Some(Cut::open(&CutSpec::Lengths(spec), len).unwrap());
        let sampler = Sampler { cut, seed: 3, batch_size, world_size, ..Sampler::new(len, order) };
        for epoch in [0, 1] {
            let plan = sampler.plan(epoch, lengths, &[]).unwrap().unwrap();
            sampler.give_groups(epoch, Table::new(plan)).unwrap();
        }
        sampler
    }

    /// The groups of epoch 0 as their samples.
    fn groups(sampler: &Sampler) -> Vec<Vec<u32>> {
        let groups = sampler.cut.as_ref().unwrap().groups(0);
        (0..groups.count()).map(|at| groups.of_group(at).map(|member| member.position).collect()).collect()
    }

    #[test]
    fn rows_are_packed() {
        let lengths = [4, 6, 5, 3, 2];
        let best = sampler(packing(10, Filling::BestFit), &lengths, Order::Source, 2, 1);
        assert_eq!(groups(&best), [vec![0, 1], vec![2, 3, 4]]);
        let partition = best.partition(0, 0);
        assert_eq!((partition.batches(), partition.rows(0), partition.extents(0)), (1, 5, Some(vec![2, 10])));
        let span = |start, len, padding, segment| Span { start, len, padding, skip: 0, whole: len, segment };
        let expected = [span(0, 4, 0, 1), span(4, 6, 0, 2), span(10, 5, 0, 1), span(15, 3, 0, 2), span(18, 2, 0, 3)];
        assert_eq!(partition.spans(0).unwrap(), expected);
        assert_eq!((0..5).map(|row| partition.span(0, row).unwrap()).collect::<Vec<_>>(), expected);
        assert_eq!((0..5).map(|row| partition.index(0, row, 0)).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn samples_are_cut_where_a_row_ends() {
        let concat = sampler(packing(4, Filling::Concat), &[3, 0, 10, 1], Order::Source, 1, 1);
        assert_eq!(groups(&concat), [vec![0, 1, 2], vec![2], vec![2], vec![2, 3]]);
        let partition = concat.partition(0, 0);
        let parts: Vec<_> = (0..4)
            .flat_map(|batch| partition.spans(batch).unwrap())
            .map(|span| (span.start, span.skip, span.len, span.padding))
            .collect();
        let expected =
            [(0, 0, 3, 0), (3, 0, 0, 0), (3, 0, 1, 0), (0, 1, 4, 0), (0, 5, 4, 0), (0, 9, 1, 0), (1, 0, 1, 2)];
        assert_eq!(parts, expected);
    }

    #[test]
    fn batches_are_padded_to_their_longest_sample() {
        let budget = options(Grouping::Budget { max_tokens: 12, sorted: true });
        let sorted = sampler(CutOptions { multiple: 4, ..budget.clone() }, &[7, 1, 5, 2, 12, 1], Order::Source, 1, 1);
        assert_eq!(groups(&sorted), [vec![0], vec![1, 3, 5], vec![2], vec![4]]);
        assert_eq!(sorted.partition(0, 0).extents(1), Some(vec![3, 4]));
        let span = Span { start: 4, len: 2, padding: 2, skip: 0, whole: 2, segment: 2 };
        assert_eq!(sorted.partition(0, 0).span(1, 1), Some(span));
        let dense = CutOptions { padding: false, ..budget };
        let dense = sampler(dense, &[7, 1, 5, 2, 12, 1], Order::Source, 1, 1);
        assert_eq!(groups(&dense), [vec![0], vec![1, 2, 3, 5], vec![4]]);
        assert_eq!(dense.partition(0, 0).extents(1), Some(vec![9]));
    }

    #[test]
    fn buckets_have_samples_of_like_lengths() {
        let buckets = |whole| options(Grouping::Buckets { ends: vec![3, 9], sizes: vec![2, 1], whole });
        let lengths = [1, 9, 3, 2, 4];
        let made = sampler(buckets(false), &lengths, Order::Source, 1, 1);
        assert_eq!(groups(&made), [vec![1], vec![0, 2], vec![4], vec![3]]);
        let widths = |sampler: &Sampler| {
            let partition = sampler.partition(0, 0);
            (0..4).map(|batch| partition.extents(batch).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(widths(&made), [[1, 9], [2, 3], [1, 4], [1, 2]]);
        let whole = sampler(buckets(true), &lengths, Order::Source, 1, 1);
        assert_eq!(widths(&whole), [[1, 9], [2, 3], [1, 9], [1, 3]]);
        let full = Sampler { drop_last: true, ..whole };
        let cut = Some(Cut::open(full.cut.as_ref().unwrap().spec(), 5).unwrap());
        let full = Sampler { cut, ..full };
        full.give_groups(0, Table::new(full.plan(0, &lengths, &[]).unwrap().unwrap())).unwrap();
        assert_eq!(groups(&full), [vec![1], vec![0, 2], vec![4]]);
    }

    #[test]
    fn what_is_too_long_is_told_cut_off_or_left_out() {
        let of = |too_long, grouping| CutOptions { too_long, ..options(grouping) };
        let packed = Grouping::Packing { seq_len: 4, strategy: Filling::FirstFit };
        let error = LengthCut::new(of(TooLong::Raise, packed.clone()), &[1, 9, 2, 5]).unwrap_err().to_string();
        assert!(error.contains("sample 1 has length 9, and the most is 4, and 1 others too"), "{error}");
        let cut = sampler(of(TooLong::Truncate, packed.clone()), &[1, 9, 2], Order::Source, 1, 1);
        assert_eq!(groups(&cut), [vec![0, 2], vec![1]]);
        let span = Span { start: 0, len: 4, padding: 0, skip: 0, whole: 9, segment: 1 };
        assert_eq!(cut.partition(0, 0).span(1, 0), Some(span));
        let dropped = sampler(of(TooLong::Drop, packed.clone()), &[1, 9, 2], Order::Source, 1, 1);
        assert_eq!(groups(&dropped), [vec![0, 2]]);
        let found = dropped.audit(0, None).unwrap();
        assert_eq!((found.left_out, found.fault_count), (1, 0));
        assert!(LengthCut::new(of(TooLong::Drop, packed), &[9]).unwrap_err().to_string().contains("all samples"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |options: CutOptions| LengthCut::new(options, &[1, 2]).unwrap_err().to_string();
        assert!(refused(packing(0, Filling::BestFit)).contains("Packing: seq_len must be 1 to"));
        assert!(refused(CutOptions { window: 0, ..packing(4, Filling::BestFit) }).contains("window"));
        let buckets = |ends: &[u32], sizes: &[u32]| {
            let (ends, sizes) = (ends.to_vec(), sizes.to_vec());
            refused(options(Grouping::Buckets { ends, sizes, whole: false }))
        };
        assert!(buckets(&[4, 4], &[1, 1]).contains("boundaries must rise"));
        assert!(buckets(&[4], &[1, 1]).contains("one for each boundary, 1, not 2"));
        assert!(buckets(&[], &[]).contains("boundary") && buckets(&[4], &[0]).contains("batch_sizes"));
        let twice =
            CutOptions { fields: vec![CutField { name: "x".into(), pad: 0.0 }; 2], ..packing(4, Filling::Concat) };
        assert!(refused(twice).contains("`x` is named twice"));
        assert!(LengthCut::new(packing(4, Filling::Concat), &[]).unwrap_err().to_string().contains("lengths"));
        let spec = LengthCut::new(packing(4, Filling::Concat), &[1, 2]).unwrap();
        assert!(
            Cut::open(&CutSpec::Lengths(spec), 3)
                .unwrap_err()
                .to_string()
                .contains("one for each sample of the source, 3, not 2")
        );
    }

    fn any_options() -> impl Strategy<Value = CutOptions> {
        let strategies = prop::sample::select(vec![Filling::BestFit, Filling::FirstFit, Filling::Concat]);
        let packing = (40_u32..90, strategies).prop_map(|(seq_len, strategy)| Grouping::Packing { seq_len, strategy });
        let budget =
            (40_u32..200, any::<bool>()).prop_map(|(max_tokens, sorted)| Grouping::Budget { max_tokens, sorted });
        let buckets = (1_u32..5, 1_u32..5, any::<bool>()).prop_map(|(first, second, whole)| Grouping::Buckets {
            ends: vec![10, 40],
            sizes: vec![first, second],
            whole,
        });
        let too_long = prop::sample::select(vec![TooLong::Truncate, TooLong::Drop]);
        let others = (any::<bool>(), 1_u32..9, 1_u32..9, too_long);
        (prop_oneof![packing, budget, buckets], others).prop_map(
            |(grouping, (padding, multiple, max_samples, too_long))| {
                // A sample of the limit's length must fit when it is padded.
                let multiple = if matches!(grouping, Grouping::Packing { .. }) { 1 } else { multiple };
                CutOptions { padding, multiple, too_long, max_samples, ..options(grouping) }
            },
        )
    }

    /// All values that all ranks get from a cursor on, as (position, number of the value), of so many batches.
    fn values(sampler: &Sampler, cursor: u64, batches: Option<u64>) -> Vec<(u64, u32)> {
        let of_rank = |rank| {
            let partition = Sampler { rank, ..sampler.clone() }.partition(1, cursor);
            let batches = batches.unwrap_or(u64::MAX).min(partition.batches());
            let of_row = |batch, row| {
                let span = partition.span(batch, row).unwrap();
                let is_valid = partition.is_valid(batch, row, partition.index(batch, row, 0));
                let position = partition.position(batch, row);
                (span.skip..span.skip + span.len).filter(move |_| is_valid).map(move |value| (position, value))
            };
            let of_batch = |batch| {
                (0..partition.rows(batch)).flat_map(|row| of_row(batch, row).collect::<Vec<_>>()).collect::<Vec<_>>()
            };
            (0..batches).flat_map(of_batch).collect::<Vec<_>>()
        };
        (0..sampler.world_size).flat_map(of_rank).collect()
    }

    proptest! {
        /// Stop after any batch, go on with other batches and ranks: together, each value once.
        #[test]
        fn a_resumed_epoch_has_exactly_the_rest(
            options in any_options(), lengths in prop::collection::vec(0_u32..45, 1..150), stop in 0_u64..20,
            before in (1_u32..5, 1_u32..4), after in (1_u32..5, 1_u32..4), shuffle: bool,
        ) {
            let order = || if shuffle { Order::Shuffled } else { Order::Source };
            let Ok(spec) = LengthCut::new(options.clone(), &lengths) else { return Ok(()) };
            let of = |(batch, world): (u32, u32)| {
                let batch = if spec.groups_are_batches() { 1 } else { batch };
                sampler(options.clone(), &lengths, order(), batch, world)
            };
            let (first, second) = (of(before), of(after));
            let whole: std::collections::BTreeSet<_> = values(&first, 0, None).into_iter().collect();
            let cursor = first.partition(1, 0).cursor_after(stop);
            let mut parts = values(&first, 0, Some(stop));
            parts.extend(values(&second, cursor, None));
            parts.sort_unstable();
            let once: std::collections::BTreeSet<_> = parts.iter().copied().collect();
            prop_assert_eq!(parts.len(), once.len());
            prop_assert_eq!(&once, &whole);
            let limit = options.limit();
            let drops = options.too_long == TooLong::Drop;
            let expected: u64 = lengths.iter().filter(|length| !drops || **length <= limit).map(|length| u64::from((*length).min(limit))).sum();
            prop_assert_eq!(whole.len() as u64, expected);
            prop_assert_eq!(first.audit(1, None).unwrap().faults, vec![]);
        }

        /// Stop after any batch, go on with another cut, stop there, and go on with a third one: together, each value once.
        #[test]
        fn an_epoch_is_continued_with_other_cuts(
            cuts in prop::collection::vec((any_options(), 1_u32..5, 1_u32..4, 0_u64..9), 3),
            lengths in prop::collection::vec(0_u32..33, 1..150), shuffle: bool,
        ) {
            let order = || if shuffle { Order::Shuffled } else { Order::Source };
            let mut earlier: Vec<Earlier> = Vec::new();
            let mut found = Vec::new();
            for (at, (options, batch, world, stop)) in cuts.into_iter().enumerate() {
                let Ok(spec) = LengthCut::new(options.clone(), &lengths) else { return Ok(()) };
                let batch = if spec.groups_are_batches() { 1 } else { batch };
                let sampler = sampler(options.clone(), &lengths, order(), batch, world);
                sampler.forget_groups(1);
                let rest = sampler.rest(1, &lengths, &earlier).unwrap();
                let is_half = rest.as_ref().is_some_and(|rest| rest.had > 0);
                let goes_on = options.goes_on();
                let plan = sampler.plan(1, &lengths, &earlier);
                prop_assert_eq!(plan.is_err(), is_half && !goes_on);
                let Ok(plan) = plan else { return Ok(()) };
                sampler.give_groups(1, Table::new(plan.unwrap())).unwrap();
                prop_assert_eq!(sampler.audit(1, rest.as_ref()).unwrap().faults, vec![]);
                let is_last = at == 2;
                found.extend(values(&sampler, 0, (!is_last).then_some(stop)));
                let cursor = sampler.partition(1, 0).cursor_after(stop);
                let beyond = Earlier { rule: Rule::Lengths(options.rule()), cursor: sampler.units(1) + 1 };
                let told = sampler.rest(1, &lengths, &[&earlier[..], &[beyond]].concat()).unwrap_err().to_string();
                prop_assert!(told.contains("groups"), "{}", told);
                earlier.push(Earlier { rule: Rule::Lengths(options.rule()), cursor });
            }
            found.sort_unstable();
            let once: std::collections::BTreeSet<_> = found.iter().copied().collect();
            prop_assert_eq!(found.len(), once.len());
            prop_assert_eq!(once.len() as u64, lengths.iter().copied().map(u64::from).sum::<u64>());
        }

        /// Spans of a batch have no value in common, and are as many as it has room for.
        #[test]
        fn spans_do_not_overlap(
            options in any_options(), lengths in prop::collection::vec(0_u32..45, 1..150), batch in 1_u32..5, shuffle: bool,
        ) {
            let order = if shuffle { Order::Shuffled } else { Order::Source };
            let Ok(spec) = LengthCut::new(options.clone(), &lengths) else { return Ok(()) };
            let batch = if spec.groups_are_batches() { 1 } else { batch };
            let partition = sampler(options, &lengths, order, batch, 1).partition(0, 0);
            for number in 0..partition.batches() {
                let rows = partition.rows(number);
                prop_assert!(rows > 0 && u64::from(rows) <= spec.most_samples(batch));
                let spans = partition.spans(number).unwrap();
                let alone: Vec<_> = (0..rows).map(|row| partition.span(number, row).unwrap()).collect();
                prop_assert_eq!(&spans, &alone);
                let mut end = 0;
                for span in &spans {
                    prop_assert!(span.start == end && span.skip + span.len <= span.whole);
                    end = span.start + span.extent();
                }
                prop_assert!(end <= spec.values(batch));
                let extents = partition.extents(number).unwrap();
                prop_assert_eq!(extents.iter().product::<usize>() as u64, end);
            }
        }
    }

    #[test]
    fn documents_of_real_lengths_fill_their_rows() {
        // Lengths as those of texts: few are long, most short.
        let mut draws = crate::rng::Key { seed: 1, epoch: 0, index: 0 }.rng(0);
        let lengths: Vec<u32> = (0..20_000).map(|_| (20.0 / (draws.unit() + 0.01)) as u32).collect();
        for strategy in [Filling::BestFit, Filling::FirstFit, Filling::Concat] {
            let options = CutOptions { window: 16384, max_samples: 1024, ..packing(2048, strategy) };
            let sampler = sampler(options, &lengths, Order::Shuffled, 1, 1);
            let rows = sampler.units(0);
            let fill = lengths.iter().map(|length| f64::from(*length)).sum::<f64>() / (rows * 2048) as f64;
            assert!(fill > 0.99, "{strategy:?} {fill}");
        }
    }
}
