//! Where in the epochs a loader is, and how that is saved.

use std::{os::unix::ffi::OsStrExt, sync::Arc};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::{
    coordinator::SourceFacts,
    error::{Error, Result},
    sampler::{CutSpec, Earlier, Order, Partition, Rule, Sampler},
};

const VERSION: u32 = 1;

/// Where in which epoch a loader is, small enough to be written with every checkpoint.
///
/// It does not depend on the number of workers, the batch size or the world size: all of them may be others when it
/// is loaded. It is the same on every rank that has had the same number of batches; where shares are uneven, rank 0 is the
/// last one to have had all of an epoch. Where samples come as streams, it is of one rank, and depends on all of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct State {
    /// The version of this format.
    pub version: u32,
    /// A hash of what must not change: the source's length, classes and identity, and how it is ordered.
    pub fingerprint: String,
    /// The order, where it is another one than those of `shuffle`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderState>,
    /// How samples become batches, where their lengths decide that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<CutState>,
    /// The seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
    /// How many samples of the epoch's global order have been handed out, over all ranks; with a cut, groups of them.
    pub cursor: u64,
    /// How many samples the source had, where samples do not come as streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<u64>,
    /// A hash of what some of them are called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<String>,
    /// How many samples there were up to which epoch, where that were fewer: pairs of the last epoch and the samples.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grown: Vec<(u64, u64)>,
}

/// What a state says of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct OrderState {
    /// Its name.
    pub name: String,
    /// A hash of its arguments, and so of its table, as far as the epochs up to the state's depend on them.
    pub digest: String,
}

impl OrderState {
    /// Returns what there is to say of an order in an epoch; of one that has not begun, only what holds for all of them.
    fn of(order: &Order, (epoch, cursor): (u64, u64)) -> Option<Self> {
        let Order::Given(given) = order else { return None };
        let digest = given.digest(epoch, cursor > 0);
        let (name, digest) = (given.spec().name().to_owned(), format!("{digest:016x}"));
        Some(Self { name, digest })
    }
}

/// What a state says of a cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CutState {
    /// Its name.
    pub name: String,
    /// A hash of the lengths of all samples, where it goes by them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lengths: Option<String>,
    /// A hash of what decides which samples come together.
    pub digest: String,
    /// That itself, where it is short enough: then the epoch may be continued with another cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// The cuts with which the epoch was read before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
}

impl CutState {
    /// The most bytes of a rule as JSON.
    const MOST_BYTES: usize = 1024;

    fn of(cut: &CutSpec, earlier: Vec<Earlier>) -> Self {
        let rule = cut.rule();
        let text = serde_json::to_string(&rule).unwrap_or_default();
        let hex = |digest: u64| format!("{digest:016x}");
        Self {
            name: cut.name().to_owned(),
            lengths: cut.lengths().map(|cut| hex(cut.digest())),
            digest: hex(xxh3_64(text.as_bytes())),
            rule: (text.len() <= Self::MOST_BYTES).then_some(rule),
            earlier,
        }
    }
}

impl State {
    /// The most bytes of a state as JSON.
    const MOST_BYTES: usize = 4096;

    /// Returns the state of a loader at a place of an epoch, which was read with `earlier` cuts before.
    pub(super) fn new(
        sampler: &Sampler,
        facts: &SourceFacts,
        cut: Option<&CutSpec>,
        num_workers: u32,
        (epoch, cursor): (u64, u64),
        earlier: Vec<Earlier>,
    ) -> Self {
        let mut hash = Xxh3::new();
        hash.update(&sampler.len.to_le_bytes());
        match &sampler.order {
            Order::Source => hash.update(&[0]),
            Order::Shuffled => hash.update(&[1]),
            Order::Blocks(blocks) => {
                hash.update(&[2]);
                hash.update(&blocks.window.to_le_bytes());
                blocks.ends.iter().for_each(|end| hash.update(&end.to_le_bytes()));
            }
            // It has a digest of its own.
            Order::Given(_) => hash.update(&[3]),
        }
        for class in &facts.classes {
            hash.update(&(class.len() as u64).to_le_bytes());
            hash.update(class.as_bytes());
        }
        if facts.identity.known != 0 {
            hash.update(&facts.identity.known.to_le_bytes());
        }
        if sampler.is_endless() {
            for part in [sampler.batch_size, sampler.rank, sampler.world_size, num_workers.max(1)] {
                hash.update(&part.to_le_bytes());
            }
        }
        let fingerprint = format!("{:032x}", hash.digest128());
        let order = OrderState::of(&sampler.order, (epoch, cursor));
        let cut = cut.map(|cut| CutState::of(cut, earlier));
        let len = (!sampler.is_endless()).then_some(sampler.len);
        Self {
            version: VERSION,
            fingerprint,
            order,
            cut,
            seed: sampler.seed,
            epoch,
            cursor,
            samples: len,
            names: len.map(|_| format!("{:016x}", facts.identity.names)),
            grown: Vec::new(),
        }
    }

    /// Returns with which cuts the epoch was read before a loader goes on here whose own state is `own`, and at which cursor
    /// it goes on.
    ///
    /// # Errors
    /// [`Error::Config`] where the state does not tell its cut, or another one would be too large that tells all of them.
    pub(super) fn continued(&self, own: &Self) -> Result<(Vec<Earlier>, u64)> {
        let (Some(cut), Some(of_own)) = (&self.cut, &own.cut) else { return Ok((Vec::new(), self.cursor)) };
        let mut earlier = cut.earlier.clone();
        if cut.digest == of_own.digest {
            return Ok((earlier, self.cursor));
        }
        if self.cursor > 0 {
            let Some(rule) = cut.rule.clone() else {
                return Err(Error::Config(format!(
                    "this state cannot be resumed: it was taken with another {}, which is too long for a state to tell",
                    cut.name
                )));
            };
            earlier.push(Earlier { rule, cursor: self.cursor });
        }
        let cut = Some(CutState { earlier: earlier.clone(), ..of_own.clone() });
        let bytes = serde_json::to_string(&Self { cut, ..own.clone() }).map_or(usize::MAX, |text| text.len());
        if bytes > Self::MOST_BYTES {
            return Err(Error::Config(format!(
                "this state cannot be resumed with another cut: all cuts of the epoch would take {bytes} bytes of a state, \
                 and the most is {}; finish the epoch with the cut that it has",
                Self::MOST_BYTES
            )));
        }
        Ok((earlier, 0))
    }

    /// Checks that a loader whose state would be `own` at the same position can go on here.
    pub(super) fn check(&self, own: &Self) -> Result<()> {
        // Of a cut that goes by no lengths, the inner one is none.
        let lengths = |state: &Self| state.cut.as_ref().map(|cut| cut.lengths.clone());
        let what = if self.version != own.version {
            format!("has version {}, and this stokehold reads version {}", self.version, own.version)
        } else if self.seed != own.seed {
            format!("was taken with seed {}, and this loader has seed {}", self.seed, own.seed)
        } else if self.order != own.order {
            self.of_another_order(own)
        } else if let (Some(had), Some(now)) = (self.samples, own.samples)
            && had != now
        {
            let advice = if had < now {
                "; where it has only grown, load_state_dict(state, grown=True) goes on over those that it had"
            } else {
                ""
            };
            format!(
                "was taken from another source, or of other samples: {had} of them, and this loader has {now}{advice}"
            )
        } else if lengths(self) != lengths(own) {
            self.of_another_cut(own)
        } else if self.fingerprint != own.fingerprint && own.samples.is_none() {
            "was taken from another source, or with another number of workers, batch size, rank or world size, which \
             streams depend on"
                .to_owned()
        } else if self.fingerprint != own.fingerprint {
            "was taken from another source, or with another value of shuffle (or, with \"blocks\", other blocks)"
                .to_owned()
        } else if self.epoch == u64::MAX {
            format!("has epoch {}, and no epoch could follow it", self.epoch)
        } else {
            return Ok(());
        };
        Err(refused(what))
    }

    /// Checks that samples were called as the first ones of a source are, of which `own` would be the state.
    pub(super) fn check_names(&self, own: &Self) -> Result<()> {
        if self.names == own.names {
            return Ok(());
        }
        let samples = own.samples.unwrap_or(0);
        Err(refused(format!(
            "was taken of {samples} samples that are not the first ones of this source, by their names: some came before \
             them or between them, or they were renamed; sh.concat([before, more]) puts more behind them"
        )))
    }

    fn of_another_order(&self, own: &Self) -> String {
        let named = |order: &Option<OrderState>| match order {
            Some(order) => format!("order={}", order.name),
            None => "no order= but shuffle=".to_owned(),
        };
        match (&self.order, &own.order) {
            (Some(given), Some(own)) if given.name == own.name => format!(
                "was taken with another {}: of the digest {}, and that of this loader has {}",
                own.name, given.digest, own.digest
            ),
            (given, own) => format!("was taken with {}, and this loader has {}", named(given), named(own)),
        }
    }

    fn of_another_cut(&self, own: &Self) -> String {
        let named = |cut: &Option<CutState>| match cut {
            Some(cut) => format!("cut={}", cut.name),
            None => "no cut=".to_owned(),
        };
        let lengths = |state: &Self| state.cut.as_ref().and_then(|cut| cut.lengths.clone());
        match (lengths(self), lengths(own)) {
            (Some(given), Some(own)) => format!(
                "was taken with other lengths of samples: of the digest {given}, and those of this loader have {own}"
            ),
            _ => format!("was taken with {}, and this loader has {}", named(&self.cut), named(&own.cut)),
        }
    }

    /// Checks that an epoch of so many positions, or groups of a cut, goes on at a cursor.
    pub(super) fn check_cursor(cursor: u64, positions: u64) -> Result<()> {
        if cursor <= positions {
            return Ok(());
        }
        Err(refused(format!("has cursor {cursor}, and an epoch has {positions} samples")))
    }
}

fn refused(what: impl std::fmt::Display) -> Error {
    Error::Config(format!("this state cannot be resumed: it {what}"))
}

/// The last epoch, which nobody reaches by counting, comes again.
fn after(epoch: u64) -> u64 {
    epoch.saturating_add(1)
}

/// The iterations of a loader: the one that is going on, and where the next one begins.
#[derive(Debug, Default)]
pub(super) struct Iterations {
    /// Where the next iteration begins, if that has been said.
    next: Option<(u64, u64)>,
    generation: u64,
    current: Option<CurrentIteration>,
}

#[derive(Debug)]
struct CurrentIteration {
    partition: Arc<Partition>,
    delivered: u64,
    finished: bool,
}

impl CurrentIteration {
    /// Tells whether nothing of it has been handed out yet, so that it may as well begin again.
    fn is_untouched(&self) -> bool {
        !self.finished && self.delivered == 0
    }

    /// Returns where the iteration after it begins, unless something else is said.
    fn follower(&self) -> (u64, u64) {
        let epoch = self.partition.epoch();
        if self.is_untouched() { (epoch, self.partition.cursor()) } else { (after(epoch), 0) }
    }
}

impl Iterations {
    /// Returns where the next iteration begins.
    pub(super) fn upcoming(&self) -> (u64, u64) {
        let after = || self.current.as_ref().map_or((0, 0), CurrentIteration::follower);
        self.next.unwrap_or_else(after)
    }

    /// Begins an iteration and returns its number and partition.
    pub(super) fn begin(&mut self, sampler: &Sampler) -> (u64, Arc<Partition>) {
        let (epoch, cursor) = self.upcoming();
        self.next = None;
        let partition = Arc::new(sampler.partition(epoch, cursor));
        self.generation += 1;
        self.current = Some(CurrentIteration { partition: Arc::clone(&partition), delivered: 0, finished: false });
        (self.generation, partition)
    }

    /// Returns the partition of an iteration; none if it is over.
    pub(super) fn partition_of(&self, generation: u64) -> Result<Option<Arc<Partition>>> {
        match &self.current {
            Some(current) if generation == self.generation => {
                Ok((!current.finished).then(|| Arc::clone(&current.partition)))
            }
            _ => Err(Error::Usage(
                "this iterator was ended by a newer one: a loader runs one iteration at a time".into(),
            )),
        }
    }

    /// Returns the epoch after that of an iteration, and how many batches are left of this one.
    pub(super) fn next_epoch_of(&self, generation: u64) -> Option<(u64, u64)> {
        let left = self.remaining_of(generation);
        let current = self.current.as_ref().filter(|_| left > 0)?;
        Some((current.partition.epoch().checked_add(1)?, left))
    }

    pub(super) fn delivered(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.delivered)
    }

    /// Notes that the batches up to this one are behind.
    pub(super) fn deliver(&mut self, batch: u64) {
        if let Some(current) = &mut self.current {
            current.delivered = batch + 1;
        }
    }

    pub(super) fn finish(&mut self) {
        if let Some(current) = &mut self.current {
            current.finished = true;
        }
    }

    /// Returns whether the epoch begins anew.
    pub(super) fn set_epoch(&mut self, epoch: u64) -> bool {
        let begun = |current: &CurrentIteration| current.is_untouched() && current.partition.epoch() == epoch;
        if self.next.is_none() && self.current.as_ref().is_some_and(begun) {
            return false;
        }
        let is_another = self.next.is_none_or(|(next, _)| next != epoch);
        if is_another {
            self.next = Some((epoch, 0));
        }
        is_another
    }

    pub(super) fn load(&mut self, epoch: u64, cursor: u64) {
        self.next = Some((epoch, cursor));
    }

    /// Returns how many batches of an iteration are still to come.
    pub(super) fn remaining_of(&self, generation: u64) -> u64 {
        match &self.current {
            Some(CurrentIteration { partition, delivered, finished: false }) if generation == self.generation => {
                partition.batches().saturating_sub(*delivered)
            }
            Some(_) | None => 0,
        }
    }

    /// Returns how many batches are still to come: of the iteration that is going on, or else of the next one.
    pub(super) fn remaining(&self, sampler: &Sampler) -> u64 {
        if let (None, Some(CurrentIteration { finished: false, .. })) = (&self.next, &self.current) {
            return self.remaining_of(self.generation);
        }
        let (epoch, cursor) = self.reached();
        sampler.partition(epoch, cursor).batches()
    }

    /// Returns the epoch and the cursor up to which samples have been handed out.
    pub(super) fn reached(&self) -> (u64, u64) {
        match (&self.next, &self.current) {
            (Some(next), _) => *next,
            (None, None) => (0, 0),
            (None, Some(CurrentIteration { partition, finished: true, .. })) => (after(partition.epoch()), 0),
            (None, Some(CurrentIteration { partition, delivered, .. })) => {
                (partition.epoch(), partition.cursor_after(*delivered))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        coordinator::Identity,
        sampler::{Blocks, Given, OrderSpec, Table},
    };

    fn sampler() -> Sampler {
        Sampler { seed: 3, batch_size: 4, ..Sampler::new(10, Order::Shuffled) }
    }

    fn state_of(sampler: &Sampler, facts: &SourceFacts, cursor: u64) -> State {
        State::new(sampler, facts, None, 0, (0, cursor), Vec::new())
    }

    #[test]
    fn epochs_follow_each_other_also_after_a_break() {
        let mut iterations = Iterations::default();
        assert_eq!(iterations.reached(), (0, 0));
        let (first, _) = iterations.begin(&sampler());
        iterations.deliver(0);
        assert_eq!(iterations.reached(), (0, 4));
        assert_eq!((iterations.remaining(&sampler()), iterations.remaining_of(first)), (2, 2));
        let (second, partition) = iterations.begin(&sampler());
        assert_eq!(partition.epoch(), 1);
        assert!(iterations.partition_of(first).is_err());
        assert_eq!((iterations.remaining_of(first), iterations.remaining_of(second)), (0, 3));
        (0..3).for_each(|batch| iterations.deliver(batch));
        assert_eq!(iterations.reached(), (1, 10));
        iterations.finish();
        assert_eq!(iterations.reached(), (2, 0));
        assert_eq!(iterations.remaining(&sampler()), 3);
        iterations.load(2, 8);
        assert_eq!(iterations.remaining(&sampler()), 1);
        assert!(iterations.partition_of(second).unwrap().is_none());
    }

    #[test]
    fn setting_the_epoch_of_a_loaded_state_keeps_its_cursor() {
        let mut iterations = Iterations::default();
        iterations.load(5, 4);
        iterations.set_epoch(5);
        assert_eq!(iterations.reached(), (5, 4));
        iterations.set_epoch(6);
        assert_eq!(iterations.reached(), (6, 0));
    }

    #[test]
    fn an_iteration_that_gave_nothing_does_not_count() {
        let mut iterations = Iterations::default();
        iterations.load(5, 4);
        iterations.begin(&sampler());
        let (_, again) = iterations.begin(&sampler());
        assert_eq!((again.epoch(), again.cursor()), (5, 4));
        // It has begun, so there is nothing to set.
        iterations.set_epoch(5);
        assert_eq!(iterations.reached(), (5, 4));
        iterations.set_epoch(6);
        assert_eq!(iterations.begin(&sampler()).1.epoch(), 6);
        iterations.deliver(0);
        assert_eq!(iterations.begin(&sampler()).1.epoch(), 7);
        // Of an epoch that was gone on with at its end there was nothing to give.
        iterations.load(8, 10);
        iterations.begin(&sampler());
        iterations.finish();
        assert_eq!(iterations.begin(&sampler()).1.epoch(), 9);
    }

    #[test]
    fn a_state_says_why_it_does_not_fit() {
        let facts =
            SourceFacts { len: 10, classes: vec!["a".into(), "b".into()], blocks: None, identity: Identity::default() };
        let own = state_of(&sampler(), &facts, 0);
        for (epoch, cursor) in [(7, 9), (u64::MAX - 1, 10)] {
            assert!(State { epoch, cursor, ..own.clone() }.check(&own).is_ok());
        }
        let reason = |state: State| state.check(&own).unwrap_err().to_string();
        assert!(reason(State { version: 9, ..own.clone() }).contains("version 9"));
        assert!(reason(State { seed: 1, ..own.clone() }).contains("seed 1"));
        for cursor in [11, u64::MAX] {
            let reason = State::check_cursor(cursor, 10).unwrap_err().to_string();
            assert!(reason.contains(&format!("cursor {cursor}, and an epoch has 10")));
        }
        assert!(reason(State { epoch: u64::MAX, ..own.clone() }).contains("no epoch could follow"));
        let of = |samples| reason(State { samples: Some(samples), ..own.clone() });
        assert!(
            of(9).ends_with("goes on over those that it had") && of(9).contains("9 of them, and this loader has 10")
        );
        assert!(of(11).ends_with("11 of them, and this loader has 10"));
        assert!(State { names: None, ..own.clone() }.check(&own).is_ok());
        let renamed = State { names: Some("x".into()), ..own.clone() }.check_names(&own).unwrap_err().to_string();
        assert!(renamed.contains("10 samples that are not the first ones of this source"));
        let fewer = SourceFacts { classes: vec!["a".into()], ..facts.clone() };
        assert!(reason(state_of(&sampler(), &fewer, 0)).contains("another source"));
        let selected = SourceFacts { identity: Identity { known: 1, ..Identity::default() }, ..facts.clone() };
        assert!(reason(state_of(&sampler(), &selected, 0)).contains("another source"));
        let blocks = |ends: &[u64], window| Order::Blocks(Arc::new(Blocks { ends: ends.to_vec(), window }));
        let orders = [Order::Source, blocks(&[4, 10], 1), blocks(&[4, 10], 2), blocks(&[5, 10], 1)];
        let states = orders.map(|order| state_of(&Sampler { order, ..sampler() }, &facts, 0));
        for (at, state) in states.iter().enumerate() {
            assert!(reason(state.clone()).contains("shuffle"));
            assert!(states[..at].iter().all(|other| other.fingerprint != state.fingerprint));
        }
    }

    #[test]
    fn a_state_of_another_order_says_which() {
        let facts = SourceFacts { len: 10, classes: Vec::new(), blocks: None, identity: Identity::default() };
        let with = |made: Result<(OrderSpec, Vec<u8>)>| {
            let (spec, table) = made.unwrap();
            let order = Order::Given(Given::open(&spec, Some(Table::new(table)), 10).unwrap());
            state_of(&Sampler { order, ..sampler() }, &facts, 30)
        };
        let (three, two) = (with(OrderSpec::repeated(3, None)), with(OrderSpec::repeated(2, None)));
        let (listed, shuffled) = (with(OrderSpec::explicit(&[1, 2])), state_of(&sampler(), &facts, 0));
        let json = serde_json::to_string(&three).unwrap();
        assert!(json.contains(r#""order":{"name":"Repeated","digest":""#) && json.len() < 360, "{json}");
        assert!(serde_json::from_str::<State>(&json).unwrap().check(&three).is_ok());
        let reason = |state: &State, own: &State| state.check(own).unwrap_err().to_string();
        assert!(reason(&three, &two).contains("another Repeated"));
        assert!(reason(&three, &listed).contains("with order=Repeated, and this loader has order=Explicit"));
        assert!(reason(&three, &shuffled).contains("with order=Repeated, and this loader has no order="));
        assert!(reason(&shuffled, &three).contains("with no order="));
        assert!(!serde_json::to_string(&shuffled).unwrap().contains("order"));
    }
}
