//! Several parts of a source mixed by weights, exactly over every prefix of an epoch.
//!
//! Which part's turn it is at each position is found once, by R. Tijdeman's algorithm ("The chairman assignment problem",
//! Discrete Mathematics 32, 1980): of S parts, the first n positions have within 1 - 1/(2S - 2) of n times its weight of
//! each. The table holds a byte for each position, and at every 256th how many positions each part has had.
//!
//! A part's samples come in passes, each of which has every sample of the part once, shuffled anew. Where an epoch ends in
//! the middle of a pass, the next one goes on there, also where other weights hold from it on. Turns that hold from later epochs
//! on follow in the table.

use serde::{Deserialize, Serialize};

use super::{permutation::Permutation, table::Table};
use crate::rng::Key;

/// How many positions lie between two counts.
const BLOCK: u64 = 256;
const COUNT: usize = size_of::<u64>();

/// Lengths and weights of parts, as the turns of an epoch follow from them.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    /// For each block of positions the counts of all parts before it, and then a byte for each position.
    pub(super) table: Vec<u8>,
    /// How many positions of an epoch each part has.
    pub(super) counts: Vec<u64>,
}

impl Turns {
    /// Returns the turns of an epoch of so many positions; weights are positive, and at most 256.
    pub(super) fn new(weights: &[f64], positions: u64) -> Self {
        let greatest = weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let sum: f64 = weights.iter().map(|weight| weight / greatest).sum();
        let shares: Vec<f64> = weights.iter().map(|weight| weight / greatest / sum).collect();
        let periods: Vec<f64> = shares.iter().map(|share| share.recip()).collect();
        // One part has every turn.
        let slack = 1.0 / (2.0 * shares.len() as f64 - 2.0).max(1.0);
        let mut counts = vec![0_u64; weights.len()];
        let block = counts.len() * COUNT + BLOCK as usize;
        let mut table = Vec::with_capacity(positions.div_ceil(BLOCK) as usize * block);
        for position in 0..positions {
            if position % BLOCK == 0 {
                table.extend(counts.iter().flat_map(|count| count.to_ne_bytes()));
            }
            let due = (position + 1) as f64;
            let (mut chosen, mut soonest) = (0, f64::INFINITY);
            for (part, share) in shares.iter().enumerate() {
                // By how much the part lags behind. Of those that may have the turn, the one goes first that would be too
                // late first.
                let lag = due * share - counts[part] as f64;
                let left = (1.0 - slack - lag) * periods[part];
                if lag >= slack && left < soonest {
                    (chosen, soonest) = (part, left);
                }
            }
            counts[chosen] += 1;
            table.push(chosen as u8);
        }
        Self { table, counts }
    }

    /// Returns how many bytes the table of so many parts and positions has.
    pub(super) fn bytes(parts: usize, positions: u64) -> u64 {
        positions.div_ceil(BLOCK).saturating_mul((parts * COUNT) as u64).saturating_add(positions)
    }
}

/// How many positions of an epoch each part has, from a later epoch on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stage {
    pub(super) epoch: u64,
    pub(super) counts: Vec<u64>,
}

/// What an epoch needs to know of those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Before {
    /// Where in the table the turns of the epoch begin.
    start: usize,
    /// How many positions each part had in all epochs before.
    had: Vec<u128>,
}

impl Before {
    /// Returns what is before an epoch, of a mixture whose parts have so many positions of an epoch, and others later.
    pub(super) fn of(counts: &[u64], later: &[Stage], epoch: u64) -> Self {
        let bytes = Turns::bytes(counts.len(), counts.iter().sum()) as usize;
        let mut before = Self { start: 0, had: vec![0; counts.len()] };
        let (mut first, mut current) = (0, counts);
        for stage in later.iter().take_while(|stage| stage.epoch <= epoch) {
            before.add(current, stage.epoch - first);
            before.start += bytes;
            (first, current) = (stage.epoch, &stage.counts);
        }
        before.add(current, epoch - first);
        before
    }

    fn add(&mut self, counts: &[u64], epochs: u64) {
        let each = self.had.iter_mut().zip(counts);
        each.for_each(|(had, count)| *had += u128::from(epochs) * u128::from(*count));
    }
}

/// Returns which part's turn a position is, and how many positions before it are the same part's, by turns that begin at a byte.
fn turn(table: &Table, (start, parts): (usize, usize), position: u64) -> (usize, u64) {
    let (counts, within) = (parts * COUNT, (position % BLOCK) as usize);
    let block = start + (position / BLOCK) as usize * (counts + BLOCK as usize);
    let turns = table.bytes().get(block + counts..).and_then(|bytes| bytes.get(..=within)).unwrap_or_default();
    let Some((&part, before)) = turns.split_last() else { return (0, 0) };
    let since: u64 = before.iter().map(|&other| u64::from(other == part)).sum();
    (usize::from(part), table.word_at(block + usize::from(part) * COUNT) + since)
}

/// Returns the sample at a position of an epoch, of parts of these lengths.
pub(super) fn draw(table: &Table, lengths: &[u64], epoch: &Before, seed: u64, position: u64) -> u64 {
    let (part, before) = turn(table, (epoch.start, lengths.len()), position);
    let first: u64 = lengths[..part].iter().sum();
    let number = epoch.had[part] + u128::from(before);
    let (pass, at) = (number / u128::from(lengths[part]), number % u128::from(lengths[part]));
    let key = Key { seed, epoch: pass as u64, index: part as u64 };
    first + Permutation::of_pass(lengths[part], key).get(at as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts_of(weights: &[f64], positions: u64) -> (Vec<usize>, Turns) {
        let turns = Turns::new(weights, positions);
        assert_eq!(turns.table.len() as u64, Turns::bytes(weights.len(), positions));
        let table = Table::new(turns.table.clone());
        ((0..positions).map(|position| turn(&table, (0, weights.len()), position).0).collect(), turns)
    }

    #[test]
    fn golden_orders_never_change() {
        let (lengths, weights) = ([3, 5, 4], [1.0, 2.0, 3.0]);
        let turns = Turns::new(&weights, 12);
        let table = Table::new(turns.table);
        let order = |epoch| {
            let before = Before::of(&turns.counts, &[], epoch);
            (0..12).map(|at| draw(&table, &lengths, &before, 7, at)).collect::<Vec<_>>()
        };
        assert_eq!(turns.counts, [2, 4, 6]);
        assert_eq!([order(0), order(1)].concat(), GOLDEN);
    }

    const GOLDEN: [u64; 24] = [10, 4, 9, 0, 5, 11, 8, 6, 11, 1, 7, 9, 10, 3, 8, 2, 3, 11, 10, 7, 8, 1, 6, 9];

    #[test]
    fn one_part_has_every_turn() {
        assert_eq!(parts_of(&[0.3], 700).1.counts, [700]);
    }

    #[test]
    fn whole_counts_are_met() {
        let counts = [1_u64, 1000, 7, 350, 2, 64, 9, 1];
        let sum: u64 = counts.iter().sum();
        assert_eq!(parts_of(&counts.map(|count| count as f64), sum).1.counts, counts);
    }

    #[test]
    fn passes_go_on_over_epochs() {
        let (lengths, weights) = ([7, 100], [3.0, 1.0]);
        let turns = Turns::new(&weights, 40);
        let table = Table::new(turns.table);
        let counts = &turns.counts;
        let all = (0..7).flat_map(|epoch| (0..40).map(move |at| (Before::of(counts, &[], epoch), at)));
        let mut of_first = all.map(|(before, at)| draw(&table, &lengths, &before, 1, at)).filter(|index| *index < 7);
        let mut passes = std::collections::HashSet::new();
        for _ in 0..30 {
            let pass: Vec<u64> = of_first.by_ref().take(7).collect();
            let mut sorted = pass.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4, 5, 6]);
            passes.insert(pass);
        }
        assert!(passes.len() > 25, "passes have orders of their own: {}", passes.len());
    }

    /// The turns of some stages, as a table and as the counts of the first and of the later ones.
    fn staged(stages: &[(u64, &[f64])], positions: u64) -> (Table, Vec<u64>, Vec<Stage>) {
        let turns: Vec<_> = stages.iter().map(|(_, weights)| Turns::new(weights, positions)).collect();
        let table = Table::new(turns.iter().flat_map(|turns| turns.table.clone()).collect::<Vec<u8>>());
        let stage = |((epoch, _), turns): (&(u64, &[f64]), Turns)| Stage { epoch: *epoch, counts: turns.counts };
        let mut all: Vec<_> = stages.iter().zip(turns).map(stage).collect();
        let first = all.remove(0).counts;
        (table, first, all)
    }

    #[test]
    fn passes_go_on_where_weights_change() {
        let stages: [(u64, &[f64]); 3] = [(0, &[3.0, 1.0, 0.0]), (2, &[0.0, 1.0, 1.0]), (5, &[1.0, 1.0, 2.0])];
        let ((table, counts, later), lengths) = (staged(&stages, 40), [7, 100, 9]);
        let parts = |epoch| {
            let before = Before::of(&counts, &later, epoch);
            (0..40).map(|at| draw(&table, &lengths, &before, 1, at)).collect::<Vec<_>>()
        };
        let all: Vec<u64> = (0..9).flat_map(parts).collect();
        let of_first = all.chunks(40).map(|order| order.iter().filter(|index| **index < 7).count());
        assert_eq!(of_first.collect::<Vec<_>>(), [30, 30, 0, 0, 0, 10, 10, 10, 10]);
        for range in [0..7, 107..116] {
            let of_part: Vec<u64> = all.iter().copied().filter(|index| range.contains(index)).collect();
            for pass in of_part.chunks_exact((range.end - range.start) as usize) {
                let mut sorted = pass.to_vec();
                sorted.sort_unstable();
                assert_eq!(sorted, range.clone().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_last_epochs_count_too() {
        let (_, counts, later) = staged(&[(0, &[1.0, 1.0]), (u64::MAX - 1, &[1.0, 0.0])], 10);
        let before = Before::of(&counts, &later, u64::MAX);
        let early = u128::from(u64::MAX - 1) * 5;
        assert_eq!(before.had, [early + 10, early]);
    }

    proptest! {
        #[test]
        fn every_prefix_has_its_share_of_each_part(
            weights in prop::collection::vec(prop_oneof![1e-4..1.0, Just(0.5), Just(0.0), 1.0..50.0], 1..20),
            positions in 1u64..3000,
        ) {
            let sum: f64 = weights.iter().sum();
            prop_assume!(sum > 0.0);
            let (parts, turns) = parts_of(&weights, positions);
            let bound = if weights.len() == 1 { 1e-9 } else { 1.0 - 1.0 / (2.0 * weights.len() as f64 - 2.0) + 1e-9 };
            let mut counts = vec![0_u64; weights.len()];
            for (before, part) in parts.into_iter().enumerate() {
                counts[part] += 1;
                for (count, weight) in counts.iter().zip(&weights) {
                    prop_assert!(*weight > 0.0 || *count == 0);
                    let due = (before + 1) as f64 * weight / sum;
                    prop_assert!((*count as f64 - due).abs() <= bound, "{count} of {due} after {}", before + 1);
                }
            }
            prop_assert_eq!(counts, turns.counts);
        }

        #[test]
        fn a_turn_knows_those_before_it(weights in prop::collection::vec(0.01..1.0, 1..9), position in 0u64..2000) {
            let (parts, turns) = parts_of(&weights, 2000);
            let position = position as usize;
            let before = parts[..position].iter().filter(|&&part| part == parts[position]).count() as u64;
            prop_assert_eq!(turn(&Table::new(turns.table), (0, weights.len()), position as u64), (parts[position], before));
        }
    }
}
