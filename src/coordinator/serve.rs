//! The coordinator's loop.

#![expect(unsafe_code, reason = "writes an error into a slot that the schedule holds")]

use std::{
    collections::VecDeque,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    event::{Action, Event, InHand},
    schedule::{Schedule, Terms},
    supervisor::{Sighting, Supervisor, cannot_fork, rows_at},
};
use crate::{
    counters::Counters,
    error::{Error, Result, SampleError},
    job::Job,
    pipeline::Pipeline,
    protocol::{Channel, Incoming, Reply, Request},
    shm::{Arena, Mailbox, Progress, SlotLayout},
    source::Bytes,
    sys::{
        memory::SharedMemory,
        poll::Watch,
        process::{self, Parent},
        socket::{Sent, Socket},
    },
    worker::Quarantine,
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
pub struct Welcome {
    /// The number of samples.
    pub len: u64,
    /// The names of the classes, where there are any.
    pub classes: Vec<String>,
}

/// Why a pool is over, or never came up, in a form that crosses processes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Farewell {
    /// The kind of error, so that the trainer raises the right one.
    pub kind: String,
    /// The message.
    pub message: String,
    /// The system's error number, where there is one.
    pub errno: Option<i32>,
}

impl Farewell {
    fn of(error: &Error) -> Self {
        let (kind, errno) = match error {
            Error::Config(_) => ("config", None),
            Error::Memory(_) => ("memory", None),
            Error::Sys { source, .. } => ("sys", source.raw_os_error()),
            _ => ("worker", None),
        };
        // The errno's words are added again on the other side.
        let message = if let Error::Sys { call, .. } = error { call.clone() } else { error.to_string() };
        Self { kind: kind.into(), message, errno }
    }

    /// Returns the error that was sent.
    pub fn into_error(self) -> Error {
        match (self.kind.as_str(), self.errno) {
            ("config", _) => Error::Config(self.message),
            ("memory", _) => Error::Memory(self.message),
            ("sys", Some(errno)) => Error::sys(self.message, std::io::Error::from_raw_os_error(errno)),
            _ => Error::Worker(self.message),
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
    /// Workers that were started in the place of others.
    pub restarts: u64,
    /// Samples that failed.
    pub quarantine: Quarantine,
    /// How workers ended, the latest last.
    pub endings: VecDeque<String>,
    /// The workers: seat and process id.
    pub workers: Vec<(u32, i32)>,
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
        Ok(Some(pool)) => pool.run(channel, &trainer),
        Ok(None) => 0,
        Err(error) => {
            process::report(&format!("coordinator ends: {error}"));
            1
        }
    }
}

type ToTrainer = Channel<Reply, Request>;

/// Receives the job, opens the source and says what it is. None where the trainer is gone or the job cannot be done.
fn boot(channel: &ToTrainer, pipeline: Option<Arc<Pipeline>>) -> Result<Option<Pool>> {
    let (Incoming::Message(Request::Boot { len }), Some(fd)) = channel.recv_with(true)? else { return Ok(None) };
    let mailbox = Mailbox::open(fd)?;
    let text = mailbox.read(0, len);
    match Pool::open(channel, &text, mailbox.clone(), pipeline) {
        Ok(pool) => {
            let source = pool.pipeline.source();
            let welcome = Welcome { len: source.len(), classes: source.classes().to_vec() };
            let text = serde_json::to_string(&welcome).map_err(|error| Error::Protocol(error.to_string()))?;
            channel.send(&Reply::Up { len: mailbox.write(0, &text) })?;
            Ok(Some(pool))
        }
        Err(error) => {
            let farewell = Farewell::of(&error);
            let text = serde_json::to_string(&farewell).map_err(|error| Error::Protocol(error.to_string()))?;
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

struct Pool {
    pipeline: Arc<Pipeline>,
    mailbox: Mailbox,
    arena: Arena,
    schedule: Schedule,
    supervisor: Supervisor,
    /// Replies that found the socket full.
    outbox: VecDeque<Reply>,
    stats: PoolStats,
    num_workers: u32,
    /// Workers that could not be forked, to be tried again at this time.
    unforked: VecDeque<(u32, u32)>,
    fork_again: Option<Instant>,
    fork_failures: u32,
    over: bool,
}

impl Pool {
    fn open(channel: &ToTrainer, job: &str, mailbox: Mailbox, pipeline: Option<Arc<Pipeline>>) -> Result<Self> {
        let Job { pipeline: spec, options } =
            serde_json::from_str(job).map_err(|error| Error::Protocol(format!("the job is not one: {error}")))?;
        let (mut bytes, mut segment) = (None, None);
        while segment.is_none() {
            match channel.recv_with(true)? {
                (Incoming::Message(Request::Bytes), Some(fd)) => {
                    bytes = Some(Arc::new(SourceBytes(SharedMemory::open(fd)?)) as Bytes);
                }
                (Incoming::Message(Request::Segment), Some(fd)) => segment = Some(fd),
                other => return Err(Error::Protocol(format!("unexpected while booting: {other:?}"))),
            }
        }
        let pipeline = match (pipeline, spec) {
            (Some(pipeline), _) => pipeline,
            (None, Some(spec)) => Arc::new(spec.open(bytes)?),
            (None, None) => return Err(Error::Protocol("the job has no pipeline".into())),
        };
        let mut arena = Arena::new(SlotLayout::new(options.batch_size as usize, pipeline.fields())?);
        if let Some(fd) = segment {
            arena.adopt(fd)?;
        }
        let sampler = options.sampler(pipeline.source().len());
        let (slots, min_run) = (arena.slots() as u32, min_run(&pipeline, arena.layout()));
        let terms = Terms { on_error: options.on_error, min_run, finishes: pipeline.finishes() };
        let (schedule, actions) = Schedule::new(sampler.clone(), terms, options.num_workers, slots);
        let num_workers = options.num_workers;
        let supervisor = Supervisor::new(Arc::clone(&pipeline), options, sampler);
        let stats = PoolStats { counters: Counters::of(pipeline.counters()), ..PoolStats::default() };
        let mut pool = Self {
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
        pool.act(actions);
        if pool.unforked.len() == num_workers as usize {
            return Err(Error::Worker(pool.stats.endings.pop_back().unwrap_or_default()));
        }
        Ok(pool)
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
        let places = self.supervisor.watch(watch);
        watch.wait(Some(self.patience(*next_check, trainer_end.is_none())))?;
        if trainer.gone() || trainer_end.is_some_and(|place| watch.readable(place)) {
            return Ok(false);
        }
        for (worker, socket, end) in places {
            if socket.is_some_and(|place| watch.readable(place)) {
                self.receive(worker);
            }
            if end.is_none_or(|place| watch.readable(place)) || self.supervisor.needs_ticks() {
                self.check(worker);
            }
        }
        if watch.readable(socket) && !self.requests(channel)? {
            return Ok(false);
        }
        if Instant::now() >= *next_check {
            for (worker, line) in self.supervisor.check_stalls(&self.schedule, &self.arena) {
                process::report(&line);
                let actions = self.schedule.on(Event::Condemned { worker });
                self.act(actions);
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
        for sighting in self.supervisor.receive(worker) {
            self.see(worker, sighting);
        }
    }

    fn check(&mut self, worker: u32) {
        let Some(sighting) = self.supervisor.check(worker) else { return };
        // Reports that were sent before the end count: the rows are written.
        self.receive(worker);
        self.see(worker, sighting);
    }

    fn see(&mut self, worker: u32, sighting: Sighting) {
        let event = match sighting {
            Sighting::Up => Event::Up { worker },
            Sighting::Done { lane, failures, read, decode, transform, counters } => {
                let seconds = |nanos: u64| nanos as f64 * 1e-9;
                self.stats.read_seconds += seconds(read);
                self.stats.decode_seconds += seconds(decode);
                self.stats.transform_seconds += seconds(transform);
                self.stats.counters.merge(counters);
                for failure in &failures {
                    self.stats.quarantine.record(failure.error.clone());
                }
                Event::Done { worker, lane, failures }
            }
            Sighting::Down { ended } => {
                let in_hand = self.in_hand(worker);
                self.note(format!("worker {} {ended}", self.supervisor.seat(worker)));
                self.supervisor.dismiss(worker);
                Event::Down { worker, ended, in_hand }
            }
            Sighting::Stuck { ended } => {
                let in_hand = self.in_hand(worker);
                self.note(format!("worker {} {ended}", self.supervisor.seat(worker)));
                Event::Stuck { worker, ended, in_hand }
            }
        };
        let actions = self.schedule.on(event);
        self.act(actions);
    }

    /// Returns what a worker has in hand. It may have written anything: what names no sample is left out.
    fn in_hand(&self, worker: u32) -> Vec<InHand> {
        let mut hands = rows_at(worker, &self.schedule, &self.arena, Progress::InHand);
        hands.retain(|hand| hand.index < self.pipeline.source().len());
        hands
    }

    fn note(&mut self, ending: String) {
        if self.stats.endings.len() == ENDINGS {
            self.stats.endings.pop_front();
        }
        self.stats.endings.push_back(ending);
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
            let actions = self.schedule.on(event);
            self.act(actions);
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
                Action::Record(error) => {
                    let error = self.named(error);
                    self.stats.quarantine.record(error);
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
                    self.note(cannot_fork(&error));
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
            let text = serde_json::to_string(&Farewell::of(error)).unwrap_or_default();
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

/// The shared bytes of an `Arrays` source: nobody writes them after the trainer has sent them.
struct SourceBytes(SharedMemory);

impl AsRef<[u8]> for SourceBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the trainer filled the memory before it sent the descriptor, and keeps no way to write to it.
        unsafe { self.0.as_slice() }
    }
}
