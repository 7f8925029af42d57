//! `num_workers=0`: the same work, in the trainer's own process, when a batch is asked for.

#![expect(unsafe_code, reason = "takes slots that the list of free ones handed out")]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use rayon::prelude::*;

use super::{
    lock::lock,
    slots::ArenaBudget,
    stats::{Stats, TrainerStats},
};
use crate::{
    coordinator::First,
    counters::Counters,
    error::{Error, Result, Room, SampleError},
    job::Options,
    pipeline::Pipeline,
    sampler::Partition,
    shm::{Arena, GiveBack, RowMut, SlotLayout, SlotRef},
    source::Record,
    worker::{Filler, Quarantine, RowTask, RunReport},
};

/// The slots that nobody has.
#[derive(Debug, Default)]
struct FreeSlots {
    slots: Mutex<Vec<u32>>,
    held: AtomicUsize,
}

impl GiveBack for FreeSlots {
    fn give_back(&self, slot: u32) {
        self.held.fetch_sub(1, Ordering::AcqRel);
        lock(&self.slots).push(slot);
    }
}

/// The whole engine but for the processes.
#[derive(Debug)]
pub(super) struct Inline {
    filler: Filler,
    arena: Arena,
    free: Arc<FreeSlots>,
    budget: ArenaBudget,
    options: Options,
    pool: Option<rayon::ThreadPool>,
    done: RunReport,
    quarantine: Quarantine,
}

impl Inline {
    pub(super) fn new(filler: Filler, layout: SlotLayout, budget: ArenaBudget, options: &Options) -> Result<Self> {
        let threads = options.threads_per_worker;
        let mut arena = Arena::new(layout);
        arena.grow(budget.initial_slots())?;
        let free = FreeSlots::default();
        lock(&free.slots).extend((0..arena.slots() as u32).rev());
        let build = || {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads as usize)
                .build()
                .map_err(|error| Error::Worker(format!("cannot start {threads} decoding threads: {error}")))
        };
        // Two samples in work at once would draw from each other's random numbers.
        let runs_code = filler.pipeline().source().runs_code();
        let mut done = RunReport::default();
        done.times.counters = Counters::of(Pipeline::counters());
        Ok(Self {
            filler,
            arena,
            free: Arc::new(free),
            budget,
            options: options.clone(),
            pool: (threads > 1 && !runs_code).then(build).transpose()?,
            done,
            quarantine: Quarantine::default(),
        })
    }

    /// Returns what there is to know of the first samples of the source.
    pub(super) fn first(&self, samples: u64) -> First {
        First::of(self.filler.pipeline(), samples)
    }

    /// Makes a batch; none where its stream has ended.
    pub(super) fn make(&mut self, partition: &Partition, batch: u64) -> Result<Option<SlotRef>> {
        loop {
            if let Some(made) = self.try_make(partition, batch)? {
                return made;
            }
        }
    }

    /// Makes an arena whose rows have more room.
    fn grow(&mut self, room: &Room) -> Result<()> {
        let pipeline = self.filler.pipeline();
        let had = pipeline.fields().iter().find(|field| field.name == room.field).and_then(|field| field.ragged);
        let had = had.map_or(0, |ragged| ragged.capacity);
        let laid = |places: usize| {
            let pipeline = pipeline.with_room(&Room { places, ..room.clone() })?;
            let layout = self.options.layout(&pipeline.specs())?;
            self.budget.check(&layout)?;
            Ok((pipeline, layout))
        };
        let (pipeline, layout) =
            laid(room.places.max(had.saturating_add(had / 2))).or_else(|_: Error| laid(room.places))?;
        let mut arena = Arena::new(layout);
        arena.grow(self.budget.initial_slots())?;
        self.filler = self.filler.with_pipeline(Arc::new(pipeline));
        // Slots of the arena before go back to their own list, and are of no use to anybody.
        self.free = Arc::new(FreeSlots::default());
        lock(&self.free.slots).extend((0..arena.slots() as u32).rev());
        self.arena = arena;
        Ok(())
    }

    /// Makes a batch; none where rows had too little room, and have more now.
    fn try_make(&mut self, partition: &Partition, batch: u64) -> Result<Option<Result<Option<SlotRef>>>> {
        let slot = self.free_slot()?;
        let (rows, variant) = (partition.rows(batch) as usize, partition.variant(batch));
        // SAFETY: the slot was on the list of free ones, so nobody else has a right to it.
        let mut rights = unsafe { self.arena.rows_mut(slot, variant, 0..rows) }?;
        if let Some(spans) = partition.ranges(batch, 0..rows as u32) {
            // SAFETY: they are the spans of these rows in their batch, which have nothing in common (a property test).
            rights = unsafe { rights.with_spans(spans) };
        }
        let task = RowTask { partition, batch, attempt: 0 };
        let filler = &self.filler;
        let fill = |rows: &mut dyn Iterator<Item = RowMut>| {
            let (mut report, mut scratch) = (RunReport::default(), filler.pipeline().scratch());
            let (mut reader, mut record) = (filler.pipeline().reader(), Record::default());
            filler.fill_rows(task, rows, (&mut *reader, &mut record), &mut scratch, &mut report);
            report
        };
        let mut report = match &self.pool {
            None => fill(&mut rights.into_rows()),
            Some(pool) => {
                let mut rows: Vec<RowMut> = rights.into_rows().collect();
                let mut parts = Vec::new();
                let size = rows.len().div_ceil(pool.current_num_threads() * 2).max(1);
                while !rows.is_empty() {
                    parts.push(rows.split_off(rows.len().saturating_sub(size)));
                }
                let reports: Vec<RunReport> =
                    pool.install(|| parts.into_par_iter().map(|part| fill(&mut part.into_iter())).collect());
                reports.into_iter().fold(RunReport::default(), |mut sum, report| {
                    sum.merge(report);
                    sum
                })
            }
        };
        if let Some(room) = report.failures.iter().find_map(|failure| failure.lacks_room(filler.pipeline())) {
            let room = room.clone();
            lock(&self.free.slots).push(slot);
            return self.grow(&room).map(|()| None);
        }
        let has_failed = report.failures.iter().any(|failure| failure.fatal);
        let rows = report.made.map_or(rows, |made| made.rows as usize);
        if rows == 0 && !has_failed {
            // Its stream has ended.
            self.add(report);
            lock(&self.free.slots).push(slot);
            return Ok(Some(Ok(None)));
        }
        if filler.pipeline().finishes() && !has_failed {
            // SAFETY: every right to the slot's rows is gone with the loop above.
            let rights = unsafe { self.arena.rows_mut(slot, variant, 0..rows) }?;
            filler.finish(partition, batch, rights, &mut report);
        }
        self.free.held.fetch_add(1, Ordering::AcqRel);
        // SAFETY: every right to the slot's rows is gone with the statements above.
        let slot = unsafe { self.arena.take(slot, variant, rows, Arc::clone(&self.free) as Arc<dyn GiveBack>) }?;
        Ok(Some(self.add(report).map_or(Ok(Some(slot)), |error| Err(Error::Sample(Box::new(error))))))
    }

    /// Adds a batch to the statistics, and returns its error, if it has one.
    fn add(&mut self, mut report: RunReport) -> Option<SampleError> {
        let failures = std::mem::take(&mut report.failures);
        self.done.merge(report);
        for failure in &failures {
            self.quarantine.add(failure.error.clone());
        }
        failures
            .into_iter()
            .filter(|failure| failure.fatal)
            .min_by_key(|failure| failure.row)
            .map(|failure| failure.error)
    }

    fn free_slot(&mut self) -> Result<u32> {
        let popped = lock(&self.free.slots).pop();
        if let Some(slot) = popped {
            return Ok(slot);
        }
        let held = self.free.held.load(Ordering::Acquire);
        let first = self.arena.slots() as u32;
        let more = self.budget.growth(&self.arena);
        if more == 0 {
            return Err(self.budget.exhausted(&self.arena, held, 0, None));
        }
        if let Err(error) = self.arena.grow(more) {
            return Err(self.budget.exhausted(&self.arena, held, 0, Some(error)));
        }
        lock(&self.free.slots).extend((first + 1..first + more as u32).rev());
        Ok(first)
    }

    pub(super) fn stats(&self, waits: &TrainerStats) -> Stats {
        Stats {
            batches: waits.batches,
            samples: waits.samples,
            wait: waits.wait,
            slots: self.arena.slots(),
            held_slots: self.free.held.load(Ordering::Acquire),
            arena_bytes: self.arena.bytes(),
            read_seconds: self.done.read.as_secs_f64(),
            decode_seconds: self.done.times.decode.as_secs_f64(),
            transform_seconds: self.done.times.transform.as_secs_f64(),
            counters: self.done.times.counters.clone().into(),
            failed_samples: self.quarantine.count,
            quarantine: self.quarantine.first.clone(),
            ..Stats::default()
        }
    }
}
