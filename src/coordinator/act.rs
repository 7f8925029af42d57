//! Carries out what the schedule decides.

#![expect(unsafe_code, reason = "writes an error into a slot that the schedule holds")]

use std::time::{Duration, Instant};

use super::{event::Action, run::Coordinator, supervisor::cannot_fork, wire::PoolError};
use crate::{
    error::{Error, Result, SampleError},
    protocol::Reply,
    shm::Mailbox,
};

/// How long to wait before a worker that could not be forked is tried again.
const FORK_PAUSE: Duration = Duration::from_millis(100);
/// How many forks may fail in a row before a pool without workers gives up.
const MAX_FORK_FAILURES: u32 = 20;

impl Coordinator {
    pub(super) fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Hire { worker, seat, pause } => {
                    self.stats.restarts += u64::from(worker >= self.num_workers);
                    if pause {
                        self.hire_later(worker, seat);
                    } else {
                        self.hire(worker, seat);
                    }
                }
                Action::Lost { slots } => self.outbox.push_back(Reply::Lost { slots }),
                Action::Fill { worker, fill } => self.supervisor.fill(worker, fill, &self.arena),
                Action::Ready { generation, batch, slot, rows } => {
                    self.outbox.push_back(Reply::Ready { generation, batch, slot, rows });
                }
                Action::Ended { generation } => self.outbox.push_back(Reply::Ended { generation }),
                Action::Failed { generation, batch, slot, error } => self.fail(generation, batch, slot, error),
                Action::Quarantine(error) => {
                    let error = self.named(error);
                    self.stats.quarantine.add(error);
                }
                Action::Kill { worker } => self.supervisor.kill(worker, "sent a report that it had no right to"),
                Action::Over { reason } => self.give_up(&Error::Worker(reason)),
            }
        }
    }

    fn hire(&mut self, worker: u32, seat: u32) {
        match self.supervisor.hire(worker, seat, &self.arena) {
            Ok(()) => self.fork_failures = 0,
            Err(error) => {
                self.fork_failures += 1;
                if self.fork_failures == 1 {
                    self.stats.note(cannot_fork(&error));
                }
                self.hire_later(worker, seat);
                if self.fork_failures > MAX_FORK_FAILURES && self.supervisor.roster().next().is_none() {
                    self.give_up(&Error::Worker(cannot_fork(&error)));
                }
            }
        }
    }

    fn hire_later(&mut self, worker: u32, seat: u32) {
        self.unforked.push_back((worker, seat));
        self.fork_again.get_or_insert_with(|| Instant::now() + FORK_PAUSE);
    }

    pub(super) fn fork_unforked(&mut self) {
        if self.fork_again.is_some_and(|again| Instant::now() >= again) {
            self.fork_again = None;
            // One that cannot be forked now comes back to the end of the queue.
            for (worker, seat) in std::mem::take(&mut self.unforked) {
                self.hire(worker, seat);
            }
        }
    }

    fn fail(&mut self, generation: u64, batch: u64, slot: u32, error: SampleError) {
        let text = self.named(error).json(self.arena.layout().bytes());
        // SAFETY: the schedule has just moved the slot from its writers to the trainer, who is told below.
        let len = unsafe { self.arena.write_text(slot, &text) }.unwrap_or(0) as u32;
        self.outbox.push_back(Reply::Failed { generation, batch, slot, len });
    }

    fn named(&self, mut error: SampleError) -> SampleError {
        if error.key.is_empty() {
            error.key = self.pipeline.source().key(error.index);
        }
        error
    }

    pub(super) fn tell_stats(&mut self) -> Result<()> {
        // The reason why the pool is over is all that there is to tell.
        if self.over {
            return Ok(());
        }
        self.stats.workers = self.supervisor.roster().collect();
        let text = serde_json::to_string(&self.stats).map_err(|error| Error::Protocol(error.to_string()))?;
        self.outbox.push_back(Reply::Stats { len: self.mailbox.write(0, &text) });
        Ok(())
    }

    pub(super) fn give_up(&mut self, error: &Error) {
        if !self.over {
            self.over = true;
            let text = serde_json::to_string(&PoolError::from(error)).unwrap_or_default();
            self.outbox.push_back(Reply::Over { len: self.mailbox.write(Mailbox::REASON, &text) });
        }
    }
}
