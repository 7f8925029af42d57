//! Decoded row groups, of which as many are kept as fit.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use ::parquet::arrow::arrow_reader::ArrowReaderMetadata;

use super::group::Group;
use crate::error::Failure;

/// How many footers are kept.
const FOOTERS: usize = 32;

/// What came of decoding a row group: a broken one is not decoded again for each of its rows.
pub(super) type Decoded = Result<Arc<Group>, Failure>;

/// Row groups by number, and footers of files, those that were used last.
#[derive(Debug, Default)]
pub(super) struct Cache {
    groups: HashMap<usize, (u64, Decoded)>,
    /// The groups by when they were used.
    used: BTreeMap<u64, usize>,
    clock: u64,
    bytes: u64,
    footers: Vec<(usize, ArrowReaderMetadata)>,
}

impl Cache {
    /// Returns a row group that is kept.
    pub(super) fn get(&mut self, number: usize) -> Option<Decoded> {
        let (used, decoded) = self.groups.get_mut(&number)?;
        self.used.remove(used);
        self.clock += 1;
        *used = self.clock;
        self.used.insert(self.clock, number);
        Some(decoded.clone())
    }

    /// Makes room for so many bytes, and forgets the groups for that which were not used for longest.
    pub(super) fn make_room(&mut self, bytes: u64, limit: u64) {
        while self.bytes.saturating_add(bytes) > limit
            && let Some((_, number)) = self.used.pop_first()
        {
            if let Some((_, decoded)) = self.groups.remove(&number) {
                self.bytes -= weight(&decoded);
            }
        }
    }

    /// Keeps a row group that is not kept.
    pub(super) fn put(&mut self, number: usize, decoded: Decoded) {
        self.clock += 1;
        self.bytes += weight(&decoded);
        self.used.insert(self.clock, number);
        self.groups.insert(number, (self.clock, decoded));
    }

    /// Returns the footer of a file, which is read where it is not kept.
    pub(super) fn footer(
        &mut self,
        file: usize,
        read: impl FnOnce() -> Result<ArrowReaderMetadata, Failure>,
    ) -> Result<ArrowReaderMetadata, Failure> {
        let kept = self.footers.iter().position(|(number, _)| *number == file);
        let footer = if let Some(at) = kept { self.footers.remove(at) } else { (file, read()?) };
        self.footers.truncate(FOOTERS - 1);
        self.footers.insert(0, footer.clone());
        Ok(footer.1)
    }
}

/// What a group counts for; a broken one takes next to nothing.
fn weight(decoded: &Decoded) -> u64 {
    decoded.as_ref().map_or(0, |group| group.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Stage;

    fn put(cache: &mut Cache, number: usize, bytes: u64) {
        cache.make_room(bytes, 10);
        cache.put(number, Ok(Arc::new(Group { columns: Vec::new(), bytes })));
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
        assert_eq!([1, 3, 4].map(|number| cache.get(number).is_some()), [false, false, true]);
        assert_eq!((cache.bytes, cache.groups.len(), cache.used.len()), (100, 1, 1));
    }

    #[test]
    fn a_broken_group_is_kept_as_such() {
        let mut cache = Cache::default();
        cache.put(7, Err(Failure::new(Stage::Decode, "broken")));
        assert_eq!(cache.get(7).unwrap().unwrap_err().reason, "broken");
    }
}
