//! Samples that were made together, until each is read.

use std::collections::VecDeque;

use pyo3::prelude::*;

use crate::{error::Failure, rng::Key};

/// A sample, or why there is none.
type Made = Result<Py<PyAny>, Failure>;

/// The samples of a run that are made and not read, in order.
#[derive(Default)]
pub(super) struct Ahead(VecDeque<(Key, Made)>);

impl Ahead {
    /// Returns what was made for these keys.
    pub(super) fn of(keys: &[Key], made: impl Iterator<Item = Made>) -> Self {
        Self(keys.iter().copied().zip(made).collect())
    }

    /// Takes the sample of this key, if it is the next one.
    pub(super) fn take(&mut self, key: Key) -> Option<Made> {
        let is_next = self.0.front().is_some_and(|(next, _)| *next == key);
        is_next.then(|| self.0.pop_front()).flatten().map(|(_, made)| made)
    }
}
