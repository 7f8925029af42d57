//! The trainer's end of a pool of workers.

#![expect(unsafe_code, reason = "takes the slots that the coordinator hands over")]

use std::{
    collections::VecDeque,
    os::fd::AsFd,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{
    launch::Launch,
    lock::lock,
    pool_handle::{Lease, PoolHandle, SlotReturn},
    pulse::{Pulse, Silence},
    slots::{ArenaBudget, Growth, SlotPlan},
    stats::{Stats, TrainerStats},
    tick::{TICK, Tick},
};
use crate::{
    coordinator::{First, Identity, Learned, PoolError, PoolStats, SourceFacts},
    error::{Error, Result, SampleError, Stage},
    job::LoaderDescription,
    pipeline::Pipeline,
    protocol::{Channel, Incoming, Reply, Request, TableOf},
    sampler::Partition,
    shm::{Arena, GiveBack, Mailbox, SlotLayout, SlotRef},
    spec::FieldSpec,
    sys::{
        limits,
        memory::SharedMemory,
        poll,
        process::{self, Child, Ended},
        report::{self, Reports},
        socket::Socket,
    },
};

/// How long all slots may be held before that is an error: another thread may be about to drop one.
const STARVED: Duration = Duration::from_secs(1);
/// The room for a description, a list of classes or statistics. Pages that are never written cost nothing.
const MAILBOX_BYTES: usize = 8 << 20;

/// What slots hold.
#[derive(Debug)]
pub(super) enum Slots {
    /// It is known: the layout, and how that grows.
    Laid(SlotLayout, Option<Growth>),
    /// It becomes known when the source is open.
    Planned(SlotPlan),
}

/// What asking for a batch gave.
pub(super) enum Next {
    Batch(SlotRef),
    NotYet,
    /// There are no more.
    End,
}

/// A coordinator, its arena, and what it has sent.
#[derive(Debug)]
pub(super) struct Pool {
    slot_return: Arc<SlotReturn>,
    lease: Arc<Lease>,
    child: Arc<Mutex<Child>>,
    reports: Arc<Mutex<Reports>>,
    pulse: Pulse,
    arena: Arena,
    mailbox: Mailbox,
    /// Messages that came while another was waited for.
    inbox: VecDeque<Reply>,
    /// Message that rows have too little room, where it came behind an iteration's end.
    outgrown: Option<Reply>,
    over: Option<String>,
    /// What to tell where the program that was started ends without a word: perhaps it cannot be a coordinator.
    advice: Option<String>,
    budget: ArenaBudget,
    /// How slots are laid out anew where a sample needs more room than was guessed.
    growth: Option<Growth>,
    starved: Option<Instant>,
    /// Slots that workers which cannot be killed may still write to.
    lost: usize,
    /// Requests for statistics so far, answers so far, and the answer to the newest request.
    asked: u64,
    answered: u64,
    answer: Option<PoolStats>,
    /// What was told of first samples of the source, and nobody has taken.
    firsts: Vec<First>,
}

impl Pool {
    /// Starts a coordinator and waits until it has opened the source.
    pub(super) fn start_up(
        description: &LoaderDescription,
        launch: &Launch,
        (pipeline, memory): (Option<Arc<Pipeline>>, &[Arc<SharedMemory>]),
        slots: Slots,
        budget: ArenaBudget,
        tick: Tick<'_>,
    ) -> Result<(Self, SourceFacts, Vec<Vec<FieldSpec>>)> {
        limits::check_descriptors(10)?;
        let arena = match &slots {
            Slots::Laid(layout, _) => Arena::new(layout.clone()),
            Slots::Planned(_) => Arena::new(SlotLayout::unknown()),
        };
        let mailbox = Mailbox::create(Mailbox::TRAINER_LANES, MAILBOX_BYTES)?;
        let text = serde_json::to_string(description)
            .map_err(|error| Error::Config(format!("the loader cannot be described to its workers: {error}")))?;
        if text.len() > mailbox.capacity() {
            return Err(Error::Config(format!("the loader's description of {} bytes is too long", text.len())));
        }
        let (ours, theirs) = Socket::pair()?;
        let (reports, told) = report::pipe()?;
        let child = launch.start(theirs, told, pipeline)?;
        let slot_return = Arc::new(SlotReturn::over(Channel::over(ours)));
        let mut pool = Self {
            lease: Arc::new(Lease::of(Arc::clone(&slot_return))),
            slot_return,
            child: Arc::new(Mutex::new(child)),
            reports: Arc::new(Mutex::new(reports)),
            pulse: Pulse::new(description.options.stall_timeout),
            arena,
            mailbox,
            inbox: VecDeque::new(),
            outgrown: None,
            over: None,
            advice: launch.advice().map(str::to_owned),
            budget,
            growth: None,
            starved: None,
            lost: 0,
            asked: 0,
            answered: 0,
            answer: None,
            firsts: Vec::new(),
        };
        let greeted = pool.greet(&text, slots, memory, tick);
        if greeted.is_err() {
            pool.handle().close();
        }
        let (facts, fields) = greeted?;
        Ok((pool, facts, fields))
    }

    fn greet(
        &mut self,
        description: &str,
        slots: Slots,
        memory: &[Arc<SharedMemory>],
        tick: Tick<'_>,
    ) -> Result<(SourceFacts, Vec<Vec<FieldSpec>>)> {
        let len = self.mailbox.write(0, description);
        let channel = &self.slot_return.channel;
        let boot = Request::Boot { len, by_main_thread: process::is_main_thread() };
        let mut sent = channel.send_with(&boot, self.mailbox.memory().as_fd())?;
        for piece in memory {
            sent &= channel.send_with(&Request::Bytes, piece.as_fd())?;
        }
        if !sent {
            return Err(self.ended());
        }
        let fields = match slots {
            Slots::Laid(layout, growth) => {
                self.growth = growth;
                layout.each_specs()
            }
            Slots::Planned(mut plan) => {
                let first = self.wait(tick)?;
                let Reply::Learned { len } = first else {
                    return Err(Error::Protocol(format!("the coordinator began with {first:?}")));
                };
                let Learned { fields: learned, recipe } = self.read(len)?;
                plan.recipe = recipe;
                let layout = plan.layout(&learned)?;
                let fields = layout.each_specs();
                self.budget.check(&layout)?;
                self.budget.check_beside(&layout, plan.beside)?;
                self.arena = Arena::new(layout);
                self.growth = Some(Growth { plan, fields: learned });
                fields
            }
        };
        let segment = self.arena.grow(self.budget.initial_slots())?;
        if !self.slot_return.channel.send_with(&Request::Segment, segment.as_fd())? {
            return Err(self.ended());
        }
        let first = self.wait(tick)?;
        let Reply::Up { len } = first else {
            return Err(Error::Protocol(format!("the coordinator began with {first:?}")));
        };
        self.advice = None;
        Ok((self.read(len)?, fields))
    }

    fn read<T: serde::de::DeserializeOwned>(&self, len: u32) -> Result<T> {
        self.read_lane(0, len)
    }

    fn read_lane<T: serde::de::DeserializeOwned>(&self, lane: usize, len: u32) -> Result<T> {
        serde_json::from_str(&self.mailbox.read(lane, len))
            .map_err(|error| Error::Protocol(format!("the coordinator's mailbox: {error}")))
    }

    pub(super) fn handle(&self) -> PoolHandle {
        PoolHandle {
            slot_return: Arc::clone(&self.slot_return),
            child: Arc::clone(&self.child),
            reports: Arc::clone(&self.reports),
        }
    }

    /// Returns why the pool is over, now that its socket has ended.
    fn ended(&mut self) -> Error {
        if self.slot_return.is_closed() {
            return Error::Usage("this loader is closed".into());
        }
        let ended = lock(&self.child).wait(TICK);
        let how = ended.map_or_else(|| "hung up".to_owned(), |ended| ended.to_string());
        let words = self.last_words();
        let reason = match (&self.advice, ended) {
            (Some(advice), Some(Ended::Exited(_) | Ended::Unknown) | None) => {
                // One that has no coordinator's part says the advice itself.
                let words = if words.contains(advice.as_str()) { "" } else { &words };
                format!("the coordinator {how} before it answered{words}; {advice}")
            }
            (Some(_), Some(Ended::Killed(_))) | (None, _) => {
                format!("the coordinator {how}{words}; held batches stay valid, make a new loader to go on")
            }
        };
        self.over = Some(reason.clone());
        Error::Worker(reason)
    }

    /// Returns the next message that has come, if any.
    fn receive(&mut self) -> Result<Option<Reply>> {
        if let Some(reason) = &self.over {
            return Err(Error::Worker(reason.clone()));
        }
        // One that is gone is found below, behind what it has sent.
        self.slot_return.send_unsent()?;
        loop {
            let incoming = self.slot_return.channel.recv(false)?;
            if let Incoming::Message(_) = incoming {
                self.pulse.felt();
            }
            match incoming {
                Incoming::Message(Reply::Over { len }) => {
                    self.over = Some("the pool is over".into());
                    let error: PoolError = self.read_lane(Mailbox::REASON, len)?;
                    self.over = Some(error.message.clone());
                    return Err(error.into());
                }
                Incoming::Message(Reply::Lost { slots }) => self.lost = slots as usize,
                Incoming::Message(Reply::Stats { len }) => {
                    self.answered += 1;
                    // Of several answers the mailbox holds the newest only.
                    if self.answered == self.asked {
                        self.answer = Some(self.read(len)?);
                    }
                }
                Incoming::Message(Reply::First { samples, known, names, draws_others }) => {
                    self.firsts.push(First { identity: Identity { samples, known, names }, draws_others });
                }
                Incoming::Message(reply) => return Ok(Some(reply)),
                Incoming::Closed => return Err(self.ended()),
                Incoming::Empty if self.pulse.is_due() && self.is_gone() => return Err(self.ended()),
                Incoming::Empty => return Ok(None),
            }
        }
    }

    /// Returns the last thing that the coordinator has said, in parentheses.
    fn last_words(&self) -> String {
        let last = lock(&self.reports).last().map(ToOwned::to_owned);
        last.map_or_else(String::new, |line| format!(" (its last words: {line})"))
    }

    /// Makes sure, where nothing has come, that the coordinator is still at work.
    fn check_pulse(&mut self) -> Result<()> {
        match self.pulse.check() {
            Silence::Short => Ok(()),
            // Its answer shows that it lives.
            Silence::Long => self.ask_stats().map(drop),
            Silence::Dead => Err(self.end_silent("does not answer")),
        }
    }

    /// The same before the coordinator has opened the source, which may take any time and be no fault: while it is
    /// stopped, it does not do that.
    fn check_boot(&mut self) -> Result<()> {
        let pid = lock(&self.child).pid();
        if !process::is_stopped(pid) {
            self.pulse.felt();
        }
        match self.pulse.check() {
            Silence::Short | Silence::Long => Ok(()),
            Silence::Dead => Err(self.end_silent("is stopped")),
        }
    }

    fn end_silent(&mut self, how: &str) -> Error {
        let child = lock(&self.child);
        let (pid, limit) = (child.pid(), self.pulse.limit().as_secs_f64());
        let reason = format!(
            "the coordinator (pid {pid}) {how} since more than {limit} s ({}), and is ended; held batches stay valid, \
             make a new loader to go on",
            process::describe(pid)
        );
        child.kill();
        drop(child);
        self.over = Some(reason.clone());
        Error::Worker(reason)
    }

    /// Tells whether the coordinator has ended without a sign: another process may hold a copy of its socket.
    fn is_gone(&mut self) -> bool {
        let ended = lock(&self.child).ended().is_some();
        // What it sent before it ended comes first.
        ended && !poll::readable(self.slot_return.channel.as_fd(), Duration::ZERO).unwrap_or(false)
    }

    fn wait(&mut self, tick: Tick<'_>) -> Result<Reply> {
        loop {
            if let Some(reply) = self.receive()? {
                return Ok(reply);
            }
            self.check_boot()?;
            poll::readable(self.slot_return.channel.as_fd(), TICK)?;
            tick()?;
        }
    }

    fn send(&mut self, request: Request, memory: Option<Arc<SharedMemory>>) -> Result<()> {
        if self.slot_return.is_closed() {
            return Err(Error::Usage("this loader is closed".into()));
        }
        if let Some(reason) = &self.over {
            return Err(Error::Worker(reason.clone()));
        }
        if self.slot_return.send(request, memory)? { Ok(()) } else { Err(self.ended()) }
    }

    /// Begins an iteration; batches of earlier ones that nobody has taken go back.
    pub(super) fn start(&mut self, generation: u64, epoch: u64, cursor: u64) -> Result<()> {
        self.send(Request::Start { generation, epoch, cursor, batch: 0 }, None)?;
        while let Some(reply) = self.inbox.pop_front() {
            self.discard(reply)?;
        }
        Ok(())
    }

    /// Lets go of what has begun in advance, before an epoch is started that is another one than it was.
    pub(super) fn cancel(&mut self) -> Result<()> {
        self.send(Request::Cancel, None)
    }

    /// Gives a table of an epoch, before it is started.
    pub(super) fn give(&mut self, epoch: u64, of: TableOf, table: Arc<SharedMemory>) -> Result<()> {
        self.send(Request::Table { epoch, of }, Some(table))
    }

    fn discard(&mut self, reply: Reply) -> Result<()> {
        match reply {
            Reply::Ready { slot, .. } | Reply::Failed { slot, .. } => drop(self.take(slot)?),
            // It comes when there is nothing else any more: it must not be lost.
            Reply::Outgrown { .. } => self.outgrown = Some(reply),
            Reply::Up { .. }
            | Reply::Over { .. }
            | Reply::Stats { .. }
            | Reply::First { .. }
            | Reply::Ended { .. }
            | Reply::Lost { .. }
            | Reply::Learned { .. } => {}
        }
        Ok(())
    }

    /// Takes a slot of which nobody looks at the fields.
    fn take(&self, slot: u32) -> Result<SlotRef> {
        self.take_batch(slot, 0, 0)
    }

    fn take_batch(&self, slot: u32, variant: u32, rows: u32) -> Result<SlotRef> {
        self.slot_return.take();
        // SAFETY: the message that names the slot made it this process's; each such message is used once.
        unsafe { self.arena.take(slot, variant, rows as usize, Arc::clone(&self.lease) as Arc<dyn GiveBack>) }
    }

    /// Returns a batch of the current iteration if it has come. `batch` is the one that is next; of streams, which end where
    /// they do, the one that has come may be a later one, and is put there.
    pub(super) fn try_next(&mut self, generation: u64, batch: &mut u64, partition: &Partition) -> Result<Next> {
        let is_next = |number: u64, batch: u64| number == batch || (partition.is_endless() && number > batch);
        loop {
            let reply = match self.outgrown.take().or_else(|| self.inbox.pop_front()) {
                Some(reply) => Some(reply),
                None => self.receive()?,
            };
            match reply {
                Some(Reply::Ready { generation: of, batch: number, slot, rows }) if of == generation => {
                    let most = partition.rows(number);
                    if !is_next(number, *batch) || !(rows == most || (partition.is_endless() && rows <= most)) {
                        return Err(Error::Protocol(format!("batch {number} of {rows} rows came for batch {batch}")));
                    }
                    self.starved = None;
                    *batch = number;
                    return self.take_batch(slot, partition.variant(number), rows).map(Next::Batch);
                }
                Some(Reply::Ended { generation: of }) if of == generation => return Ok(Next::End),
                Some(Reply::Failed { generation: of, batch: number, slot, len }) if of == generation => {
                    *batch = number;
                    let text = self.take(slot)?.text(len as usize);
                    // The iteration goes on behind this batch whatever became of the text.
                    let error = serde_json::from_str(&text).unwrap_or_else(|_| SampleError {
                        index: partition.index(number, 0, 0),
                        key: format!("batch {number}"),
                        stage: Stage::Worker,
                        reason: text,
                        errno: None,
                        raised: None,
                        room: None,
                        offset: None,
                        worker: None,
                    });
                    return Err(Error::Sample(Box::new(error)));
                }
                Some(Reply::Outgrown { field, places }) => {
                    self.grow(field, places, (generation, *batch, partition))?;
                }
                Some(other) => self.discard(other)?,
                None => {
                    self.make_room()?;
                    self.check_pulse()?;
                    return Ok(Next::NotYet);
                }
            }
        }
    }

    /// Makes an arena whose rows have more room, and goes on there with the batch that is next. Where that cannot be, the
    /// pool is over: the coordinator waits for it.
    fn grow(&mut self, field: u32, places: u64, next: (u64, u64, &Partition)) -> Result<()> {
        self.try_grow(field, places, next).inspect_err(|error| {
            self.over.get_or_insert_with(|| error.to_string());
        })
    }

    fn try_grow(&mut self, field: u32, places: u64, (generation, batch, of): (u64, u64, &Partition)) -> Result<()> {
        let growth = self.growth.as_mut();
        let growth = growth.ok_or_else(|| Error::Protocol("rows that cannot grow are too short".into()))?;
        let (layout, places) = growth.layout(self.arena.layout(), field, places, self.budget)?;
        let mut arena = Arena::new(layout);
        let segment = arena.grow(self.budget.initial_slots())?;
        self.arena = arena;
        if !self.slot_return.begin_arena(Request::Grow { field, places }, segment)? {
            return Err(self.ended());
        }
        self.lease = Arc::new(Lease::of(Arc::clone(&self.slot_return)));
        self.lost = 0;
        let (epoch, cursor) = (of.epoch(), of.cursor());
        self.send(Request::Start { generation, epoch, cursor, batch }, None)
    }

    /// Grows the arena where the trainer holds nearly all of it, or nearly all that is not lost.
    fn make_room(&mut self) -> Result<()> {
        let held = self.slot_return.held();
        let (used, slots) = (held + self.lost, self.arena.slots());
        if used + 1 < slots {
            self.starved = None;
            return Ok(());
        }
        let more = self.budget.growth(&self.arena);
        let refused = match (more > 0).then(|| self.arena.grow(more)).transpose() {
            Ok(Some(segment)) => {
                return self.send(Request::Segment, Some(segment));
            }
            Ok(None) => None,
            Err(error) => Some(error),
        };
        // As long as there is a slot to go on with, a refusal is no error.
        if used < slots || self.starved.get_or_insert_with(Instant::now).elapsed() < STARVED {
            return Ok(());
        }
        Err(self.budget.exhausted(&self.arena, held, self.lost, refused))
    }

    /// Asks for the statistics; returns the request's number.
    pub(super) fn ask_stats(&mut self) -> Result<u64> {
        self.send(Request::Stats, None)?;
        self.asked += 1;
        Ok(self.asked)
    }

    /// Returns the statistics if this request, or a later one, has been answered.
    pub(super) fn try_stats(&mut self, request: u64, waits: &TrainerStats) -> Result<Option<Stats>> {
        while let Some(reply) = self.receive()? {
            self.inbox.push_back(reply);
        }
        let answer = if self.answered >= request { self.answer.clone() } else { None };
        if answer.is_none() {
            self.check_pulse()?;
        }
        Ok(answer.map(|of_pool| self.stats(waits, of_pool)))
    }

    /// Asks what there is to know of the first samples of the source.
    pub(super) fn ask_first(&mut self, samples: u64) -> Result<()> {
        self.send(Request::First { samples }, None)
    }

    /// Returns that if it has come.
    pub(super) fn try_first(&mut self, samples: u64) -> Result<Option<First>> {
        while let Some(reply) = self.receive()? {
            self.inbox.push_back(reply);
        }
        let found = self.firsts.iter().position(|first| first.identity.samples == samples);
        if found.is_none() {
            self.check_pulse()?;
        }
        Ok(found.map(|at| self.firsts.swap_remove(at)))
    }

    fn stats(&self, waits: &TrainerStats, of_pool: PoolStats) -> Stats {
        Stats {
            batches: waits.batches,
            samples: waits.samples,
            wait: waits.wait,
            ready_slots: self.inbox.iter().filter(|reply| matches!(reply, Reply::Ready { .. })).count(),
            slots: self.arena.slots(),
            held_slots: self.slot_return.held(),
            arena_bytes: self.arena.bytes(),
            read_seconds: of_pool.read_seconds,
            decode_seconds: of_pool.decode_seconds,
            transform_seconds: of_pool.transform_seconds,
            counters: of_pool.counters.into(),
            restarts: of_pool.restarts,
            failed_samples: of_pool.quarantine.count,
            quarantine: of_pool.quarantine.first,
            endings: of_pool.endings.into(),
            workers: of_pool.workers,
            coordinator_pid: Some(lock(&self.child).pid()),
        }
    }
}
