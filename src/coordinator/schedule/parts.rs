//! What the schedule keeps of epochs, batches, slots and workers.

use super::LANES;
use crate::{
    protocol::{Fill, Run},
    sampler::EpochPlan,
    worker::RowFailure,
};

#[derive(Debug)]
pub(super) struct Epoch {
    pub(super) number: u64,
    /// None while the epoch has been begun in advance.
    pub(super) generation: Option<u64>,
    pub(super) plan: EpochPlan,
    /// The batch and row to hand out next, and the slot that the batch has.
    pub(super) next: (u64, u32),
    pub(super) filling: Option<u32>,
    /// The batch to deliver next.
    pub(super) deliver: u64,
}

/// A batch in a slot.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) epoch: u64,
    pub(super) number: u64,
    pub(super) rows: u32,
    /// Rows that are not done, or not finished.
    pub(super) left: u32,
    /// Whether all rows are done and the batch is to be finished as a whole.
    pub(super) finishing: bool,
    pub(super) failures: Vec<RowFailure>,
}

impl Batch {
    pub(super) const fn new(epoch: u64, number: u64, rows: u32) -> Self {
        Self { epoch, number, rows, left: rows, finishing: false, failures: Vec::new() }
    }
}

#[derive(Debug)]
pub(super) enum Slot {
    Free,
    Filling(Batch),
    Ready(Batch),
    Held,
    Draining,
}

/// Rows to hand out.
#[derive(Clone, Debug)]
pub(super) struct Todo {
    pub(super) run: Run,
    pub(super) attempt: u32,
    /// For a worker that has nothing else in hand.
    pub(super) solo: bool,
    /// To be finished as a batch; else to be filled.
    pub(super) finish: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Booting,
    Up,
    /// Killed, and not yet gone.
    Condemned,
    /// Killed long ago, and still not gone; another worker has its seat.
    Stuck,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) seat: u32,
    pub(super) standing: Standing,
    pub(super) lanes: [Option<(Todo, Fill)>; LANES],
}

impl Worker {
    pub(super) fn in_flight(&self) -> usize {
        self.lanes.iter().flatten().count()
    }

    pub(super) fn has_solo(&self) -> bool {
        self.lanes.iter().flatten().any(|(todo, _)| todo.solo)
    }
}
