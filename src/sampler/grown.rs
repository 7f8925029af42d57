//! How many samples a source had in epochs before it grew.

use std::sync::{Arc, Mutex, PoisonError};

use super::table::Table;

/// How many samples there were up to which epoch, where that were fewer than there are now. All clones have the same.
#[derive(Clone, Debug, Default)]
pub struct Grown(Arc<Mutex<Option<Table>>>);

impl Grown {
    /// Takes a table of it, in place of the one before: pairs of the last epoch and the samples up to it, both rising.
    pub(super) fn give(&self, table: Table) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(table);
    }

    /// Returns the pairs.
    pub(super) fn stages(&self) -> Vec<(u64, u64)> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        table.map_or_else(Vec::new, |table| {
            let pairs = table.bytes().len() as u64 / 16;
            (0..pairs)
                .map(|pair| (table.word(2 * pair), table.word(2 * pair + 1)))
                .filter(|(_, len)| *len > 0)
                .collect()
        })
    }

    /// Returns how many samples there were in an epoch, of as many as there are now.
    pub(super) fn samples(&self, epoch: u64, now: u64) -> u64 {
        let then = self.stages().into_iter().find(|(last, _)| epoch <= *last);
        then.map_or(now, |(_, samples)| samples.min(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_epoch_has_the_samples_that_there_were() {
        let grown = Grown::default();
        let clone = grown.clone();
        assert_eq!((grown.samples(0, 9), grown.stages()), (9, Vec::new()));
        clone.give(Table::new([2_u64, 5, 4, 7].map(u64::to_ne_bytes).concat()));
        let samples = [0, 2, 3, 4, 5, u64::MAX].map(|epoch| grown.samples(epoch, 9));
        assert_eq!(samples, [5, 5, 7, 7, 9, 9]);
        assert_eq!(grown.stages(), [(2, 5), (4, 7)]);
        // Shared memory may be longer than what lies in it.
        clone.give(Table::new([0_u64; 512].map(u64::to_ne_bytes).concat()));
        assert_eq!((grown.samples(0, 9), grown.stages()), (9, Vec::new()));
    }
}
