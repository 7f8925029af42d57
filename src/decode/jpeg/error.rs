//! Why a file is not decoded here.

use std::borrow::Cow;

/// Why a JPEG was not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// The file is of a kind that is left to another decoder.
    Unsupported(&'static str),
    /// The file is broken.
    Corrupt {
        /// Where in the file it was noticed.
        offset: usize,
        /// What is wrong, a fragment.
        reason: Cow<'static, str>,
    },
}

impl Problem {
    /// Returns the problem of a broken file.
    pub(super) fn corrupt(offset: usize, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Corrupt { offset, reason: reason.into() }
    }

    /// Returns the problem of a file that ends too early.
    pub(super) const fn end_of_data(offset: usize) -> Self {
        Self::Corrupt { offset, reason: Cow::Borrowed("unexpected end of data") }
    }
}

/// The module's result type.
pub(super) type Result<T> = std::result::Result<T, Problem>;
