//! Events go into the schedule, actions come out.

use crate::{
    error::SampleError,
    protocol::{Fill, Run},
    worker::RunReport,
};

/// A row that a worker was at when it ended, by its own notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowInHand {
    /// The slot.
    pub slot: u32,
    /// The row.
    pub row: u32,
    /// The sample: the row's first candidate or, by policy, a later one.
    pub index: u64,
}

/// What a worker has to do.
#[derive(Clone, Debug, Default)]
pub struct Assignment {
    /// Whether the worker is ready, and gets work.
    pub is_up: bool,
    /// The runs that it has.
    pub runs: Vec<Run>,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The trainer begins an iteration.
    Start {
        /// The iteration.
        generation: u64,
        /// Its epoch.
        epoch: u64,
        /// Where in the epoch it begins.
        cursor: u64,
        /// The batch that it begins with.
        batch: u64,
    },
    /// What has begun is not to go on; the trainer begins another iteration.
    Cancelled,
    /// The trainer gives a slot back.
    Release {
        /// The slot.
        slot: u32,
    },
    /// The arena has more slots.
    Grown {
        /// How many more.
        slots: u32,
    },
    /// A worker is ready.
    Up {
        /// The worker.
        worker: u32,
    },
    /// A worker has done a run.
    Done {
        /// The worker.
        worker: u32,
        /// Which of its runs.
        lane: u32,
        /// How it went. Only fatal failures keep the batch from being delivered.
        report: RunReport,
    },
    /// A worker's end is confirmed: nothing it wrote to can change any more.
    Down {
        /// The worker.
        worker: u32,
        /// How it ended, in words.
        ended: String,
        /// What it had in hand.
        in_hand: Vec<RowInHand>,
    },
    /// A worker is being killed: it gets no more work.
    Condemned {
        /// The worker.
        worker: u32,
    },
    /// A worker was killed and does not end; its slots are lost until it does.
    Stuck {
        /// The worker.
        worker: u32,
        /// Why it was killed, in words.
        ended: String,
        /// What it has in hand.
        in_hand: Vec<RowInHand>,
    },
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a worker.
    Hire {
        /// The worker's number, never used before.
        worker: u32,
        /// The seat that it takes, below the number of workers asked for.
        seat: u32,
        /// Whether to wait a while first, since workers end faster than they get anything done.
        pause: bool,
    },
    /// Send a run to a worker.
    Fill {
        /// The worker.
        worker: u32,
        /// The run; its tag is the lane.
        fill: Fill,
    },
    /// Hand a slot to the trainer.
    Ready {
        /// The iteration.
        generation: u64,
        /// The batch.
        batch: u64,
        /// The slot.
        slot: u32,
        /// Its rows.
        rows: u32,
    },
    /// Hand a slot to the trainer that holds an error instead of a batch.
    Failed {
        /// The iteration.
        generation: u64,
        /// The batch.
        batch: u64,
        /// The slot.
        slot: u32,
        /// The failed sample of the lowest row.
        error: SampleError,
    },
    /// Tell the trainer that an iteration over streams is at its end.
    Ended {
        /// The iteration.
        generation: u64,
    },
    /// Count a sample that killed its workers and was given up.
    Quarantine(SampleError),
    /// Tell the trainer how many slots are lost to workers that do not end.
    Lost {
        /// The number.
        slots: u32,
    },
    /// End a worker that breaks the protocol.
    Kill {
        /// The worker.
        worker: u32,
    },
    /// End the pool.
    Over {
        /// Why.
        reason: String,
    },
}
