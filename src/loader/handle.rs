//! The loader itself, as the trainer has it.

use std::{
    ffi::OsString,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::{
    batch::{Batch, Turn},
    inline::Inline,
    lock::lock,
    planner::Planner,
    pool::{Next, Pool},
    pool_handle::PoolHandle,
    shared_cut::SharedCut,
    shared_order::SharedOrder,
    shared_source::{bytes_of, shared},
    state::Iterations,
    stats::{Stats, TrainerStats},
    tick::{TICK, Tick},
};
use crate::{
    coordinator::SourceFacts,
    error::{Error, Result},
    job::{OnError, Options},
    protocol::TableOf,
    sampler::{Audit, Earlier, Given, Order, Sampler, Shares, Table},
    shm::SlotRef,
    spec::FieldSpec,
    sys::{memory::SharedMemory, report},
};

/// How a batch is made.
#[derive(Debug)]
pub(super) enum Backend {
    Inline(Box<Inline>),
    Pool(Box<Pool>),
    /// The loader is closed, and its memory given back but for what batches hold.
    Closed,
}

/// Feeds a training loop: an endless supply of epochs, each a sequence of batches.
///
/// All methods take `&self`; two threads may share a loader, and each batch goes to one of them.
pub struct Loader {
    fields: Arc<[Vec<FieldSpec>]>,
    pub(super) options: Options,
    pub(super) sampler: Sampler,
    pub(super) facts: SourceFacts,
    pub(super) backend: Mutex<Backend>,
    /// The part of the pool that needs no lock of it, until the loader is closed.
    handle: Mutex<Option<PoolHandle>>,
    /// What was reported before the loader was closed, and nobody has taken.
    reported: Mutex<Vec<String>>,
    closed: AtomicBool,
    pub(super) iterations: Mutex<Iterations>,
    /// The epoch whose indices were given last, and these, where each epoch has others.
    indices: Mutex<Option<(u64, Arc<SharedMemory>)>>,
    /// How many samples the source had in earlier epochs, as long as the pool has not been told.
    pub(super) unsent_grown: Mutex<Option<Arc<SharedMemory>>>,
    /// Whether epochs have other samples or groups than the pool may have begun in advance.
    pub(super) is_changed: AtomicBool,
    /// What makes the groups of epochs, where there is a cut.
    pub(super) planner: Option<Planner>,
    stats: Mutex<TrainerStats>,
    /// The process that made the loader; a fork of it must not touch its sockets.
    owner: u32,
}

/// What asking for a batch gave.
enum NextBatch {
    Batch(SlotRef, Turn),
    NotYet,
    End,
}

impl Loader {
    pub(super) fn new(
        fields: Vec<Vec<FieldSpec>>,
        options: Options,
        facts: SourceFacts,
        (order, cut): (Option<&SharedOrder>, Option<&SharedCut>),
        backend: Backend,
    ) -> Result<Self> {
        let handle = if let Backend::Pool(pool) = &backend { Some(pool.handle()) } else { None };
        Ok(Self {
            fields: fields.into(),
            sampler: options.sampler(
                facts.len,
                facts.blocks.clone().map(Arc::new),
                order.and_then(SharedOrder::table),
            )?,
            options,
            facts,
            backend: Mutex::new(backend),
            handle: Mutex::new(handle),
            reported: Mutex::default(),
            closed: AtomicBool::new(false),
            iterations: Mutex::default(),
            indices: Mutex::default(),
            unsent_grown: Mutex::default(),
            is_changed: AtomicBool::new(false),
            planner: cut.map(Planner::new),
            stats: Mutex::default(),
            owner: std::process::id(),
        })
    }

    /// Returns the fields of every batch; shapes are those of one row. Where the source learns from its samples how long
    /// they are, [`Batch::fields`] may have more room later. Where batches have variants, they are those of the first one.
    pub fn spec(&self) -> &[FieldSpec] {
        &self.fields[0]
    }

    /// Returns the fields of a batch of each variant, at least one.
    pub fn variants(&self) -> &[Vec<FieldSpec>] {
        &self.fields
    }

    /// Returns the options that the loader was built with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Returns the number of samples of the source.
    pub fn samples(&self) -> u64 {
        self.sampler.len
    }

    /// Returns how many samples the source had in an epoch: as many as it has, unless a state says that it has grown.
    pub fn samples_in(&self, epoch: u64) -> u64 {
        self.sampler.samples_in(epoch)
    }

    /// Returns how many samples an epoch gives, over all ranks: those of the source, unless the order says otherwise.
    pub fn positions(&self, epoch: u64) -> u64 {
        self.sampler.positions(epoch)
    }

    /// Returns the names of the classes, where the source has any.
    pub fn classes(&self) -> &[OsString] {
        &self.facts.classes
    }

    /// Returns the number of batches that this rank gets in a whole epoch; with a cut, in the first one, or none if its
    /// indices were to be given and are not.
    pub fn batches(&self) -> u64 {
        self.batches_of(0)
    }

    /// Returns the number of batches that this rank gets in an epoch; none where its indices were to be given and are not.
    pub fn batches_of(&self, epoch: u64) -> u64 {
        self.plan(epoch).map_or(0, |()| self.sampler.partition(epoch, 0).batches())
    }

    /// Sees to it that the groups of an epoch are known, where there is a cut.
    pub(super) fn plan(&self, epoch: u64) -> Result<()> {
        self.planner.as_ref().map_or(Ok(()), |planner| planner.plan(&self.sampler, epoch))
    }

    /// Gives the pool the groups of an epoch that begins, or of the next one, if they are made and it does not have them.
    fn send_groups(&self, pool: &mut Pool, epoch: u64, begins: bool) -> Result<()> {
        let groups = self.planner.as_ref().and_then(|planner| planner.to_send(epoch, begins));
        groups.map_or(Ok(()), |memory| pool.give(epoch, TableOf::Cut, memory))
    }

    /// Makes the next epoch known to the pool, so that it can begin in advance, if its groups are made; they are waited for
    /// where one batch is left of this one.
    fn send_next_groups(&self, generation: u64) -> Result<()> {
        let Some(planner) = &self.planner else { return Ok(()) };
        let Some((next, left)) = lock(&self.iterations).next_epoch_of(generation) else { return Ok(()) };
        planner.take_in(&self.sampler, next, left == 1)?;
        match &mut *lock(&self.backend) {
            Backend::Pool(pool) => self.send_groups(pool, next, false),
            Backend::Inline(_) | Backend::Closed => Ok(()),
        }
    }

    /// Returns what all ranks together get in a whole epoch, with a cut in the current or next one: what comes again, what is
    /// left out, and whose batches are most; none where samples come as streams.
    pub fn shares(&self) -> Option<Shares> {
        let epoch = self.epoch();
        self.plan(epoch).ok()?;
        self.sampler.shares(epoch)
    }

    /// Proves, without reading a sample, that the ranks share out an epoch; none where samples come as streams.
    pub fn audit(&self, epoch: u64) -> Option<Audit> {
        self.plan(epoch).ok()?;
        let rest = self.planner.as_ref().map_or(Ok(None), |planner| planner.rest(&self.sampler, epoch)).ok()?;
        self.sampler.audit(epoch, rest.as_ref())
    }

    /// Takes the indices of an epoch, of an order that has others in each, before it begins or a state of it is loaded; see
    /// [`SharedOrder::listed`].
    ///
    /// # Errors
    /// [`Error::Config`] for another number of them than the order has, for one that no sample has, or an order that takes none;
    /// [`Error::Memory`] where they do not fit under a limit of this process.
    pub fn give(&self, epoch: u64, indices: &[u64]) -> Result<()> {
        let Order::Given(order) = &self.sampler.order else {
            return Err(Error::config("the order takes no indices"));
        };
        order.check_indices(epoch, indices)?;
        self.take_indices(order, epoch, indices)
    }

    /// Draws the indices of an epoch, where the order does so, unless they are those that were taken last.
    fn draw_indices(&self, epoch: u64) -> Result<()> {
        let is_last = lock(&self.indices).as_ref().is_some_and(|(last, _)| *last == epoch);
        match &self.sampler.order {
            Order::Given(order) if !is_last => match order.drawn(self.sampler.seed, epoch) {
                Some(indices) => self.take_indices(order, epoch, &indices),
                None => Ok(()),
            },
            Order::Given(_) | Order::Source | Order::Shuffled | Order::Blocks(_) => Ok(()),
        }
    }

    /// Takes the indices of an epoch, for the workers too.
    fn take_indices(&self, order: &Given, epoch: u64, indices: &[u64]) -> Result<()> {
        let memory = shared(bytemuck::cast_slice(indices))?;
        order.give(epoch, Table::over(bytes_of(&memory)))?;
        *lock(&self.indices) = Some((epoch, memory));
        Ok(())
    }

    /// Tells whether the order may give a sample more than once in an epoch, so that what is drawn for it depends on the position
    /// too.
    pub fn repeats(&self) -> bool {
        self.sampler.order.repeats()
    }

    /// Makes the next iteration begin at a position of an epoch, or at a group of a cut; of an epoch that was read with other
    /// cuts [before](Self::earlier), at one of those that it has since.
    pub fn go_to(&self, epoch: u64, position: u64, earlier: Vec<Earlier>) {
        self.set_earlier(epoch, earlier);
        lock(&self.iterations).load(epoch, position);
    }

    /// Takes the cuts that an epoch was read with before.
    pub(super) fn set_earlier(&self, epoch: u64, earlier: Vec<Earlier>) {
        let changes = self.planner.as_ref().is_some_and(|planner| planner.go_on(&self.sampler, epoch, earlier));
        self.is_changed.fetch_or(changes, Ordering::AcqRel);
    }

    /// Returns the cuts that an epoch was read with before a state of it was loaded.
    pub fn earlier(&self, epoch: u64) -> Vec<Earlier> {
        self.planner.as_ref().map_or_else(Vec::new, |planner| planner.earlier(epoch))
    }

    /// Returns the epoch that the next iteration begins with.
    pub fn upcoming(&self) -> u64 {
        lock(&self.iterations).upcoming().0
    }

    /// Begins an epoch: the one that was set, else the one after the last. An iteration that was still going on ends; one
    /// of which nothing has come does not count, so that it begins again.
    ///
    /// Returns the iteration's number, for [`next`](Self::next).
    ///
    /// # Errors
    /// [`Error::Usage`] where the loader is closed or belongs to another process, or nobody has given the indices of the epoch.
    pub fn begin(&self) -> Result<u64> {
        self.check_usable()?;
        // Before anything is locked: of many samples it takes seconds.
        self.draw_indices(self.upcoming())?;
        self.plan(self.upcoming())?;
        let mut backend = lock(&self.backend);
        let mut iterations = lock(&self.iterations);
        let (epoch, _) = iterations.upcoming();
        if !self.sampler.is_known(epoch) {
            return Err(Error::Usage(format!("nobody has given the indices of epoch {epoch}")));
        }
        if let Backend::Pool(pool) = &mut *backend {
            if self.is_changed.swap(false, Ordering::AcqRel) {
                pool.cancel()?;
            }
            if let Some(memory) = lock(&self.unsent_grown).take() {
                pool.give(0, TableOf::Grown, memory)?;
            }
        }
        if let Backend::Pool(pool) = &mut *backend
            && let Some((given, memory)) = &*lock(&self.indices)
            && *given == epoch
        {
            pool.give(epoch, TableOf::Order, Arc::clone(memory))?;
        }
        if let Backend::Pool(pool) = &mut *backend {
            self.send_groups(pool, epoch, true)?;
        }
        let (generation, partition) = iterations.begin(&self.sampler);
        match &mut *backend {
            Backend::Inline(_) => {}
            Backend::Pool(pool) => pool.start(generation, partition.epoch(), partition.cursor())?,
            Backend::Closed => return Err(closed()),
        }
        if let (Some(planner), Some(next)) = (&self.planner, epoch.checked_add(1)) {
            planner.plan_ahead(&self.sampler, next);
        }
        Ok(generation)
    }

    /// Returns the next batch of an iteration, or none at its end.
    ///
    /// Waits for it, and calls `tick` at least every 100 ms meanwhile.
    ///
    /// # Errors
    /// [`Error::Sample`] for a batch with a bad sample, after which the iteration can go on with the next one;
    /// [`Error::SlotsExhausted`] where the caller holds so many batches that none can be filled;
    /// [`Error::Worker`] where the pool is over; [`Error::Usage`] for an iteration that a newer one has ended.
    pub fn next(&self, generation: u64, tick: Tick<'_>) -> Result<Option<Batch>> {
        let begun = Instant::now();
        let mut ticked = begun;
        loop {
            self.check_usable()?;
            match self.try_next(generation)? {
                NextBatch::Batch(slot, turn) => {
                    lock(&self.stats).add(begun.elapsed(), slot.rows() as u64);
                    return Ok(Some(Batch::new(Arc::new(slot), turn)));
                }
                NextBatch::End => return Ok(None),
                NextBatch::NotYet => self.wait(tick, &mut ticked)?,
            }
        }
    }

    fn try_next(&self, generation: u64) -> Result<NextBatch> {
        self.send_next_groups(generation)?;
        let mut backend = lock(&self.backend);
        let mut iterations = lock(&self.iterations);
        let Some(partition) = iterations.partition_of(generation)? else { return Ok(NextBatch::End) };
        let mut batch = iterations.delivered();
        let made = match &mut *backend {
            _ if batch >= partition.batches() => Ok(Next::End),
            Backend::Inline(inline) => inline.make(&partition, batch).map(|made| made.map_or(Next::End, Next::Batch)),
            Backend::Pool(pool) => pool.try_next(generation, &mut batch, &partition),
            Backend::Closed => Err(closed()),
        };
        // A batch that failed is behind us as much as one that did not.
        if matches!(made, Ok(Next::Batch(_)) | Err(Error::Sample(_))) {
            iterations.deliver(batch);
        }
        Ok(match made? {
            Next::Batch(slot) => {
                let may_be_others = self.options.on_error != OnError::Raise;
                NextBatch::Batch(slot, Turn { partition, number: batch, may_be_others })
            }
            Next::NotYet => NextBatch::NotYet,
            Next::End => {
                iterations.finish();
                NextBatch::End
            }
        })
    }

    /// Makes the next iteration begin with this epoch. A cursor that was loaded in the same epoch is kept, and an iteration
    /// of it that has begun, as long as nothing of it has come.
    pub fn set_epoch(&self, epoch: u64) {
        let begins_anew = lock(&self.iterations).set_epoch(epoch);
        if begins_anew {
            self.set_earlier(epoch, Vec::new());
        }
    }

    /// Returns the epoch of the current iteration, or of the next one if none is going on.
    pub fn epoch(&self) -> u64 {
        lock(&self.iterations).reached().0
    }

    /// Returns how many batches are still to come of the current iteration, or of the next one if none is going on.
    pub fn remaining(&self) -> u64 {
        self.plan(self.epoch()).map_or(0, |()| lock(&self.iterations).remaining(&self.sampler))
    }

    /// Returns how many batches of an iteration are still to come; none of one that has ended.
    pub fn remaining_of(&self, generation: u64) -> u64 {
        lock(&self.iterations).remaining_of(generation)
    }

    /// Returns what the loader has done so far.
    ///
    /// # Errors
    /// [`Error::Worker`] where the pool is over.
    pub fn stats(&self, tick: Tick<'_>) -> Result<Stats> {
        self.check_usable()?;
        let waits = lock(&self.stats).clone();
        let request = match &mut *lock(&self.backend) {
            Backend::Inline(inline) => return Ok(inline.stats(&waits)),
            Backend::Pool(pool) => pool.ask_stats()?,
            Backend::Closed => return Err(closed()),
        };
        let mut ticked = Instant::now();
        loop {
            self.check_usable()?;
            if let Backend::Pool(pool) = &mut *lock(&self.backend)
                && let Some(stats) = pool.try_stats(request, &waits)?
            {
                return Ok(stats);
            }
            self.wait(tick, &mut ticked)?;
        }
    }

    /// Returns what coordinator and workers have reported since the last call, a line each: workers that stall, say.
    ///
    /// Where nobody asks, they go to standard error, unless that would have to wait.
    pub fn take_reports(&self) -> Vec<String> {
        // In a fork of the trainer they are not its to take.
        if self.owner != std::process::id() {
            return Vec::new();
        }
        let mut reported = std::mem::take(&mut *lock(&self.reported));
        reported.extend(lock(&self.handle).as_ref().map(PoolHandle::take_reports).unwrap_or_default());
        reported
    }

    /// Writes what has been reported to standard error.
    pub(super) fn print_reports(&self) {
        for line in self.take_reports() {
            report::report(&line);
        }
    }

    /// Waits for the pool, for a while, and calls `tick` unless something has come soon after the last call. Nothing is
    /// locked meanwhile: other threads, and signal handlers that run in `tick`, may do what they like with the loader.
    pub(super) fn wait(&self, tick: Tick<'_>, ticked: &mut Instant) -> Result<()> {
        let handle = lock(&self.handle).clone();
        let has_come = handle.map_or(Ok(false), |handle| handle.wait())?;
        if has_come && ticked.elapsed() < TICK {
            return Ok(());
        }
        *ticked = Instant::now();
        tick()
    }

    /// Ends the pool, within two seconds, and gives its memory back. Batches that are still held stay valid, and keep what
    /// they lie in. May be called again.
    pub fn close(&self) {
        if self.check_usable().is_ok() && !self.closed.swap(true, Ordering::AcqRel) {
            let handle = lock(&self.handle).take();
            if let Some(handle) = handle {
                handle.close();
                lock(&self.reported).extend(handle.take_reports());
            }
            self.let_go();
        }
    }

    /// Gives back what makes batches, now that the loader is closed. Where that is at work just now, whoever looks next does
    /// it: this may be called by what it calls.
    fn let_go(&self) {
        if let Ok(mut backend) = self.backend.try_lock() {
            *backend = Backend::Closed;
        }
    }

    pub(super) fn check_usable(&self) -> Result<()> {
        let (owner, here) = (self.owner, std::process::id());
        if self.closed.load(Ordering::Acquire) {
            if owner == here {
                self.let_go();
            }
            return Err(closed());
        }
        if owner == here {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "this loader belongs to process {owner}, and this is process {here}, a fork of it; make a loader here"
        )))
    }
}

pub(super) fn closed() -> Error {
    Error::Usage("this loader is closed".into())
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.close();
        self.print_reports();
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fields, options, sampler, .. } = self;
        let mut out = f.debug_struct("Loader");
        out.field("fields", fields).field("options", options).field("samples", &sampler.len).finish_non_exhaustive()
    }
}
