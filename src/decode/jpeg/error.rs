//! Why a file is not decoded here, and which damage is passed over.

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
    /// The file ends too early, at this offset.
    Ended(usize),
}

impl Problem {
    /// Returns the problem of a broken file.
    pub(super) fn corrupt(offset: usize, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Corrupt { offset, reason: reason.into() }
    }
}

/// The module's result type.
pub(super) type Result<T> = std::result::Result<T, Problem>;

/// What becomes of damage that libjpeg reads through, and whether there was any.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Damage {
    /// Whether damage is an error, rather than passed over as libjpeg does it.
    refuses: bool,
    /// Whether a file that ends too early is taken as one with an end-of-image marker there.
    pads: bool,
    is_found: bool,
}

impl Damage {
    pub(super) const fn new(refuses: bool, pads: bool) -> Self {
        Self { refuses, pads, is_found: false }
    }

    /// Takes note of damage; an error where none is allowed.
    #[cold]
    pub(super) fn found(&mut self, problem: Problem) -> Result<()> {
        if self.refuses {
            return Err(problem);
        }
        self.is_found = true;
        Ok(())
    }

    /// Takes note that the file ends too early, at `offset`; an error unless what is missing is to be filled in.
    #[cold]
    pub(super) const fn ended(&mut self, offset: usize) -> Result<()> {
        if !self.pads {
            return Err(Problem::Ended(offset));
        }
        self.is_found = true;
        Ok(())
    }

    /// Takes note that the file ends without its end-of-image marker, but behind its pixels.
    #[cold]
    pub(super) fn ended_behind_pixels(&mut self, offset: usize) -> Result<()> {
        if self.pads { self.ended(offset) } else { self.found(Problem::Ended(offset)) }
    }

    /// Tells whether there was any.
    pub(super) const fn is_found(self) -> bool {
        self.is_found
    }
}
