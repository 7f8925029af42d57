//! Parquet files as data: what the trainer has learned of them, and the coordinator and its workers read by.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{field::Field, source::path, stamp::Stamp};

/// Parquet files with what is to be read of them, as [`ParquetRequest::probe`](super::ParquetRequest::probe) returns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParquetSpec {
    /// The files, in the order of their samples.
    pub files: Vec<ParquetFile>,
    /// The fields, and what each is read from.
    pub columns: Vec<ParquetColumn>,
    /// The names of the classes of each field that is a label.
    pub classes: BTreeMap<String, Vec<String>>,
    /// The most bytes of decoded row groups that a process keeps.
    pub cache_bytes: u64,
}

impl ParquetSpec {
    /// Returns the most bytes of row groups that a process keeps: no more than there are.
    pub fn kept_bytes(&self) -> u64 {
        let all = self.files.iter().flat_map(|file| &file.groups).map(|group| group.bytes);
        all.fold(0, u64::saturating_add).min(self.cache_bytes)
    }
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParquetFile {
    /// Its path.
    #[serde(with = "path")]
    pub path: PathBuf,
    /// What it is known again by.
    pub stamp: Stamp,
    /// Its row groups.
    pub groups: Vec<RowGroup>,
    /// The values of partition columns, which the names of its folders tell: the bytes of a row of each.
    pub partitions: Vec<Option<Vec<u8>>>,
}

/// One row group of a file; as data a pair, since there may be many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct RowGroup {
    /// Its rows.
    pub rows: u64,
    /// What the chosen columns take at most once they are decoded, by the file's footer.
    pub bytes: u64,
}

impl From<(u64, u64)> for RowGroup {
    fn from((rows, bytes): (u64, u64)) -> Self {
        Self { rows, bytes }
    }
}

impl From<RowGroup> for (u64, u64) {
    fn from(RowGroup { rows, bytes }: RowGroup) -> Self {
        (rows, bytes)
    }
}

/// A field, and what it is read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParquetColumn {
    /// The field.
    #[serde(flatten)]
    pub field: Field,
    /// What it is read from.
    pub from: ReadFrom,
    /// What stands for a null, one element's bytes; none where nulls are bad samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<Vec<u8>>,
}

/// What a field is read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadFrom {
    /// A column of the files: the names that lead to it.
    Column(Vec<String>),
    /// A partition column, by its number.
    Partition(usize),
    /// Whether another field's value is there: that field's number.
    Validity(usize),
}
