//! A run in work on several threads.

use std::sync::{Arc, Mutex, PoisonError};

use super::report::RunReport;
use crate::{protocol::Fill, sampler::Partition};

/// A run in work on several threads: the last row reports it.
pub(super) struct Running {
    pub(super) fill: Fill,
    pub(super) partition: Arc<Partition>,
    left: Mutex<(u32, RunReport)>,
}

impl Running {
    /// Returns a run of which so many rows are left, with what is to be reported of the others.
    pub(super) fn new(fill: Fill, partition: Arc<Partition>, left: u32, done: RunReport) -> Self {
        Self { fill, partition, left: Mutex::new((left, done)) }
    }

    /// Adds what was found while a row was read.
    pub(super) fn merge(&self, run: RunReport) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).1.merge(run);
    }

    /// Adds what was found while a row was made, and calls `report` if it was the last one.
    pub(super) fn row_done(&self, run: RunReport, report: impl FnOnce(&RunReport)) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.0 -= 1;
        left.1.merge(run);
        if left.0 == 0 {
            report(&left.1);
        }
    }
}
