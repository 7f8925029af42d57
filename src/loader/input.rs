//! Where samples come from.

use std::{fmt, path::Path, sync::Arc};

use super::shared_source::SharedSource;
use crate::{
    field::Field,
    source::{Source, SourceSpec},
    sys::memory::SharedMemory,
};

/// Where samples come from.
#[non_exhaustive]
pub enum Input {
    /// A source that can be described as data, with the memory that it lies in.
    Shared(SharedSource),
    /// Code of the user, in pieces of shared memory, for a program that opens it; see [`Launch`](super::Launch).
    Code(Vec<Arc<SharedMemory>>),
    /// Any source. With workers it needs [`Launch::Fork`](super::Launch::Fork).
    Custom(Arc<dyn Source>),
}

impl Input {
    /// Returns a folder of class folders of images. A relative path is looked up in the directory of now, wherever the
    /// program goes later.
    pub fn image_folder(root: impl AsRef<Path>) -> Self {
        SourceSpec::ImageFolder { root: root.as_ref().into(), cache: None }.into()
    }
}

impl Input {
    /// Returns its fields, where they are known before it is opened.
    pub(super) fn fields(&self) -> Option<Vec<Field>> {
        match self {
            Self::Shared(source) => Some(source.spec().fields()),
            Self::Custom(source) => Some(source.fields().to_vec()),
            Self::Code(_) => None,
        }
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared(source) => f.debug_tuple("Shared").field(source).finish(),
            Self::Code(pieces) => f.debug_tuple("Code").field(pieces).finish(),
            Self::Custom(source) => f.debug_tuple("Custom").field(source).finish(),
        }
    }
}

impl From<SourceSpec> for Input {
    fn from(spec: SourceSpec) -> Self {
        SharedSource::from(spec).into()
    }
}

impl From<SharedSource> for Input {
    fn from(source: SharedSource) -> Self {
        Self::Shared(source)
    }
}
