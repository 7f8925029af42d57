//! The files that are indexed.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use rayon::{
    ThreadPoolBuilder,
    iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator},
};

use super::Progress;
use crate::{
    error::{Error, Result},
    source::file,
    stamp::Stamp,
};

/// An open shard: its absolute path, the file, and what that is known again by.
pub(super) type Shard = (PathBuf, File, Stamp);

pub(super) fn open(path: &Path) -> Result<Shard> {
    let what = || format!("open the shard `{}`", path.display());
    let (file, metadata) = file::open(path).map_err(|failure| match failure.errno {
        Some(errno) => Error::sys(what(), io::Error::from_raw_os_error(errno)),
        None => Error::Config(format!("cannot {}: it {}", what(), failure.reason)),
    })?;
    let absolute = std::path::absolute(path).map_err(|error| Error::sys(what(), error))?;
    Ok((absolute, file, Stamp::of(&metadata)))
}

/// Goes through shards, several at a time, and returns what is found in each; `find` gets the number of a shard too.
pub(super) fn each<T: Send>(
    shards: &[Shard],
    progress: Progress<'_>,
    find: impl Fn(u32, &Shard) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let done = AtomicUsize::new(0);
    let pool = ThreadPoolBuilder::new()
        .thread_name(|number| format!("index-{number}"))
        .build()
        .map_err(|error| Error::Worker(format!("cannot start threads for an index: {error}")))?;
    let one = |(number, shard): (usize, &Shard)| {
        let found = find(number as u32, shard)?;
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, shards.len());
        Ok(found)
    };
    pool.install(|| shards.par_iter().enumerate().map(one).collect())
}
