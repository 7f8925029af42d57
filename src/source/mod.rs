//! Random access to records by index.
//!
//! A source knows nothing of processes, slots or pixels. It is opened once, before the workers are
//! forked, so its index should lie in a few flat buffers that all of them share.

mod arrays;
mod file;
mod image_folder;
mod places;
mod table;

use std::{
    fmt::{self, Debug},
    os::fd::RawFd,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

pub use self::{
    arrays::Arrays,
    image_folder::ImageFolder,
    places::{BoxFormat, Places},
    table::{Column, ColumnKind, List, Table, Within},
};
use crate::{
    error::{Failure, Result},
    spec::FieldSpec,
};

/// Bytes that several processes may share: a mapping, or memory of our own.
pub type Bytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A field as the source holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceField {
    /// An image file's bytes, to be decoded to (height, width, 3) `uint8`.
    EncodedImage {
        /// The field's name.
        name: String,
    },
    /// An image file's bytes, to be decoded to (height, width) class indices, `uint8`.
    EncodedMask {
        /// The field's name.
        name: String,
        /// The field of the image that it belongs to, whose geometry it follows.
        image: String,
    },
    /// Places in an image, whose geometry they follow.
    Places {
        /// A list of `float32` for each sample.
        spec: FieldSpec,
        /// What its entries are.
        places: Places,
        /// The field of the image that they lie in.
        image: String,
    },
    /// A ready tensor; a ragged one varies in one axis.
    Tensor(FieldSpec),
}

impl SourceField {
    /// Returns the field's name.
    pub fn name(&self) -> &str {
        match self {
            Self::EncodedImage { name } | Self::EncodedMask { name, .. } => name,
            Self::Places { spec, .. } | Self::Tensor(spec) => &spec.name,
        }
    }

    /// Returns the field of the image whose geometry this one follows.
    pub fn image(&self) -> Option<&str> {
        match self {
            Self::EncodedMask { image, .. } | Self::Places { image, .. } => Some(image),
            Self::EncodedImage { .. } | Self::Tensor(_) => None,
        }
    }
}

impl fmt::Display for SourceField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EncodedImage { name } => write!(f, "{name}: encoded image"),
            Self::EncodedMask { name, .. } => write!(f, "{name}: encoded mask"),
            Self::Places { spec, .. } | Self::Tensor(spec) => write!(f, "{spec}"),
        }
    }
}

/// Records by index.
///
/// Getting a sample takes two steps, so that a worker can read ahead: [`fetch`](Self::fetch) does all of
/// the sample's I/O and leaves the bytes in a buffer, [`field`](Self::field) finds a field in them.
#[expect(clippy::len_without_is_empty, reason = "an empty source is refused when it is opened")]
pub trait Source: Debug + Send + Sync {
    /// Returns the number of samples, at least one.
    fn len(&self) -> u64;

    /// Returns the fields of every sample, in the order in which [`field`](Self::field) counts them.
    fn fields(&self) -> &[SourceField];

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
        root: std::path::PathBuf,
    },
    /// Arrays in shared memory; see [`Arrays`].
    Arrays {
        /// The number of samples in each array.
        len: u64,
        /// The arrays' specs, each with the offset of its first byte.
        fields: Vec<ArrayField>,
    },
    /// Columns by name, of files and of values in shared memory; see [`Table`].
    Table {
        /// The number of samples.
        len: u64,
        /// The columns.
        columns: Vec<Column>,
    },
}

/// One array of a [`SourceSpec::Arrays`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArrayField {
    /// Name, dtype and shape of one sample.
    #[serde(flatten)]
    pub spec: FieldSpec,
    /// Where the C-contiguous array starts in the shared bytes.
    pub offset: usize,
}

impl SourceSpec {
    /// Returns the fields that the opened source will have, without opening it.
    pub fn fields(&self) -> Vec<SourceField> {
        match self {
            Self::ImageFolder { .. } => ImageFolder::source_fields(),
            Self::Arrays { fields, .. } => fields.iter().map(|field| SourceField::Tensor(field.spec.clone())).collect(),
            Self::Table { columns, .. } => columns.iter().map(Column::field).collect(),
        }
    }

    /// Opens the source. `bytes` are the shared bytes of a [`SourceSpec::Arrays`] or a
    /// [`SourceSpec::Table`].
    ///
    /// # Errors
    /// [`Config`](crate::Error::Config) for a folder without samples or arrays that do not fit their bytes,
    /// [`Sys`](crate::Error::Sys) for a folder that cannot be listed.
    pub fn open(&self, bytes: Option<Bytes>) -> Result<Arc<dyn Source>> {
        Ok(match self {
            Self::ImageFolder { root } => Arc::new(ImageFolder::open(root)?),
            Self::Arrays { len, fields } => Arc::new(Arrays::open(*len, fields, bytes)?),
            Self::Table { len, columns } => Arc::new(Table::open(*len, columns, bytes)?),
        })
    }
}
