//! What tells whether a file is the same as before.

use std::{fs::Metadata, os::unix::fs::MetadataExt};

use serde::{Deserialize, Serialize};

/// What a file is known again by: its size, and when it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Its bytes.
    pub size: u64,
    /// Its time of change, in nanoseconds.
    pub changed: u64,
}

impl Stamp {
    /// Returns the stamp of a file of which this much is known.
    pub fn of(metadata: &Metadata) -> Self {
        let changed = metadata.mtime().wrapping_mul(1_000_000_000).wrapping_add(metadata.mtime_nsec());
        Self { size: metadata.len(), changed: changed as u64 }
    }
}
