//! How one row gets its sample, and what happens when the sample is bad.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    counters::Counters,
    error::{Failure, SampleError},
    job::{MAX_ATTEMPTS, OnError},
    pipeline::{Pipeline, Scratch, Times},
    rng::Key,
    sampler::EpochPlan,
    shm::{Progress, RowMut, SlotMut},
};

/// A sample that failed in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowFailure {
    /// The row of the slot.
    pub row: u32,
    /// Whether the row is left without a sample, so that its batch fails.
    pub fatal: bool,
    /// What happened.
    pub error: SampleError,
}

/// What of a report is too long for its message. It is written only where there is something to say.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RunText {
    /// The samples that failed.
    pub failures: Vec<RowFailure>,
    /// What was counted.
    pub counters: Counters,
}

/// The samples that have failed: how many, and the first of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Quarantine {
    /// How many samples failed, each time they were tried.
    pub count: u64,
    /// The first [`Quarantine::LISTED`] of them.
    pub first: Vec<SampleError>,
}

impl Quarantine {
    /// How many failures are listed; all are counted.
    pub const LISTED: usize = 100;

    /// Counts a failure.
    pub fn record(&mut self, error: SampleError) {
        self.count += 1;
        if self.first.len() < Self::LISTED {
            self.first.push(error);
        }
    }
}

/// What filling rows took, and which samples failed.
#[derive(Debug, Default)]
pub struct Tally {
    /// Time spent reading.
    pub read: Duration,
    /// Time spent decoding and transforming.
    pub times: Times,
    /// The failures, in the order in which they happened.
    pub failures: Vec<RowFailure>,
}

impl Tally {
    /// Counts what no stage has counted of the time since `begun` as writing, which is all that is left.
    pub fn rest_is_writing(&mut self, begun: Instant) {
        let counted = self.read + self.times.decode + self.times.transform;
        self.times.transform += begun.elapsed().saturating_sub(counted);
    }

    /// Adds another thread's tally of the same run.
    pub fn merge(&mut self, other: Self) {
        self.read += other.read;
        self.times.decode += other.times.decode;
        self.times.transform += other.times.transform;
        self.times.counters.merge(other.times.counters);
        self.failures.extend(other.failures);
    }
}

/// A row and what belongs there.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The epoch's plan.
    pub plan: &'a EpochPlan,
    /// The batch.
    pub batch: u64,
    /// How many candidates for the row have been given up before.
    pub attempt: u32,
}

/// A row's first candidate, and whether its record has been read.
#[derive(Debug)]
pub struct Candidate {
    index: u64,
    read: Result<(), Failure>,
}

/// Makes samples and writes them into rows.
#[derive(Clone, Debug)]
pub struct Filler {
    pipeline: Arc<Pipeline>,
    on_error: OnError,
    worker: Option<u32>,
}

impl Filler {
    /// Returns a filler; `worker` is the number that its errors name.
    pub fn new(pipeline: Arc<Pipeline>, on_error: OnError, worker: Option<u32>) -> Self {
        Self { pipeline, on_error, worker }
    }

    /// Returns the pipeline.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    fn candidate(&self, job: Job<'_>, row: u32, attempt: u32) -> u64 {
        self.on_error.candidate(job.plan, job.batch, row, attempt)
    }

    /// Reads the record of a row's first candidate. A failure to read it is dealt with by [`fill`](Self::fill).
    pub fn fetch(&self, job: Job<'_>, row: &mut RowMut, record: &mut Vec<u8>, tally: &mut Tally) -> Candidate {
        let index = self.candidate(job, row.row() as u32, job.attempt);
        row.set_index(index);
        row.mark(Progress::InHand);
        let read = self.read(index, record, tally);
        row.mark(Progress::Fetched);
        Candidate { index, read }
    }

    /// Writes a row from its first candidate, which has been fetched, or from the next ones by policy.
    pub fn fill(
        &self,
        job: Job<'_>,
        row: &mut RowMut,
        record: &mut Vec<u8>,
        candidate: Candidate,
        scratch: &mut Scratch,
        tally: &mut Tally,
    ) {
        row.mark(Progress::InHand);
        let number = row.row() as u32;
        let mut attempt = job.attempt;
        let Candidate { mut index, mut read } = candidate;
        loop {
            let key = Key { seed: job.plan.seed(), epoch: job.plan.epoch(), index };
            let made =
                read.and_then(|()| self.pipeline.fill(key, record, scratch, &mut row.fields(), &mut tally.times));
            let Err(failure) = made else { break };
            attempt += 1;
            let fatal = self.on_error == OnError::Raise || attempt >= MAX_ATTEMPTS;
            let mut error = failure.of(index, self.pipeline.source().key(index));
            error.worker = self.worker;
            tally.failures.push(RowFailure { row: number, fatal, error });
            if fatal {
                break;
            }
            index = self.candidate(job, number, attempt);
            row.set_index(index);
            read = self.read(index, record, tally);
        }
        row.mark(Progress::Done);
    }

    /// Applies the transforms of whole batches to a batch whose rows are filled.
    pub fn finish(&self, plan: &EpochPlan, batch: u64, mut rows: SlotMut, tally: &mut Tally) {
        rows.mark(Progress::InHand);
        let begun = Instant::now();
        let key = Key { seed: plan.seed(), epoch: plan.epoch(), index: plan.position(batch, 0) };
        if let Err(failure) = self.pipeline.finish(key, &mut rows.fields(), plan.rows(batch) as usize) {
            let index = plan.index(batch, 0, 0);
            let mut error = failure.of(index, self.pipeline.source().key(index));
            error.worker = self.worker;
            tally.failures.push(RowFailure { row: 0, fatal: true, error });
        }
        tally.times.transform += begun.elapsed();
        rows.mark(Progress::Done);
    }

    fn read(&self, index: u64, record: &mut Vec<u8>, tally: &mut Tally) -> Result<(), Failure> {
        let source = self.pipeline.source();
        if !source.does_io() {
            return source.fetch(index, record);
        }
        let begun = Instant::now();
        let fetched = source.fetch(index, record);
        tally.read += begun.elapsed();
        fetched
    }
}
