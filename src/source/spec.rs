//! Sources as data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    access::{Bytes, Source},
    image_folder::ImageFolder,
    path,
    table::{Column, Table},
};
use crate::{
    error::{Error, Result},
    field::Field,
};

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
    /// Rows of Parquet files; see [`Parquet`](super::Parquet).
    #[cfg(feature = "parquet")]
    Parquet(super::ParquetSpec),
    /// Code of the user, which no data can say: it comes beside the description, as so many pieces of shared memory.
    Code {
        /// How many.
        pieces: usize,
    },
}

impl SourceSpec {
    /// Returns the fields that the opened source will have, without opening it.
    pub fn fields(&self) -> Vec<Field> {
        match self {
            Self::ImageFolder { .. } => ImageFolder::source_fields(),
            Self::Table { columns, .. } => columns.iter().map(|column| column.field.clone()).collect(),
            #[cfg(feature = "parquet")]
            Self::Parquet(spec) => spec.columns.iter().map(|column| column.field.clone()).collect(),
            // They are learned from samples.
            Self::Code { .. } => Vec::new(),
        }
    }

    /// Makes a relative path mean the same wherever the program goes.
    #[must_use]
    pub fn absolute(self) -> Self {
        match self {
            // Without a directory of now, or a path, opening it tells what is wrong.
            Self::ImageFolder { root } => Self::ImageFolder { root: std::path::absolute(&root).unwrap_or(root) },
            #[cfg(feature = "parquet")]
            Self::Parquet(_) => self,
            Self::Table { .. } | Self::Code { .. } => self,
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
            #[cfg(feature = "parquet")]
            Self::Parquet(spec) => Arc::new(super::Parquet::open(spec.clone())?),
            Self::Code { .. } => return Err(Error::config("code of the user is opened by what runs it")),
        })
    }
}
