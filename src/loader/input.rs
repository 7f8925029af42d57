//! Where samples come from.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::arrays::SharedArrays;
use crate::source::{Source, SourceSpec};

/// Where samples come from.
pub enum Input {
    /// A source that can be described as data.
    Spec(SourceSpec),
    /// Arrays of this process.
    Arrays(SharedArrays),
    /// Any source. With workers it needs [`Launch::Fork`].
    Custom(Arc<dyn Source>),
}

impl Input {
    /// Returns a folder of class folders of images.
    pub fn image_folder(root: impl AsRef<Path>) -> Self {
        let root: PathBuf = root.as_ref().into();
        Self::Spec(SourceSpec::ImageFolder { root })
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec(spec) => f.debug_tuple("Spec").field(spec).finish(),
            Self::Arrays(arrays) => f.debug_tuple("Arrays").field(arrays).finish(),
            Self::Custom(source) => f.debug_tuple("Custom").field(source).finish(),
        }
    }
}

impl From<SourceSpec> for Input {
    fn from(spec: SourceSpec) -> Self {
        Self::Spec(spec)
    }
}

impl From<SharedArrays> for Input {
    fn from(arrays: SharedArrays) -> Self {
        Self::Arrays(arrays)
    }
}
