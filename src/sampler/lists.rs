//! Tables of single epochs: the indices of an order that is asked for them one epoch at a time, or the groups of a cut.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use xxhash_rust::xxh3::xxh3_64;

use super::table::Table;

/// The indices of one epoch.
#[derive(Debug)]
struct List {
    epoch: u64,
    table: Table,
    digest: OnceLock<u64>,
}

/// The tables of the epochs that were given last. All clones have the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists(Arc<Mutex<VecDeque<Arc<List>>>>);

/// Of how many epochs tables are kept: of one, the one after it, and one that is looked at aside.
pub const KEPT_EPOCHS: usize = 3;

impl Lists {
    /// Returns the indices of one epoch alone.
    pub(super) fn of_one(epoch: u64, indices: &[u64]) -> Self {
        let lists = Self::default();
        lists.give(epoch, Table::new(bytemuck::cast_slice::<u64, u8>(indices).to_vec()));
        lists
    }

    /// Takes the indices of an epoch, in place of those that it had.
    pub(super) fn give(&self, epoch: u64, table: Table) {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.retain(|list| list.epoch != epoch);
        lists.push_back(Arc::new(List { epoch, table, digest: OnceLock::new() }));
        if lists.len() > KEPT_EPOCHS {
            lists.pop_front();
        }
    }

    /// Forgets the table of an epoch.
    pub(super) fn forget(&self, epoch: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|list| list.epoch != epoch);
    }

    /// Forgets the tables of all epochs.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn of(&self, epoch: u64) -> Option<Arc<List>> {
        let lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.iter().find(|list| list.epoch == epoch).cloned()
    }

    /// Returns the indices of an epoch, where they are known.
    pub(super) fn table(&self, epoch: u64) -> Option<Table> {
        self.of(epoch).map(|list| list.table.clone())
    }

    /// Returns a hash of the indices of an epoch, where they are known.
    pub(super) fn digest(&self, epoch: u64) -> Option<u64> {
        self.of(epoch).map(|list| *list.digest.get_or_init(|| xxh3_64(list.table.bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(indices: [u64; 2]) -> Table {
        Table::new(indices.map(u64::to_ne_bytes).concat())
    }

    #[test]
    fn the_last_epochs_are_known() {
        let lists = Lists::default();
        let clone = lists.clone();
        (0..5).for_each(|epoch| lists.give(epoch, table([epoch, 9])));
        let known: Vec<_> = (0..6).map(|epoch| clone.table(epoch).map(|table| table.word(0))).collect();
        assert_eq!(known, [None, None, Some(2), Some(3), Some(4), None]);
        let before = clone.digest(3).unwrap();
        lists.give(3, table([3, 9]));
        assert_eq!(clone.digest(3), Some(before));
        lists.give(3, table([9, 3]));
        assert_ne!(clone.digest(3), Some(before));
        assert_eq!((clone.digest(0), clone.table(2).is_some()), (None, true));
        lists.clear();
        assert!(clone.table(3).is_none());
    }
}
