//! Orders that are given as such, over a source: which sample stands where.

use std::sync::Arc;

use super::{
    curriculum,
    lists::Lists,
    mixture::{self, Before},
    order_spec::{OrderKind, OrderSpec},
    pacing::Paced,
    permutation::Permutation,
    table::Table,
    weighted, weighted_once,
};
use crate::{
    error::{Error, Result},
    rng::Key,
};

/// Sets the seeds of positions apart from all other draws.
const PLACE_OP: u64 = u64::MAX - 4;

/// An order over a source, with its table.
#[derive(Clone, Debug)]
pub struct Given {
    spec: Arc<OrderSpec>,
    table: Table,
    samples: u64,
    /// Where each epoch has indices of its own.
    lists: Lists,
}

impl Given {
    /// Returns the order over a source of so many samples; `table` is its table, where it has one.
    ///
    /// # Errors
    /// [`Error::Config`] where it is no order of such a source.
    pub fn open(spec: &OrderSpec, table: Option<Table>, samples: u64) -> Result<Self> {
        spec.check(samples)?;
        let table = table.unwrap_or_else(|| Table::new([]));
        if (table.bytes().len() as u64) < spec.table_bytes() {
            return Err(Error::Config(format!("Loader: the table of order {} is not all there", spec.name())));
        }
        Ok(Self { spec: Arc::new(spec.clone()), table, samples, lists: Lists::default() })
    }

    /// Returns the order as data.
    pub fn spec(&self) -> &OrderSpec {
        &self.spec
    }

    /// Takes the indices of an epoch, as a table of `u64`s. All clones of this value have them then, as long as no more than two
    /// other epochs come after.
    ///
    /// # Errors
    /// [`Error::Config`] where the order has no indices of its own in each epoch, or takes another number of them.
    pub fn give(&self, epoch: u64, table: Table) -> Result<()> {
        let Some(indices) = self.spec.indices_of_an_epoch() else {
            return Err(Error::Config(format!("order {} has the same indices in every epoch", self.spec.name())));
        };
        if (table.bytes().len() as u64) < indices * size_of::<u64>() as u64 {
            return Err(Error::Config(format!("Loader: the indices of epoch {epoch} are not all there")));
        }
        self.lists.give(epoch, table);
        Ok(())
    }

    /// Returns the indices of an epoch, where the order draws them itself for each.
    pub fn drawn(&self, seed: u64, epoch: u64) -> Option<Vec<u64>> {
        match self.spec.kind {
            OrderKind::WeightedOnce { weights, num_samples } => {
                Some(weighted_once::draw(&self.table, (weights, num_samples), seed, epoch))
            }
            OrderKind::Weighted { .. }
            | OrderKind::Curriculum { .. }
            | OrderKind::Repeated { .. }
            | OrderKind::Explicit { .. }
            | OrderKind::Listed { .. }
            | OrderKind::Mixture { .. } => None,
        }
    }

    /// Tells whether the order draws the indices of each epoch itself.
    pub(super) fn draws_indices(&self) -> bool {
        match self.spec.kind {
            OrderKind::WeightedOnce { .. } => true,
            OrderKind::Weighted { .. }
            | OrderKind::Curriculum { .. }
            | OrderKind::Repeated { .. }
            | OrderKind::Explicit { .. }
            | OrderKind::Listed { .. }
            | OrderKind::Mixture { .. } => false,
        }
    }

    /// Returns the same order with the indices of an epoch, where it draws them itself; this value has them no more than before.
    pub(super) fn with_drawn(&self, seed: u64, epoch: u64) -> Self {
        let lists = match self.drawn(seed, epoch) {
            Some(indices) => Lists::of_one(epoch, &indices),
            None => self.lists.clone(),
        };
        Self { lists, ..self.clone() }
    }

    /// Checks that indices which somebody gives are as many as an epoch has, of samples that there are.
    ///
    /// # Errors
    /// [`Error::Config`] where they are more or fewer, or for the largest one, where that is too large; and where the order draws
    /// them itself.
    pub fn check_indices(&self, epoch: u64, indices: &[u64]) -> Result<()> {
        if let OrderKind::WeightedOnce { .. } = self.spec.kind {
            return Err(Error::Config(format!("order {} draws its indices itself", self.spec.name())));
        }
        let (count, positions) = (indices.len() as u64, self.positions(self.samples));
        if count != positions {
            return Err(Error::Config(format!(
                "Explicit: indices of epoch {epoch} must be {positions}, as many as those of epoch 0, not {count}"
            )));
        }
        match indices.iter().max() {
            Some(largest) if *largest >= self.samples => Err(Error::Config(format!(
                "Explicit: indices of epoch {epoch} have {largest}, and the source has {} samples, from 0",
                self.samples
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// Tells whether the order is a random one, and not somebody's choice.
    pub(super) fn is_random(&self) -> bool {
        match self.spec.kind {
            OrderKind::Weighted { .. }
            | OrderKind::WeightedOnce { .. }
            | OrderKind::Repeated { .. }
            | OrderKind::Mixture { .. } => true,
            OrderKind::Curriculum { .. } | OrderKind::Explicit { .. } | OrderKind::Listed { .. } => false,
        }
    }

    /// Tells whether the order is the same for the first samples of its source alone, as long as it is asked for them.
    pub(super) fn goes_on_when_grown(&self) -> bool {
        match self.spec.kind {
            OrderKind::Repeated { .. } | OrderKind::Explicit { .. } | OrderKind::Listed { .. } => true,
            OrderKind::Weighted { .. }
            | OrderKind::WeightedOnce { .. }
            | OrderKind::Curriculum { .. }
            | OrderKind::Mixture { .. } => false,
        }
    }

    /// Tells whether it is known which samples an epoch has.
    pub(super) fn is_known(&self, epoch: u64) -> bool {
        self.spec.indices_of_an_epoch().is_none() || self.lists.table(epoch).is_some()
    }

    /// Returns what tells its epochs from those of another order: all up to this one, where it has begun, and else those before it.
    pub fn digest(&self, epoch: u64, has_begun: bool) -> u64 {
        let last = if has_begun { epoch } else { epoch.saturating_sub(1) };
        let digest = self.spec.digest(last);
        match self.spec.kind {
            OrderKind::Listed { .. } if has_begun => self.lists.digest(epoch).unwrap_or(0) ^ digest,
            OrderKind::Weighted { .. }
            | OrderKind::WeightedOnce { .. }
            | OrderKind::Curriculum { .. }
            | OrderKind::Repeated { .. }
            | OrderKind::Explicit { .. }
            | OrderKind::Listed { .. }
            | OrderKind::Mixture { .. } => digest,
        }
    }

    /// Returns how many positions an epoch has over so many samples.
    pub(super) fn positions(&self, samples: u64) -> u64 {
        match &self.spec.kind {
            OrderKind::Weighted { num_samples, .. }
            | OrderKind::WeightedOnce { num_samples, .. }
            | OrderKind::Curriculum { num_samples, .. } => *num_samples,
            OrderKind::Repeated { times, num_samples } => num_samples.unwrap_or(samples.saturating_mul(*times)),
            OrderKind::Explicit { indices, .. } | OrderKind::Listed { indices } => *indices,
            OrderKind::Mixture { counts, .. } => counts.iter().sum(),
        }
    }

    /// Tells whether a sample may come twice in an epoch.
    pub(super) fn repeats(&self) -> bool {
        match self.spec.kind {
            OrderKind::Weighted { .. }
            | OrderKind::Curriculum { .. }
            | OrderKind::Listed { .. }
            | OrderKind::Mixture { .. } => true,
            OrderKind::WeightedOnce { .. } => false,
            OrderKind::Repeated { times, .. } => times > 1,
            OrderKind::Explicit { repeats, .. } => repeats,
        }
    }

    /// Returns the order of an epoch over so many samples.
    pub(super) fn of_epoch(&self, samples: u64, seed: u64, epoch: u64) -> GivenEpoch {
        let drawn = match &self.spec.kind {
            OrderKind::Weighted { .. } => Drawn::ByWeight,
            OrderKind::Curriculum { paced, num_samples } => Drawn::Curriculum(*paced, *num_samples),
            OrderKind::Repeated { times, .. } => Drawn::Repeated(Permutation::new(samples, seed, epoch), *times),
            OrderKind::Mixture { lengths, counts, later } => {
                Drawn::Mixture(lengths.clone(), Before::of(counts, later, epoch))
            }
            OrderKind::WeightedOnce { .. } | OrderKind::Explicit { .. } | OrderKind::Listed { .. } => Drawn::Table,
        };
        let table = self.lists.table(epoch).unwrap_or_else(|| self.table.clone());
        GivenEpoch { table, samples, seed, epoch, drawn }
    }
}

/// The order of one epoch.
#[derive(Clone, Debug)]
pub(super) struct GivenEpoch {
    table: Table,
    samples: u64,
    seed: u64,
    epoch: u64,
    drawn: Drawn,
}

/// How the samples of an epoch are found, with what is the same for all of them.
#[derive(Clone, Debug)]
enum Drawn {
    ByWeight,
    Curriculum(Paced, u64),
    Repeated(Permutation, u64),
    /// Of parts of these lengths.
    Mixture(Vec<u64>, Before),
    /// The table has their indices.
    Table,
}

impl GivenEpoch {
    /// Returns the sample at a position.
    pub(super) fn get(&self, position: u64) -> u64 {
        let Self { table, samples, seed, epoch, drawn } = self;
        match drawn {
            Drawn::ByWeight => weighted::draw(table, *samples, *seed, (*epoch, position)),
            Drawn::Curriculum(paced, num_samples) => {
                curriculum::draw(table, (paced, *num_samples), *seed, (*epoch, position))
            }
            Drawn::Repeated(order, times) => order.get(position / times),
            Drawn::Mixture(lengths, before) => mixture::draw(table, lengths, before, *seed, position),
            Drawn::Table => table.word(position),
        }
    }
}

/// Returns the seed of the sample at a position, where an order may give it at another one as well: with the loader's seed both
/// would be equal copies.
pub(super) fn seed_of(position: u64, seed: u64, epoch: u64) -> u64 {
    Key { seed, epoch, index: position }.rng(PLACE_OP).below(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{super::pacing::Pacing, *};

    type WithTable = Result<(OrderSpec, Vec<u8>)>;

    fn given((spec, table): (OrderSpec, Vec<u8>), samples: u64) -> Given {
        Given::open(&spec, Some(Table::new(table)), samples).unwrap()
    }

    fn order(given: &Given, samples: u64, epoch: u64) -> Vec<u64> {
        let order = given.of_epoch(samples, 3, epoch);
        (0..given.positions(samples)).map(|position| order.get(position)).collect()
    }

    fn refused(made: WithTable, samples: u64) -> String {
        made.and_then(|(spec, table)| Given::open(&spec, Some(Table::new(table)), samples)).unwrap_err().to_string()
    }

    #[test]
    fn repeated_samples_come_in_a_row_of_a_shuffled_order() {
        let repeated = given(OrderSpec::repeated(3, None).unwrap(), 10);
        let shuffled = Permutation::new(10, 3, 2);
        let expected: Vec<u64> = (0..30).map(|position| shuffled.get(position / 3)).collect();
        assert_eq!(order(&repeated, 10, 2), expected);
        let cut = given(OrderSpec::repeated(3, Some(8)).unwrap(), 10);
        assert_eq!(order(&cut, 10, 2), expected[..8]);
    }

    #[test]
    fn an_explicit_order_is_its_indices_in_every_epoch() {
        let explicit = given(OrderSpec::explicit(&[4, 0, 4, 2]).unwrap(), 5);
        assert_eq!((order(&explicit, 5, 0), order(&explicit, 5, 9)), (vec![4, 0, 4, 2], vec![4, 0, 4, 2]));
        let repeats = |indices: &[u64]| given(OrderSpec::explicit(indices).unwrap(), 1 << 40).repeats();
        assert!(repeats(&[4, 0, 4, 2]) && repeats(&[0, 0]) && repeats(&[1 << 39, 3, 1 << 39]));
        assert!(!repeats(&[4, 0, 2]) && !repeats(&[0]) && !repeats(&[1 << 39, 3, (1 << 39) - 1]));
    }

    #[test]
    fn each_epoch_has_its_list_once_it_is_given() {
        let listed = given(OrderSpec::listed(3).unwrap(), 5);
        let table = |indices: &[u64]| Table::new(bytemuck::cast_slice::<u64, u8>(indices).to_vec());
        assert!(!listed.is_known(0) && listed.repeats());
        let clone = listed.clone();
        clone.give(0, table(&[4, 4, 0])).unwrap();
        clone.give(1, table(&[1, 2, 3])).unwrap();
        assert!(listed.is_known(0) && listed.is_known(1) && !listed.is_known(2));
        assert_eq!((order(&listed, 5, 0), order(&listed, 5, 1)), (vec![4, 4, 0], vec![1, 2, 3]));
        assert_ne!(listed.digest(0, true), listed.digest(1, true));
        assert_eq!(listed.digest(0, false), listed.digest(1, false));
        assert!(listed.give(2, table(&[1])).unwrap_err().to_string().contains("epoch 2 are not all there"));
        let refused = |indices: &[u64]| listed.check_indices(2, indices).unwrap_err().to_string();
        assert!(refused(&[1]).contains("epoch 2 must be 3, as many as those of epoch 0, not 1"));
        assert!(refused(&[0, 5, 1]).contains("epoch 2 have 5, and the source has 5 samples"));
        let drawn = given(OrderSpec::weighted_once(&[1.0; 5], Some(3)).unwrap(), 5);
        assert!(drawn.check_indices(0, &[0, 1, 2]).unwrap_err().to_string().contains("draws its indices itself"));
        let fixed = given(OrderSpec::explicit(&[1]).unwrap(), 5);
        assert!(fixed.is_known(7) && fixed.give(0, table(&[1])).unwrap_err().to_string().contains("every epoch"));
    }

    #[test]
    fn what_an_order_draws_itself_is_known_once_it_is_given() {
        let once = given(OrderSpec::weighted_once(&[1.0, 0.0, 2.0, 3.0, 1.0], Some(3)).unwrap(), 5);
        assert!(!once.is_known(4) && !once.repeats());
        let aside = once.with_drawn(3, 4);
        assert!(aside.is_known(4) && !once.is_known(4));
        let drawn = once.drawn(3, 4).unwrap();
        assert_eq!(order(&aside, 5, 4), drawn);
        once.give(4, Table::new(bytemuck::cast_slice::<u64, u8>(&drawn).to_vec())).unwrap();
        assert_eq!(order(&once, 5, 4), drawn);
        // A state needs none of them.
        assert_eq!(once.digest(4, true), aside.digest(9, true));
    }

    #[test]
    fn orders_are_named_where_they_cannot_be() {
        let weights = |weights: &[f64]| refused(OrderSpec::weighted(weights, None), 3);
        assert_eq!(weights(&[1.0, -1.0, 1.0]), "Weighted: weights[1] must be a finite number, 0 or more, not -1");
        assert!(weights(&[1.0, f64::NAN, 1.0]).contains("weights[1]") && weights(&[f64::INFINITY]).contains("inf"));
        assert!(weights(&[0.0; 3]).contains("all are 0") && weights(&[]).contains("there is none"));
        assert!(weights(&[1.0; 4]).contains("4 weights, and the source has 3 samples"));
        assert!(refused(OrderSpec::weighted(&[1.0], Some(0)), 1).contains("num_samples"));
        let once = |weights: &[f64], count| refused(OrderSpec::weighted_once(weights, count), 3);
        assert!(once(&[1.0, 0.0, 1.0], Some(3)).contains("num_samples must be 2 or less without replacement"));
        assert!(
            once(&[0.0; 3], None).contains("all are 0") && once(&[1.0; 2], None).contains("2 weights, and the source")
        );
        let paced = |difficulty: &[f64], ramp| refused(OrderSpec::curriculum(difficulty, Pacing::Root, ramp, None), 3);
        assert!(
            paced(&[1.0, f64::NAN], (0.5, 1.0)).contains("difficulty[1]")
                && paced(&[], (0.5, 1.0)).contains("at least one")
        );
        assert!(
            paced(&[1.0], (0.0, 1.0)).contains("start must") && paced(&[1.0], (f64::NAN, 1.0)).contains("start must")
        );
        assert!(
            paced(&[1.0], (0.5, 0.0)).contains("epochs must") && paced(&[1.0], (0.5, f64::NAN)).contains("epochs must")
        );
        assert!(
            paced(&[1.0], (0.5, f64::INFINITY)).contains("epochs must")
                && paced(&[1.0], (1.0, 1.0)).contains("1 samples")
        );
        assert!(refused(OrderSpec::repeated(0, None), 3).contains("times"));
        assert!(refused(OrderSpec::repeated(2, Some(7)), 3).contains("num_samples=7"));
        assert!(refused(OrderSpec::listed(0), 3).contains("at least one index"));
        assert!(refused(OrderSpec::explicit(&[]), 3).contains("at least one index"));
        assert!(refused(OrderSpec::explicit(&[0, 3]), 3).contains("index 3"));
        let mixture = |weights: &[f64], lengths: &[u64]| refused(OrderSpec::mixture(weights, lengths, None), 6);
        assert!(mixture(&[1.0, 0.0], &[3, 3]).contains("weights[1]") && mixture(&[1.0], &[3, 3]).contains("2, not 1"));
        assert!(mixture(&[1.0, 1.0], &[3, 0]).contains("lengths[1]") && mixture(&[], &[]).contains("1 to 256"));
        assert!(
            mixture(&[1.0, 1.0], &[3, 4]).contains("7 samples together")
                && mixture(&[1.0; 257], &[1; 257]).contains("257")
        );
        let (spec, table) = OrderSpec::explicit(&[0, 1]).unwrap();
        assert!(
            Given::open(&spec, Some(Table::new(table[..8].to_vec())), 2).unwrap_err().to_string().contains("table")
        );
    }

    #[test]
    fn each_position_has_a_seed_of_its_own() {
        let places =
            (0..20).flat_map(|position| (0..3).flat_map(move |seed| (0..3).map(move |at| (position, seed, at))));
        let seeds: std::collections::HashSet<u64> =
            places.map(|(position, seed, epoch)| seed_of(position, seed, epoch)).collect();
        assert_eq!(seeds.len(), 180);
    }

    #[test]
    fn digests_tell_orders_apart() {
        let all = [
            OrderSpec::weighted(&[1.0, 2.0], None),
            OrderSpec::weighted(&[1.0, 3.0], None),
            OrderSpec::weighted(&[1.0, 2.0], Some(5)),
            OrderSpec::weighted_once(&[1.0, 2.0], None),
            OrderSpec::curriculum(&[1.0, 2.0], Pacing::Root, (0.5, 2.0), None),
            OrderSpec::curriculum(&[1.0, 2.0], Pacing::Linear, (0.5, 2.0), None),
            OrderSpec::curriculum(&[2.0, 1.0], Pacing::Root, (0.5, 2.0), None),
            OrderSpec::repeated(2, None),
            OrderSpec::repeated(3, None),
            OrderSpec::explicit(&[0, 1]),
            OrderSpec::explicit(&[1, 0]),
            OrderSpec::mixture(&[1.0, 2.0], &[1, 1], None),
            OrderSpec::mixture(&[1.0, 2.0], &[1, 1], Some(9)),
        ];
        let digests: std::collections::HashSet<u64> = all.into_iter().map(|made| made.unwrap().0.digest(0)).collect();
        assert_eq!(digests.len(), 13);
    }
}
