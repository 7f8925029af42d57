//! What other threads than the one that asks for a batch do with a pool: give slots back, wait, and end it.

use std::{
    collections::VecDeque,
    fmt,
    os::fd::AsFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{launch::END_GRACE, lock::lock, tick::TICK};
use crate::{
    error::Result,
    protocol::{Channel, Reply, Request},
    shm::GiveBack,
    sys::{memory::SharedMemory, poll, process::Child, report::Reports, socket::Sent},
};

/// The part of a pool that batches keep: the way to give their slots back.
#[derive(Debug)]
pub(super) struct SlotReturn {
    pub(super) channel: Channel<Request, Reply>,
    owner: u32,
    held: AtomicUsize,
    closed: AtomicBool,
    /// Counts the arenas that there have been; changed while `unsent` is locked, so that what belongs to one is sent before
    /// the next one is.
    arena: AtomicU64,
    /// Requests that found the socket full, with the memory that goes along.
    unsent: Mutex<VecDeque<(Request, Option<Arc<SharedMemory>>)>>,
}

impl SlotReturn {
    pub(super) fn over(channel: Channel<Request, Reply>) -> Self {
        let (held, closed) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { channel, owner: std::process::id(), held, closed, arena: AtomicU64::new(0), unsent: Mutex::default() }
    }

    /// Counts a slot that has come.
    pub(super) fn take(&self) {
        self.held.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns how many slots the trainer holds.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// Tells whether the loader is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Sends a request, now or as soon as there is room for it. Returns false if the coordinator is gone.
    pub(super) fn send(&self, request: Request, memory: Option<Arc<SharedMemory>>) -> Result<bool> {
        lock(&self.unsent).push_back((request, memory));
        self.send_unsent()
    }

    /// Sends a request that begins another arena: slots of those before come back no more, and none is held.
    pub(super) fn begin_arena(&self, request: Request, memory: Arc<SharedMemory>) -> Result<bool> {
        let mut unsent = lock(&self.unsent);
        self.arena.fetch_add(1, Ordering::AcqRel);
        self.held.store(0, Ordering::Release);
        unsent.push_back((request, Some(memory)));
        drop(unsent);
        self.send_unsent()
    }

    fn release(&self, arena: u64, slot: u32) {
        let mut unsent = lock(&self.unsent);
        if self.arena.load(Ordering::Acquire) != arena {
            return;
        }
        self.held.fetch_sub(1, Ordering::AcqRel);
        if self.is_closed() {
            return;
        }
        unsent.push_back((Request::Release { slot }, None));
        drop(unsent);
        // A coordinator that is gone needs no slots.
        let _ = self.send_unsent();
    }

    /// Sends the requests that there is room for. Never waits: a view may die anywhere, with any lock held, and the
    /// coordinator may be stopped. Returns false if it is gone.
    pub(super) fn send_unsent(&self) -> Result<bool> {
        let mut unsent = lock(&self.unsent);
        while let Some((request, memory)) = unsent.front() {
            let sent = match memory {
                Some(memory) => self.channel.try_send_with(request, memory.as_fd())?,
                None => self.channel.try_send(request)?,
            };
            match sent {
                Sent::Yes => drop(unsent.pop_front()),
                Sent::Full => break,
                Sent::Gone => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// The slots of one arena on their way back. Those of an arena that there was before are of no use to anybody.
#[derive(Debug)]
pub(super) struct Lease {
    slot_return: Arc<SlotReturn>,
    arena: u64,
}

impl Lease {
    /// Returns the lease of the arena of now.
    pub(super) fn of(slot_return: Arc<SlotReturn>) -> Self {
        let arena = slot_return.arena.load(Ordering::Acquire);
        Self { slot_return, arena }
    }
}

impl GiveBack for Lease {
    fn give_back(&self, slot: u32) {
        // A fork of the trainer has copies of its batches; they are not its to give back.
        if self.slot_return.owner == std::process::id() {
            self.slot_return.release(self.arena, slot);
        }
    }
}

/// Waits for a pool and ends it, from any thread, without a lock.
#[derive(Clone)]
pub(super) struct PoolHandle {
    pub(super) slot_return: Arc<SlotReturn>,
    pub(super) child: Arc<Mutex<Child>>,
    pub(super) reports: Arc<Mutex<Reports>>,
}

impl PoolHandle {
    /// Waits until the coordinator has sent something, for a while; returns whether it has.
    pub(super) fn wait(&self) -> Result<bool> {
        poll::readable(self.slot_return.channel.as_fd(), TICK)
    }

    /// Returns what coordinator and workers have reported since the last call.
    pub(super) fn take_reports(&self) -> Vec<String> {
        lock(&self.reports).take()
    }

    pub(super) fn close(&self) {
        if !self.slot_return.closed.swap(true, Ordering::AcqRel) {
            self.slot_return.channel.shut_down();
            lock(&self.child).end(END_GRACE);
        }
    }
}

impl fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolHandle").field("slot_return", &self.slot_return).finish_non_exhaustive()
    }
}
