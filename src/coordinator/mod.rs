//! The coordinator: a small, single-threaded process that forks the workers, plans, supervises and respawns.
//!
//! It can fork at any time, whatever threads, locks or devices the trainer has. The [`schedule`](Schedule)
//! decides everything; the loop tells it what has happened, and carries out what it decides.
//!
//! # How everything ends
//!
//! | what happens | who notices, and how | what follows |
//! | --- | --- | --- |
//! | the epoch is over | the trainer, which knows the number of batches | the workers wait; the next epoch is begun in advance |
//! | an iteration is abandoned | the next `Start` has another generation | runs in flight are reported and thrown away |
//! | the loader is closed or dropped | the coordinator: end of its socket | it kills its workers, waits for them, exits |
//! | the trainer is killed, or ends | the kernel kills the coordinator, where the main thread made the loader; else the coordinator: end of its socket, or the trainer's pidfd where a forked stranger holds the socket open | the same |
//! | the same while the coordinator is stopped | the kernel; else a worker: the trainer's pidfd, and no end of its own half a second later | the worker kills the coordinator |
//! | the trainer runs another program | the coordinator: end of its socket, which is close-on-exec | the same |
//! | the coordinator is killed | the workers: the kernel kills them; also the end of their sockets. The trainer: end of its socket | `next()` raises; held batches stay valid |
//! | the coordinator is stopped, or hangs | the trainer: no answer for `stall_timeout` and 2 s | it is killed; `next()` raises |
//! | a worker is killed | the coordinator: its pidfd, or the end of its socket | its rows are done again by a new worker; all rows of a batch that it was to finish |
//! | a worker hangs | the coordinator: no row finished for `stall_timeout` | it is reported, killed, and treated as killed |
//! | a sample is longer than there is room for, where that was a guess | its worker, which reports it | all workers end; the trainer makes a new arena; the epoch goes on with the batch that was next |
//! | a worker cannot be killed | the coordinator: no exit a second after the signal | its slots are lost until it ends; its batches begin again elsewhere |
//! | Ctrl-C, or SIGTERM to the group | the trainer only: coordinator and workers ignore both | the loader is usable, or closed |
//! | the interpreter exits | as "closed", or as "killed" | nothing outlives the trainer |
//!
//! Nobody waits for whoever reads standard output or error: coordinator and workers report through a pipe of the loader's
//! own that never makes them wait, the trainer passes on what has come.
//!
//! Memory has no name: the kernel frees it when the last process that maps it is gone.

mod act;
mod begin;
mod event;
mod learn;
mod notes;
mod outgrown;
mod posted;
mod received;
mod run;
mod schedule;
mod serve;
mod stats;
mod supervisor;
mod wire;
mod worker_process;

pub use self::{
    begin::Begin,
    event::{Action, Assignment, Event, RowInHand},
    schedule::{Schedule, ScheduleOptions},
    serve::serve,
    stats::PoolStats,
    wire::{ErrorKind, First, Identity, Learned, PoolError, SourceFacts},
};
