//! Simulated workers and a simulated trainer, which check each action of the schedule as it comes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    coordinator::{
        event::{Action, Event, RowInHand},
        schedule::{Schedule, ScheduleOptions, parts::SlotState},
    },
    error::{SampleError, Stage},
    job::OnError,
    pipeline::Times,
    protocol::{Fill, Work},
    sampler::{ENDLESS, Order, Partition, Sampler},
    worker::{MOST_LANES, Made, RowFailure, RunReport},
};

/// Something that happens to a pool. `nth` counts those that it can happen to, and begins again behind the last.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    WorkerUp(usize),
    RunDone {
        nth: usize,
        lane: usize,
        fatal: bool,
    },
    BatchDropped(usize),
    WorkerEnds {
        nth: usize,
        or_booting: bool,
        in_hand: usize,
    },
    WorkerStuck {
        nth: usize,
        in_hand: usize,
    },
    DoomedWorkerEnds {
        nth: usize,
        in_hand: usize,
    },
    Start {
        epoch: u64,
        cursor: u64,
    },
    StartNext,
    Grown,
    /// A worker reports a run that it does not have.
    FalseReport(usize),
    /// Somebody who is gone reports a run.
    StrangersReport,
    ReleaseOfWhatIsNotHeld,
}

pub(super) const FIRST_SLOTS: u32 = 3;

/// A simulated worker.
#[derive(Debug)]
pub(super) struct SimulatedWorker {
    up: bool,
    seat: u32,
    /// It was told to end, or is stuck: it takes no more work.
    doomed: bool,
    pub(super) lanes: [Option<Fill>; MOST_LANES],
}

/// Epoch, cursor and batch, and what was last done to the row.
pub(super) type RowContent = ((u64, u64, u64), Work);

pub(super) struct Simulation {
    pub(super) schedule: Schedule,
    pub(super) sampler: Sampler,
    pub(super) workers: BTreeMap<u32, SimulatedWorker>,
    pub(super) finishes: bool,
    /// Where samples come as streams, how many there are in that of each seat; else none.
    pub(super) streams: Vec<u64>,
    /// The seats whose streams may have ended early, since a sample of theirs was poison.
    cut: BTreeSet<u64>,
    /// Whether the current iteration is over, as the schedule says.
    ended: bool,
    /// What each row of each slot was last written for; none where nobody can know what is in there.
    pub(super) written: Vec<Vec<Option<RowContent>>>,
    pub(super) held: BTreeSet<u32>,
    /// The current iteration: its number and partition, and the batches delivered.
    pub(super) current: Option<(u64, Partition, u64)>,
    pub(super) generations: u64,
    pub(super) failed: u64,
    pub(super) over: bool,
}

impl Simulation {
    pub(super) fn new(len: u64, batch_size: u32, workers: u32, on_error: OnError) -> Self {
        Self::with(
            len,
            batch_size,
            workers,
            ScheduleOptions { on_error, min_run: 1, finishes: false, streams: false, overlaps: false, threads: 1 },
        )
    }

    pub(super) fn with(len: u64, batch_size: u32, workers: u32, options: ScheduleOptions) -> Self {
        let sampler = Sampler { seed: 1, batch_size, ..Sampler::new(len, Order::Shuffled) };
        Self::over(sampler, workers, options, Vec::new())
    }

    /// A pool whose seats have streams of these lengths.
    pub(super) fn of_streams(streams: Vec<u64>, batch_size: u32, options: ScheduleOptions) -> Self {
        let sampler = Sampler { seed: 1, batch_size, ..Sampler::new(ENDLESS, Order::Source) };
        Self::over(sampler, streams.len() as u32, options, streams)
    }

    fn over(sampler: Sampler, workers: u32, options: ScheduleOptions, streams: Vec<u64>) -> Self {
        let batch_size = sampler.batch_size;
        let (schedule, actions) = Schedule::new(sampler.clone(), options, workers, FIRST_SLOTS);
        let mut simulation = Self {
            schedule,
            sampler,
            workers: BTreeMap::new(),
            finishes: options.finishes,
            streams,
            cut: BTreeSet::new(),
            ended: false,
            written: vec![vec![None; batch_size as usize]; FIRST_SLOTS as usize],
            held: BTreeSet::new(),
            current: None,
            generations: 0,
            failed: 0,
            over: false,
        };
        simulation.act(actions);
        simulation
    }

    pub(super) fn on(&mut self, event: Event) {
        let actions = self.schedule.on(event);
        self.act(actions);
    }

    pub(super) fn writers(&self, slot: u32) -> impl Iterator<Item = &Fill> {
        self.workers.values().flat_map(|worker| worker.lanes.iter().flatten()).filter(move |fill| fill.run.slot == slot)
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Hire { worker, seat, .. } => {
                    let simulated = SimulatedWorker { up: false, seat, doomed: false, lanes: [None; MOST_LANES] };
                    assert!(self.workers.insert(worker, simulated).is_none(), "worker {worker} is hired twice");
                }
                Action::Fill { worker, fill } => self.take_fill(worker, fill),
                Action::Ready { generation, batch, slot, rows } => {
                    let partition = self.take_batch(generation, batch, slot);
                    let had = self.of_stream(&partition, batch).map_or_else(|| partition.rows(batch), |(_, rows)| rows);
                    assert_eq!(rows, had);
                    let done = if self.finishes { Work::Finish } else { Work::Fill };
                    let content = Some(((partition.epoch(), partition.cursor(), batch), done));
                    let slot_rows = &self.written[slot as usize][..rows as usize];
                    assert!(
                        slot_rows.iter().all(|row| *row == content),
                        "batch {batch} has rows of others: {slot_rows:?}"
                    );
                }
                Action::Failed { generation, batch, slot, .. } => {
                    self.take_batch(generation, batch, slot);
                    self.failed += 1;
                }
                Action::Ended { generation } => self.end(generation),
                Action::Quarantine(error) => {
                    if let Some(batch) = error.index.checked_div(u64::from(self.sampler.batch_size)) {
                        self.cut.insert(batch % self.workers_asked());
                    }
                }
                Action::Lost { .. } => {}
                Action::Kill { worker } => {
                    if let Some(worker) = self.workers.get_mut(&worker) {
                        worker.doomed = true;
                    }
                }
                Action::Over { .. } => self.over = true,
            }
        }
    }

    fn workers_asked(&self) -> u64 {
        self.streams.len().max(1) as u64
    }

    /// The seat whose stream a batch is of, and the rows that it has there; none where there are no streams.
    fn of_stream(&self, partition: &Partition, batch: u64) -> Option<(u64, u32)> {
        let (turn, seats) = (partition.turn(batch), self.streams.len() as u64);
        let seat = turn.checked_rem(seats)?;
        let size = u64::from(self.sampler.batch_size);
        let left = self.streams[seat as usize].saturating_sub(turn / seats * size);
        Some((seat, left.min(size) as u32))
    }

    /// Tells whether a batch may be left out of an iteration.
    fn may_be_missing(&self, partition: &Partition, batch: u64) -> bool {
        self.of_stream(partition, batch).is_some_and(|(seat, rows)| rows == 0 || self.cut.contains(&seat))
    }

    /// The schedule says that there are no more batches.
    fn end(&mut self, generation: u64) {
        let (current, partition, delivered) = self.current.as_ref().expect("an end of no iteration");
        assert_eq!(generation, *current);
        let rest = *delivered..*delivered + self.streams.len() as u64;
        assert!(
            rest.into_iter().all(|batch| self.may_be_missing(partition, batch)),
            "batches from {delivered} on lack"
        );
        assert!(!self.ended, "it ends once");
        self.ended = true;
    }

    fn take_fill(&mut self, worker: u32, fill: Fill) {
        let slot = fill.run.slot;
        assert!(!self.held.contains(&slot), "slot {slot} is the trainer's");
        let rows = fill.run.first_row..fill.run.first_row + fill.run.rows;
        assert!(fill.run.rows > 0 && rows.end <= self.sampler.batch_size);
        for other in self.writers(slot) {
            let other_rows = other.run.first_row..other.run.first_row + other.run.rows;
            assert!(rows.end <= other_rows.start || other_rows.end <= rows.start, "two writers of slot {slot}");
        }
        let partition = self.sampler.partition(fill.epoch, fill.cursor);
        let of_stream = self.of_stream(&partition, fill.batch);
        if let Some((seat, _)) = of_stream {
            assert_eq!(u64::from(self.workers[&worker].seat), seat, "a stream is in its worker alone");
            assert!(rows.start == 0 && (fill.work == Work::Finish || rows.end == self.sampler.batch_size));
        }
        if fill.work == Work::Finish {
            assert!(self.finishes);
            let whole = of_stream.map_or_else(|| partition.rows(fill.batch), |(_, rows)| rows);
            assert_eq!((rows.start, rows.end), (0, whole));
            self.assert_filled(&fill);
        }
        let worker = self.workers.get_mut(&worker).expect("work for a worker that is not there");
        assert!(worker.up && !worker.doomed, "work for a worker that is not up");
        assert!(worker.lanes[fill.tag as usize].replace(fill).is_none(), "a lane is used twice");
    }

    /// A batch is finished when all its rows are done, none of them failed, and never twice.
    fn assert_filled(&self, fill: &Fill) {
        let rows = &self.written[fill.run.slot as usize][..fill.run.rows as usize];
        let content = Some(((fill.epoch, fill.cursor, fill.batch), Work::Fill));
        assert!(rows.iter().all(|row| *row == content), "{fill:?} of {rows:?}");
    }

    fn take_batch(&mut self, generation: u64, batch: u64, slot: u32) -> Partition {
        assert_eq!(self.writers(slot).count(), 0, "slot {slot} is delivered while somebody writes to it");
        assert!(self.held.insert(slot), "slot {slot} is delivered twice");
        let (current, partition, delivered) = self.current.clone().expect("a batch of no iteration");
        assert_eq!(generation, current);
        assert!(batch >= delivered, "batches come in order");
        let missing = (delivered..batch).find(|&passed| !self.may_be_missing(&partition, passed));
        assert_eq!(missing, None, "a batch is left out");
        self.current = Some((current, partition.clone(), batch + 1));
        partition
    }

    pub(super) fn start(&mut self, epoch: u64, cursor: u64) {
        self.generations += 1;
        self.ended = false;
        // The next epoch may have begun in advance, and met its poison.
        let next = self.current.as_ref().map(|(_, partition, _)| (partition.epoch() + 1, 0));
        // Now and then nothing of what has begun in advance is to be taken over.
        let is_cancelled = cursor % 3 == 1;
        if next != Some((epoch, cursor)) || is_cancelled {
            self.cut.clear();
        }
        if is_cancelled {
            self.on(Event::Cancelled);
        }
        self.current = Some((self.generations, self.sampler.partition(epoch, cursor), 0));
        self.on(Event::Start { generation: self.generations, epoch, cursor, batch: 0 });
    }

    /// A worker's in-flight work is done: every row is written.
    pub(super) fn finish(&mut self, worker: u32, lane: usize, fatal: bool) {
        let Some(simulated) = self.workers.get_mut(&worker) else { return };
        let Some(fill) = simulated.lanes[lane].take() else { return };
        let run = fill.run;
        if fill.work == Work::Finish {
            self.assert_filled(&fill);
        }
        let partition = self.sampler.partition(fill.epoch, fill.cursor);
        let of_stream = self.of_stream(&partition, fill.batch).filter(|_| fill.work == Work::Fill);
        let rows = of_stream.map_or(run.rows, |(_, rows)| rows);
        let made = of_stream.filter(|_| rows < run.rows).map(|(_, rows)| Made { rows, ended: true });
        let fatal = fatal && rows > 0;
        for row in run.first_row..run.first_row + rows {
            self.written[run.slot as usize][row as usize] = Some(((fill.epoch, fill.cursor, fill.batch), fill.work));
        }
        let failures = if fatal { vec![failure(run.first_row)] } else { Vec::new() };
        if fatal {
            self.written[run.slot as usize][run.first_row as usize] = None;
        }
        // Three are made while one is read.
        let times = Times { decode: Duration::from_millis(10), ..Times::default() };
        self.on(Event::Done {
            worker,
            lane: lane as u32,
            report: RunReport { failures, made, read: Duration::from_millis(30), times },
        });
    }

    pub(super) fn crash(&mut self, worker: u32, in_hand: usize) {
        let Some(simulated) = self.workers.remove(&worker) else { return };
        for fill in simulated.lanes.iter().flatten() {
            for row in fill.run.first_row..fill.run.first_row + fill.run.rows {
                // Half written: it has no sample.
                self.written[fill.run.slot as usize][row as usize] = None;
            }
        }
        let rows = self.in_hand(&simulated, in_hand);
        self.on(Event::Down { worker, ended: "killed".into(), in_hand: rows });
    }

    /// The rows that a worker has noted as being in hand: at most so many; of a batch to finish, the first.
    fn in_hand(&self, worker: &SimulatedWorker, most: usize) -> Vec<RowInHand> {
        let rows = worker.lanes.iter().flatten().flat_map(|fill| {
            let partition = self.sampler.partition(fill.epoch, fill.cursor);
            let noted = if fill.work == Work::Finish { 1 } else { fill.run.rows };
            (fill.run.first_row..fill.run.first_row + noted).map(move |row| {
                let index = partition.index(fill.batch, row, fill.attempt);
                RowInHand { slot: fill.run.slot, row, index }
            })
        });
        rows.take(most).collect()
    }

    /// A worker was killed and does not end.
    pub(super) fn get_stuck(&mut self, worker: u32, in_hand: usize) {
        self.workers.get_mut(&worker).unwrap().doomed = true;
        let rows = self.in_hand(&self.workers[&worker], in_hand);
        self.on(Event::Stuck { worker, ended: "stalled".into(), in_hand: rows });
    }

    /// The nth worker that fits.
    fn pick(&self, nth: usize, fits: impl Fn(&SimulatedWorker) -> bool) -> Option<u32> {
        let all: Vec<u32> = self.workers.iter().filter(|(_, worker)| fits(worker)).map(|(&id, _)| id).collect();
        (!all.is_empty()).then(|| all[nth % all.len()])
    }

    pub(super) fn grow_by(&mut self, slots: u32) {
        self.written.extend((0..slots).map(|_| vec![None; self.sampler.batch_size as usize]));
        self.on(Event::Grown { slots });
    }

    /// Lets something happen, if it can.
    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::WorkerUp(nth) => {
                if let Some(worker) = self.pick(nth, |worker| !worker.up && !worker.doomed) {
                    self.workers.get_mut(&worker).unwrap().up = true;
                    self.on(Event::Up { worker });
                }
            }
            Step::RunDone { nth, lane, fatal } => {
                let is_busy = |worker: &SimulatedWorker| worker.lanes.iter().any(Option::is_some) && !worker.doomed;
                if let Some(worker) = self.pick(nth, is_busy) {
                    self.finish(worker, lane, fatal);
                }
            }
            Step::BatchDropped(nth) => {
                if let Some(slot) = self.held.iter().nth(nth % self.held.len().max(1)).copied() {
                    self.held.remove(&slot);
                    self.on(Event::Release { slot });
                }
            }
            Step::WorkerEnds { nth, or_booting, in_hand } => {
                if let Some(worker) = self.pick(nth, |worker| worker.up || or_booting) {
                    self.crash(worker, in_hand);
                }
            }
            Step::WorkerStuck { nth, in_hand } => {
                if let Some(worker) = self.pick(nth, |worker| worker.up && !worker.doomed) {
                    self.get_stuck(worker, in_hand);
                }
            }
            Step::DoomedWorkerEnds { nth, in_hand } => {
                if let Some(worker) = self.pick(nth, |worker| worker.doomed) {
                    self.crash(worker, in_hand);
                }
            }
            Step::Start { epoch, cursor } if self.streams.is_empty() => {
                self.start(epoch, cursor % (self.sampler.len + 2));
            }
            // States are taken between batches.
            Step::Start { epoch, cursor } => self.start(epoch, cursor * u64::from(self.sampler.batch_size)),
            Step::StartNext => {
                let next = self.current.as_ref().map_or(0, |(_, partition, _)| partition.epoch() + 1);
                self.start(next, 0);
            }
            Step::Grown => self.grow_by(1),
            Step::FalseReport(nth) => {
                if let Some(worker) = self.pick(nth, |worker| worker.up && worker.lanes[1].is_none()) {
                    self.on(Event::Done { worker, lane: 1, report: RunReport::default() });
                }
            }
            Step::StrangersReport => {
                self.on(Event::Done { worker: u32::MAX, lane: 0, report: RunReport::default() });
            }
            Step::ReleaseOfWhatIsNotHeld => {
                if let Some(slot) = (0..self.written.len() as u32).find(|slot| !self.held.contains(slot)) {
                    self.on(Event::Release { slot });
                }
            }
        }
    }

    /// No more accidents: everything that was begun comes to its end.
    pub(super) fn settle(&mut self) {
        let of_streams = !self.streams.is_empty();
        let total = self.current.as_ref().map_or(0, |(_, partition, _)| partition.batches());
        let mut calm = 0;
        while calm < 3 && !self.over {
            let before = (self.current.as_ref().map(|current| current.2), self.workers.len(), self.written.clone());
            for worker in self.workers.keys().copied().collect::<Vec<_>>() {
                if self.workers[&worker].doomed {
                    self.crash(worker, 0);
                } else if !self.workers[&worker].up {
                    self.workers.get_mut(&worker).unwrap().up = true;
                    self.on(Event::Up { worker });
                }
                (0..MOST_LANES).for_each(|lane| self.finish(worker, lane, false));
            }
            while let Some(slot) = self.held.pop_first() {
                self.on(Event::Release { slot });
            }
            let after = (self.current.as_ref().map(|current| current.2), self.workers.len(), self.written.clone());
            calm = if before == after { calm + 1 } else { 0 };
        }
        if self.over {
            return;
        }
        let delivered = self.current.as_ref().map_or(0, |current| current.2);
        assert!(if of_streams { self.ended } else { delivered == total }, "the epoch ends: {:#?}", self.schedule);
        let lost =
            self.schedule.slots.iter().filter(|slot| matches!(slot, SlotState::Held | SlotState::Draining)).count();
        assert_eq!(lost, 0, "no slot is lost: {:?}", self.schedule.slots);
        let free = self.schedule.slots.iter().filter(|slot| matches!(slot, SlotState::Free)).count();
        assert_eq!(free, self.schedule.free.len());
    }
}

fn failure(row: u32) -> RowFailure {
    let error = SampleError {
        index: 0,
        key: "x".into(),
        stage: Stage::Decode,
        reason: "bad".into(),
        errno: None,
        raised: None,
        room: None,
        offset: None,
        worker: None,
    };
    RowFailure { row, fatal: true, error }
}
