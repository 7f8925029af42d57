//! One worker as a process: what goes to it, what comes from it, how it ends.

use std::{
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use super::event::Event;
use crate::{
    protocol::{Channel, Command, Fill, Incoming, Report, TableOf},
    shm::Mailbox,
    sys::{
        poll::{Watch, WatchKey},
        process::{self, Child, Ended},
    },
    worker::{RunReport, TERM_OVER},
};

/// How long a worker may live after its socket has closed: the kernel closes the socket a moment before it reports the
/// exit.
const HUNG_UP_GRACE: Duration = Duration::from_millis(100);
/// How long a killed worker may take to end before its slots count as lost.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// How long a worker that is about to be killed has for saying what it is doing: a few lines, written by a signal handler.
const ANSWER: Duration = Duration::from_millis(100);

/// How a worker ended, in words.
#[derive(Debug)]
pub(super) enum Ending {
    /// It is gone.
    Down(String),
    /// It was killed, and does not end.
    Stuck(String),
}

/// A worker's process and what is known of it.
#[derive(Debug)]
pub(super) struct WorkerProcess {
    seat: u32,
    child: Child,
    channel: Channel<Command, Report>,
    mailbox: Mailbox,
    /// When a row was last seen done, and how many were then.
    progress: (Instant, usize),
    /// When the worker was killed, and why.
    killed: Option<(Instant, String)>,
    /// Since when the socket has ended or is not to be trusted any more.
    hung_up_since: Option<Instant>,
    reported_stuck: bool,
}

impl WorkerProcess {
    pub(super) fn new(seat: u32, child: Child, channel: Channel<Command, Report>, mailbox: Mailbox) -> Self {
        let progress = (Instant::now(), 0);
        Self { seat, child, channel, mailbox, progress, killed: None, hung_up_since: None, reported_stuck: false }
    }

    /// Returns the seat that the worker has.
    pub(super) fn seat(&self) -> u32 {
        self.seat
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.pid()
    }

    pub(super) fn is_killed(&self) -> bool {
        self.killed.is_some()
    }

    /// Sends a run.
    pub(super) fn fill(&mut self, fill: Fill) {
        if self.progress.1 == 0 {
            self.progress.0 = Instant::now();
        }
        // A worker that cannot take it is dead or broken, which its socket and its pidfd tell.
        let _ = self.channel.send(&Command::Fill(fill));
    }

    /// Sends a new segment of the arena.
    pub(super) fn share(&self, segment: BorrowedFd<'_>) {
        let _ = self.channel.send_with(&Command::Segment, segment);
    }

    /// Sends a table of an epoch.
    pub(super) fn give(&self, (epoch, of): (u64, TableOf), memory: BorrowedFd<'_>) {
        let _ = self.channel.send_with(&Command::Table { epoch, of }, memory);
    }

    /// Has the worker report what its code is doing, and gives it a moment for that.
    pub(super) fn ask(&self, signal: i32) {
        process::ask(&self.child, signal);
        std::thread::sleep(ANSWER);
    }

    /// Kills the worker. Its end is confirmed later.
    pub(super) fn kill(&mut self, why: &str) {
        if self.killed.is_none() {
            self.child.kill();
            self.killed = Some((Instant::now(), why.to_owned()));
        }
    }

    /// Adds what to wait for: messages, if any can come, and the end, where the kernel tells it.
    pub(super) fn watch(&self, watch: &mut Watch) -> (Option<WatchKey>, Option<WatchKey>) {
        let socket = self.hung_up_since.is_none().then(|| watch.add(self.channel.as_fd(), false));
        (socket, self.child.pidfd().map(|fd| watch.add(fd, false)))
    }

    /// Tells whether the worker must be looked at now and then: it has no pidfd, or is to be gone soon.
    pub(super) fn needs_ticks(&self) -> bool {
        self.child.pidfd().is_none() || self.killed.is_some() || self.hung_up_since.is_some()
    }

    /// Takes in what the worker, which has this number, has sent.
    pub(super) fn receive(&mut self, worker: u32) -> Vec<Event> {
        let mut events = Vec::new();
        while self.hung_up_since.is_none() {
            match self.channel.recv(false) {
                Ok(Incoming::Message(Report::Up)) => events.push(Event::Up { worker }),
                Ok(Incoming::Message(Report::Done(done))) => {
                    self.progress = (Instant::now(), 0);
                    match RunReport::received(&done, &self.mailbox) {
                        Some(report) => events.push(Event::Done { worker, lane: done.tag, report }),
                        None => self.hung_up_since = Some(Instant::now()),
                    }
                }
                Ok(Incoming::Empty) => break,
                Ok(Incoming::Message(Report::Learned { .. }) | Incoming::Closed) | Err(_) => {
                    self.hung_up_since = Some(Instant::now());
                }
            }
        }
        events
    }

    /// Tells whether the worker has ended, or should have.
    pub(super) fn ending(&mut self) -> Option<Ending> {
        if let Some(ended) = self.child.ended() {
            let ended = match &self.killed {
                Some((_, why)) => why.clone(),
                None if ended == Ended::Exited(TERM_OVER) => {
                    "has served its term (worker_batches, worker_memory_limit)".to_owned()
                }
                None => ended.to_string(),
            };
            return Some(Ending::Down(ended));
        }
        if self.hung_up_since.is_some_and(|since| since.elapsed() > HUNG_UP_GRACE) {
            // It lives, but closed its socket or sent a bad message: nothing that it still writes may count.
            self.kill("broke off its connection");
        }
        let (since, why) = self.killed.as_ref()?;
        (!self.reported_stuck && since.elapsed() > KILL_GRACE).then(|| {
            self.reported_stuck = true;
            Ending::Stuck(format!("{why}, and cannot be killed"))
        })
    }

    /// Tells whether no row was done for longer than `limit`, now that so many rows of the worker's runs are.
    pub(super) fn is_stalled(&mut self, done: usize, is_excused: bool, limit: Duration) -> bool {
        let now = Instant::now();
        if is_excused || done != self.progress.1 {
            self.progress = (now, done);
        }
        now - self.progress.0 > limit
    }

    /// Waits for the worker to end, at most this long.
    pub(super) fn wait(&mut self, limit: Duration) -> Option<Ended> {
        self.child.wait(limit)
    }
}
