//! Runs of bytes, and the numbers that say where they lie.

use serde::{Deserialize, Serialize};

/// Runs of bytes of varying length, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsAt {
    /// Where the first run starts.
    pub offset: usize,
    /// Where the runs' ends lie: one `u64` a sample, counted from `offset`, in native byte order.
    pub ends: usize,
    /// The bytes of the longest run.
    pub longest: usize,
}

/// Bytes of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) shard: u32,
    pub(super) start: u64,
    pub(super) size: u64,
}

/// What stands in a record before what was read, for each of it: where it ends.
pub(super) const END_BYTES: usize = 8;

pub(super) fn number_at<const SIZE: usize>(bytes: &[u8], at: usize) -> [u8; SIZE] {
    bytes[at..at + SIZE].try_into().unwrap_or([0; SIZE])
}

pub(in crate::source) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(number_at(bytes, at))
}

pub(super) fn end(bytes: &[u8], runs: RunsAt, index: u64) -> usize {
    u64_at(bytes, runs.ends + index as usize * END_BYTES) as usize
}

/// Returns the run of a sample.
pub(in crate::source) fn run(bytes: &[u8], runs: RunsAt, index: u64) -> &[u8] {
    let start = index.checked_sub(1).map_or(0, |before| end(bytes, runs, before));
    &bytes[runs.offset + start..runs.offset + end(bytes, runs, index)]
}

pub(super) fn fits(size: Option<usize>, offset: usize, bytes: &[u8]) -> Option<()> {
    (size?.checked_add(offset)? <= bytes.len()).then_some(())
}

/// Checks that all runs lie in the bytes and hold whole entries.
pub(in crate::source) fn check_runs(runs: RunsAt, entry: usize, len: u64, bytes: &[u8]) -> Option<()> {
    fits(usize::try_from(len).ok()?.checked_mul(END_BYTES), runs.ends, bytes)?;
    let mut before = 0;
    for index in 0..len {
        let end = end(bytes, runs, index);
        let size = end.checked_sub(before)?;
        if size > runs.longest || size % entry != 0 {
            return None;
        }
        fits(Some(end), runs.offset, bytes)?;
        before = end;
    }
    Some(())
}
