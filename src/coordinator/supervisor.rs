//! The workers as processes: forks them, watches them, tells how they ended.

#![expect(unsafe_code, reason = "forks, and cleans rows before it hands them out")]

use std::{
    collections::BTreeMap,
    fmt::Write,
    os::fd::{AsFd, AsRawFd},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    event::InHand,
    schedule::{LANES, Schedule},
};
use crate::{
    counters::Counters,
    error::{Error, Result},
    job::Options,
    pipeline::Pipeline,
    protocol::{Channel, Command, Fill, Incoming, Report},
    sampler::Sampler,
    shm::{Arena, Mailbox, Progress},
    sys::{
        limits,
        poll::Watch,
        process::{self, Child},
    },
    worker::{Filler, RowFailure, RunText, Worker},
};

/// The room for the text of a run's report. Pages that are never written cost nothing.
const LIST_BYTES: usize = 64 << 10;
/// How long after its socket a worker may end: the kernel closes the one a moment before it reports the other.
const DEAF_GRACE: Duration = Duration::from_millis(100);
/// How long a killed worker may take to end before its slots count as lost.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// What the supervisor saw of a worker.
#[derive(Debug)]
pub(super) enum Sighting {
    Up,
    Done { lane: u32, failures: Vec<RowFailure>, read: u64, decode: u64, transform: u64, counters: Counters },
    Down { ended: String },
    Stuck { ended: String },
}

/// A worker's process and what is known of it.
#[derive(Debug)]
struct Post {
    seat: u32,
    child: Child,
    channel: Channel<Command, Report>,
    mailbox: Mailbox,
    /// When a row was last seen finished, and how many were then.
    progress: (Instant, usize),
    /// When the worker was killed, and why.
    killed: Option<(Instant, String)>,
    /// Since when the socket has ended or is not to be trusted any more.
    deaf: Option<Instant>,
    abandoned: bool,
}

/// All workers.
#[derive(Debug)]
pub(super) struct Supervisor {
    pipeline: Arc<Pipeline>,
    options: Options,
    sampler: Sampler,
    posts: BTreeMap<u32, Post>,
    oom_kills: u64,
    last_check: Instant,
}

impl Supervisor {
    pub(super) fn new(pipeline: Arc<Pipeline>, options: Options, sampler: Sampler) -> Self {
        let now = Instant::now();
        Self { pipeline, options, sampler, posts: BTreeMap::new(), oom_kills: limits::oom_kills(), last_check: now }
    }

    /// Forks a worker.
    pub(super) fn hire(&mut self, worker: u32, seat: u32, arena: &Arena) -> Result<()> {
        let (ours, theirs) = Channel::<Command, Report>::pair()?;
        let mailbox = Mailbox::create(LANES, LIST_BYTES)?;
        let parent = process::own_pid();
        // SAFETY: the coordinator has one thread, this one.
        let child = unsafe {
            process::fork_child(|| {
                let kept = arena.segments().iter().map(|segment| segment.as_fd().as_raw_fd());
                let own = [theirs.as_fd().as_raw_fd(), mailbox.memory().as_fd().as_raw_fd()];
                let sources = self.pipeline.source().descriptors();
                process::close_others(&kept.chain(own).chain(sources).collect::<Vec<_>>());
                process::set_name("stokehold-work");
                process::be_expendable();
                if !process::die_with(parent) {
                    return 0;
                }
                let mut slots = Arena::new(arena.layout().clone());
                arena.segments().iter().for_each(|segment| slots.share(Arc::clone(segment)));
                crate::worker::run(Worker {
                    channel: theirs,
                    arena: slots,
                    mailbox: mailbox.clone(),
                    filler: Filler::new(Arc::clone(&self.pipeline), self.options.on_error, Some(seat)),
                    sampler: self.sampler.clone(),
                    threads: self.options.threads_per_worker,
                    seat,
                })
            })
        }?;
        let progress = (Instant::now(), 0);
        let post = Post { seat, child, channel: ours, mailbox, progress, killed: None, deaf: None, abandoned: false };
        self.posts.insert(worker, post);
        Ok(())
    }

    /// Sends a run.
    pub(super) fn fill(&mut self, worker: u32, fill: Fill, arena: &Arena) {
        let Some(post) = self.posts.get_mut(&worker) else { return };
        // A worker that dies before it begins must not be blamed for a row that its predecessor had in hand.
        let rows = fill.run.first_row as usize..(fill.run.first_row + fill.run.rows) as usize;
        // SAFETY: the schedule has taken these rows from everybody, and the worker gets them by the message below.
        let reset = unsafe { arena.reset(fill.run.slot, rows) };
        debug_assert!(reset.is_ok(), "the schedule hands out rows that do not exist");
        if post.progress.1 == 0 {
            post.progress.0 = Instant::now();
        }
        // A worker that cannot take it is dead or broken, which its socket and its pidfd tell.
        let _ = post.channel.send(&Command::Fill(fill));
    }

    /// Sends the newest segment of the arena to every worker.
    pub(super) fn share(&mut self, arena: &Arena) {
        let Some(segment) = arena.segments().last() else { return };
        for post in self.posts.values_mut() {
            let _ = post.channel.send_with(&Command::Segment, segment.as_fd());
        }
    }

    /// Kills a worker. Its end is confirmed later.
    pub(super) fn kill(&mut self, worker: u32, why: &str) {
        if let Some(post) = self.posts.get_mut(&worker)
            && post.killed.is_none()
        {
            post.child.kill();
            post.killed = Some((Instant::now(), why.to_owned()));
        }
    }

    /// Adds everything to wait for, and returns the places.
    pub(super) fn watch(&self, watch: &mut Watch) -> Vec<(u32, Option<usize>, Option<usize>)> {
        self.posts
            .iter()
            .map(|(&worker, post)| {
                let socket = post.deaf.is_none().then(|| watch.add(post.channel.as_fd(), false));
                let end = post.child.pidfd().map(|fd| watch.add(fd, false));
                (worker, socket, end)
            })
            .collect()
    }

    /// Tells whether the loop must look at the workers now and then: some have no pidfd, or are to be gone soon.
    pub(super) fn needs_ticks(&self) -> bool {
        self.posts.values().any(|post| post.child.pidfd().is_none() || post.killed.is_some() || post.deaf.is_some())
    }

    /// Takes in what one worker reports.
    pub(super) fn receive(&mut self, worker: u32) -> Vec<Sighting> {
        let mut seen = Vec::new();
        let Some(post) = self.posts.get_mut(&worker) else { return seen };
        while post.deaf.is_none() {
            match post.channel.recv(false) {
                Ok(Incoming::Message(Report::Up)) => seen.push(Sighting::Up),
                Ok(Incoming::Message(Report::Done { tag, len, read, decode, transform })) => {
                    post.progress = (Instant::now(), 0);
                    match text(&post.mailbox, tag, len) {
                        Some(RunText { failures, counters }) => {
                            seen.push(Sighting::Done { lane: tag, failures, read, decode, transform, counters });
                        }
                        None => post.deaf = Some(Instant::now()),
                    }
                }
                Ok(Incoming::Empty) => break,
                Ok(Incoming::Closed) | Err(_) => post.deaf = Some(Instant::now()),
            }
        }
        seen
    }

    /// Tells whether a worker has ended, or should have.
    pub(super) fn check(&mut self, worker: u32) -> Option<Sighting> {
        let post = self.posts.get_mut(&worker)?;
        if let Some(ended) = post.child.ended() {
            let oom_kills = limits::oom_kills();
            let oom = oom_kills.saturating_sub(self.oom_kills);
            self.oom_kills = oom_kills;
            let mut ended = match &post.killed {
                Some((_, why)) => why.clone(),
                None => ended.to_string(),
            };
            if oom > 0 {
                let _ = write!(ended, " (the kernel's out-of-memory killer struck {oom} times in this memory cgroup)");
            }
            return Some(Sighting::Down { ended });
        }
        if post.killed.is_none() && post.deaf.is_some_and(|since| since.elapsed() > DEAF_GRACE) {
            // Alive, but it hung up or talks nonsense: whatever it still writes must not count.
            post.child.kill();
            post.killed = Some((Instant::now(), "broke off its connection".into()));
        }
        let (since, why) = post.killed.as_ref()?;
        (!post.abandoned && since.elapsed() > KILL_GRACE).then(|| {
            post.abandoned = true;
            Sighting::Stuck { ended: format!("{why}, and cannot be killed") }
        })
    }

    /// Forgets a worker whose end is confirmed.
    pub(super) fn dismiss(&mut self, worker: u32) {
        self.posts.remove(&worker);
    }

    /// Kills the workers that have not finished a row for too long. Returns them, and what to tell the user.
    pub(super) fn check_stalls(&mut self, schedule: &Schedule, arena: &Arena) -> Vec<(u32, String)> {
        let limit = self.options.stall_timeout;
        let now = Instant::now();
        // A coordinator that was itself stopped, or starved, has no right to judge.
        let late = now - self.last_check > self.stall_tick() * 4;
        self.last_check = now;
        let mut stalled = Vec::new();
        for (&worker, post) in &mut self.posts {
            if post.killed.is_some() {
                continue;
            }
            let idle = schedule.in_flight(worker).next().is_none() && schedule.is_up(worker);
            let done = rows_at(worker, schedule, arena, Progress::Done).len();
            if late || idle || done != post.progress.1 {
                post.progress = (now, done);
            } else if now - post.progress.0 > limit {
                stalled.push(worker);
            }
        }
        stalled.into_iter().map(|worker| (worker, self.end_stalled(worker, schedule, arena))).collect()
    }

    fn end_stalled(&mut self, worker: u32, schedule: &Schedule, arena: &Arena) -> String {
        let source = self.pipeline.source();
        let samples: Vec<String> = rows_at(worker, schedule, arena, Progress::InHand)
            .into_iter()
            .filter(|hand| hand.index < source.len())
            .map(|hand| format!("{} (`{}`)", hand.index, source.key(hand.index)))
            .collect();
        let (seat, pid) = self.posts.get(&worker).map_or((0, 0), |post| (post.seat, post.child.pid()));
        let what = if samples.is_empty() { "none".to_owned() } else { samples.join(", ") };
        let limit = self.options.stall_timeout.as_secs_f64();
        let state = process::describe(pid);
        let why = format!("stalled: no sample finished in {limit} s, {state}");
        self.kill(worker, &why);
        format!("worker {seat} (pid {pid}) {why}; in hand: sample {what}; it is replaced")
    }

    /// How often stalls are looked for.
    pub(super) fn stall_tick(&self) -> Duration {
        (self.options.stall_timeout / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// Returns the seat that a worker has.
    pub(super) fn seat(&self, worker: u32) -> u32 {
        self.posts.get(&worker).map_or(0, |post| post.seat)
    }

    /// Returns each worker's seat and process.
    pub(super) fn roster(&self) -> impl Iterator<Item = (u32, i32)> {
        self.posts.values().filter(|post| post.killed.is_none()).map(|post| (post.seat, post.child.pid()))
    }

    /// Kills every worker and waits for their ends, at most this long. Returns those that are still there.
    pub(super) fn end_all(&mut self, grace: Duration) -> Vec<i32> {
        self.posts.values().for_each(|post| post.child.kill());
        let deadline = Instant::now() + grace;
        let left = || deadline.saturating_duration_since(Instant::now());
        let stays = |post: &mut Post| post.child.wait(left()).is_none().then(|| post.child.pid());
        self.posts.values_mut().filter_map(stays).collect()
    }
}

/// Returns the rows of a worker's runs that are this far, as the worker wrote it down.
pub(super) fn rows_at(worker: u32, schedule: &Schedule, arena: &Arena, wanted: Progress) -> Vec<InHand> {
    let rows = |fill: &Fill| {
        let (slot, first, rows) = (fill.run.slot, fill.run.first_row, fill.run.rows);
        let progress = arena.progress(slot, first as usize..(first + rows) as usize).unwrap_or_default();
        let at = (first..).zip(progress).filter(move |(_, progress)| *progress == wanted);
        at.filter_map(|(row, _)| Some(InHand { slot, row, index: arena.index(slot, row).ok()? })).collect::<Vec<_>>()
    };
    schedule.in_flight(worker).flat_map(rows).collect()
}

/// Reads the text of a report; none where it is not one.
fn text(mailbox: &Mailbox, lane: u32, len: u32) -> Option<RunText> {
    if len == 0 {
        return Some(RunText::default());
    }
    if lane as usize >= LANES {
        return None;
    }
    serde_json::from_str(&mailbox.read(lane as usize, len)).ok()
}

/// The error of a pool that cannot fork.
pub(super) fn cannot_fork(error: &Error) -> String {
    format!("cannot start a worker: {error}; the limits on processes (`ulimit -u`, pids.max) and memory may be too low")
}
