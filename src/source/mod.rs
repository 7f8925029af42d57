//! Random access to records by index.
//!
//! A source knows nothing of processes, slots or pixels. It is opened once, before the workers are
//! forked, so its index should lie in a few flat buffers that all of them share.

mod file;
mod image_folder;
mod path;
mod table;

use std::{fmt::Debug, os::fd::RawFd, sync::Arc};

use serde::{Deserialize, Serialize};

pub use self::{
    image_folder::ImageFolder,
    table::{Column, RunsAt, Stored, Table},
};
use crate::{
    error::{Failure, Result},
    field::Field,
};

/// Bytes that several processes may share: a mapping, or memory of our own.
pub type Bytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Records by index.
///
/// Getting a sample takes two steps, so that a worker can read ahead: [`fetch`](Self::fetch) does all of
/// the sample's I/O and leaves the bytes in a buffer, [`field`](Self::field) finds a field in them.
#[expect(clippy::len_without_is_empty, reason = "an empty source is refused when it is opened")]
pub trait Source: Debug + Send + Sync {
    /// Returns the number of samples, at least one.
    fn len(&self) -> u64;

    /// Returns the fields of every sample, in the order in which [`field`](Self::field) counts them.
    fn fields(&self) -> &[Field];

    /// Returns what to call sample `index` in an error: its path, or its row.
    fn key(&self, index: u64) -> String;

    /// Returns the names of the classes that the labels count, where there are any.
    fn classes(&self) -> &[String] {
        &[]
    }

    /// Returns the descriptors that the source keeps open. A coordinator that is forked with it closes all others.
    fn descriptors(&self) -> Vec<RawFd> {
        Vec::new()
    }

    /// Tells whether [`fetch`](Self::fetch) may wait for a device, so that reading ahead pays.
    fn does_io(&self) -> bool;

    /// Reads sample `index` into `record`, which it clears first.
    ///
    /// # Errors
    /// A [`Failure`] of the read stage, with the errno where there is one.
    fn fetch(&self, index: u64, record: &mut Vec<u8>) -> Result<(), Failure>;

    /// Returns the bytes of field `field` of sample `index`, whose record has been fetched.
    fn field<'a>(&'a self, field: usize, index: u64, record: &'a [u8]) -> &'a [u8];
}

/// A source as data: what the trainer sends to the coordinator, which opens it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum SourceSpec {
    /// A folder of class folders of images; see [`ImageFolder`].
    ImageFolder {
        /// The folder.
        #[serde(with = "path")]
        root: std::path::PathBuf,
    },
    /// Columns by name, of files and of values in shared memory; see [`Table`].
    Table {
        /// The number of samples.
        len: u64,
        /// The columns.
        columns: Vec<Column>,
    },
}

impl SourceSpec {
    /// Returns the fields that the opened source will have, without opening it.
    pub fn fields(&self) -> Vec<Field> {
        match self {
            Self::ImageFolder { .. } => ImageFolder::source_fields(),
            Self::Table { columns, .. } => columns.iter().map(|column| column.field.clone()).collect(),
        }
    }

    /// Opens the source. `bytes` are the shared bytes of a [`SourceSpec::Table`].
    ///
    /// # Errors
    /// [`Config`](crate::Error::Config) for a folder without samples or columns that do not fit their bytes,
    /// [`Sys`](crate::Error::Sys) for a folder that cannot be listed.
    pub fn open(&self, bytes: Option<Bytes>) -> Result<Arc<dyn Source>> {
        Ok(match self {
            Self::ImageFolder { root } => Arc::new(ImageFolder::open(root)?),
            Self::Table { len, columns } => Arc::new(Table::open(*len, columns, bytes)?),
        })
    }
}
