//! The batches of one epoch, as an iterator.

use super::{batch::Batch, handle::Loader};
use crate::error::{Error, Result};

impl Loader {
    /// Begins the next epoch and returns its batches.
    pub fn iter(&self) -> Batches<'_> {
        Batches { loader: self, generation: Some(self.begin()) }
    }
}

/// The batches of one epoch, as an iterator. It goes on after a batch that failed, and ends after any other error.
#[derive(Debug)]
pub struct Batches<'a> {
    loader: &'a Loader,
    generation: Option<Result<u64>>,
}

impl Iterator for Batches<'_> {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let generation = match self.generation.take()? {
            Ok(generation) => generation,
            Err(error) => return Some(Err(error)),
        };
        let mut tick = || {
            self.loader.print_reports();
            Ok(())
        };
        let next = self.loader.next(generation, &mut tick).transpose();
        self.loader.print_reports();
        if matches!(next, Some(Ok(_) | Err(Error::Sample(_) | Error::SlotsExhausted(_)))) {
            self.generation = Some(Ok(generation));
        }
        next
    }
}

impl<'a> IntoIterator for &'a Loader {
    type Item = Result<Batch>;
    type IntoIter = Batches<'a>;

    fn into_iter(self) -> Batches<'a> {
        self.iter()
    }
}
