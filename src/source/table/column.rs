//! Where the columns of a table lie, and the checks that they lie there.

use serde::{Deserialize, Serialize};

use super::{
    runs::{Part, RunsAt, check_runs, fits, number_at, u64_at},
    shards::Shards,
};
use crate::{
    error::{Error, Result},
    field::{Field, Payload},
};

/// One column of a [`Table`](super::Table): a field, and where its payload lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The field.
    #[serde(flatten)]
    pub field: Field,
    /// What the column holds.
    pub stored: Stored,
}

/// What a column holds for each sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stored {
    /// The path of a file.
    Files(RunsAt),
    /// A row of fixed size, in a C-contiguous array that starts at this offset.
    Rows(usize),
    /// Bytes: a list's entries, or a file's bytes.
    Runs(RunsAt),
    /// Bytes of a shard, anywhere in it.
    Parts(PartsAt),
    /// A row of fixed size, in arrays that lie in shards.
    Blocks(BlocksAt),
    /// A row of fixed size, in an array that lies in the shared bytes, whose rows may overlap.
    Windows(WindowsAt),
}

/// Parts of shards, one a sample: where the numbers that say so lie, in native byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartsAt {
    /// The numbers of the shards, one `u32` a sample.
    pub shards: usize,
    /// Where in its shard each part starts, one `u64` a sample.
    pub starts: usize,
    /// The bytes of each part, one `u64` a sample.
    pub sizes: usize,
    /// The bytes of the longest part.
    pub longest: usize,
}

/// Arrays in shards, whose rows follow each other at equal distances; they may overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlocksAt {
    /// Where their descriptions lie: for each array, in native byte order, four `u64`: its first sample, its shard, where in
    /// that it starts, and how many bytes after a row the next one starts.
    pub offset: usize,
    /// How many arrays there are.
    pub count: usize,
}

/// Rows in an array of the shared bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowsAt {
    /// Where the rows lie in the array, which counts as shard 0.
    pub blocks: BlocksAt,
    /// Where the array starts.
    pub offset: usize,
    /// Its bytes.
    pub size: u64,
}

/// Where the payload of a column is found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    /// In the record: this one of what was read.
    Read(usize),
    /// In the shared bytes: rows of this many bytes, from this offset on.
    Row { offset: usize, bytes: usize },
    /// In the shared bytes: runs.
    Run(RunsAt),
    /// In the shared bytes: rows that may overlap.
    Window(WindowsAt),
}

impl Stored {
    /// Returns the part of a shard that the column has for a sample; `row` is the size of a row of blocks.
    pub(super) fn part(self, bytes: &[u8], index: u64, row: usize) -> Option<Part> {
        match self {
            Self::Parts(at) => Some(Part {
                shard: u32::from_ne_bytes(number_at(bytes, at.shards + index as usize * 4)),
                start: u64_at(bytes, at.starts + index as usize * 8),
                size: u64_at(bytes, at.sizes + index as usize * 8),
            }),
            Self::Blocks(at) => Some(at.part(bytes, index, row)),
            Self::Files(_) | Self::Rows(_) | Self::Runs(_) | Self::Windows(_) => None,
        }
    }
}

const BLOCK_BYTES: usize = 32;

impl BlocksAt {
    fn block(self, bytes: &[u8], number: usize) -> [u64; 4] {
        [0, 8, 16, 24].map(|at| u64_at(bytes, self.offset + number * BLOCK_BYTES + at))
    }

    /// Returns the descriptions of the arrays that the first samples lie in, as bytes; they have been checked.
    pub(in crate::source) fn described(self, bytes: &[u8], samples: u64) -> &[u8] {
        let blocks = bytes[self.offset..self.offset + self.count * BLOCK_BYTES].chunks_exact(BLOCK_BYTES);
        let count = blocks.take_while(|block| u64_at(block, 0) < samples).count();
        &bytes[self.offset..self.offset + count * BLOCK_BYTES]
    }

    pub(super) fn part(self, bytes: &[u8], index: u64, row: usize) -> Part {
        // The last block that begins at or before the sample.
        let (mut low, mut high) = (0, self.count);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.block(bytes, middle)[0] <= index { low = middle } else { high = middle }
        }
        let [first, shard, start, step] = self.block(bytes, low);
        Part { shard: shard as u32, start: start + (index - first) * step, size: row as u64 }
    }

    /// Checks that all rows lie where `holds` says that a shard has bytes: so many from a start on.
    fn check(self, row: usize, len: u64, bytes: &[u8], holds: impl Fn(u32, u64, u64) -> Option<()>) -> Option<()> {
        fits(self.count.checked_mul(BLOCK_BYTES), self.offset, bytes)?;
        (self.count > 0 && self.block(bytes, 0)[0] == 0).then_some(())?;
        for number in 0..self.count {
            let [first, shard, start, step] = self.block(bytes, number);
            let end = if number + 1 < self.count { self.block(bytes, number + 1)[0] } else { len };
            let size = match end.checked_sub(first)? {
                0 => 0,
                rows => (rows - 1).checked_mul(step)?.checked_add(row as u64)?,
            };
            holds(u32::try_from(shard).ok()?, start, size)?;
        }
        Some(())
    }
}

impl PartsAt {
    fn check(self, entry: usize, is_row: bool, len: u64, bytes: &[u8], shards: &Shards) -> Option<()> {
        let len = usize::try_from(len).ok()?;
        for (offset, size) in [(self.shards, 4), (self.starts, 8), (self.sizes, 8)] {
            fits(len.checked_mul(size), offset, bytes)?;
        }
        for index in 0..len as u64 {
            let part = Stored::Parts(self).part(bytes, index, 0)?;
            shards.holds(part.shard, part.start, part.size)?;
            let size = usize::try_from(part.size).ok()?;
            (size <= self.longest && size.is_multiple_of(entry) && (!is_row || size == entry)).then_some(())?;
        }
        Some(())
    }
}

/// Checks that a column lies in the bytes, with all that it points to, and returns where its payload is found. `read`
/// counts the columns that are read.
pub(super) fn check(column: &Column, len: u64, (bytes, shards): (&[u8], &Shards), read: &mut usize) -> Result<Found> {
    let Column { field, stored } = column;
    let name = &field.name;
    let outside = || Error::Config(format!("column `{name}` of {len} rows does not fit its {} bytes", bytes.len()));
    let beyond = || Error::Config(format!("column `{name}` of {len} rows reaches beyond its shards"));
    let mut next = || {
        *read += 1;
        Found::Read(*read - 1)
    };
    match (field.payload()?, *stored) {
        (Payload::Encoded, Stored::Runs(runs)) => {
            check_runs(runs, 1, len, bytes).ok_or_else(outside)?;
            Ok(Found::Run(runs))
        }
        (Payload::Encoded, Stored::Files(runs)) => {
            check_runs(runs, 1, len, bytes).ok_or_else(outside)?;
            Ok(next())
        }
        (Payload::Row(row), Stored::Rows(offset)) => {
            let size = usize::try_from(len).ok().and_then(|rows| rows.checked_mul(row));
            fits(size, offset, bytes).ok_or_else(outside)?;
            Ok(Found::Row { offset, bytes: row })
        }
        (Payload::Entries(entry), Stored::Runs(runs)) => {
            check_runs(runs, entry, len, bytes).ok_or_else(outside)?;
            Ok(Found::Run(runs))
        }
        (payload, Stored::Parts(parts)) => {
            let (entry, is_row) = match payload {
                Payload::Encoded => (1, false),
                Payload::Entries(entry) => (entry, false),
                Payload::Row(row) => (row.max(1), row > 0),
            };
            parts.check(entry, is_row, len, bytes, shards).ok_or_else(beyond)?;
            Ok(next())
        }
        (Payload::Row(row), Stored::Blocks(blocks)) => {
            blocks.check(row, len, bytes, |shard, start, size| shards.holds(shard, start, size)).ok_or_else(beyond)?;
            Ok(next())
        }
        (Payload::Row(row), Stored::Windows(at)) => {
            fits(usize::try_from(at.size).ok(), at.offset, bytes).ok_or_else(outside)?;
            let holds = |shard, start: u64, size| (shard == 0 && start.checked_add(size)? <= at.size).then_some(());
            at.blocks.check(row, len, bytes, holds).ok_or_else(outside)?;
            Ok(Found::Window(at))
        }
        (payload, stored) => {
            Err(Error::Config(format!("column `{name}` holds {stored:?}, and its field is {payload:?}")))
        }
    }
}
