//! The coordinator's loop.

#![expect(
    unsafe_code,
    reason = "reads what the trainer has written, and writes an error into a slot that the schedule holds"
)]

use std::{
    collections::VecDeque,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    event::{Action, Event, RowInHand},
    notes::rows_at,
    schedule::{Schedule, ScheduleOptions},
    supervisor::{Supervisor, cannot_fork},
    worker_process::Ending,
};
use crate::{
    counters::Counters,
    error::{Error, Result, SampleError},
    job::LoaderDescription,
    pipeline::Pipeline,
    protocol::{Channel, Incoming, Reply, Request},
    shm::{Arena, Mailbox, Progress, SharedBytes, SlotLayout},
    source::{Bytes, Source},
    sys::{
        memory::SharedMemory,
        poll::Watch,
        process::{self, Parent},
        socket::{Sent, Socket},
    },
    worker::{Quarantine, RunReport},
};

/// How long the workers may take to end once the loader does.
const END_GRACE: Duration = Duration::from_millis(800);
/// How many endings of workers the statistics list, the latest.
const ENDINGS: usize = 100;
/// How long to wait before a worker that could not be forked is tried again.
const FORK_PAUSE: Duration = Duration::from_millis(100);
/// How many forks may fail in a row before a pool without workers gives up.
const MAX_FORK_FAILURES: u32 = 20;

/// What the trainer learns of the source once it is open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceFacts {
    /// The number of samples.
    pub len: u64,
    /// The names of the classes, where there are any.
    pub classes: Vec<String>,
}

impl SourceFacts {
    /// Returns the facts of a source.
    pub fn of(source: &dyn Source) -> Self {
        Self { len: source.len(), classes: source.classes().to_vec() }
    }
}

/// Why a pool is over, or never came up, in a form that crosses processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolError {
    /// The kind of error, so that the trainer raises the right one.
    pub kind: ErrorKind,
    /// The message.
    pub message: String,
}

/// The errors that a coordinator can end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// [`Error::Config`].
    Config,
    /// [`Error::Memory`].
    Memory,
    /// [`Error::Sys`], with the system's number; the message is the call.
    Sys(i32),
    /// [`Error::Worker`], and all that have no kind of their own.
    Worker,
}

impl From<&Error> for PoolError {
    fn from(error: &Error) -> Self {
        let kind = match error {
            Error::Config(_) => ErrorKind::Config,
            Error::Memory(_) => ErrorKind::Memory,
            Error::Sys { source, .. } => source.raw_os_error().map_or(ErrorKind::Worker, ErrorKind::Sys),
            Error::Worker(_) | Error::Sample(_) | Error::SlotsExhausted(_) | Error::Usage(_) | Error::Protocol(_) => {
                ErrorKind::Worker
            }
        };
        let message = match (error, kind) {
            // The words for the number are added again on the other side.
            (Error::Sys { call, .. }, ErrorKind::Sys(_)) => call.clone(),
            _ => error.to_string(),
        };
        Self { kind, message }
    }
}

impl From<PoolError> for Error {
    fn from(PoolError { kind, message }: PoolError) -> Self {
        match kind {
            ErrorKind::Config => Self::Config(message),
            ErrorKind::Memory => Self::Memory(message),
            ErrorKind::Sys(errno) => Self::sys(message, std::io::Error::from_raw_os_error(errno)),
            ErrorKind::Worker => Self::Worker(message),
        }
    }
}

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
    fn add(&mut self, report: &RunReport) {
        self.read_seconds += report.read.as_secs_f64();
        self.decode_seconds += report.times.decode.as_secs_f64();
        self.transform_seconds += report.times.transform.as_secs_f64();
        self.counters.merge(report.times.counters.clone());
        for failure in &report.failures {
            self.quarantine.add(failure.error.clone());
        }
    }

    /// Notes how a worker ended.
    fn note(&mut self, ending: String) {
        if self.endings.len() == ENDINGS {
            self.endings.pop_front();
        }
        self.endings.push_back(ending);
    }
}

/// Serves a trainer over this socket until it is gone, and returns the exit status.
///
/// `pipeline` is the pipeline of a coordinator that was forked with it; a spawned one opens its own.
pub fn serve(socket: OwnedFd, pipeline: Option<Arc<Pipeline>>) -> i32 {
    process::reset_signals();
    // First of all: from here on, every other descriptor is one that was opened here or is the source's.
    let sources = pipeline.as_ref().map(|pipeline| pipeline.source().descriptors()).unwrap_or_default();
    process::close_others(&[vec![socket.as_raw_fd()], sources].concat());
    let trainer = Parent::watch();
    process::set_name("stokehold-coord");
    let channel = Channel::over(Socket::from(socket));
    match boot(&channel, pipeline) {
        Ok(Some(coordinator)) => coordinator.run(channel, &trainer),
        Ok(None) => 0,
        Err(error) => {
            process::report(&format!("coordinator ends: {error}"));
            1
        }
    }
}

type ToTrainer = Channel<Reply, Request>;

/// Receives the loader's description, opens the source and says what it is. None where the trainer is gone or there can
/// be no such loader.
fn boot(channel: &ToTrainer, pipeline: Option<Arc<Pipeline>>) -> Result<Option<Coordinator>> {
    let (Incoming::Message(Request::Boot { len }), Some(fd)) = channel.recv_with(true)? else { return Ok(None) };
    let mailbox = Mailbox::open(fd)?;
    let text = mailbox.read(0, len);
    match Coordinator::open(channel, &text, mailbox.clone(), pipeline) {
        Ok(coordinator) => {
            let text = serde_json::to_string(&SourceFacts::of(coordinator.pipeline.source()))
                .map_err(|error| Error::Protocol(error.to_string()))?;
            channel.send(&Reply::Up { len: mailbox.write(0, &text) })?;
            Ok(Some(coordinator))
        }
        Err(error) => {
            let text =
                serde_json::to_string(&PoolError::from(&error)).map_err(|error| Error::Protocol(error.to_string()))?;
            channel.send(&Reply::Over { len: mailbox.write(0, &text) })?;
            Ok(None)
        }
    }
}

/// Returns how many rows are worth a message: copies from memory go so fast that a few of them are not.
fn min_run(pipeline: &Pipeline, layout: &SlotLayout) -> u32 {
    const WORTH_A_MESSAGE: usize = 256 << 10;
    if !pipeline.copies_memory() {
        return 1;
    }
    let row: usize = layout.fields().iter().map(|field| field.row_bytes).sum();
    u32::try_from(WORTH_A_MESSAGE / row.max(1)).unwrap_or(u32::MAX).max(1)
}

struct Coordinator {
    pipeline: Arc<Pipeline>,
    mailbox: Mailbox,
    arena: Arena,
    schedule: Schedule,
    supervisor: Supervisor,
    /// Replies that found the socket full.
    outbox: VecDeque<Reply>,
    stats: PoolStats,
    num_workers: u32,
    /// Workers that could not be forked yet, with their seats.
    unforked: VecDeque<(u32, u32)>,
    /// When to try again.
    fork_again: Option<Instant>,
    fork_failures: u32,
    over: bool,
}

impl Coordinator {
    fn open(channel: &ToTrainer, description: &str, mailbox: Mailbox, pipeline: Option<Arc<Pipeline>>) -> Result<Self> {
        let LoaderDescription { pipeline: spec, options } = serde_json::from_str(description)
            .map_err(|error| Error::Protocol(format!("the description of the loader is not one: {error}")))?;
        let (mut bytes, mut segment) = (None, None);
        while segment.is_none() {
            match channel.recv_with(true)? {
                (Incoming::Message(Request::Bytes), Some(fd)) => {
                    let memory = Arc::new(SharedMemory::open(fd)?);
                    // SAFETY: the trainer filled the memory before it sent the descriptor, and keeps no way to write to it.
                    bytes = Some(Arc::new(unsafe { SharedBytes::new(memory) }) as Bytes);
                }
                (Incoming::Message(Request::Segment), Some(fd)) => segment = Some(fd),
                other => return Err(Error::Protocol(format!("unexpected while booting: {other:?}"))),
            }
        }
        let pipeline = match (pipeline, spec) {
            (Some(pipeline), _) => pipeline,
            (None, Some(spec)) => Arc::new(spec.open(bytes)?),
            (None, None) => return Err(Error::Protocol("the description of the loader has no pipeline".into())),
        };
        let mut arena = Arena::new(SlotLayout::new(options.batch_size as usize, pipeline.fields())?);
        if let Some(fd) = segment {
            arena.adopt(fd)?;
        }
        let sampler = options.sampler(pipeline.source().len());
        let (slots, min_run) = (arena.slots() as u32, min_run(&pipeline, arena.layout()));
        let schedule_options = ScheduleOptions { on_error: options.on_error, min_run, finishes: pipeline.finishes() };
        let (schedule, actions) = Schedule::new(sampler.clone(), schedule_options, options.num_workers, slots);
        let num_workers = options.num_workers;
        let supervisor = Supervisor::new(Arc::clone(&pipeline), options, sampler);
        let stats = PoolStats { counters: Counters::of(pipeline.counters()), ..PoolStats::default() };
        let mut coordinator = Self {
            pipeline,
            mailbox,
            arena,
            schedule,
            supervisor,
            outbox: VecDeque::new(),
            stats,
            num_workers,
            unforked: VecDeque::new(),
            fork_again: None,
            fork_failures: 0,
            over: false,
        };
        coordinator.act(actions);
        if coordinator.unforked.len() == num_workers as usize {
            return Err(Error::Worker(coordinator.stats.endings.pop_back().unwrap_or_default()));
        }
        Ok(coordinator)
    }

    fn run(mut self, channel: ToTrainer, trainer: &Parent) -> i32 {
        let mut watch = Watch::default();
        let mut next_check = Instant::now();
        let failed = loop {
            match self.turn(&channel, trainer, &mut watch, &mut next_check) {
                Ok(true) => {}
                Ok(false) => break None,
                Err(error) => {
                    self.give_up(&error);
                    // The trainer learns the reason if it is still there.
                    let _ = self.flush(&channel);
                    break Some(error);
                }
            }
        };
        // The trainer need not wait for the workers to see that the loader is closed.
        let left = self.supervisor.end_all(END_GRACE);
        if !left.is_empty() {
            process::report(&format!("workers that cannot be killed, most likely waiting for a device: pids {left:?}"));
        }
        failed.map_or(0, |error| {
            process::report(&format!("coordinator ends: {error}"));
            1
        })
    }

    /// Waits for something to happen and deals with it. Returns false when the loader is to end.
    fn turn(
        &mut self,
        channel: &ToTrainer,
        trainer: &Parent,
        watch: &mut Watch,
        next_check: &mut Instant,
    ) -> Result<bool> {
        watch.clear();
        let socket = watch.add(channel.as_fd(), !self.outbox.is_empty());
        let trainer_end = trainer.pidfd().map(|fd| watch.add(fd, false));
        let workers = self.supervisor.watch(watch);
        watch.wait(Some(self.patience(*next_check, trainer_end.is_none())))?;
        if trainer.gone() || trainer_end.is_some_and(|end| watch.readable(end)) {
            return Ok(false);
        }
        for (worker, socket, end) in workers {
            if socket.is_some_and(|socket| watch.readable(socket)) {
                self.receive(worker);
            }
            if end.is_none_or(|end| watch.readable(end)) || self.supervisor.needs_ticks() {
                self.check(worker);
            }
        }
        if watch.readable(socket) && !self.requests(channel)? {
            return Ok(false);
        }
        if Instant::now() >= *next_check {
            for (worker, line) in self.supervisor.check_stalls(&self.schedule.assignments(), &self.arena) {
                process::report(&line);
                self.take_in(Event::Condemned { worker });
            }
            *next_check = Instant::now() + self.supervisor.stall_tick();
        }
        self.fork_unforked();
        self.flush(channel)
    }

    /// How long nothing needs to be looked at.
    fn patience(&self, next_check: Instant, poll_trainer: bool) -> Duration {
        let mut until = next_check.saturating_duration_since(Instant::now());
        if self.supervisor.needs_ticks() || poll_trainer {
            until = until.min(Duration::from_millis(20));
        }
        if let Some(again) = self.fork_again {
            until = until.min(again.saturating_duration_since(Instant::now()));
        }
        until
    }

    fn receive(&mut self, worker: u32) {
        for event in self.supervisor.receive(worker) {
            if let Event::Done { report, .. } = &event {
                self.stats.add(report);
            }
            self.take_in(event);
        }
    }

    fn check(&mut self, worker: u32) {
        let Some(ending) = self.supervisor.ending(worker) else { return };
        // Reports that were sent before the end count: the rows are written.
        self.receive(worker);
        let in_hand = self.in_hand(worker);
        let (Ending::Down(ended) | Ending::Stuck(ended)) = &ending;
        self.stats.note(format!("worker {} {ended}", self.supervisor.seat(worker)));
        let event = match ending {
            Ending::Down(ended) => {
                self.supervisor.dismiss(worker);
                Event::Down { worker, ended, in_hand }
            }
            Ending::Stuck(ended) => Event::Stuck { worker, ended, in_hand },
        };
        self.take_in(event);
    }

    /// Tells the schedule what has happened, and does what follows.
    fn take_in(&mut self, event: Event) {
        let actions = self.schedule.on(event);
        self.act(actions);
    }

    /// Returns what a worker has in hand. It may have written anything: what names no sample is left out.
    fn in_hand(&self, worker: u32) -> Vec<RowInHand> {
        let mut hands = rows_at(&self.schedule.assignment(worker).runs, &self.arena, Progress::InHand);
        hands.retain(|hand| hand.index < self.pipeline.source().len());
        hands
    }

    /// Takes in everything that the trainer has sent. Returns false when it is gone.
    fn requests(&mut self, channel: &ToTrainer) -> Result<bool> {
        loop {
            let event = match channel.recv_with(false)? {
                (Incoming::Message(Request::Start { generation, epoch, cursor }), _) => {
                    Event::Start { generation, epoch, cursor }
                }
                (Incoming::Message(Request::Release { slot }), _) => Event::Release { slot },
                (Incoming::Message(Request::Segment), Some(fd)) => {
                    let slots = self.arena.adopt(fd)? as u32;
                    self.supervisor.share(&self.arena);
                    Event::Grown { slots }
                }
                (Incoming::Message(Request::Stats), _) => {
                    self.tell_stats()?;
                    continue;
                }
                (Incoming::Message(Request::Boot { .. } | Request::Bytes | Request::Segment) | Incoming::Closed, _) => {
                    return Ok(false);
                }
                (Incoming::Empty, _) => return Ok(true),
            };
            self.take_in(event);
        }
    }

    fn tell_stats(&mut self) -> Result<()> {
        // The mailbox holds the reason why the pool is over; that is all there is to tell.
        if self.over {
            return Ok(());
        }
        self.stats.workers = self.supervisor.roster().collect();
        let text = serde_json::to_string(&self.stats).map_err(|error| Error::Protocol(error.to_string()))?;
        self.outbox.push_back(Reply::Stats { len: self.mailbox.write(0, &text) });
        Ok(())
    }

    fn act(&mut self, actions: Vec<Action>) {
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

    fn named(&self, mut error: SampleError) -> SampleError {
        if error.key.is_empty() {
            error.key = self.pipeline.source().key(error.index);
        }
        error
    }

    fn fail(&mut self, generation: u64, batch: u64, slot: u32, error: SampleError) {
        let text = serde_json::to_string(&self.named(error)).unwrap_or_default();
        // SAFETY: the schedule has just moved the slot from its writers to the trainer, who is told below.
        let len = unsafe { self.arena.write_text(slot, &text) }.unwrap_or(0) as u32;
        self.outbox.push_back(Reply::Failed { generation, batch, slot, len });
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

    fn fork_unforked(&mut self) {
        if self.fork_again.is_some_and(|again| Instant::now() >= again) {
            self.fork_again = None;
            // One that cannot be forked now comes back to the end of the queue.
            for (worker, seat) in std::mem::take(&mut self.unforked) {
                self.hire(worker, seat);
            }
        }
    }

    fn give_up(&mut self, error: &Error) {
        if !self.over {
            self.over = true;
            let text = serde_json::to_string(&PoolError::from(error)).unwrap_or_default();
            self.outbox.push_back(Reply::Over { len: self.mailbox.write(0, &text) });
        }
    }

    /// Sends what there is to send, as far as there is room. Returns false when the trainer is gone.
    fn flush(&mut self, channel: &ToTrainer) -> Result<bool> {
        while let Some(reply) = self.outbox.front() {
            match channel.try_send(reply)? {
                Sent::Yes => drop(self.outbox.pop_front()),
                Sent::Full => return Ok(true),
                Sent::Gone => return Ok(false),
            }
        }
        Ok(true)
    }
}
