//! Files that hold many samples each.

#![expect(unsafe_code, reason = "maps files into a worker's memory")]

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path, sync::OnceLock};

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::runs::{Part, RunsAt, check_runs, run, u64_at};
use crate::{
    error::{Error, Failure, Result, Stage},
    source::store::{self, Stored},
    stamp::Stamp,
};

/// Where the paths of shards lie, and what they were when their index was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardsAt {
    /// How many there are.
    pub count: u64,
    /// Their paths.
    pub paths: RunsAt,
    /// Where their stamps lie: for each, in native byte order, two `u64`, its bytes and its time of change in nanoseconds.
    pub stamps: usize,
    /// Whether workers map them into their memory rather than read them: for small rows.
    pub mapped: bool,
}

const STAMP_BYTES: usize = 16;

/// The shards of a table.
#[derive(Debug, Default)]
pub(super) struct Shards {
    at: Option<ShardsAt>,
    stamps: Vec<Stamp>,
    /// In a worker: the shards that have been asked for.
    maps: OnceLock<Vec<OnceLock<Mmap>>>,
}

impl Shards {
    pub(super) fn open(at: Option<ShardsAt>, bytes: &[u8]) -> Result<Self> {
        let Some(ShardsAt { count, paths, stamps, .. }) = at else { return Ok(Self::default()) };
        let outside = || Error::Config(format!("{count} shards do not fit their {} bytes", bytes.len()));
        check_runs(paths, 1, count, bytes).ok_or_else(outside)?;
        let size = usize::try_from(count).ok().and_then(|count| count.checked_mul(STAMP_BYTES));
        let end = size.and_then(|size| size.checked_add(stamps)).filter(|end| *end <= bytes.len());
        let end = end.ok_or_else(outside)?;
        let each = (stamps..end).step_by(STAMP_BYTES);
        let stamps = each.map(|at| Stamp { size: u64_at(bytes, at), changed: u64_at(bytes, at + 8) }).collect();
        Ok(Self { at, stamps, maps: OnceLock::new() })
    }

    /// Checks that a shard holds a part.
    pub(super) fn holds(&self, shard: u32, start: u64, size: u64) -> Option<()> {
        (start.checked_add(size)? <= self.stamps.get(shard as usize)?.size).then_some(())
    }

    /// Maps shards from now on, where that is wanted: this process may end where one of them is cut short.
    pub(super) fn map(&self) {
        if self.at.is_some_and(|at| at.mapped) {
            self.maps.get_or_init(|| self.stamps.iter().map(|_| OnceLock::new()).collect());
        }
    }

    /// Returns the maps, where shards are mapped.
    pub(super) fn are_mapped(&self) -> bool {
        self.maps.get().is_some()
    }

    /// Tells whether shards are read.
    pub(super) fn are_read(&self) -> bool {
        self.at.is_some_and(|at| !at.mapped)
    }

    pub(super) fn path<'a>(&self, bytes: &'a [u8], shard: u32) -> &'a Path {
        let path = self.at.map_or(&[][..], |at| run(bytes, at.paths, u64::from(shard)));
        Path::new(OsStr::from_bytes(path))
    }

    /// Opens a shard, which must be what it was.
    fn file(&self, bytes: &[u8], shard: u32) -> Result<Box<dyn Stored>, Failure> {
        let path = self.path(bytes, shard);
        let file = store::of(path).open(path)?;
        let stamp = file.stamp();
        let known = self.stamps[shard as usize];
        if stamp != known {
            let reason = format!(
                "the shard was changed after its index was made: {} bytes now, {} then; make the source again",
                stamp.size, known.size
            );
            return Err(Failure::new(Stage::Read, reason));
        }
        Ok(file)
    }

    /// Has a shard mapped, in a worker.
    pub(super) fn prepare(&self, bytes: &[u8], shard: u32) -> Result<(), Failure> {
        let Some(map) = self.maps.get().and_then(|maps| maps.get(shard as usize)) else { return Ok(()) };
        if map.get().is_none() {
            let file = self.file(bytes, shard)?;
            let file =
                file.local().ok_or_else(|| Failure::new(Stage::Read, "the shard cannot be mapped where it lies"))?;
            // SAFETY: the map is only read. Where the file shrinks all the same, the process gets a signal and ends, and it is a
            // worker, which is replaced. Where its bytes change, those of samples do, and nothing else depends on them.
            let mapped = unsafe { Mmap::map(file) }.map_err(|error| Failure::io("map the shard", &error))?;
            // Somebody else may have been first.
            let _ = map.set(mapped);
        }
        Ok(())
    }

    /// Returns a part of a shard that has been [prepared](Self::prepare).
    pub(super) fn mapped(&self, part: Part) -> &[u8] {
        let map = self.maps.get().and_then(|maps| maps[part.shard as usize].get());
        map.map_or(&[], |map| &map[part.start as usize..(part.start + part.size) as usize])
    }
}

/// How many shards a reader keeps open.
const OPEN_SHARDS: usize = 8;

/// Shards that one thread has open, the last one used first.
#[derive(Debug, Default)]
pub(super) struct OpenShards(Vec<(u32, Box<dyn Stored>)>);

impl OpenShards {
    /// Reads a part to the end of a record.
    pub(super) fn append(
        &mut self,
        (shards, bytes): (&Shards, &[u8]),
        part: Part,
        record: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let at = self.0.iter().position(|(shard, _)| *shard == part.shard);
        match at {
            Some(0) => {}
            Some(at) => self.0[..=at].rotate_right(1),
            None => {
                self.0.truncate(OPEN_SHARDS - 1);
                self.0.insert(0, (part.shard, shards.file(bytes, part.shard)?));
            }
        }
        let read = self.0[0].1.append(part.start, part.size as usize, record)?;
        if read as u64 == part.size {
            return Ok(());
        }
        Err(Failure::new(Stage::Read, "the shard was cut short after its index was made"))
    }
}
