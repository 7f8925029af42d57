//! The groups of epochs, made ahead of time where a cut needs them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use super::{
    lock::lock,
    shared_cut::SharedCut,
    shared_source::{bytes_of, shared},
};
use crate::{
    error::{Error, Result},
    sampler::{Earlier, KEPT_EPOCHS, Rest, Sampler, Table},
    sys::memory::SharedMemory,
};

type Planned = JoinHandle<Result<Option<Vec<u8>>>>;

/// Makes the groups of epochs.
#[derive(Debug)]
pub(super) struct Planner {
    lengths: Arc<[u32]>,
    /// The epoch that was read with other cuts before, and these.
    earlier: Mutex<Option<(u64, Vec<Earlier>)>>,
    /// The epoch whose groups another thread is making.
    ahead: Mutex<Option<(u64, Planned)>>,
    /// The groups of the epochs that were made last.
    made: Mutex<VecDeque<(u64, Arc<SharedMemory>)>>,
    /// The epochs whose groups the pool has: those that were sent last, as many as its samplers remember.
    sent: Mutex<VecDeque<u64>>,
}

impl Planner {
    pub(super) fn new(cut: &SharedCut) -> Self {
        Self {
            lengths: Arc::clone(cut.lengths()),
            earlier: Mutex::default(),
            ahead: Mutex::default(),
            made: Mutex::default(),
            sent: Mutex::default(),
        }
    }

    /// Returns the lengths of all samples.
    pub(super) fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// Forgets the groups of all epochs.
    pub(super) fn forget(&self) {
        *lock(&self.ahead) = None;
        lock(&self.made).clear();
        lock(&self.sent).clear();
    }

    /// Sees to it that the groups of an epoch are known.
    pub(super) fn plan(&self, sampler: &Sampler, epoch: u64) -> Result<()> {
        if sampler.is_known(epoch) {
            return Ok(());
        }
        if !sampler.can_plan(epoch) {
            return Err(Error::Usage(format!("nobody has given the indices of epoch {epoch}")));
        }
        let ahead = lock(&self.ahead).take_if(|(planned, _)| *planned == epoch);
        let plan = match ahead {
            Some((_, thread)) => thread.join().map_err(|_| Error::Protocol("planning an epoch panicked".into()))?,
            None => sampler.plan(epoch, &self.lengths, &self.earlier(epoch)),
        };
        plan?.map_or(Ok(()), |plan| self.keep(sampler, epoch, &plan))
    }

    /// Returns the cuts that an epoch was read with before.
    pub(super) fn earlier(&self, epoch: u64) -> Vec<Earlier> {
        let earlier = lock(&self.earlier);
        earlier.as_ref().filter(|(of, _)| *of == epoch).map_or_else(Vec::new, |(_, cuts)| cuts.clone())
    }

    /// Notes which cuts an epoch was read with before, so that its groups are those of the rest. That holds for the epoch that
    /// was told last. Returns whether any groups are others than before.
    pub(super) fn go_on(&self, sampler: &Sampler, epoch: u64, cuts: Vec<Earlier>) -> bool {
        if self.earlier(epoch) == cuts {
            return false;
        }
        let given = (!cuts.is_empty()).then_some((epoch, cuts));
        let before = std::mem::replace(&mut *lock(&self.earlier), given);
        for epoch in before.map(|(epoch, _)| epoch).into_iter().chain([epoch]) {
            drop(lock(&self.ahead).take_if(|(planned, _)| *planned == epoch));
            sampler.forget_groups(epoch);
        }
        true
    }

    /// Returns what is left of an epoch that was read with other cuts before.
    pub(super) fn rest(&self, sampler: &Sampler, epoch: u64) -> Result<Option<Rest>> {
        sampler.rest(epoch, &self.lengths, &self.earlier(epoch))
    }

    fn keep(&self, sampler: &Sampler, epoch: u64, plan: &[u8]) -> Result<()> {
        let memory = shared(plan)?;
        sampler.give_groups(epoch, Table::over(bytes_of(&memory)))?;
        let mut made = lock(&self.made);
        made.retain(|(other, _)| *other != epoch);
        made.push_back((epoch, memory));
        if made.len() > KEPT_EPOCHS {
            made.pop_front();
        }
        Ok(())
    }

    /// Begins to make the groups of an epoch, unless they are known.
    pub(super) fn plan_ahead(&self, sampler: &Sampler, epoch: u64) {
        let mut ahead = lock(&self.ahead);
        let is_begun = ahead.as_ref().is_some_and(|(planned, _)| *planned == epoch);
        if is_begun || sampler.is_known(epoch) || !sampler.can_plan(epoch) {
            return;
        }
        let (sampler, lengths, earlier) = (sampler.clone(), Arc::clone(&self.lengths), self.earlier(epoch));
        let thread = thread::Builder::new().name("stokehold-plan".into());
        // Where there can be no thread, they are made when the epoch begins.
        *ahead = thread.spawn(move || sampler.plan(epoch, &lengths, &earlier)).ok().map(|thread| (epoch, thread));
    }

    /// Takes in the groups of an epoch, if they are made ahead and are ready; or waits for them.
    pub(super) fn take_in(&self, sampler: &Sampler, epoch: u64, waits: bool) -> Result<()> {
        let is_ready = |(planned, thread): &(u64, Planned)| *planned == epoch && (waits || thread.is_finished());
        let is_ready = lock(&self.ahead).as_ref().is_some_and(is_ready);
        if is_ready { self.plan(sampler, epoch) } else { Ok(()) }
    }

    /// Returns the groups of an epoch if they are made and are to be sent: those of one that begins, of which the pool is to
    /// forget nothing while it goes on, and of another one that the pool does not have yet.
    pub(super) fn to_send(&self, epoch: u64, begins: bool) -> Option<Arc<SharedMemory>> {
        let memory =
            lock(&self.made).iter().find(|(other, _)| *other == epoch).map(|(_, memory)| Arc::clone(memory))?;
        let mut sent = lock(&self.sent);
        if sent.contains(&epoch) && !begins {
            return None;
        }
        sent.retain(|other| *other != epoch);
        sent.push_back(epoch);
        if sent.len() > KEPT_EPOCHS {
            sent.pop_front();
        }
        Some(memory)
    }
}
