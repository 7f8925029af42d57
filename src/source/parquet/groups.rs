//! The row groups of all files, each decoded once for all threads as long as it is kept.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    cache::{Cache, Decoded, Footers, Kept},
    group::{self, Group, Opened},
    spec::ParquetSpec,
};
use crate::{
    error::{Failure, Stage},
    source::store,
};

/// Reading the columns of a row group waits for a device or a server where it takes so long, beside a second for each GB, which
/// is what memory takes.
const SLOW_READ: Duration = Duration::from_millis(1);

/// Row groups by their number among those of all files.
#[derive(Debug)]
pub(super) struct Groups {
    spec: ParquetSpec,
    /// Of each its file, and its number there.
    numbers: Vec<(u32, u32)>,
    cache: Mutex<Cache>,
    footers: Mutex<Footers>,
    are_slow: AtomicBool,
}

/// After a panic what it held is as it was.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Groups {
    pub(super) fn new(spec: ParquetSpec, numbers: Vec<(u32, u32)>) -> Self {
        Self { spec, numbers, cache: Mutex::default(), footers: Mutex::default(), are_slow: AtomicBool::new(false) }
    }

    /// Returns the file of a row group, and its number there.
    pub(super) fn find(&self, number: usize) -> (&Path, u32) {
        let (file, group) = self.numbers[number];
        (&self.spec.files[file as usize].path, group)
    }

    /// Tells whether the columns of the last row group were long in coming.
    pub(super) fn are_slow(&self) -> bool {
        self.are_slow.load(Ordering::Relaxed)
    }

    /// Returns a row group, which is decoded where it is not kept.
    pub(super) fn get(&self, number: usize) -> Decoded {
        let kept = locked(&self.cache).get(number);
        let kept = kept.unwrap_or_else(|| self.keep(number));
        self.decoded(number, &kept)
    }

    /// Makes room for a row group that is not kept; it is still to be decoded. Nothing where it is kept.
    pub(super) fn begin(&self, number: usize) -> Option<Kept> {
        let is_kept = locked(&self.cache).has(number);
        (!is_kept).then(|| self.keep(number))
    }

    fn keep(&self, number: usize) -> Kept {
        let (file, group) = self.numbers[number];
        let bytes = self.spec.files[file as usize].groups[group as usize].bytes;
        locked(&self.cache).keep(number, bytes, self.spec.cache_bytes)
    }

    /// Decodes a row group that is kept, unless that is done. Threads that want the same one wait for it here.
    pub(super) fn decoded(&self, number: usize, kept: &Kept) -> Decoded {
        let mut is_new = false;
        let decoded = kept.get_or_init(|| {
            is_new = true;
            self.decode(number).map(Arc::new)
        });
        if is_new {
            // What the system could not do, it may do the next time.
            let again = decoded.as_ref().is_err_and(|failure| failure.stage != Stage::Decode);
            let bytes = decoded.as_ref().map_or(0, |group| group.bytes);
            locked(&self.cache).settle(number, kept, (!again).then_some(bytes));
        }
        decoded.clone()
    }

    fn decode(&self, number: usize) -> Result<Group, Failure> {
        let (file, group) = (self.numbers[number].0 as usize, self.numbers[number].1 as usize);
        let described = &self.spec.files[file];
        let opened = store::of(&described.path).open(&described.path)?;
        let stamp = opened.stamp();
        if stamp != described.stamp {
            return Err(Failure::new(Stage::Read, group::changed(described.stamp, stamp)));
        }
        let known = locked(&self.footers).get(file);
        let metadata = if let Some(metadata) = known {
            metadata
        } else {
            let read = group::footer(&*opened);
            let metadata = read.map_err(|reason| Failure::new(Stage::Decode, reason))?;
            locked(&self.footers).put(file, metadata.clone());
            metadata
        };
        let opened = Opened { file: &*opened, metadata: &metadata, most: self.spec.cache_bytes };
        let (group, read) = opened.group(described, group, &self.spec.columns)?;
        let usual = Duration::from_nanos(read.bytes);
        self.are_slow.store(read.took.saturating_sub(usual) >= SLOW_READ, Ordering::Relaxed);
        Ok(group)
    }
}
