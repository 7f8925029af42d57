//! What a pool has done so far, in numbers.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{
    counters::Counters,
    worker::{Quarantine, RunReport},
};

/// How many endings of workers the statistics list, the latest.
const ENDINGS: usize = 100;

/// What the pool has done so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PoolStats {
    /// Seconds that all workers spent reading.
    pub read_seconds: f64,
    /// Seconds that all workers spent decoding.
    pub decode_seconds: f64,
    /// Seconds that all workers spent transforming and writing.
    pub transform_seconds: f64,
    /// What was counted while rows were made.
    pub counters: Counters,
    /// Workers that were started to replace others.
    pub restarts: u64,
    /// Samples that failed.
    pub quarantine: Quarantine,
    /// How workers ended, the latest last.
    pub endings: VecDeque<String>,
    /// The workers: seat and process id.
    pub workers: Vec<(u32, i32)>,
}

impl PoolStats {
    /// Adds what a run took and counted, and its failed samples.
    pub(super) fn add(&mut self, report: &RunReport) {
        self.read_seconds += report.read.as_secs_f64();
        self.decode_seconds += report.times.decode.as_secs_f64();
        self.transform_seconds += report.times.transform.as_secs_f64();
        self.counters.merge(report.times.counters.clone());
        for failure in &report.failures {
            self.quarantine.add(failure.error.clone());
        }
    }

    /// Notes how a worker ended.
    pub(super) fn note(&mut self, ending: String) {
        if self.endings.len() == ENDINGS {
            self.endings.pop_front();
        }
        self.endings.push_back(ending);
    }
}
