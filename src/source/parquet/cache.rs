//! Decoded row groups, of which as many are kept as fit.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use ::parquet::arrow::arrow_reader::ArrowReaderMetadata;

use super::group::Group;
use crate::error::Failure;

/// How many footers are kept.
const FOOTERS: usize = 32;

/// What came of decoding a row group: a broken one is not decoded again for each of its rows.
pub(super) type Decoded = Result<Arc<Group>, Failure>;

/// A row group that is decoded, is being decoded or is to be.
pub(super) type Kept = Arc<OnceLock<Decoded>>;

/// Row groups by number, those that were used last.
#[derive(Debug, Default)]
pub(super) struct Cache {
    groups: HashMap<usize, Entry>,
    /// The groups by when they were used.
    used: BTreeMap<u64, usize>,
    clock: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Entry {
    used: u64,
    kept: Kept,
    /// What it counts for: until it is decoded, what it takes at most.
    bytes: u64,
}

impl Cache {
    /// Tells whether a row group is kept.
    pub(super) fn has(&self, number: usize) -> bool {
        self.groups.contains_key(&number)
    }

    /// Returns a row group that is kept.
    pub(super) fn get(&mut self, number: usize) -> Option<Kept> {
        let entry = self.groups.get_mut(&number)?;
        self.used.remove(&entry.used);
        self.clock += 1;
        entry.used = self.clock;
        self.used.insert(self.clock, number);
        Some(Arc::clone(&entry.kept))
    }

    /// Keeps a row group of at most so many bytes, unless it is kept, and forgets for that those that were not used for longest.
    pub(super) fn keep(&mut self, number: usize, bytes: u64, limit: u64) -> Kept {
        if let Some(kept) = self.get(number) {
            return kept;
        }
        while self.bytes.saturating_add(bytes) > limit
            && let Some((_, oldest)) = self.used.pop_first()
        {
            if let Some(entry) = self.groups.remove(&oldest) {
                self.bytes -= entry.bytes;
            }
        }
        self.clock += 1;
        self.bytes += bytes;
        self.used.insert(self.clock, number);
        let kept = Kept::default();
        self.groups.insert(number, Entry { used: self.clock, kept: Arc::clone(&kept), bytes });
        kept
    }

    /// Notes how many bytes a row group takes that has been decoded; none for one that is to be decoded again.
    pub(super) fn settle(&mut self, number: usize, kept: &Kept, bytes: Option<u64>) {
        // It may have been forgotten, and be kept again.
        let Some(entry) = self.groups.get_mut(&number).filter(|entry| Arc::ptr_eq(&entry.kept, kept)) else { return };
        self.bytes -= entry.bytes;
        if let Some(bytes) = bytes {
            self.bytes += bytes;
            entry.bytes = bytes;
        } else {
            self.used.remove(&entry.used);
            self.groups.remove(&number);
        }
    }
}

/// Footers of files by number, those that were used last.
#[derive(Debug, Default)]
pub(super) struct Footers(Vec<(usize, ArrowReaderMetadata)>);

impl Footers {
    /// Returns the footer of a file, where it is kept.
    pub(super) fn get(&mut self, file: usize) -> Option<ArrowReaderMetadata> {
        let at = self.0.iter().position(|(number, _)| *number == file)?;
        self.0[..=at].rotate_right(1);
        Some(self.0[0].1.clone())
    }

    /// Keeps the footer of a file.
    pub(super) fn put(&mut self, file: usize, footer: ArrowReaderMetadata) {
        self.0.truncate(FOOTERS - 1);
        self.0.insert(0, (file, footer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Stage;

    /// Keeps a group that takes so many bytes.
    fn put(cache: &mut Cache, number: usize, bytes: u64) {
        let kept = cache.keep(number, bytes, 10);
        kept.set(Ok(Arc::new(Group { columns: Vec::new(), bytes }))).unwrap();
    }

    #[test]
    fn the_groups_that_were_used_last_are_kept() {
        let mut cache = Cache::default();
        put(&mut cache, 1, 4);
        put(&mut cache, 2, 4);
        assert!(cache.get(1).is_some());
        put(&mut cache, 3, 5);
        assert_eq!([1, 2, 3].map(|number| cache.get(number).is_some()), [true, false, true]);
        put(&mut cache, 4, 100);
        assert_eq!([1, 3, 4].map(|number| cache.has(number)), [false, false, true]);
        assert_eq!((cache.bytes, cache.groups.len(), cache.used.len()), (100, 1, 1));
    }

    #[test]
    fn a_group_counts_for_what_it_takes_once_it_is_decoded() {
        let mut cache = Cache::default();
        let first = cache.keep(1, 8, 10);
        cache.settle(1, &first, Some(3));
        assert!(Arc::ptr_eq(&cache.keep(1, 8, 10), &first));
        cache.keep(2, 7, 10);
        assert_eq!((cache.has(1), cache.bytes), (true, 10));
        // One that could not be read is forgotten, and another one of its number is not.
        let second = cache.get(2).unwrap();
        cache.settle(2, &second, None);
        assert_eq!((cache.has(2), cache.bytes, cache.used.len()), (false, 3, 1));
        cache.keep(2, 7, 10);
        cache.settle(2, &second, None);
        assert_eq!((cache.has(2), cache.bytes), (true, 10));
    }

    #[test]
    fn a_broken_group_is_kept_as_such() {
        let mut cache = Cache::default();
        cache.keep(7, 1, 10).set(Err(Failure::new(Stage::Decode, "broken"))).unwrap();
        assert_eq!(cache.get(7).unwrap().get().unwrap().as_ref().unwrap_err().reason, "broken");
    }
}
