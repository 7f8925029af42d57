//! What the schedule keeps of epochs, batches, slots and workers.

use std::collections::BTreeMap;

use super::ends::Streams;
use crate::{
    coordinator::event::Assignment,
    protocol::{Fill, Run, Work},
    sampler::Partition,
    worker::{LANES, RowFailure},
};

#[derive(Debug)]
pub(super) struct EpochState {
    pub(super) number: u64,
    /// None while the epoch has been begun in advance.
    pub(super) generation: Option<u64>,
    pub(super) partition: Partition,
    /// Where samples come as streams.
    pub(super) streams: Option<Streams>,
    /// The batch and row to hand out next, and the slot that the batch has.
    pub(super) next: (u64, u32),
    pub(super) filling: Option<u32>,
    /// The batch to deliver next.
    pub(super) deliver: u64,
}

impl EpochState {
    /// Tells whether every run has been handed out.
    pub(super) fn is_handed_out(&self) -> bool {
        self.streams.as_ref().map_or_else(|| self.next.0 >= self.partition.batches(), Streams::have_ended)
    }

    /// Tells whether every batch has been delivered; steps over those that there are not.
    pub(super) fn is_delivered(&mut self) -> bool {
        let Some(streams) = &self.streams else { return self.deliver >= self.partition.batches() };
        if streams.are_over(self.deliver) {
            return true;
        }
        while streams.is_past(self.deliver) {
            self.deliver += 1;
        }
        false
    }
}

/// A batch in a slot.
#[derive(Debug)]
pub(super) struct BatchState {
    pub(super) epoch: u64,
    pub(super) number: u64,
    pub(super) rows: u32,
    /// Rows that are not done, or not finished.
    pub(super) left: u32,
    pub(super) stage: BatchStage,
    pub(super) failures: Vec<RowFailure>,
}

impl BatchState {
    pub(super) const fn new(epoch: u64, number: u64, rows: u32) -> Self {
        Self { epoch, number, rows, left: rows, stage: BatchStage::Filling, failures: Vec::new() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchStage {
    /// Its rows are being made.
    Filling,
    /// All rows are done, and the batch is being finished as a whole.
    Finishing,
}

#[derive(Debug)]
pub(super) enum SlotState {
    Free,
    Filling(BatchState),
    Ready(BatchState),
    Held,
    Draining,
}

/// Rows to hand out.
#[derive(Clone, Debug)]
pub(super) struct PlannedRun {
    pub(super) run: Run,
    pub(super) attempt: u32,
    pub(super) work: Work,
    pub(super) sharing: Sharing,
    /// The seat that has to do it; none where any may.
    pub(super) seat: Option<u32>,
}

impl PlannedRun {
    /// Returns a run whose rows are to be made, by any worker.
    pub(super) const fn fill(run: Run, attempt: u32) -> Self {
        Self { run, attempt, work: Work::Fill, sharing: Sharing::WithOthers, seat: None }
    }

    /// Tells whether it is a batch of a stream that is to be made.
    pub(super) fn is_of_stream(&self) -> bool {
        self.seat.is_some() && self.work == Work::Fill
    }
}

/// Whether a worker may have other runs at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    WithOthers,
    /// It may not, so that it is known for certain what ends the worker.
    Alone,
}

/// What a worker's death counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Blamed {
    /// The sample that was tried in a row.
    Row { row: u32, index: u64 },
    /// The batch as a whole, while it is finished.
    Batch,
}

/// What is given up of a batch that is to begin again, each with how the last worker ended.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    /// Samples, by row.
    pub(super) rows: BTreeMap<u32, (u64, String)>,
    /// The batch as a whole.
    pub(super) batch: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkerStage {
    Booting,
    Up,
    /// Killed, and not yet gone.
    Condemned,
    /// Killed long ago, and still not gone; another worker has its seat.
    Stuck,
}

#[derive(Debug)]
pub(super) struct WorkerState {
    pub(super) seat: u32,
    pub(super) stage: WorkerStage,
    pub(super) lanes: [Option<(PlannedRun, Fill)>; LANES],
}

impl WorkerState {
    pub(super) fn assignment(&self) -> Assignment {
        let runs = self.lanes.iter().flatten().map(|(planned, _)| planned.run).collect();
        Assignment { is_up: self.stage == WorkerStage::Up, runs }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.lanes.iter().flatten().count()
    }

    pub(super) fn is_alone_with_a_run(&self) -> bool {
        self.lanes.iter().flatten().any(|(planned, _)| planned.sharing == Sharing::Alone)
    }
}
