//! The coordinator's loop: it waits for the trainer and the workers, and tells the schedule what has happened.

use std::{
    collections::VecDeque,
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    event::{Action, Event, RowInHand},
    notes::rows_at,
    posted::Posted,
    schedule::{Schedule, ScheduleOptions},
    stats::PoolStats,
    supervisor::Supervisor,
    wire::{First, Identity},
    worker_process::Ending,
};
use crate::{
    counters::Counters,
    error::{Error, Result},
    job::Options,
    pipeline::Pipeline,
    protocol::{Channel, Incoming, Reply, Request},
    sampler::{Sampler, Table},
    shm::{Arena, Mailbox, Progress, SlotLayout},
    source::Source,
    sys::{memory::SharedMemory, poll::Watch, process::Parent, report::report, socket::Sent},
};

/// How long the workers may take to end once the loader does.
const END_GRACE: Duration = Duration::from_millis(800);

/// Returns how many rows are worth a message, of batches of so many: copies from memory go so fast that a few of them are
/// not.
fn min_run(pipeline: &Pipeline, layout: &SlotLayout, rows: u32) -> u32 {
    const WORTH_A_MESSAGE: usize = 256 << 10;
    if !pipeline.copies_memory() {
        return 1;
    }
    let row: usize = layout.fields().iter().map(|field| field.region.row_bytes(rows as usize)).sum();
    u32::try_from(WORTH_A_MESSAGE / row.max(1)).unwrap_or(u32::MAX).max(1)
}

/// Returns a schedule over the slots of an arena, and its first actions.
pub(super) fn schedule(
    pipeline: &Pipeline,
    options: &Options,
    sampler: Sampler,
    arena: &Arena,
) -> (Schedule, Vec<Action>) {
    let min_run = min_run(pipeline, arena.layout(), sampler.usual_rows());
    let schedule_options = ScheduleOptions {
        on_error: options.on_error,
        min_run,
        finishes: pipeline.finishes(),
        streams: pipeline.source().is_stream(),
        overlaps: pipeline.overlaps(),
        threads: options.threads_per_worker,
    };
    Schedule::new(sampler, schedule_options, options.num_workers, arena.slots() as u32)
}

/// The coordinator of a pool.
pub(super) struct Coordinator {
    pub(super) trainer: Arc<Parent>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) mailbox: Mailbox,
    pub(super) arena: Arena,
    pub(super) schedule: Schedule,
    pub(super) supervisor: Supervisor,
    /// Replies that found the socket full.
    pub(super) outbox: VecDeque<Reply>,
    pub(super) stats: PoolStats,
    pub(super) num_workers: u32,
    /// Workers that could not be forked yet, with their seats.
    pub(super) unforked: VecDeque<(u32, u32)>,
    /// When to try again.
    pub(super) fork_again: Option<Instant>,
    pub(super) fork_failures: u32,
    pub(super) over: bool,
    /// Whether a sample needs more room than there is, and the trainer has been told.
    pub(super) is_outgrown: bool,
}

impl Coordinator {
    /// Returns the coordinator of an opened source, whose workers are started.
    pub(super) fn new(
        pipeline: Arc<Pipeline>,
        options: Options,
        (mailbox, arena): (Mailbox, Arena),
        trainer: Arc<Parent>,
        posted: Option<Arc<(Posted, String)>>,
        table: Option<Table>,
    ) -> Result<Self> {
        let sampler = options.sampler(pipeline.source().len(), pipeline.source().blocks(), table)?;
        let (schedule, actions) = schedule(&pipeline, &options, sampler.clone(), &arena);
        let num_workers = options.num_workers;
        let supervisor = Supervisor::new(Arc::clone(&pipeline), options, sampler, (Arc::clone(&trainer), posted));
        let stats = PoolStats { counters: Counters::of(Pipeline::counters()), ..PoolStats::default() };
        let mut coordinator = Self {
            trainer,
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
            is_outgrown: false,
        };
        coordinator.act(actions);
        if coordinator.unforked.len() == num_workers as usize {
            return Err(Error::Worker(coordinator.stats.endings.pop_back().unwrap_or_default()));
        }
        Ok(coordinator)
    }

    /// Returns the source.
    pub(super) fn source(&self) -> &dyn Source {
        self.pipeline.source()
    }

    /// Serves until the trainer is gone, and returns the exit status.
    pub(super) fn run(mut self, channel: Channel<Reply, Request>) -> i32 {
        let mut watch = Watch::default();
        let mut next_check = Instant::now();
        let failed = loop {
            match self.turn(&channel, &mut watch, &mut next_check) {
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
            report(&format!("workers that cannot be killed, most likely waiting for a device: pids {left:?}"));
        }
        failed.map_or(0, |error| {
            report(&format!("coordinator ends: {error}"));
            1
        })
    }

    /// Waits for something to happen and deals with it. Returns false when the loader is to end.
    fn turn(&mut self, channel: &Channel<Reply, Request>, watch: &mut Watch, next_check: &mut Instant) -> Result<bool> {
        watch.clear();
        let socket = watch.add(channel.as_fd(), !self.outbox.is_empty());
        let trainer_end = self.trainer.pidfd().map(|fd| watch.add(fd, false));
        let workers = self.supervisor.watch(watch);
        watch.wait(Some(self.patience(*next_check, trainer_end.is_none())))?;
        if self.trainer.gone() || trainer_end.is_some_and(|end| watch.readable(end)) {
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
        if Instant::now() >= *next_check && !self.is_outgrown {
            for (worker, line) in self.supervisor.check_stalls(&self.schedule.assignments(), &self.arena) {
                report(&line);
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
                let lacking = report.failures.iter().find_map(|failure| failure.lacks_room(&self.pipeline));
                if let Some(room) = lacking {
                    self.outgrown(&room.clone());
                    return;
                }
                self.stats.add(report);
            }
            self.take_in(event);
        }
    }

    fn check(&mut self, worker: u32) {
        let Some(ending) = self.supervisor.ending(worker) else { return };
        if self.is_outgrown {
            self.supervisor.dismiss(worker);
            return;
        }
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
    pub(super) fn take_in(&mut self, event: Event) {
        // Nothing goes on before there is a new arena, and that begins anew.
        if self.is_outgrown {
            return;
        }
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
    fn requests(&mut self, channel: &Channel<Reply, Request>) -> Result<bool> {
        loop {
            let event = match channel.recv_with(false)? {
                (Incoming::Message(Request::Start { generation, epoch, cursor, batch }), _) => {
                    Event::Start { generation, epoch, cursor, batch }
                }
                (Incoming::Message(Request::Grow { field, places }), Some(fd)) => {
                    self.grow(field, places, fd)?;
                    continue;
                }
                (Incoming::Message(Request::Cancel), _) => Event::Cancelled,
                (Incoming::Message(Request::Release { slot }), _) => Event::Release { slot },
                (Incoming::Message(Request::Segment), Some(fd)) => {
                    let slots = self.arena.adopt(fd)? as u32;
                    self.supervisor.share(&self.arena);
                    Event::Grown { slots }
                }
                (Incoming::Message(Request::Table { epoch, of }), Some(fd)) => {
                    // Workers may still get runs of the epoch that has begun in advance, until the trainer begins this one.
                    if let Some(ahead) = self.schedule.epoch_ahead().filter(|ahead| *ahead != epoch) {
                        self.supervisor.keep((ahead, of))?;
                    }
                    self.supervisor.give((epoch, of), Arc::new(SharedMemory::open(fd)?))?;
                    continue;
                }
                (Incoming::Message(Request::First { samples }), _) => {
                    let First { identity, draws_others } = First::of(&self.pipeline, samples);
                    let Identity { samples, known, names } = identity;
                    self.outbox.push_back(Reply::First { samples, known, names, draws_others });
                    continue;
                }
                (Incoming::Message(Request::Stats), _) => {
                    self.tell_stats()?;
                    continue;
                }
                (
                    Incoming::Message(
                        Request::Boot { .. }
                        | Request::Bytes
                        | Request::Segment
                        | Request::Grow { .. }
                        | Request::Table { .. },
                    )
                    | Incoming::Closed,
                    _,
                ) => {
                    return Ok(false);
                }
                (Incoming::Empty, _) => return Ok(true),
            };
            self.take_in(event);
        }
    }

    /// Sends what there is to send, as far as there is room. Returns false when the trainer is gone.
    fn flush(&mut self, channel: &Channel<Reply, Request>) -> Result<bool> {
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
