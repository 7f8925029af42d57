//! The trainer's end of a pool of workers.

#![expect(unsafe_code, reason = "takes the slots that the coordinator hands over")]

use std::{
    collections::VecDeque,
    fmt,
    os::fd::AsFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Tick,
    launch::{END_GRACE, Launch},
    lock,
    stats::{Stats, Waits},
};
use crate::{
    coordinator::{Farewell, PoolStats, Welcome},
    error::{Error, Result, SampleError},
    job::Job,
    pipeline::Pipeline,
    protocol::{Channel, Incoming, Reply, Request},
    sampler::EpochPlan,
    shm::{Arena, GiveBack, Mailbox, SlotRef},
    sys::{limits, memory::SharedMemory, poll, process::Child, socket::Socket},
};

/// How often a wait looks at the signals.
const TICK: Duration = Duration::from_millis(100);
/// How long all slots may be held before that is an error: another thread may be about to drop one.
const STARVED: Duration = Duration::from_secs(1);
/// The room for a job, a list of classes or statistics. Pages that are never written cost nothing.
const MAILBOX_BYTES: usize = 8 << 20;

/// The part of a pool that batches keep: the way to give their slots back.
#[derive(Debug)]
struct Link {
    channel: Channel<Request, Reply>,
    owner: u32,
    held: AtomicUsize,
    closed: AtomicBool,
}

impl GiveBack for Link {
    fn give_back(&self, slot: u32) {
        // A fork of the trainer has copies of its batches; they are not its to give back.
        if self.owner == std::process::id() {
            self.held.fetch_sub(1, Ordering::AcqRel);
            if !self.closed.load(Ordering::Acquire) {
                // A coordinator that is gone needs no slots.
                let _ = self.channel.send(&Request::Release { slot });
            }
        }
    }
}

/// What of a pool can be used from any thread at any time: waiting for it, and ending it.
#[derive(Clone)]
pub(super) struct Handle {
    link: Arc<Link>,
    child: Arc<Mutex<Child>>,
}

impl Handle {
    /// Waits until the coordinator has sent something, for a while.
    pub(super) fn wait(&self) -> Result<()> {
        poll::readable(self.link.channel.as_fd(), TICK).map(drop)
    }

    pub(super) fn close(&self) {
        if !self.link.closed.swap(true, Ordering::AcqRel) {
            self.link.channel.shut_down();
            lock(&self.child).end(END_GRACE);
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("link", &self.link).finish_non_exhaustive()
    }
}

/// A coordinator, its arena, and what it has sent.
#[derive(Debug)]
pub(super) struct Pool {
    link: Arc<Link>,
    child: Arc<Mutex<Child>>,
    arena: Arena,
    mailbox: Mailbox,
    /// Messages that came while another was waited for.
    inbox: VecDeque<Reply>,
    over: Option<String>,
    prefetch: usize,
    memory_limit: u64,
    starved: Option<Instant>,
}

impl Pool {
    /// Starts a coordinator and waits until it has opened the source.
    pub(super) fn start_up(
        job: &Job,
        launch: &Launch,
        (pipeline, bytes): (Option<Arc<Pipeline>>, Option<Arc<SharedMemory>>),
        (mut arena, prefetch, memory_limit): (Arena, usize, u64),
        tick: Tick<'_>,
    ) -> Result<(Self, Welcome)> {
        limits::check_descriptors(8)?;
        let segment = arena.grow(initial_slots(prefetch))?;
        let mailbox = Mailbox::create(1, MAILBOX_BYTES)?;
        let text = serde_json::to_string(job)
            .map_err(|error| Error::Config(format!("the loader cannot be described to its workers: {error}")))?;
        if text.len() > mailbox.capacity() {
            return Err(Error::Config(format!("the loader's description of {} bytes is too long", text.len())));
        }
        let (ours, theirs) = Socket::pair()?;
        let child = launch.start(theirs, pipeline)?;
        let link = Link {
            channel: Channel::over(ours),
            owner: std::process::id(),
            held: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        };
        let mut pool = Self {
            link: Arc::new(link),
            child: Arc::new(Mutex::new(child)),
            arena,
            mailbox,
            inbox: VecDeque::new(),
            over: None,
            prefetch,
            memory_limit,
            starved: None,
        };
        let welcome = pool.greet(&text, &segment, bytes.as_deref(), tick);
        if welcome.is_err() {
            pool.handle().close();
        }
        Ok((pool, welcome?))
    }

    fn greet(
        &mut self,
        job: &str,
        segment: &SharedMemory,
        bytes: Option<&SharedMemory>,
        tick: Tick<'_>,
    ) -> Result<Welcome> {
        let len = self.mailbox.write(0, job);
        let channel = &self.link.channel;
        let mut sent = channel.send_with(&Request::Boot { len }, self.mailbox.memory().as_fd())?;
        if let Some(bytes) = bytes {
            sent &= channel.send_with(&Request::Bytes, bytes.as_fd())?;
        }
        sent &= channel.send_with(&Request::Segment, segment.as_fd())?;
        if !sent {
            return Err(self.ended());
        }
        match self.wait(tick)? {
            Reply::Up { len } => self.read(len),
            other => Err(Error::Protocol(format!("the coordinator began with {other:?}"))),
        }
    }

    fn read<T: serde::de::DeserializeOwned>(&self, len: u32) -> Result<T> {
        serde_json::from_str(&self.mailbox.read(0, len))
            .map_err(|error| Error::Protocol(format!("the coordinator's mailbox: {error}")))
    }

    pub(super) fn handle(&self) -> Handle {
        Handle { link: Arc::clone(&self.link), child: Arc::clone(&self.child) }
    }

    /// Returns why the pool is over, now that its socket has ended.
    fn ended(&mut self) -> Error {
        if self.link.closed.load(Ordering::Acquire) {
            return Error::Usage("this loader is closed".into());
        }
        let ended = lock(&self.child).wait(TICK);
        let how = ended.map_or_else(|| "hung up".to_owned(), |ended| ended.to_string());
        let reason = format!("the coordinator {how}; held batches stay valid, make a new loader to go on");
        self.over = Some(reason.clone());
        Error::Worker(reason)
    }

    /// Returns the next message that has come, if any.
    fn receive(&mut self) -> Result<Option<Reply>> {
        if let Some(reason) = &self.over {
            return Err(Error::Worker(reason.clone()));
        }
        match self.link.channel.recv(false)? {
            Incoming::Message(Reply::Over { len }) => {
                let farewell: Farewell = self.read(len)?;
                self.over = Some(farewell.message.clone());
                Err(farewell.into_error())
            }
            Incoming::Message(reply) => Ok(Some(reply)),
            Incoming::Empty => Ok(None),
            Incoming::Closed => Err(self.ended()),
        }
    }

    fn wait(&mut self, tick: Tick<'_>) -> Result<Reply> {
        loop {
            if let Some(reply) = self.receive()? {
                return Ok(reply);
            }
            poll::readable(self.link.channel.as_fd(), TICK)?;
            tick()?;
        }
    }

    fn send(&mut self, request: &Request) -> Result<()> {
        if self.link.closed.load(Ordering::Acquire) {
            return Err(Error::Usage("this loader is closed".into()));
        }
        if self.link.channel.send(request)? { Ok(()) } else { Err(self.ended()) }
    }

    /// Begins an iteration; batches of earlier ones that nobody has taken go back.
    pub(super) fn start(&mut self, generation: u64, epoch: u64, cursor: u64) -> Result<()> {
        self.send(&Request::Start { generation, epoch, cursor })?;
        while let Some(reply) = self.inbox.pop_front() {
            self.discard(reply)?;
        }
        Ok(())
    }

    fn discard(&mut self, reply: Reply) -> Result<()> {
        if let Reply::Ready { slot, .. } | Reply::Failed { slot, .. } = reply {
            drop(self.take(slot, 0)?);
        }
        Ok(())
    }

    fn take(&self, slot: u32, rows: u32) -> Result<SlotRef> {
        self.link.held.fetch_add(1, Ordering::AcqRel);
        // SAFETY: the message that names the slot made it this process's; each such message is used once.
        unsafe { self.arena.take(slot, rows as usize, Arc::clone(&self.link) as Arc<dyn GiveBack>) }
    }

    /// Returns a batch of the current iteration if it has come.
    pub(super) fn try_next(&mut self, generation: u64, batch: u64, plan: &EpochPlan) -> Result<Option<SlotRef>> {
        loop {
            let reply = match self.inbox.pop_front() {
                Some(reply) => Some(reply),
                None => self.receive()?,
            };
            match reply {
                Some(Reply::Ready { generation: of, batch: number, slot, rows }) if of == generation => {
                    if number != batch || rows != plan.rows(batch) {
                        return Err(Error::Protocol(format!("batch {number} of {rows} rows came for batch {batch}")));
                    }
                    self.starved = None;
                    return self.take(slot, rows).map(Some);
                }
                Some(Reply::Failed { generation: of, slot, len, .. }) if of == generation => {
                    let text = self.take(slot, 0)?.text(len as usize);
                    let error: SampleError = serde_json::from_str(&text)
                        .map_err(|error| Error::Protocol(format!("a failed batch's reason: {error}")))?;
                    return Err(Error::Sample(Box::new(error)));
                }
                Some(other) => self.discard(other)?,
                None => {
                    self.make_room()?;
                    return Ok(None);
                }
            }
        }
    }

    /// Grows the arena where the trainer holds nearly all of it.
    fn make_room(&mut self) -> Result<()> {
        let held = self.link.held.load(Ordering::Acquire);
        let slots = self.arena.slots();
        if held + 1 < slots {
            self.starved = None;
            return Ok(());
        }
        let more = growth(&self.arena, self.prefetch, self.memory_limit);
        let grown = if more > 0 { self.arena.grow(more).map(Some) } else { Ok(None) };
        match grown {
            Ok(Some(segment)) => {
                if !self.link.channel.send_with(&Request::Segment, segment.as_fd())? {
                    return Err(self.ended());
                }
                Ok(())
            }
            Err(error) if held < slots => drop_memory(error),
            Ok(None) if held < slots => Ok(()),
            refused => {
                let since = *self.starved.get_or_insert_with(Instant::now);
                if since.elapsed() < STARVED {
                    Ok(())
                } else {
                    Err(exhausted(held, &self.arena, self.memory_limit, refused.err()))
                }
            }
        }
    }

    pub(super) fn stats(&mut self, waits: Waits, tick: Tick<'_>) -> Result<Stats> {
        self.send(&Request::Stats)?;
        let len = loop {
            match self.wait(tick)? {
                Reply::Stats { len } => break len,
                other => self.inbox.push_back(other),
            }
        };
        let of_pool: PoolStats = self.read(len)?;
        Ok(Stats {
            batches: waits.batches,
            samples: waits.samples,
            wait: waits.wait,
            ready_slots: self.inbox.iter().filter(|reply| matches!(reply, Reply::Ready { .. })).count(),
            slots: self.arena.slots(),
            held_slots: self.link.held.load(Ordering::Acquire),
            arena_bytes: self.arena.bytes(),
            read_seconds: of_pool.read_seconds,
            decode_seconds: of_pool.decode_seconds,
            transform_seconds: of_pool.transform_seconds,
            restarts: of_pool.restarts,
            failed_samples: of_pool.failed_samples,
            quarantine: of_pool.quarantine,
            endings: of_pool.endings.into(),
            workers: of_pool.workers,
            coordinator_pid: Some(lock(&self.child).pid()),
        })
    }
}

/// A refusal of memory is no error as long as there is a slot to go on with.
fn drop_memory(error: Error) -> Result<()> {
    match error {
        Error::Memory(_) => Ok(()),
        error => Err(error),
    }
}

/// Returns how many slots a loader begins with: `prefetch` ahead, one being filled, one in the trainer's hands.
pub(super) fn initial_slots(prefetch: usize) -> usize {
    prefetch + 2
}

/// Returns how many slots may be added under the limit.
pub(super) fn growth(arena: &Arena, prefetch: usize, memory_limit: u64) -> usize {
    let room = memory_limit.saturating_sub(arena.bytes() as u64) / arena.layout().bytes() as u64;
    prefetch.min(room as usize)
}

/// Returns the error of a trainer that holds every slot.
pub(super) fn exhausted(held: usize, arena: &Arena, memory_limit: u64, refused: Option<Error>) -> Error {
    let why =
        refused.map_or_else(|| format!("memory_limit is {}", limits::Size(memory_limit)), |error| error.to_string());
    Error::SlotsExhausted(format!(
        "{held} batches are held, which are all slots of the arena ({}), and it cannot grow: {why}; drop batches, copy \
         what you keep, or raise memory_limit",
        limits::Size(arena.bytes() as u64)
    ))
}
