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

use self::parts::{
    BatchStage, BatchState, Blamed, EpochState, GivenUp, PlannedRun, Sharing, SlotState, WorkerStage, WorkerState,
};
use super::event::{Action, Assignment, Event, RowInHand};
use crate::{
    error::{SampleError, Stage},
    job::{MAX_ATTEMPTS, OnError},
    protocol::{Fill, Run, Work},
    sampler::Sampler,
    worker::RowFailure,
};

/// Runs that a worker may have at once: one in work and one waiting, so that it never idles for a message.
pub const LANES: usize = 2;
/// Deaths of one row before it counts as poison.
const POISON_DEATHS: u32 = 2;
/// Workers that may end before they are up, one after another, before the pool gives up.
const MAX_BOOT_FAILURES: u32 = 5;
/// Ends without a run that was done in between, for each worker, after which the next ones wait before they start ...
const PAUSE_AFTER: u32 = 4;
/// ... and after which the pool gives up.
const GIVE_UP_AFTER: u32 = 64;

/// Epoch, batch, and what of it.
type DeathKey = (u64, u64, Blamed);

/// The options that the schedule depends on.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleOptions {
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
    slots: Vec<SlotState>,
    free: BTreeSet<u32>,
    epochs: VecDeque<EpochState>,
    epochs_begun: u64,
    /// Rows of filling slots that must be done again.
    runs_to_redo: VecDeque<PlannedRun>,
    /// Batches that must be begun again in another slot.
    batches_to_restart: BTreeSet<(u64, u64)>,
    ready: HashMap<(u64, u64), u32>,
    deaths: HashMap<DeathKey, u32>,
    workers: BTreeMap<u32, WorkerState>,
    seats: u32,
    hired: u32,
    boot_failures: u32,
    /// Ends of workers since a run was last done.
    ends_without_work: u32,
    /// Slots that workers which do not end may still write to.
    lost_slots: u32,
    /// What is given up of the batches to begin again.
    given_up: HashMap<(u64, u64), GivenUp>,
    over: bool,
}

impl Schedule {
    /// Returns the schedule of a pool, and its first actions: to hire the workers.
    pub fn new(sampler: Sampler, options: ScheduleOptions, workers: u32, slots: u32) -> (Self, Vec<Action>) {
        let ScheduleOptions { on_error, min_run, finishes } = options;
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
            runs_to_redo: VecDeque::new(),
            batches_to_restart: BTreeSet::new(),
            ready: HashMap::new(),
            deaths: HashMap::new(),
            workers: BTreeMap::new(),
            seats: workers,
            hired: 0,
            boot_failures: 0,
            ends_without_work: 0,
            lost_slots: 0,
            given_up: HashMap::new(),
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
            Event::Done { worker, lane, report } => self.done(worker, lane, report.failures, &mut actions),
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

    /// Returns what every worker has to do.
    pub fn assignments(&self) -> BTreeMap<u32, Assignment> {
        self.workers.iter().map(|(&id, worker)| (id, worker.assignment())).collect()
    }

    /// Returns what a worker has to do.
    pub fn assignment(&self, worker: u32) -> Assignment {
        self.workers.get(&worker).map(WorkerState::assignment).unwrap_or_default()
    }

    fn hire(&mut self, seat: u32, actions: &mut Vec<Action>) {
        let worker = self.hired;
        self.hired += 1;
        self.workers.insert(worker, WorkerState { seat, stage: WorkerStage::Booting, lanes: [None, None] });
        let pause = self.ends_without_work > PAUSE_AFTER * self.seats;
        actions.push(Action::Hire { worker, seat, pause });
    }

    fn grow(&mut self, slots: u32) {
        let first = self.slots.len() as u32;
        self.slots.extend((0..slots).map(|_| SlotState::Free));
        self.free.extend(first..first + slots);
    }

    fn epoch(&self, number: u64) -> Option<&EpochState> {
        self.epochs.iter().find(|epoch| epoch.number == number)
    }

    fn begin(&mut self, generation: Option<u64>, epoch: u64, cursor: u64) {
        let partition = self.sampler.partition(epoch, cursor);
        self.epochs_begun += 1;
        let number = self.epochs_begun;
        self.epochs.push_back(EpochState { number, generation, partition, next: (0, 0), filling: None, deliver: 0 });
    }

    fn start(&mut self, generation: u64, epoch: u64, cursor: u64) {
        if let Some(front) = self.epochs.front_mut()
            && front.generation.is_none()
            && (front.partition.epoch(), front.partition.cursor()) == (epoch, cursor)
        {
            front.generation = Some(generation);
            return;
        }
        self.epochs.clear();
        self.runs_to_redo.clear();
        self.batches_to_restart.clear();
        self.ready.clear();
        self.deaths.clear();
        self.given_up.clear();
        for slot in 0..self.slots.len() as u32 {
            if matches!(self.slots[slot as usize], SlotState::Filling(_) | SlotState::Ready(_)) {
                self.drain(slot);
            }
        }
        self.begin(Some(generation), epoch, cursor);
    }

    /// Frees a slot as soon as nobody can write to it any more.
    fn drain(&mut self, slot: u32) {
        let written = self
            .workers
            .values()
            .any(|worker| worker.lanes.iter().flatten().any(|(planned, _)| planned.run.slot == slot));
        if written {
            self.slots[slot as usize] = SlotState::Draining;
        } else {
            self.slots[slot as usize] = SlotState::Free;
            self.free.insert(slot);
        }
    }

    fn release(&mut self, slot: u32) {
        if let Some(SlotState::Held) = self.slots.get(slot as usize) {
            self.drain(slot);
        }
    }

    fn up(&mut self, worker: u32) {
        if let Some(worker) = self.workers.get_mut(&worker)
            && worker.stage == WorkerStage::Booting
        {
            worker.stage = WorkerStage::Up;
            self.boot_failures = 0;
        }
    }

    /// A worker that is being killed gets no more work.
    fn condemn(&mut self, worker: u32) {
        if let Some(worker) = self.workers.get_mut(&worker)
            && matches!(worker.stage, WorkerStage::Up | WorkerStage::Booting)
        {
            worker.stage = WorkerStage::Condemned;
        }
    }

    fn done(&mut self, id: u32, lane: u32, failures: Vec<RowFailure>, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Some(Some((planned, _))) = worker.lanes.get_mut(lane as usize) else {
            self.condemn(id);
            actions.push(Action::Kill { worker: id });
            return;
        };
        let run = planned.run;
        let rows = run.first_row..run.first_row + run.rows;
        if failures.iter().any(|failure| !rows.contains(&failure.row)) {
            // A report that names rows it was not given cannot be trusted in anything.
            self.condemn(id);
            actions.push(Action::Kill { worker: id });
            return;
        }
        worker.lanes[lane as usize] = None;
        self.ends_without_work = 0;
        self.rows_done(run, failures);
    }

    /// Counts rows of a slot as done.
    fn rows_done(&mut self, run: Run, failures: Vec<RowFailure>) {
        match &mut self.slots[run.slot as usize] {
            SlotState::Filling(batch) => {
                batch.left -= run.rows;
                batch.failures.extend(failures.into_iter().filter(|failure| failure.fatal));
                if batch.left == 0 && self.finishes && batch.stage == BatchStage::Filling && batch.failures.is_empty() {
                    self.hand_out_to_finish(run.slot);
                } else if batch.left == 0 {
                    let key = (batch.epoch, batch.number);
                    let SlotState::Filling(batch) =
                        std::mem::replace(&mut self.slots[run.slot as usize], SlotState::Free)
                    else {
                        unreachable!("the slot was just seen filling")
                    };
                    self.slots[run.slot as usize] = SlotState::Ready(batch);
                    self.ready.insert(key, run.slot);
                }
            }
            SlotState::Draining => self.drain(run.slot),
            SlotState::Free | SlotState::Ready(_) | SlotState::Held => {}
        }
    }

    fn down(&mut self, id: u32, ended: &str, in_hand: &[RowInHand], actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.remove(&id) else { return };
        for (planned, _) in worker.lanes.into_iter().flatten() {
            match self.slots[planned.run.slot as usize] {
                SlotState::Filling(_) if planned.work == Work::Finish => {
                    self.take_back_batch(planned.run.slot, ended, in_hand, actions)
                }
                SlotState::Filling(_) => self.take_back(&planned, ended, in_hand, actions),
                SlotState::Draining => self.drain(planned.run.slot),
                SlotState::Free | SlotState::Ready(_) | SlotState::Held => {}
            }
        }
        match worker.stage {
            WorkerStage::Stuck => return,
            WorkerStage::Booting => self.boot_failures += 1,
            WorkerStage::Up | WorkerStage::Condemned => {}
        }
        self.ends_without_work += 1;
        let reason = if self.boot_failures >= MAX_BOOT_FAILURES {
            format!("{MAX_BOOT_FAILURES} workers in a row ended before they were up; the last one {ended}")
        } else if self.ends_without_work >= GIVE_UP_AFTER * self.seats {
            format!(
                "{} workers in a row ended before they got anything done; the last one {ended}",
                self.ends_without_work
            )
        } else {
            self.hire(worker.seat, actions);
            return;
        };
        self.over = true;
        actions.push(Action::Over { reason });
    }

    /// Plans again the rows of a worker that has ended.
    fn take_back(&mut self, planned: &PlannedRun, ended: &str, in_hand: &[RowInHand], actions: &mut Vec<Action>) {
        let Run { slot, first_row, rows } = planned.run;
        let mut begun = first_row;
        for row in first_row..first_row + rows {
            let Some(hand) = in_hand.iter().find(|hand| (hand.slot, hand.row) == (slot, row)) else { continue };
            self.redo(planned, begun, row);
            begun = row + 1;
            let deaths = self.count_death(slot, Blamed::Row { row, index: hand.index });
            if deaths < POISON_DEATHS {
                let run = Run { slot, first_row: row, rows: 1 };
                self.runs_to_redo
                    .push_back(PlannedRun { sharing: Sharing::Alone, ..PlannedRun::fill(run, planned.attempt) });
            } else {
                self.poison(*hand, ended, actions);
            }
        }
        self.redo(planned, begun, first_row + rows);
    }

    /// Plans a part of a run again. If the run was alone in its worker, so is the part: a worker has died at this row before.
    fn redo(&mut self, planned: &PlannedRun, from: u32, to: u32) {
        if from < to {
            let run = Run { slot: planned.run.slot, first_row: from, rows: to - from };
            self.runs_to_redo.push_back(PlannedRun { run, ..planned.clone() });
        }
    }

    /// Counts a worker's death against what it had in hand, and returns how many there were.
    fn count_death(&mut self, slot: u32, blamed: Blamed) -> u32 {
        let SlotState::Filling(batch) = &self.slots[slot as usize] else { return 0 };
        let deaths = self.deaths.entry((batch.epoch, batch.number, blamed)).or_insert(0);
        *deaths += 1;
        *deaths
    }

    /// Gives a sample up: its row fails, or gets the next candidate.
    fn poison(&mut self, hand: RowInHand, ended: &str, actions: &mut Vec<Action>) {
        let RowInHand { slot, row, index } = hand;
        let SlotState::Filling(batch) = &self.slots[slot as usize] else { return };
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
        let tried =
            (0..MAX_ATTEMPTS).find(|&tried| self.on_error.candidate(&epoch.partition, number, row, tried) == index);
        let attempt = tried.map_or(MAX_ATTEMPTS, |tried| tried + 1);
        let run = Run { slot, first_row: row, rows: 1 };
        actions.push(Action::Quarantine(error.clone()));
        if self.on_error == OnError::Raise || attempt >= MAX_ATTEMPTS {
            self.rows_done(run, vec![RowFailure { row, fatal: true, error }]);
        } else {
            self.runs_to_redo.push_back(PlannedRun::fill(run, attempt));
        }
    }

    fn stuck(&mut self, id: u32, ended: &str, in_hand: &[RowInHand], actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.stage == WorkerStage::Stuck {
            return;
        }
        worker.stage = WorkerStage::Stuck;
        let seat = worker.seat;
        let lost: BTreeSet<u32> = worker.lanes.iter().flatten().map(|(planned, _)| planned.run.slot).collect();
        // A live process may still write to the slot, so its rows cannot be done again there. A second hang is counted
        // here, and the whole batch begins again without the sample.
        for hand in in_hand {
            let blamed = self.blamed(*hand);
            let deaths = self.count_death(hand.slot, blamed);
            if deaths >= POISON_DEATHS
                && let SlotState::Filling(batch) = &self.slots[hand.slot as usize]
            {
                let given_up = self.given_up.entry((batch.epoch, batch.number)).or_default();
                match blamed {
                    Blamed::Row { row, index } => drop(given_up.rows.insert(row, (index, ended.to_owned()))),
                    Blamed::Batch => given_up.batch = Some(ended.to_owned()),
                }
            }
        }
        for slot in lost {
            if let SlotState::Filling(batch) = &self.slots[slot as usize] {
                let key = (batch.epoch, batch.number);
                self.begin_again(slot, key);
            }
        }
        self.hire(seat, actions);
    }

    /// Tells the trainer when slots are lost or found again.
    fn count_lost(&mut self, actions: &mut Vec<Action>) {
        let stuck = self.workers.values().filter(|worker| worker.stage == WorkerStage::Stuck);
        let slots: BTreeSet<u32> =
            stuck.flat_map(|worker| worker.lanes.iter().flatten().map(|(planned, _)| planned.run.slot)).collect();
        if self.lost_slots != slots.len() as u32 {
            self.lost_slots = slots.len() as u32;
            actions.push(Action::Lost { slots: self.lost_slots });
        }
    }

    /// Takes a batch out of its slot, to be begun again in another.
    fn begin_again(&mut self, slot: u32, (number, batch): (u64, u64)) {
        self.runs_to_redo.retain(|planned| planned.run.slot != slot);
        self.ready.remove(&(number, batch));
        self.drain(slot);
        if let Some(epoch) = self.epochs.iter_mut().find(|epoch| epoch.number == number) {
            if epoch.filling == Some(slot) {
                // Half handed out: all of it is handed out again.
                epoch.filling = None;
                epoch.next = (batch + 1, 0);
            }
            self.batches_to_restart.insert((number, batch));
        }
    }

    /// Begins a batch again in a free slot, without the samples that are known to be poison.
    fn restart(&mut self, (number, batch): (u64, u64), slot: u32, actions: &mut Vec<Action>) {
        let Some(rows) = self.epoch(number).map(|epoch| epoch.partition.rows(batch)) else { return };
        self.slots[slot as usize] = SlotState::Filling(BatchState::new(number, batch, rows));
        let given_up = self.given_up.remove(&(number, batch)).unwrap_or_default();
        if let Some(ended) = given_up.batch {
            self.give_up_batch(slot, &ended, actions);
            return;
        }
        let mut begun = 0;
        for (row, (index, ended)) in given_up.rows {
            self.hand_out_again(slot, begun, row);
            begun = row + 1;
            self.poison(RowInHand { slot, row, index }, &ended, actions);
        }
        self.hand_out_again(slot, begun, rows);
    }

    fn hand_out_again(&mut self, slot: u32, from: u32, to: u32) {
        for first_row in (from..to).step_by(self.run_rows as usize) {
            let run = Run { slot, first_row, rows: self.run_rows.min(to - first_row) };
            self.runs_to_redo.push_back(PlannedRun::fill(run, 0));
        }
    }

    fn deliver(&mut self, actions: &mut Vec<Action>) {
        while let Some(front) = self.epochs.front_mut()
            && let Some(generation) = front.generation
        {
            if front.deliver >= front.partition.batches() {
                // The epoch after it has begun in advance, if there is one to begin.
                let number = front.number;
                self.deaths.retain(|key, _| key.0 != number);
                self.advance();
                self.epochs.pop_front();
                continue;
            }
            let Some(slot) = self.ready.remove(&(front.number, front.deliver)) else { return };
            front.deliver += 1;
            let SlotState::Ready(batch) = std::mem::replace(&mut self.slots[slot as usize], SlotState::Held) else {
                unreachable!("slot {slot} is listed as ready")
            };
            let BatchState { number: batch, rows, failures, .. } = batch;
            actions.push(match failures.into_iter().min_by_key(|failure| failure.row) {
                None => Action::Ready { generation, batch, slot, rows },
                Some(RowFailure { error, .. }) => Action::Failed { generation, batch, slot, error },
            });
        }
    }

    /// Begins the next epoch in advance, once every run of the last one is handed out.
    fn advance(&mut self) {
        let Some(last) = self.epochs.back() else { return };
        if last.generation.is_some() && last.next.0 >= last.partition.batches() {
            let epoch = last.partition.epoch() + 1;
            if self.sampler.partition(epoch, 0).batches() > 0 {
                self.begin(None, epoch, 0);
            }
        }
    }

    fn assign(&mut self, actions: &mut Vec<Action>) {
        loop {
            self.advance();
            let one_is_alone = self.runs_to_redo.iter().any(|planned| planned.sharing == Sharing::Alone);
            let (sharing, lanes) = if one_is_alone { (Sharing::Alone, 1) } else { (Sharing::WithOthers, LANES) };
            let candidate = self
                .workers
                .iter()
                .filter(|(_, worker)| {
                    worker.stage == WorkerStage::Up && !worker.is_alone_with_a_run() && worker.in_flight() < lanes
                })
                .min_by_key(|(_, worker)| worker.in_flight())
                .map(|(&id, _)| id);
            let Some(id) = candidate else { return };
            let Some(planned) = self.next_run(sharing, actions) else { return };
            let SlotState::Filling(batch) = &self.slots[planned.run.slot as usize] else {
                unreachable!("work is handed out for filling slots only")
            };
            let Some(epoch) = self.epoch(batch.epoch) else { unreachable!("a filling slot belongs to an epoch") };
            let (epoch_number, cursor) = (epoch.partition.epoch(), epoch.partition.cursor());
            let batch = batch.number;
            let Some(worker) = self.workers.get_mut(&id) else { unreachable!("the worker was just found") };
            let Some(lane) = worker.lanes.iter().position(Option::is_none) else { unreachable!("it has a lane free") };
            let PlannedRun { run, attempt, work, .. } = planned;
            let fill = Fill { tag: lane as u32, run, epoch: epoch_number, cursor, batch, attempt, work };
            worker.lanes[lane] = Some((planned, fill));
            actions.push(Action::Fill { worker: id, fill });
        }
    }

    fn next_run(&mut self, sharing: Sharing, actions: &mut Vec<Action>) -> Option<PlannedRun> {
        if let Some(at) = self.runs_to_redo.iter().position(|planned| planned.sharing == sharing) {
            return self.runs_to_redo.remove(at);
        }
        if let Some(&key) = self.batches_to_restart.first() {
            self.make_room(key);
            if let Some(slot) = self.free.pop_first() {
                self.batches_to_restart.remove(&key);
                self.restart(key, slot, actions);
                return self.next_run(sharing, actions);
            }
            // A later batch that is half handed out must be finished before its slot can make room.
            self.epochs.iter().find(|epoch| epoch.filling.is_some())?;
        }
        let run_rows = self.run_rows;
        let half = !self.batches_to_restart.is_empty();
        let epoch = self
            .epochs
            .iter_mut()
            .find(|epoch| epoch.next.0 < epoch.partition.batches() && (!half || epoch.filling.is_some()))?;
        let (batch, first_row) = epoch.next;
        let rows = epoch.partition.rows(batch);
        let slot = if let Some(slot) = epoch.filling {
            slot
        } else {
            let slot = self.free.pop_first()?;
            let number = epoch.number;
            self.slots[slot as usize] = SlotState::Filling(BatchState::new(number, batch, rows));
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
        Some(PlannedRun::fill(run, 0))
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
