//! What a loader has done so far, in numbers.

use std::{collections::BTreeMap, time::Duration};

use crate::error::SampleError;

/// What the trainer itself counts.
#[derive(Clone, Debug, Default)]
pub(super) struct TrainerStats {
    pub(super) batches: u64,
    pub(super) samples: u64,
    pub(super) wait: Duration,
}

impl TrainerStats {
    pub(super) fn add(&mut self, wait: Duration, samples: u64) {
        self.batches += 1;
        self.samples += samples;
        self.wait += wait;
    }
}

/// A loader's statistics since it was made.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Batches handed out.
    pub batches: u64,
    /// Samples in them.
    pub samples: u64,
    /// How long the trainer waited for them. With no workers, all the work is the trainer's wait.
    pub wait: Duration,
    /// Batches that are finished and wait for the trainer.
    pub ready_slots: usize,
    /// Slots of the arena.
    pub slots: usize,
    /// Slots that the trainer holds: batches that it has not dropped.
    pub held_slots: usize,
    /// The arena's size in bytes.
    pub arena_bytes: usize,
    /// Seconds that all workers together spent reading.
    pub read_seconds: f64,
    /// Seconds that they spent decoding.
    pub decode_seconds: f64,
    /// Seconds that they spent transforming and writing.
    pub transform_seconds: f64,
    /// What was counted while rows were made, by name: `damaged_images` are damaged files that were decoded all the
    /// same; `dropped_alpha`, `dropped_colour`, `reduced_depth` and `widened_depth` are images that have more, or less,
    /// than [`DecodeImage`](crate::DecodeImage) keeps.
    pub counters: BTreeMap<String, u64>,
    /// Workers that were started to replace others.
    pub restarts: u64,
    /// Samples that failed, counted each time.
    pub failed_samples: u64,
    /// The first hundred of them.
    pub quarantine: Vec<SampleError>,
    /// How workers ended, the latest last.
    pub endings: Vec<String>,
    /// The workers: number and process id.
    pub workers: Vec<(u32, i32)>,
    /// The coordinator's process id; none without workers.
    pub coordinator_pid: Option<i32>,
}
