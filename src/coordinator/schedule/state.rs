//! The state of the pool, and what events do to it while nothing goes wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::{
    depth::Depth,
    ends::Streams,
    parts::{BatchStage, Blamed, EpochState, GivenUp, PlannedRun, SlotState, WorkerStage, WorkerState},
};
use crate::{
    coordinator::event::{Action, Assignment, Event},
    job::OnError,
    protocol::Run,
    sampler::Sampler,
    worker::{RowFailure, RunReport},
};

/// Ends without a run that was done in between, for each worker, after which the next ones wait before they start.
const PAUSE_AFTER: u32 = 4;

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
    /// Whether samples come as streams, one for each worker.
    pub streams: bool,
    /// Whether a worker reads ahead of what it makes, as many rows at a time as pay.
    pub overlaps: bool,
    /// The threads of a worker that make rows.
    pub threads: u32,
}

/// The state of the pool.
#[derive(Debug)]
pub struct Schedule {
    pub(super) sampler: Sampler,
    pub(super) on_error: OnError,
    pub(super) finishes: bool,
    pub(super) streams: bool,
    pub(super) depth: Depth,
    pub(super) run_rows: u32,
    pub(super) slots: Vec<SlotState>,
    pub(super) free: BTreeSet<u32>,
    pub(super) epochs: VecDeque<EpochState>,
    pub(super) epochs_begun: u64,
    /// Rows of filling slots that must be done again.
    pub(super) runs_to_redo: VecDeque<PlannedRun>,
    /// Batches that must be begun again in another slot.
    pub(super) batches_to_restart: BTreeSet<(u64, u64)>,
    pub(super) ready: HashMap<(u64, u64), u32>,
    pub(super) deaths: HashMap<DeathKey, u32>,
    pub(super) workers: BTreeMap<u32, WorkerState>,
    pub(super) seats: u32,
    pub(super) hired: u32,
    pub(super) boot_failures: u32,
    /// Ends of workers since a run was last done.
    pub(super) ends_without_work: u32,
    /// Slots that workers which do not end may still write to.
    pub(super) lost_slots: u32,
    /// What is given up of the batches to begin again.
    pub(super) given_up: HashMap<(u64, u64), GivenUp>,
    pub(super) over: bool,
}

impl Schedule {
    /// Returns the schedule of a pool, and its first actions: to hire the workers.
    pub fn new(sampler: Sampler, options: ScheduleOptions, workers: u32, slots: u32) -> (Self, Vec<Action>) {
        let ScheduleOptions { on_error, min_run, finishes, streams, overlaps, threads } = options;
        let batch_rows = sampler.usual_rows();
        let min_run = if streams { batch_rows } else { min_run };
        // Two runs a worker and batch: the first batch is shared by all, and a slow sample delays few others.
        let run_rows = batch_rows.div_ceil(workers.max(1) * 2).max(min_run).min(batch_rows);
        let mut schedule = Self {
            sampler,
            on_error,
            finishes,
            streams,
            depth: Depth::new(overlaps.then_some(threads)),
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
            Event::Start { generation, epoch, cursor, batch } => self.start(generation, (epoch, cursor), batch),
            Event::Cancelled => self.cancel(),
            Event::Release { slot } => self.release(slot),
            Event::Grown { slots } => self.grow(slots),
            Event::Up { worker } => self.up(worker),
            Event::Done { worker, lane, report } => self.done(worker, lane, report, &mut actions),
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

    pub(super) fn hire(&mut self, seat: u32, actions: &mut Vec<Action>) {
        let worker = self.hired;
        self.hired += 1;
        self.workers.insert(worker, WorkerState { seat, stage: WorkerStage::Booting, lanes: Vec::new() });
        let pause = self.ends_without_work > PAUSE_AFTER * self.seats;
        actions.push(Action::Hire { worker, seat, pause });
    }

    pub(super) fn grow(&mut self, slots: u32) {
        let first = self.slots.len() as u32;
        self.slots.extend((0..slots).map(|_| SlotState::Free));
        self.free.extend(first..first + slots);
    }

    /// Returns the epoch that has begun in advance, if one has.
    pub fn epoch_ahead(&self) -> Option<u64> {
        self.epochs.iter().find(|epoch| epoch.generation.is_none()).map(|epoch| epoch.partition.epoch())
    }

    pub(super) fn epoch(&self, number: u64) -> Option<&EpochState> {
        self.epochs.iter().find(|epoch| epoch.number == number)
    }

    pub(super) fn begin(&mut self, generation: Option<u64>, (epoch, cursor): (u64, u64), batch: u64) {
        let partition = self.sampler.partition(epoch, cursor);
        let streams = self.streams.then(|| Streams::new(&partition, self.seats));
        self.epochs_begun += 1;
        let number = self.epochs_begun;
        self.epochs.push_back(EpochState {
            number,
            generation,
            partition,
            streams,
            next: (batch, 0),
            filling: None,
            deliver: batch,
        });
    }

    fn start(&mut self, generation: u64, (epoch, cursor): (u64, u64), batch: u64) {
        if let Some(front) = self.epochs.front_mut()
            && front.generation.is_none()
            && batch == front.deliver
            && (front.partition.epoch(), front.partition.cursor()) == (epoch, cursor)
        {
            front.generation = Some(generation);
            return;
        }
        self.cancel();
        self.begin(Some(generation), (epoch, cursor), batch);
    }

    /// Lets go of all that has begun.
    fn cancel(&mut self) {
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
    }

    /// Frees a slot as soon as nobody can write to it any more.
    pub(super) fn drain(&mut self, slot: u32) {
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

    fn done(&mut self, id: u32, lane: u32, report: RunReport, actions: &mut Vec<Action>) {
        if let Some(rows) = self.workers.get(&id).and_then(|worker| worker.rows_of(lane)) {
            self.depth.add(&report, rows);
        }
        let RunReport { failures, made, .. } = report;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Some(Some((planned, _))) = worker.lanes.get_mut(lane as usize) else {
            self.condemn(id);
            actions.push(Action::Kill { worker: id });
            return;
        };
        let run = planned.run;
        let rows = run.first_row..run.first_row + run.rows;
        let is_too_much = made.is_some_and(|made| made.rows > run.rows || !planned.is_of_stream());
        if is_too_much || failures.iter().any(|failure| !rows.contains(&failure.row)) {
            // A report that names rows it was not given cannot be trusted in anything.
            self.condemn(id);
            actions.push(Action::Kill { worker: id });
            return;
        }
        worker.lanes[lane as usize] = None;
        self.ends_without_work = 0;
        if self.is_past_end(run.slot) {
            self.drain(run.slot);
            return;
        }
        let has_failed = failures.iter().any(|failure| failure.fatal);
        if made.is_none_or(|made| self.took_from_stream(run.slot, made, has_failed)) {
            self.rows_done(run, failures);
        }
    }

    /// Counts rows of a slot as done.
    pub(super) fn rows_done(&mut self, run: Run, failures: Vec<RowFailure>) {
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
}
