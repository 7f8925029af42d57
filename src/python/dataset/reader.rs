//! Reading samples of a dataset, by one thread.

#![expect(unsafe_code, reason = "holds the interpreter's lock from sample to sample")]

use std::sync::{MutexGuard, PoisonError};

use pyo3::{ffi, prelude::*};

use super::{ahead::Ahead, objects::Objects, samples::Samples, streams::Stream};
use crate::{
    error::Failure,
    python::randomness::Randomness,
    rng::Key,
    source::{Reader, Record, StreamEnd},
    sys::report,
};

/// Reads samples, and holds the interpreter's lock during a run.
pub(super) struct DatasetReader<'a> {
    samples: &'a Samples,
    /// The samples of the run that are made and not read.
    ahead: Ahead,
    held: Option<ffi::PyGILState_STATE>,
}

impl<'a> DatasetReader<'a> {
    pub(super) fn new(samples: &'a Samples) -> Self {
        Self { samples, ahead: Ahead::default(), held: None }
    }

    /// Returns the generators whose states are the trainer's, and are to be put back after each run.
    fn of_trainer(&self) -> Option<&'a Randomness> {
        self.samples.randomness.as_ref().filter(|_| self.samples.in_trainer)
    }

    /// Returns the stream, where there is one.
    fn stream(&self) -> Option<MutexGuard<'a, Stream>> {
        let stream = self.samples.stream.as_ref()?;
        Some(stream.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a sample, of a stream the one that is next.
    fn read_one(&mut self, key: Key, record: &mut Record) -> Result<(), Failure> {
        let objects = record.payloads_mut::<Objects>();
        let Self { samples, ahead, held } = self;
        let mut read = |py: Python<'_>| {
            objects.clear(py);
            match ahead.take(key) {
                Some(made) => samples.find(&made?.into_bound(py), objects),
                None => samples.read(py, key, objects),
            }
        };
        if held.is_none() {
            // Taken before the interpreter's lock, which comes and goes while a sample is made.
            let _alone = samples.turn.lock().unwrap_or_else(PoisonError::into_inner);
            return Python::attach(read);
        }
        // SAFETY: `begin` has taken the lock, on this thread.
        let made = read(unsafe { Python::assume_attached() });
        if made.is_err() {
            // PyO3, which does not know of that lock, lets go of what an exception kept when it next takes it itself.
            Python::attach(|_| ());
        }
        made
    }
}

impl Reader for DatasetReader<'_> {
    fn begin(&mut self) {
        // SAFETY: the interpreter runs for as long as there are loaders; `end` releases what is taken here, on the same
        // thread.
        self.held = Some(unsafe { ffi::PyGILState_Ensure() });
        if let Some(randomness) = self.of_trainer()
            && let Err(error) = Python::attach(|py| randomness.keep(py))
        {
            report::report(&format!("the random numbers of this process cannot be kept: {error}"));
        }
    }

    fn takes_runs(&self) -> bool {
        self.samples.by_run
    }

    fn expect(&mut self, keys: &[Key]) {
        self.ahead = Python::attach(|py| self.samples.make_run(py, keys));
    }

    fn read(&mut self, key: Key, record: &mut Record, _most: u64) -> Result<(), Failure> {
        while let Some(earlier) = self.behind(key) {
            self.read_one(earlier, record).ok();
        }
        self.read_one(key, record)
    }

    fn behind(&mut self, key: Key) -> Option<Key> {
        self.stream()?.behind(key)
    }

    fn ended(&self) -> Option<StreamEnd> {
        self.stream()?.ended()
    }

    fn end(&mut self) {
        Python::attach(|py| {
            if let Some(randomness) = self.of_trainer()
                && let Err(error) = randomness.restore(py)
            {
                report::report(&format!("the random numbers of this process cannot be put back: {error}"));
            }
            self.ahead = Ahead::default();
        });
        if let Some(held) = self.held.take() {
            // SAFETY: `begin` has taken it, on this thread.
            unsafe { ffi::PyGILState_Release(held) };
        }
    }
}

impl Drop for DatasetReader<'_> {
    fn drop(&mut self) {
        // After a panic in the middle of a run.
        if self.held.is_some() {
            self.end();
        }
    }
}
