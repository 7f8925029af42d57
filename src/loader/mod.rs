//! The trainer's side: a loader that hands out batches.

mod arrays;
mod batch;
mod builder;
mod description;
mod inline;
mod launch;
mod pool;
mod state;
mod stats;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

pub use self::{
    arrays::{Runs, SharedArrays, Values},
    batch::{Batch, Element, Ragged},
    builder::{Builder, Input},
    description::Description,
    launch::{Launch, init, serve_stdin},
    state::State,
    stats::Stats,
};
use self::{inline::Inline, pool::Pool, state::Position};
use crate::{
    error::{Error, Result},
    job::Options,
    sampler::Sampler,
    shm::SlotRef,
    spec::FieldSpec,
};

/// What the trainer does while it waits: looks at its signals, say. An error ends the wait.
pub type Tick<'a> = &'a mut dyn FnMut() -> Result<()>;

/// How a batch is made.
#[derive(Debug)]
enum Feed {
    Inline(Box<Inline>),
    Pool(Box<Pool>),
}

/// Feeds a training loop: an endless supply of epochs, each a sequence of batches.
///
/// All methods take `&self`; two threads may share a loader, and each batch goes to one of them.
pub struct Loader {
    fields: Arc<[FieldSpec]>,
    options: Options,
    sampler: Sampler,
    classes: Vec<String>,
    feed: Mutex<Feed>,
    /// What of the pool can be used while another thread is at work with the rest.
    handle: Option<pool::Handle>,
    closed: AtomicBool,
    position: Mutex<Position>,
    stats: Mutex<stats::Waits>,
    /// The process that made the loader; a fork of it must not touch its sockets.
    owner: u32,
}

/// What asking for a batch gave.
enum Attempt {
    Batch(SlotRef, u64),
    NotYet,
    End,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Loader {
    /// Returns a builder over this source.
    pub fn builder(input: impl Into<Input>) -> Builder {
        Builder::new(input.into())
    }

    /// Returns the fields of every batch; shapes are those of one row.
    pub fn spec(&self) -> &[FieldSpec] {
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

    /// Returns the names of the classes, where the source has any.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Returns the number of batches that this rank gets in a whole epoch.
    pub fn batches(&self) -> u64 {
        self.sampler.plan(0, 0).batches()
    }

    /// Begins the next epoch and returns its batches.
    pub fn iter(&self) -> Epoch<'_> {
        Epoch { loader: self, generation: Some(self.begin()) }
    }

    /// Begins an epoch: the one that was set, else the one after the last. An iteration that was still going on ends.
    ///
    /// Returns the iteration's number, for [`next`](Self::next).
    ///
    /// # Errors
    /// [`Error::Usage`] where the loader is closed or belongs to another process.
    pub fn begin(&self) -> Result<u64> {
        self.check_usable()?;
        let mut feed = lock(&self.feed);
        let mut position = lock(&self.position);
        let (generation, plan) = position.begin(&self.sampler);
        match &mut *feed {
            Feed::Inline(_) => {}
            Feed::Pool(pool) => pool.start(generation, plan.epoch(), plan.cursor())?,
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
        loop {
            self.check_usable()?;
            match self.try_next(generation)? {
                Attempt::Batch(slot, epoch) => {
                    lock(&self.stats).add(begun.elapsed(), slot.rows() as u64);
                    return Ok(Some(Batch::new(Arc::new(slot), Arc::clone(&self.fields), epoch)));
                }
                Attempt::End => return Ok(None),
                Attempt::NotYet => self.wait(tick)?,
            }
        }
    }

    fn try_next(&self, generation: u64) -> Result<Attempt> {
        let mut feed = lock(&self.feed);
        let mut position = lock(&self.position);
        let Some(plan) = position.plan_of(generation)? else { return Ok(Attempt::End) };
        let batch = position.delivered();
        if batch >= plan.batches() {
            position.finish();
            return Ok(Attempt::End);
        }
        let made = match &mut *feed {
            Feed::Inline(inline) => inline.make(&plan, batch).map(Some),
            Feed::Pool(pool) => pool.try_next(generation, batch, &plan),
        };
        // A batch that failed is behind us as much as one that did not.
        if matches!(made, Ok(Some(_)) | Err(Error::Sample(_))) {
            position.deliver();
        }
        Ok(made?.map_or(Attempt::NotYet, |slot| Attempt::Batch(slot, plan.epoch())))
    }

    /// Makes the next iteration begin with this epoch. Keeps a loaded state's place if that is in the same epoch.
    pub fn set_epoch(&self, epoch: u64) {
        lock(&self.position).set_epoch(epoch);
    }

    /// Returns the epoch of the current iteration, or of the next one if none is going on.
    pub fn epoch(&self) -> u64 {
        lock(&self.position).place().0
    }

    /// Returns where the loader is: the batches handed out so far are behind, all others before it.
    pub fn state(&self) -> State {
        let (epoch, cursor) = lock(&self.position).place();
        State::new(&self.sampler, &self.classes, epoch, cursor)
    }

    /// Makes the next iteration begin where `state` was taken, with any number of workers, batch size and world size.
    ///
    /// # Errors
    /// [`Error::Config`] for a state of another version, seed, order or source.
    pub fn load_state(&self, state: &State) -> Result<()> {
        state.check(&State::new(&self.sampler, &self.classes, 0, 0))?;
        lock(&self.position).load(state.epoch, state.cursor);
        Ok(())
    }

    /// Returns what the loader has done so far.
    ///
    /// # Errors
    /// [`Error::Worker`] where the pool is over.
    pub fn stats(&self, tick: Tick<'_>) -> Result<Stats> {
        self.check_usable()?;
        let waits = lock(&self.stats).clone();
        let request = match &mut *lock(&self.feed) {
            Feed::Inline(inline) => return Ok(inline.stats(&waits)),
            Feed::Pool(pool) => pool.ask_stats()?,
        };
        loop {
            self.check_usable()?;
            if let Feed::Pool(pool) = &mut *lock(&self.feed)
                && let Some(stats) = pool.try_stats(request, &waits)?
            {
                return Ok(stats);
            }
            self.wait(tick)?;
        }
    }

    /// Waits for the pool, for a while. Nothing is locked meanwhile: other threads, and signal handlers that run in
    /// `tick`, may do what they like with the loader.
    fn wait(&self, tick: Tick<'_>) -> Result<()> {
        if let Some(handle) = &self.handle {
            handle.wait()?;
        }
        tick()
    }

    /// Ends the pool, within two seconds. Batches that are still held stay valid. May be called again.
    pub fn close(&self) {
        if self.check_usable().is_ok()
            && !self.closed.swap(true, Ordering::AcqRel)
            && let Some(handle) = &self.handle
        {
            handle.close();
        }
    }

    fn check_usable(&self) -> Result<()> {
        let (owner, here) = (self.owner, std::process::id());
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Usage("this loader is closed".into()));
        }
        if owner == here {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "this loader belongs to process {owner}, and this is process {here}, a fork of it; make a loader here"
        )))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fields, options, sampler, .. } = self;
        let mut out = f.debug_struct("Loader");
        out.field("fields", fields).field("options", options).field("samples", &sampler.len).finish_non_exhaustive()
    }
}

/// The batches of one epoch, as an iterator. It goes on after a batch that failed, and ends after any other error.
#[derive(Debug)]
pub struct Epoch<'a> {
    loader: &'a Loader,
    generation: Option<Result<u64>>,
}

impl Iterator for Epoch<'_> {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let generation = match self.generation.take()? {
            Ok(generation) => generation,
            Err(error) => return Some(Err(error)),
        };
        let next = self.loader.next(generation, &mut || Ok(())).transpose();
        if matches!(next, Some(Ok(_) | Err(Error::Sample(_) | Error::SlotsExhausted(_)))) {
            self.generation = Some(Ok(generation));
        }
        next
    }
}

impl<'a> IntoIterator for &'a Loader {
    type Item = Result<Batch>;
    type IntoIter = Epoch<'a>;

    fn into_iter(self) -> Epoch<'a> {
        self.iter()
    }
}
