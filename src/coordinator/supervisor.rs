//! All workers as processes: forks them, watches them, finds those that make no progress.

#![expect(unsafe_code, reason = "forks, cleans rows before it hands them out, and reads what the trainer has written")]

use std::{
    collections::BTreeMap,
    fmt::Write,
    os::fd::{AsFd, AsRawFd},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use super::{
    event::{Assignment, Event},
    notes::rows_at,
    posted::Posted,
    worker_process::{Ending, WorkerProcess},
};
use crate::{
    error::{Error, Result},
    job::Options,
    pipeline::Pipeline,
    protocol::{Channel, Command, Fill, Report, Run, TableOf},
    sampler::{Sampler, Table},
    shm::{Arena, Mailbox, Progress, SharedBytes},
    sys::{
        limits,
        memory::SharedMemory,
        poll::{Watch, WatchKey},
        process::{self, Child, Parent},
        report,
    },
    worker::{Filler, MOST_LANES, Place, Term, Worker, take_in},
};

/// The room for the text of a run's report. Pages that are never written cost nothing.
const TEXT_BYTES: usize = 64 << 10;

/// All workers.
#[derive(Debug)]
pub(super) struct Supervisor {
    pipeline: Arc<Pipeline>,
    options: Options,
    sampler: Sampler,
    trainer: Arc<Parent>,
    /// What workers are given that are not forked, and what is known of the source.
    posted: Option<Arc<(Posted, String)>>,
    workers: BTreeMap<u32, WorkerProcess>,
    /// The tables of the epochs that were given last, as long as the sampler has them.
    tables: Vec<((u64, TableOf), Weak<SharedMemory>)>,
    oom_kills: u64,
    last_check: Instant,
}

impl Supervisor {
    pub(super) fn new(
        pipeline: Arc<Pipeline>,
        options: Options,
        sampler: Sampler,
        (trainer, posted): (Arc<Parent>, Option<Arc<(Posted, String)>>),
    ) -> Self {
        let (workers, oom_kills, last_check) = (BTreeMap::new(), limits::oom_kills(), Instant::now());
        let tables = Vec::new();
        Self { pipeline, options, sampler, trainer, posted, workers, tables, oom_kills, last_check }
    }

    /// Returns the same supervisor with the tables of epochs that another one had.
    pub(super) fn with_tables_of(self, other: &Self) -> Self {
        Self { tables: other.tables.clone(), ..self }
    }

    /// Takes a table of an epoch, and passes it on to all workers.
    pub(super) fn give(&mut self, of: (u64, TableOf), memory: Arc<SharedMemory>) -> Result<()> {
        // SAFETY: the trainer filled the memory before it sent the descriptor, and keeps no way to write to it.
        let bytes = unsafe { SharedBytes::new(Arc::clone(&memory)) };
        // The schedule's sampler has it with this one.
        take_in(&self.sampler, of, Table::new(bytes))?;
        self.workers.values().for_each(|worker| worker.give(of, memory.as_fd()));
        self.tables.retain(|(given, memory)| *given != of && memory.strong_count() > 0);
        self.tables.push((of, Arc::downgrade(&memory)));
        Ok(())
    }

    /// Gives a table again, if the sampler has it: so others are forgotten before it.
    pub(super) fn keep(&mut self, of: (u64, TableOf)) -> Result<()> {
        let found = self.tables().find(|(given, _)| *given == of);
        found.map_or(Ok(()), |(_, memory)| self.give(of, memory))
    }

    /// Returns the tables of epochs that the sampler has, from those on that were given first.
    fn tables(&self) -> impl Iterator<Item = ((u64, TableOf), Arc<SharedMemory>)> {
        self.tables.iter().filter_map(|(of, memory)| Some((*of, memory.upgrade()?)))
    }

    /// Returns how samples become batches.
    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Returns which sample belongs in which row.
    pub(super) fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// Returns what workers are given that are not forked.
    pub(super) fn posted(&self) -> Option<Arc<(Posted, String)>> {
        self.posted.clone()
    }

    /// Starts a worker: a fork of this process, unless it cannot be one.
    pub(super) fn hire(&mut self, worker: u32, seat: u32, arena: &Arena) -> Result<()> {
        let (ours, theirs) = Channel::<Command, Report>::pair()?;
        let mailbox = Mailbox::create(MOST_LANES, TEXT_BYTES)?;
        let child = match self.posted() {
            Some(posted) => {
                let place = Place {
                    facts: posted.1.clone(),
                    recipe: self.pipeline.recipe().clone(),
                    growing: self.pipeline.growing(),
                    options: self.options.clone(),
                    seat,
                    segments: arena.segments().len(),
                    trainer: self.trainer.pid(),
                };
                posted.0.start(&ours, &theirs, Some((place, &mailbox, arena)))?.0
            }
            None => self.fork(seat, theirs, &mailbox, arena)?,
        };
        let hired = WorkerProcess::new(seat, child, ours, mailbox);
        if self.posted.is_some() {
            self.tables().for_each(|(of, memory)| hired.give(of, memory.as_fd()));
        }
        self.workers.insert(worker, hired);
        Ok(())
    }

    fn fork(&self, seat: u32, theirs: Channel<Report, Command>, mailbox: &Mailbox, arena: &Arena) -> Result<Child> {
        let parent = process::own_pid();
        let filler = Filler::new(Arc::clone(&self.pipeline), &self.options, Some(seat))?;
        // SAFETY: the coordinator has one thread, this one.
        unsafe {
            process::fork_child(|| {
                // First of all: one that is stopped before this outlives a coordinator that is killed.
                if !process::die_with(parent) {
                    return 0;
                }
                let kept = arena.segments().iter().map(|segment| segment.as_fd().as_raw_fd());
                let own = [theirs.as_fd().as_raw_fd(), mailbox.memory().as_fd().as_raw_fd()];
                let others =
                    [report::descriptor(), self.trainer.pidfd().map(|fd| fd.as_raw_fd())].into_iter().flatten();
                let sources = self.pipeline.source().descriptors();
                // The worker's sampler has them too, and closes them with the epochs that it forgets.
                let tables = self.tables().map(|(_, memory)| memory.as_fd().as_raw_fd());
                process::close_others(&kept.chain(own).chain(others).chain(sources).chain(tables).collect::<Vec<_>>());
                process::set_name("stokehold-work");
                process::be_expendable();
                let mut slots = Arena::new(arena.layout().clone());
                arena.segments().iter().for_each(|segment| slots.share(Arc::clone(segment)));
                let worker = Worker {
                    channel: theirs,
                    arena: slots,
                    mailbox: mailbox.clone(),
                    filler,
                    sampler: self.sampler.clone(),
                    threads: self.options.threads_per_worker,
                    term: Term::of(&self.options, self.sampler.usual_rows()),
                    seat,
                    trainer: Arc::clone(&self.trainer),
                    coordinator: parent,
                };
                worker.run()
            })
        }
    }

    /// Sends a run.
    pub(super) fn fill(&mut self, worker: u32, fill: Fill, arena: &Arena) {
        let Some(worker) = self.workers.get_mut(&worker) else { return };
        // A worker that dies before it begins must not be blamed for a row that its predecessor had in hand.
        let rows = fill.run.first_row as usize..(fill.run.first_row + fill.run.rows) as usize;
        // SAFETY: the schedule has taken these rows from everybody, and the worker gets them by the message below.
        let reset = unsafe { arena.reset(fill.run.slot, rows) };
        debug_assert!(reset.is_ok(), "the schedule hands out rows that do not exist");
        worker.fill(fill);
    }

    /// Sends the newest segment of the arena to every worker.
    pub(super) fn share(&mut self, arena: &Arena) {
        let Some(segment) = arena.segments().last() else { return };
        self.workers.values().for_each(|worker| worker.share(segment.as_fd()));
    }

    /// Kills a worker. Its end is confirmed later.
    pub(super) fn kill(&mut self, worker: u32, why: &str) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.kill(why);
        }
    }

    /// Adds everything to wait for: for each worker its socket and its end, if they can be waited for.
    pub(super) fn watch(&self, watch: &mut Watch) -> Vec<(u32, Option<WatchKey>, Option<WatchKey>)> {
        let keys = |(&id, worker): (&u32, &WorkerProcess)| {
            let (socket, end) = worker.watch(watch);
            (id, socket, end)
        };
        self.workers.iter().map(keys).collect()
    }

    /// Tells whether the loop must look at the workers now and then: some have no pidfd, or are to be gone soon.
    pub(super) fn needs_ticks(&self) -> bool {
        self.workers.values().any(WorkerProcess::needs_ticks)
    }

    /// Takes in what one worker reports.
    pub(super) fn receive(&mut self, worker: u32) -> Vec<Event> {
        self.workers.get_mut(&worker).map(|process| process.receive(worker)).unwrap_or_default()
    }

    /// Tells whether a worker has ended, or should have.
    pub(super) fn ending(&mut self, worker: u32) -> Option<Ending> {
        let mut ending = self.workers.get_mut(&worker)?.ending()?;
        if let Ending::Down(ended) = &mut ending {
            let oom_kills = limits::oom_kills();
            let oom = oom_kills.saturating_sub(self.oom_kills);
            self.oom_kills = oom_kills;
            if oom > 0 {
                let _ = write!(ended, " (the kernel's out-of-memory killer struck {oom} times in this memory cgroup)");
            }
        }
        Some(ending)
    }

    /// Forgets a worker whose end is confirmed.
    pub(super) fn dismiss(&mut self, worker: u32) {
        self.workers.remove(&worker);
    }

    /// Kills the workers that have not finished a row for too long. Returns them, and what to tell the user.
    pub(super) fn check_stalls(
        &mut self,
        assignments: &BTreeMap<u32, Assignment>,
        arena: &Arena,
    ) -> Vec<(u32, String)> {
        let now = Instant::now();
        // If the coordinator itself was stopped, the workers' silence proves nothing.
        let is_late = now - self.last_check > self.stall_tick() * 4;
        self.last_check = now;
        let mut stalled = Vec::new();
        for (&id, worker) in self.workers.iter_mut().filter(|(_, worker)| !worker.is_killed()) {
            let Some(Assignment { is_up, runs }) = assignments.get(&id) else { continue };
            // One that is no fork has everything to import first, which may take any time.
            let is_beginning = !*is_up && self.posted.is_some();
            let is_idle = is_beginning || (*is_up && runs.is_empty());
            // A stream that begins anew goes over samples first, as its notes tell.
            let done = rows_at(runs, arena, Progress::Done).len();
            let at =
                rows_at(runs, arena, Progress::InHand).iter().fold(0, |sum: u64, hand| sum.wrapping_add(hand.index));
            let done = if self.pipeline.source().is_stream() { done.wrapping_add(at as usize) } else { done };
            if worker.is_stalled(done, is_late || is_idle, self.options.stall_timeout) {
                let line = end_stalled(worker, &self.pipeline, runs, arena, self.options.stall_timeout);
                stalled.push((id, line));
            }
        }
        stalled
    }

    /// How often stalls are looked for.
    pub(super) fn stall_tick(&self) -> Duration {
        (self.options.stall_timeout / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// Returns the seat that a worker has.
    pub(super) fn seat(&self, worker: u32) -> u32 {
        self.workers.get(&worker).map_or(0, WorkerProcess::seat)
    }

    /// Returns each worker's seat and process.
    pub(super) fn roster(&self) -> impl Iterator<Item = (u32, i32)> {
        self.workers.values().filter(|worker| !worker.is_killed()).map(|worker| (worker.seat(), worker.pid()))
    }

    /// Kills every worker and waits for their ends, at most this long. Returns those that are still there.
    pub(super) fn end_all(&mut self, grace: Duration) -> Vec<i32> {
        self.workers.values_mut().for_each(|worker| worker.kill("the loader ends"));
        let deadline = Instant::now() + grace;
        let left = || deadline.saturating_duration_since(Instant::now());
        let stays = |worker: &mut WorkerProcess| worker.wait(left()).is_none().then(|| worker.pid());
        self.workers.values_mut().filter_map(stays).collect()
    }
}

/// Kills a worker that makes no progress, and returns what to tell the user.
fn end_stalled(
    worker: &mut WorkerProcess,
    pipeline: &Pipeline,
    runs: &[Run],
    arena: &Arena,
    limit: Duration,
) -> String {
    let source = pipeline.source();
    let samples: Vec<String> = rows_at(runs, arena, Progress::InHand)
        .into_iter()
        .filter(|hand| hand.index < source.len())
        .map(|hand| format!("{} (`{}`)", hand.index, source.key(hand.index)))
        .collect();
    let what = if samples.is_empty() { "none".to_owned() } else { samples.join(", ") };
    let (seat, pid, limit) = (worker.seat(), worker.pid(), limit.as_secs_f64());
    let why = format!("stalled: no sample finished in {limit} s, {}", process::describe(pid));
    if let Some(signal) = pipeline.stack_signal() {
        worker.ask(signal);
    }
    worker.kill(&why);
    format!("worker {seat} (pid {pid}) {why}; in hand: sample {what}; it is replaced")
}

/// The error of a pool that cannot fork.
pub(super) fn cannot_fork(error: &Error) -> String {
    format!("cannot start a worker: {error}; the limits on processes (`ulimit -u`, pids.max) and memory may be too low")
}
