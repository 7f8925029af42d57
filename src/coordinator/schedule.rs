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
//! A batch that must be finished as a whole is one more run, handed out first of all when its last row is done.
//! It changes rows in place, so that after its worker's end all rows of the batch are done again.
//!
//! When the last run of an epoch is handed out, the next epoch begins in advance; its batches are delivered once
//! the trainer asks for that epoch, and cancelled if it asks for another.

mod finishing;
mod parts;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use self::{
    finishing::WHOLE,
    parts::{Batch, Epoch, Slot, Standing, Todo, Worker},
};
use super::event::{Action, Event, InHand};
use crate::{
    error::{SampleError, Stage},
    job::{MAX_ATTEMPTS, OnError},
    protocol::{Fill, Run},
    sampler::Sampler,
    worker::RowFailure,
};

/// Runs that a worker may have at once: one in work and one waiting, so that it never idles for a message.
pub const LANES: usize = 2;
/// Deaths of one row before it counts as poison.
const POISON_DEATHS: u32 = 2;
/// Workers that may end before they are up, one after another, before the pool gives up.
const MAX_BOOT_FAILURES: u32 = 5;
/// Ends without a finished run in between, for each worker, after which the next ones wait before they start ...
const FRUITLESS_PAUSE: u32 = 4;
/// ... and after which the pool gives up.
const FRUITLESS_OVER: u32 = 64;

/// Epoch, batch and row, and the sample that was tried there.
type DeathKey = (u64, u64, u32, u64);

/// What is to be known of a loader to plan its work.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// What becomes of bad samples.
    pub on_error: OnError,
    /// The rows of a run, at least: less work would not be worth a message.
    pub min_run: u32,
    /// Whether a batch must be finished as a whole when its rows are done.
    pub finishes: bool,
}

/// The state of the pool.
#[derive(Debug)]
pub struct Schedule {
    sampler: Sampler,
    on_error: OnError,
    finishes: bool,
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
    deaths: HashMap<DeathKey, u32>,
    workers: BTreeMap<u32, Worker>,
    seats: u32,
    hired: u32,
    boot_failures: u32,
    /// Ends since a run was last finished.
    fruitless: u32,
    lost: u32,
    /// Samples of batches to begin again that are given up: the sample, and how its last worker ended.
    poisoned: HashMap<(u64, u64, u32), (u64, String)>,
    over: bool,
}

impl Schedule {
    /// Returns the schedule of a pool, and its first actions: to hire the workers.
    pub fn new(sampler: Sampler, terms: Terms, workers: u32, slots: u32) -> (Self, Vec<Action>) {
        let Terms { on_error, min_run, finishes } = terms;
        // Two runs a worker and batch: the first batch is shared by all, and a slow sample delays few others.
        let run_rows = sampler.batch_size.div_ceil(workers.max(1) * 2).max(min_run).min(sampler.batch_size);
        let mut schedule = Self {
            sampler,
            on_error,
            finishes,
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
            seats: workers,
            hired: 0,
            boot_failures: 0,
            fruitless: 0,
            lost: 0,
            poisoned: HashMap::new(),
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
            Event::Condemned { worker } => self.condemn(worker),
            Event::Stuck { worker, ended, in_hand } => self.stuck(worker, &ended, &in_hand, &mut actions),
        }
        self.count_lost(&mut actions);
        self.deliver(&mut actions);
        self.assign(&mut actions);
        // A batch that begins again may end at once, if all that is left of it is poison.
        self.deliver(&mut actions);
        actions
    }

    /// Returns the runs that a worker has.
    pub fn in_flight(&self, worker: u32) -> impl Iterator<Item = &Fill> {
        self.workers.get(&worker).into_iter().flat_map(|worker| worker.lanes.iter().flatten().map(|(_, fill)| fill))
    }

    /// Tells whether a worker has come up.
    pub fn is_up(&self, worker: u32) -> bool {
        self.workers.get(&worker).is_some_and(|worker| worker.standing == Standing::Up)
    }

    fn hire(&mut self, seat: u32, actions: &mut Vec<Action>) {
        let worker = self.hired;
        self.hired += 1;
        self.workers.insert(worker, Worker { seat, standing: Standing::Booting, lanes: [None, None] });
        let pause = self.fruitless > FRUITLESS_PAUSE * self.seats;
        actions.push(Action::Hire { worker, seat, pause });
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
        self.poisoned.clear();
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

    /// A worker that is being killed is not worth any more work.
    fn condemn(&mut self, worker: u32) {
        if let Some(worker) = self.workers.get_mut(&worker)
            && matches!(worker.standing, Standing::Up | Standing::Booting)
        {
            worker.standing = Standing::Condemned;
        }
    }

    fn done(&mut self, id: u32, lane: u32, failures: Vec<RowFailure>, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Some(Some((todo, _))) = worker.lanes.get_mut(lane as usize) else {
            self.condemn(id);
            actions.push(Action::Kill { worker: id });
            return;
        };
        let run = todo.run;
        let rows = run.first_row..run.first_row + run.rows;
        if failures.iter().any(|failure| !rows.contains(&failure.row)) {
            // A report that names rows it was not given cannot be trusted in anything.
            self.condemn(id);
            actions.push(Action::Kill { worker: id });
            return;
        }
        worker.lanes[lane as usize] = None;
        self.fruitless = 0;
        self.finish(run, failures);
    }

    /// Books rows of a slot as finished.
    fn finish(&mut self, run: Run, failures: Vec<RowFailure>) {
        match &mut self.slots[run.slot as usize] {
            Slot::Filling(batch) => {
                batch.left -= run.rows;
                batch.failures.extend(failures.into_iter().filter(|failure| failure.fatal));
                if batch.left == 0 && self.finishes && !batch.finishing && batch.failures.is_empty() {
                    self.hand_out_to_finish(run.slot);
                } else if batch.left == 0 {
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

    fn down(&mut self, id: u32, ended: &str, in_hand: &[InHand], actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.remove(&id) else { return };
        for (todo, _) in worker.lanes.into_iter().flatten() {
            match self.slots[todo.run.slot as usize] {
                Slot::Filling(_) if todo.finish => self.take_back_batch(todo.run.slot, ended, in_hand, actions),
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
        self.fruitless += 1;
        let reason = if self.boot_failures >= MAX_BOOT_FAILURES {
            format!("{MAX_BOOT_FAILURES} workers in a row ended before they were up; the last one {ended}")
        } else if self.fruitless >= FRUITLESS_OVER * self.seats {
            format!("{} workers in a row ended before they got anything done; the last one {ended}", self.fruitless)
        } else {
            self.hire(worker.seat, actions);
            return;
        };
        self.over = true;
        actions.push(Action::Over { reason });
    }

    /// Plans the rows of a worker that ended anew.
    fn take_back(&mut self, todo: &Todo, ended: &str, in_hand: &[InHand], actions: &mut Vec<Action>) {
        let Run { slot, first_row, rows } = todo.run;
        let mut begun = first_row;
        for row in first_row..first_row + rows {
            let Some(hand) = in_hand.iter().find(|hand| (hand.slot, hand.row) == (slot, row)) else { continue };
            self.redo(todo, begun, row);
            begun = row + 1;
            let deaths = self.book_death(*hand);
            if deaths < POISON_DEATHS {
                let run = Run { slot, first_row: row, rows: 1 };
                self.redo.push_back(Todo { run, attempt: todo.attempt, solo: true, finish: false });
            } else {
                self.poison(*hand, ended, actions);
            }
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

    /// Counts a worker's end against the sample that it had in hand, and returns how many there were.
    fn book_death(&mut self, hand: InHand) -> u32 {
        let Slot::Filling(batch) = &self.slots[hand.slot as usize] else { return 0 };
        let deaths = self.deaths.entry((batch.epoch, batch.number, hand.row, hand.index)).or_insert(0);
        *deaths += 1;
        *deaths
    }

    /// Gives a sample up: its row fails, or gets the next candidate.
    fn poison(&mut self, hand: InHand, ended: &str, actions: &mut Vec<Action>) {
        let InHand { slot, row, index } = hand;
        let Slot::Filling(batch) = &self.slots[slot as usize] else { return };
        let (number, epoch) = (batch.number, batch.epoch);
        let Some(epoch) = self.epoch(epoch) else { return };
        let error = SampleError {
            index,
            key: String::new(),
            stage: Stage::Worker,
            reason: format!("it ended {POISON_DEATHS} workers, the last one {ended}"),
            errno: None,
            offset: None,
            worker: None,
        };
        // The worker may have come to this sample by giving up others.
        let tried = (0..MAX_ATTEMPTS).find(|&tried| self.on_error.candidate(&epoch.plan, number, row, tried) == index);
        let attempt = tried.map_or(MAX_ATTEMPTS, |tried| tried + 1);
        let run = Run { slot, first_row: row, rows: 1 };
        actions.push(Action::Record(error.clone()));
        if self.on_error == OnError::Raise || attempt >= MAX_ATTEMPTS {
            self.finish(run, vec![RowFailure { row, fatal: true, error }]);
        } else {
            self.redo.push_back(Todo { run, attempt, solo: false, finish: false });
        }
    }

    fn stuck(&mut self, id: u32, ended: &str, in_hand: &[InHand], actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.standing == Standing::Stuck {
            return;
        }
        worker.standing = Standing::Stuck;
        let seat = worker.seat;
        let lost: BTreeSet<u32> = worker.lanes.iter().flatten().map(|(todo, _)| todo.run.slot).collect();
        // No one can redo a row of a slot that a live process may still write to, so a second hang is booked here, and
        // the whole batch begins again without the sample.
        for hand in in_hand {
            let hand = self.blamed(*hand);
            let deaths = self.book_death(hand);
            if deaths >= POISON_DEATHS
                && let Slot::Filling(batch) = &self.slots[hand.slot as usize]
            {
                self.poisoned.insert((batch.epoch, batch.number, hand.row), (hand.index, ended.to_owned()));
            }
        }
        for slot in lost {
            if let Slot::Filling(batch) = &self.slots[slot as usize] {
                let key = (batch.epoch, batch.number);
                self.begin_again(slot, key);
            }
        }
        self.hire(seat, actions);
    }

    /// Tells the trainer when slots are lost or found again.
    fn count_lost(&mut self, actions: &mut Vec<Action>) {
        let stuck = self.workers.values().filter(|worker| worker.standing == Standing::Stuck);
        let slots: BTreeSet<u32> =
            stuck.flat_map(|worker| worker.lanes.iter().flatten().map(|(todo, _)| todo.run.slot)).collect();
        if self.lost != slots.len() as u32 {
            self.lost = slots.len() as u32;
            actions.push(Action::Lost { slots: self.lost });
        }
    }

    /// Takes a batch out of its slot, to be begun again in another.
    fn begin_again(&mut self, slot: u32, (number, batch): (u64, u64)) {
        self.redo.retain(|todo| todo.run.slot != slot);
        self.ready.remove(&(number, batch));
        self.drain(slot);
        if let Some(epoch) = self.epochs.iter_mut().find(|epoch| epoch.number == number) {
            if epoch.filling == Some(slot) {
                // Half handed out: all of it is handed out again.
                epoch.filling = None;
                epoch.next = (batch + 1, 0);
            }
            self.again.insert((number, batch));
        }
    }

    /// Begins a batch again in a free slot, without the samples that are known to be poison.
    fn restart(&mut self, (number, batch): (u64, u64), slot: u32, actions: &mut Vec<Action>) {
        let Some(rows) = self.epoch(number).map(|epoch| epoch.plan.rows(batch)) else { return };
        self.slots[slot as usize] = Slot::Filling(Batch::new(number, batch, rows));
        if let Some((_, ended)) = self.poisoned.remove(&(number, batch, WHOLE)) {
            self.give_up_batch(slot, &ended, actions);
            return;
        }
        let mut begun = 0;
        for row in 0..rows {
            let Some((index, ended)) = self.poisoned.remove(&(number, batch, row)) else { continue };
            self.hand_out_again(slot, begun, row);
            begun = row + 1;
            self.poison(InHand { slot, row, index }, &ended, actions);
        }
        self.hand_out_again(slot, begun, rows);
    }

    fn hand_out_again(&mut self, slot: u32, from: u32, to: u32) {
        for first_row in (from..to).step_by(self.run_rows as usize) {
            let run = Run { slot, first_row, rows: self.run_rows.min(to - first_row) };
            self.redo.push_back(Todo { run, attempt: 0, solo: false, finish: false });
        }
    }

    fn deliver(&mut self, actions: &mut Vec<Action>) {
        while let Some(front) = self.epochs.front_mut()
            && let Some(generation) = front.generation
        {
            if front.deliver >= front.plan.batches() {
                // The epoch after it has begun in advance, if there is one to begin.
                let number = front.number;
                self.deaths.retain(|key, _| key.0 != number);
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
            let Some(todo) = self.next_todo(solo_waits, actions) else { return };
            let Slot::Filling(batch) = &self.slots[todo.run.slot as usize] else {
                unreachable!("work is handed out for filling slots only")
            };
            let Some(epoch) = self.epoch(batch.epoch) else { unreachable!("a filling slot belongs to an epoch") };
            let (epoch_number, cursor) = (epoch.plan.epoch(), epoch.plan.cursor());
            let batch = batch.number;
            let Some(worker) = self.workers.get_mut(&id) else { unreachable!("the worker was just found") };
            let Some(lane) = worker.lanes.iter().position(Option::is_none) else { unreachable!("it has a lane free") };
            let Todo { run, attempt, finish, .. } = todo;
            let fill = Fill { tag: lane as u32, run, epoch: epoch_number, cursor, batch, attempt, finish };
            worker.lanes[lane] = Some((todo, fill));
            actions.push(Action::Fill { worker: id, fill });
        }
    }

    fn next_todo(&mut self, solo: bool, actions: &mut Vec<Action>) -> Option<Todo> {
        if let Some(place) = self.redo.iter().position(|todo| todo.solo == solo) {
            return self.redo.remove(place);
        }
        if let Some(&key) = self.again.first() {
            self.make_room(key);
            if let Some(slot) = self.free.pop_first() {
                self.again.remove(&key);
                self.restart(key, slot, actions);
                return self.next_todo(solo, actions);
            }
            // A later batch that is half handed out must be finished before its slot can make room.
            self.epochs.iter().find(|epoch| epoch.filling.is_some())?;
        }
        let run_rows = self.run_rows;
        let half = !self.again.is_empty();
        let epoch = self
            .epochs
            .iter_mut()
            .find(|epoch| epoch.next.0 < epoch.plan.batches() && (!half || epoch.filling.is_some()))?;
        let (batch, first_row) = epoch.next;
        let rows = epoch.plan.rows(batch);
        let slot = if let Some(slot) = epoch.filling {
            slot
        } else {
            let slot = self.free.pop_first()?;
            let number = epoch.number;
            self.slots[slot as usize] = Slot::Filling(Batch::new(number, batch, rows));
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
        Some(Todo { run, attempt: 0, solo: false, finish: false })
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
