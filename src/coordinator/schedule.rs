//! Who fills what, when: a pure state machine. Events go in, actions come out; it knows no process, socket or clock.
//!
//! The unit of work is a run of rows of one slot. Runs are handed out in the order of the epoch, to whichever
//! worker has room, so several workers fill one batch; batches are delivered in order. A slot goes
//! Free -> Filling -> Ready -> Held -> Free, and is back-pressure by itself: no free slot, no work. A cancelled
//! slot that somebody may still write to is Draining until every writer has reported or its end is confirmed.
//!
//! When a worker ends, its rows are done again. The rows that it had in hand are done one at a time by a worker
//! that has nothing else, so that a row which kills two workers is known for certain: a poison sample.
//!
//! When the last run of an epoch is handed out, the next epoch begins in advance; its batches are delivered once
//! the trainer asks for that epoch, and cancelled if it asks for another.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use crate::{
    error::{SampleError, Stage},
    job::{MAX_ATTEMPTS, OnError},
    protocol::{Fill, Run},
    sampler::{EpochPlan, Sampler},
    worker::RowFailure,
};

/// Runs that a worker may have at once: one in work and one waiting, so that it never idles for a message.
pub const LANES: usize = 2;
/// Deaths of one row before it counts as poison.
const POISON_DEATHS: u32 = 2;
/// Workers that may end before they are up, one after another, before the pool gives up.
const MAX_BOOT_FAILURES: u32 = 5;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The trainer begins an iteration.
    Start {
        /// The iteration.
        generation: u64,
        /// Its epoch.
        epoch: u64,
        /// Where in the epoch it begins.
        cursor: u64,
    },
    /// The trainer gives a slot back.
    Release {
        /// The slot.
        slot: u32,
    },
    /// The arena has more slots.
    Grown {
        /// How many more.
        slots: u32,
    },
    /// A worker is ready.
    Up {
        /// The worker.
        worker: u32,
    },
    /// A worker has finished a run.
    Done {
        /// The worker.
        worker: u32,
        /// Which of its runs.
        lane: u32,
        /// The samples that failed; only fatal ones keep the batch from being delivered.
        failures: Vec<RowFailure>,
    },
    /// A worker's end is confirmed: nothing it wrote to can change any more.
    Down {
        /// The worker.
        worker: u32,
        /// How it ended, in words.
        ended: String,
        /// The rows that it had in hand: slot and row.
        in_hand: Vec<(u32, u32)>,
    },
    /// A worker was killed and does not end; its slots are lost until it does.
    Stuck {
        /// The worker.
        worker: u32,
    },
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a worker and report its number as up.
    Hire {
        /// The worker's number, never used before.
        worker: u32,
        /// The seat that it takes, below the number of workers asked for.
        seat: u32,
    },
    /// Send a run to a worker.
    Fill {
        /// The worker.
        worker: u32,
        /// The run; its tag is the lane.
        fill: Fill,
    },
    /// Hand a slot to the trainer.
    Ready {
        /// The iteration.
        generation: u64,
        /// The batch.
        batch: u64,
        /// The slot.
        slot: u32,
        /// Its rows.
        rows: u32,
    },
    /// Hand a slot to the trainer with an error in the place of a batch.
    Failed {
        /// The iteration.
        generation: u64,
        /// The batch.
        batch: u64,
        /// The slot.
        slot: u32,
        /// The failed sample of the lowest row.
        error: SampleError,
    },
    /// Count a sample that killed its workers and was given up.
    Record(SampleError),
    /// End a worker that breaks the protocol.
    Kill {
        /// The worker.
        worker: u32,
    },
    /// End the pool.
    Over {
        /// Why.
        reason: String,
    },
}

#[derive(Debug)]
struct Epoch {
    number: u64,
    /// None while the epoch has been begun in advance.
    generation: Option<u64>,
    plan: EpochPlan,
    /// The batch and row to hand out next, and the slot that the batch has.
    next: (u64, u32),
    filling: Option<u32>,
    /// The batch to deliver next.
    deliver: u64,
}

/// A batch in a slot.
#[derive(Debug)]
struct Batch {
    epoch: u64,
    number: u64,
    rows: u32,
    left: u32,
    failures: Vec<RowFailure>,
}

#[derive(Debug)]
enum Slot {
    Free,
    Filling(Batch),
    Ready(Batch),
    Held,
    Draining,
}

/// Rows to hand out.
#[derive(Clone, Debug)]
struct Todo {
    run: Run,
    attempt: u32,
    /// For a worker that has nothing else in hand.
    solo: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Booting,
    Up,
    /// Killed, and not yet gone.
    Condemned,
    /// Killed long ago, and still not gone; another worker has its seat.
    Stuck,
}

#[derive(Debug)]
struct Worker {
    seat: u32,
    standing: Standing,
    lanes: [Option<(Todo, Fill)>; LANES],
}

impl Worker {
    fn in_flight(&self) -> usize {
        self.lanes.iter().flatten().count()
    }

    fn has_solo(&self) -> bool {
        self.lanes.iter().flatten().any(|(todo, _)| todo.solo)
    }
}

/// The state of the pool.
#[derive(Debug)]
pub struct Schedule {
    sampler: Sampler,
    on_error: OnError,
    run_rows: u32,
    slots: Vec<Slot>,
    free: BTreeSet<u32>,
    epochs: VecDeque<Epoch>,
    epochs_begun: u64,
    /// Rows of filling slots that must be done again.
    redo: VecDeque<Todo>,
    /// Batches that must be begun again in another slot.
    again: BTreeSet<(u64, u64)>,
    ready: HashMap<(u64, u64), u32>,
    deaths: HashMap<(u64, u64, u32, u32), u32>,
    workers: BTreeMap<u32, Worker>,
    hired: u32,
    boot_failures: u32,
    over: bool,
}

impl Schedule {
    /// Returns the schedule of a pool, and its first actions: to hire the workers.
    ///
    /// Runs have at least `min_run` rows, where less work would not be worth a message.
    pub fn new(sampler: Sampler, on_error: OnError, workers: u32, slots: u32, min_run: u32) -> (Self, Vec<Action>) {
        // Two runs a worker and batch: the first batch is shared by all, and a slow sample delays few others.
        let run_rows = sampler.batch_size.div_ceil(workers.max(1) * 2).max(min_run).min(sampler.batch_size);
        let mut schedule = Self {
            sampler,
            on_error,
            run_rows,
            slots: Vec::new(),
            free: BTreeSet::new(),
            epochs: VecDeque::new(),
            epochs_begun: 0,
            redo: VecDeque::new(),
            again: BTreeSet::new(),
            ready: HashMap::new(),
            deaths: HashMap::new(),
            workers: BTreeMap::new(),
            hired: 0,
            boot_failures: 0,
            over: false,
        };
        let mut actions = Vec::new();
        schedule.grow(slots);
        (0..workers).for_each(|seat| schedule.hire(seat, &mut actions));
        (schedule, actions)
    }

    /// Takes in an event and returns what it leads to.
    pub fn on(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.over {
            return actions;
        }
        match event {
            Event::Start { generation, epoch, cursor } => self.start(generation, epoch, cursor),
            Event::Release { slot } => self.release(slot),
            Event::Grown { slots } => self.grow(slots),
            Event::Up { worker } => self.up(worker),
            Event::Done { worker, lane, failures } => self.done(worker, lane, failures, &mut actions),
            Event::Down { worker, ended, in_hand } => self.down(worker, &ended, &in_hand, &mut actions),
            Event::Stuck { worker } => self.stuck(worker, &mut actions),
        }
        self.deliver(&mut actions);
        self.assign(&mut actions);
        actions
    }

    /// Returns the runs that a worker has.
    pub fn in_flight(&self, worker: u32) -> impl Iterator<Item = &Fill> {
        self.workers.get(&worker).into_iter().flat_map(|worker| worker.lanes.iter().flatten().map(|(_, fill)| fill))
    }

    /// Returns the plan of the epoch that a filling slot belongs to, for naming its samples.
    pub fn index_of(&self, slot: u32, row: u32, attempt: u32) -> Option<u64> {
        let Slot::Filling(batch) = self.slots.get(slot as usize)? else { return None };
        Some(self.epoch(batch.epoch)?.plan.index(batch.number, row, attempt))
    }

    /// Tells whether a worker has come up.
    pub fn is_up(&self, worker: u32) -> bool {
        self.workers.get(&worker).is_some_and(|worker| worker.standing == Standing::Up)
    }

    fn hire(&mut self, seat: u32, actions: &mut Vec<Action>) {
        let worker = self.hired;
        self.hired += 1;
        self.workers.insert(worker, Worker { seat, standing: Standing::Booting, lanes: [None, None] });
        actions.push(Action::Hire { worker, seat });
    }

    fn grow(&mut self, slots: u32) {
        let first = self.slots.len() as u32;
        self.slots.extend((0..slots).map(|_| Slot::Free));
        self.free.extend(first..first + slots);
    }

    fn epoch(&self, number: u64) -> Option<&Epoch> {
        self.epochs.iter().find(|epoch| epoch.number == number)
    }

    fn begin(&mut self, generation: Option<u64>, epoch: u64, cursor: u64) {
        let plan = self.sampler.plan(epoch, cursor);
        self.epochs_begun += 1;
        let number = self.epochs_begun;
        self.epochs.push_back(Epoch { number, generation, plan, next: (0, 0), filling: None, deliver: 0 });
    }

    fn start(&mut self, generation: u64, epoch: u64, cursor: u64) {
        if let Some(front) = self.epochs.front_mut()
            && front.generation.is_none()
            && (front.plan.epoch(), front.plan.cursor()) == (epoch, cursor)
        {
            front.generation = Some(generation);
            return;
        }
        self.epochs.clear();
        self.redo.clear();
        self.again.clear();
        self.ready.clear();
        self.deaths.clear();
        for slot in 0..self.slots.len() as u32 {
            if matches!(self.slots[slot as usize], Slot::Filling(_) | Slot::Ready(_)) {
                self.drain(slot);
            }
        }
        self.begin(Some(generation), epoch, cursor);
    }

    /// Frees a slot as soon as nobody can write to it any more.
    fn drain(&mut self, slot: u32) {
        let written =
            self.workers.values().any(|worker| worker.lanes.iter().flatten().any(|(todo, _)| todo.run.slot == slot));
        if written {
            self.slots[slot as usize] = Slot::Draining;
        } else {
            self.slots[slot as usize] = Slot::Free;
            self.free.insert(slot);
        }
    }

    fn release(&mut self, slot: u32) {
        if let Some(Slot::Held) = self.slots.get(slot as usize) {
            self.drain(slot);
        }
    }

    fn up(&mut self, worker: u32) {
        if let Some(worker) = self.workers.get_mut(&worker)
            && worker.standing == Standing::Booting
        {
            worker.standing = Standing::Up;
            self.boot_failures = 0;
        }
    }

    fn done(&mut self, id: u32, lane: u32, failures: Vec<RowFailure>, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Some((todo, fill)) = worker.lanes.get_mut(lane as usize).and_then(Option::take) else {
            worker.standing = Standing::Condemned;
            actions.push(Action::Kill { worker: id });
            return;
        };
        let rows = todo.run.first_row..todo.run.first_row + todo.run.rows;
        if failures.iter().any(|failure| !rows.contains(&failure.row)) {
            // A report that names rows it was not given cannot be trusted in anything.
            worker.lanes[lane as usize] = Some((todo, fill));
            worker.standing = Standing::Condemned;
            actions.push(Action::Kill { worker: id });
            return;
        }
        self.finish(todo.run, failures);
    }

    /// Books rows of a slot as finished.
    fn finish(&mut self, run: Run, failures: Vec<RowFailure>) {
        match &mut self.slots[run.slot as usize] {
            Slot::Filling(batch) => {
                batch.left -= run.rows;
                batch.failures.extend(failures.into_iter().filter(|failure| failure.fatal));
                if batch.left == 0 {
                    let key = (batch.epoch, batch.number);
                    let Slot::Filling(batch) = std::mem::replace(&mut self.slots[run.slot as usize], Slot::Free) else {
                        unreachable!("the slot was just seen filling")
                    };
                    self.slots[run.slot as usize] = Slot::Ready(batch);
                    self.ready.insert(key, run.slot);
                }
            }
            Slot::Draining => self.drain(run.slot),
            Slot::Free | Slot::Ready(_) | Slot::Held => {}
        }
    }

    fn down(&mut self, id: u32, ended: &str, in_hand: &[(u32, u32)], actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.remove(&id) else { return };
        for (todo, _) in worker.lanes.into_iter().flatten() {
            match self.slots[todo.run.slot as usize] {
                Slot::Filling(_) => self.take_back(&todo, ended, in_hand, actions),
                Slot::Draining => self.drain(todo.run.slot),
                Slot::Free | Slot::Ready(_) | Slot::Held => {}
            }
        }
        match worker.standing {
            Standing::Stuck => return,
            Standing::Booting => self.boot_failures += 1,
            Standing::Up | Standing::Condemned => {}
        }
        if self.boot_failures >= MAX_BOOT_FAILURES {
            self.over = true;
            let reason =
                format!("{MAX_BOOT_FAILURES} workers in a row ended before they were up; the last one: {ended}");
            actions.push(Action::Over { reason });
        } else {
            self.hire(worker.seat, actions);
        }
    }

    /// Plans the rows of a worker that ended anew.
    fn take_back(&mut self, todo: &Todo, ended: &str, in_hand: &[(u32, u32)], actions: &mut Vec<Action>) {
        let Run { slot, first_row, rows } = todo.run;
        let mut begun = first_row;
        for row in first_row..first_row + rows {
            if !in_hand.contains(&(slot, row)) {
                continue;
            }
            self.redo(todo, begun, row);
            begun = row + 1;
            self.suspect(slot, row, todo.attempt, ended, actions);
        }
        self.redo(todo, begun, first_row + rows);
    }

    /// Plans a part of a run anew: alone if it was alone, since its row has been in a dead worker's hands before.
    fn redo(&mut self, todo: &Todo, from: u32, to: u32) {
        if from < to {
            let run = Run { slot: todo.run.slot, first_row: from, rows: to - from };
            self.redo.push_back(Todo { run, ..todo.clone() });
        }
    }

    /// Books a death on a row, and plans it alone, or gives it up.
    fn suspect(&mut self, slot: u32, row: u32, attempt: u32, ended: &str, actions: &mut Vec<Action>) {
        let Slot::Filling(batch) = &self.slots[slot as usize] else { return };
        let (epoch, number) = (batch.epoch, batch.number);
        let run = Run { slot, first_row: row, rows: 1 };
        let deaths = self.deaths.entry((epoch, number, row, attempt)).or_insert(0);
        *deaths += 1;
        if *deaths < POISON_DEATHS {
            self.redo.push_back(Todo { run, attempt, solo: true });
            return;
        }
        let Some(epoch) = self.epoch(epoch) else { return };
        let error = SampleError {
            index: epoch.plan.index(number, row, attempt),
            key: String::new(),
            stage: Stage::Worker,
            reason: format!("it ended {POISON_DEATHS} workers, the last one {ended}"),
            errno: None,
            worker: None,
        };
        actions.push(Action::Record(error.clone()));
        if self.on_error == OnError::Raise || attempt + 1 >= MAX_ATTEMPTS {
            self.finish(run, vec![RowFailure { row, fatal: true, error }]);
        } else {
            self.redo.push_back(Todo { run, attempt: attempt + 1, solo: false });
        }
    }

    fn stuck(&mut self, id: u32, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.standing == Standing::Stuck {
            return;
        }
        worker.standing = Standing::Stuck;
        let seat = worker.seat;
        let lost: BTreeSet<u32> = worker.lanes.iter().flatten().map(|(todo, _)| todo.run.slot).collect();
        for slot in lost {
            if let Slot::Filling(batch) = &self.slots[slot as usize] {
                let key = (batch.epoch, batch.number);
                self.begin_again(slot, key);
            }
        }
        self.hire(seat, actions);
    }

    /// Takes a batch out of its slot, to be begun again in another.
    fn begin_again(&mut self, slot: u32, (epoch, batch): (u64, u64)) {
        self.redo.retain(|todo| todo.run.slot != slot);
        self.ready.remove(&(epoch, batch));
        self.drain(slot);
        let Some(epoch) = self.epochs.iter_mut().find(|begun| begun.number == epoch) else { return };
        if epoch.filling == Some(slot) {
            // Half handed out: hand it out from its first row.
            epoch.filling = None;
            epoch.next = (batch, 0);
        } else {
            self.again.insert((epoch.number, batch));
        }
    }

    fn deliver(&mut self, actions: &mut Vec<Action>) {
        while let Some(front) = self.epochs.front_mut()
            && let Some(generation) = front.generation
        {
            if front.deliver >= front.plan.batches() {
                // The epoch after it has begun in advance, if there is one to begin.
                self.advance();
                self.epochs.pop_front();
                continue;
            }
            let Some(slot) = self.ready.remove(&(front.number, front.deliver)) else { return };
            front.deliver += 1;
            let Slot::Ready(batch) = std::mem::replace(&mut self.slots[slot as usize], Slot::Held) else {
                unreachable!("slot {slot} is listed as ready")
            };
            let Batch { number: batch, rows, failures, .. } = batch;
            actions.push(match failures.into_iter().min_by_key(|failure| failure.row) {
                None => Action::Ready { generation, batch, slot, rows },
                Some(RowFailure { error, .. }) => Action::Failed { generation, batch, slot, error },
            });
        }
    }

    /// Begins the next epoch in advance, once every run of the last one is handed out.
    fn advance(&mut self) {
        let Some(last) = self.epochs.back() else { return };
        if last.generation.is_some() && last.next.0 >= last.plan.batches() {
            let epoch = last.plan.epoch() + 1;
            if self.sampler.plan(epoch, 0).batches() > 0 {
                self.begin(None, epoch, 0);
            }
        }
    }

    fn assign(&mut self, actions: &mut Vec<Action>) {
        loop {
            self.advance();
            let solo_waits = self.redo.iter().any(|todo| todo.solo);
            let lanes = if solo_waits { 1 } else { LANES };
            let candidate = self
                .workers
                .iter()
                .filter(|(_, worker)| {
                    worker.standing == Standing::Up && !worker.has_solo() && worker.in_flight() < lanes
                })
                .min_by_key(|(_, worker)| worker.in_flight())
                .map(|(&id, _)| id);
            let Some(id) = candidate else { return };
            let Some(todo) = self.next_todo(solo_waits) else { return };
            let Slot::Filling(batch) = &self.slots[todo.run.slot as usize] else {
                unreachable!("work is handed out for filling slots only")
            };
            let Some(epoch) = self.epoch(batch.epoch) else { unreachable!("a filling slot belongs to an epoch") };
            let (epoch_number, cursor) = (epoch.plan.epoch(), epoch.plan.cursor());
            let batch = batch.number;
            let Some(worker) = self.workers.get_mut(&id) else { unreachable!("the worker was just found") };
            let Some(lane) = worker.lanes.iter().position(Option::is_none) else { unreachable!("it has a lane free") };
            let fill =
                Fill { tag: lane as u32, run: todo.run, epoch: epoch_number, cursor, batch, attempt: todo.attempt };
            worker.lanes[lane] = Some((todo, fill));
            actions.push(Action::Fill { worker: id, fill });
        }
    }

    fn next_todo(&mut self, solo: bool) -> Option<Todo> {
        if let Some(place) = self.redo.iter().position(|todo| todo.solo == solo) {
            return self.redo.remove(place);
        }
        if let Some(&(number, batch)) = self.again.first() {
            self.make_room((number, batch));
            let slot = self.free.pop_first()?;
            self.again.pop_first();
            let rows = self.epoch(number)?.plan.rows(batch);
            self.slots[slot as usize] =
                Slot::Filling(Batch { epoch: number, number: batch, rows, left: rows, failures: vec![] });
            for first_row in (0..rows).step_by(self.run_rows as usize) {
                let run = Run { slot, first_row, rows: self.run_rows.min(rows - first_row) };
                self.redo.push_back(Todo { run, attempt: 0, solo: false });
            }
            return self.redo.pop_front();
        }
        let run_rows = self.run_rows;
        let epoch = self.epochs.iter_mut().find(|epoch| epoch.next.0 < epoch.plan.batches())?;
        let (batch, first_row) = epoch.next;
        let rows = epoch.plan.rows(batch);
        let slot = if let Some(slot) = epoch.filling {
            slot
        } else {
            let slot = self.free.pop_first()?;
            let number = epoch.number;
            self.slots[slot as usize] =
                Slot::Filling(Batch { epoch: number, number: batch, rows, left: rows, failures: vec![] });
            epoch.filling = Some(slot);
            slot
        };
        let run = Run { slot, first_row, rows: run_rows.min(rows - first_row) };
        if first_row + run.rows == rows {
            epoch.next = (batch + 1, 0);
            epoch.filling = None;
        } else {
            epoch.next = (batch, first_row + run.rows);
        }
        Some(Todo { run, attempt: 0, solo: false })
    }

    /// Frees a slot for an earlier batch by putting a later, finished one back: else both would wait for good.
    fn make_room(&mut self, before: (u64, u64)) {
        if self.free.is_empty()
            && let Some((&key, &slot)) = self.ready.iter().max_by_key(|(key, _)| **key)
            && key > before
        {
            self.begin_again(slot, key);
        }
    }
}

#[cfg(test)]
mod tests;
