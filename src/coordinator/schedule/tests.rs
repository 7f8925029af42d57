//! The schedule in a simulation of simulated workers and a simulated trainer, which check each action as it comes.

use proptest::prelude::*;

use super::*;
use crate::{sampler::Partition, worker::RunReport};

const FIRST_SLOTS: u32 = 3;

/// A simulated worker.
#[derive(Debug)]
struct SimulatedWorker {
    up: bool,
    /// It was told to end, or is stuck: it takes no more work.
    doomed: bool,
    lanes: [Option<Fill>; LANES],
}

/// Epoch, cursor and batch, and what was last done to the row.
type RowContent = ((u64, u64, u64), Work);

struct Simulation {
    schedule: Schedule,
    sampler: Sampler,
    workers: BTreeMap<u32, SimulatedWorker>,
    finishes: bool,
    /// What each row of each slot was last written for; none where nobody can know what is in there.
    written: Vec<Vec<Option<RowContent>>>,
    held: BTreeSet<u32>,
    /// The current iteration: its number and partition, and the batches delivered.
    current: Option<(u64, Partition, u64)>,
    generations: u64,
    failed: u64,
    over: bool,
}

impl Simulation {
    fn new(len: u64, batch_size: u32, workers: u32, on_error: OnError) -> Self {
        Self::with(len, batch_size, workers, ScheduleOptions { on_error, min_run: 1, finishes: false })
    }

    fn with(len: u64, batch_size: u32, workers: u32, options: ScheduleOptions) -> Self {
        let sampler = Sampler { len, shuffle: true, seed: 1, batch_size, drop_last: false, rank: 0, world_size: 1 };
        let (schedule, actions) = Schedule::new(sampler.clone(), options, workers, FIRST_SLOTS);
        let mut simulation = Self {
            schedule,
            sampler,
            workers: BTreeMap::new(),
            finishes: options.finishes,
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

    fn on(&mut self, event: Event) {
        let actions = self.schedule.on(event);
        self.act(actions);
    }

    fn writers(&self, slot: u32) -> impl Iterator<Item = &Fill> {
        self.workers.values().flat_map(|worker| worker.lanes.iter().flatten()).filter(move |fill| fill.run.slot == slot)
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Hire { worker, .. } => {
                    let simulated = SimulatedWorker { up: false, doomed: false, lanes: [None, None] };
                    assert!(self.workers.insert(worker, simulated).is_none(), "worker {worker} is hired twice");
                }
                Action::Fill { worker, fill } => self.take_fill(worker, fill),
                Action::Ready { generation, batch, slot, rows } => {
                    let partition = self.take_batch(generation, batch, slot);
                    assert_eq!(rows, partition.rows(batch));
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
                Action::Quarantine(_) | Action::Lost { .. } => {}
                Action::Kill { worker } => {
                    if let Some(worker) = self.workers.get_mut(&worker) {
                        worker.doomed = true;
                    }
                }
                Action::Over { .. } => self.over = true,
            }
        }
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
        if fill.work == Work::Finish {
            assert!(self.finishes);
            assert_eq!((rows.start, rows.end), (0, self.sampler.partition(fill.epoch, fill.cursor).rows(fill.batch)));
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
        let (current, partition, delivered) = self.current.as_mut().expect("a batch of no iteration");
        assert_eq!((generation, batch), (*current, *delivered), "batches come in order");
        *delivered += 1;
        partition.clone()
    }

    fn start(&mut self, epoch: u64, cursor: u64) {
        self.generations += 1;
        self.current = Some((self.generations, self.sampler.partition(epoch, cursor), 0));
        self.on(Event::Start { generation: self.generations, epoch, cursor });
    }

    /// A worker's in-flight work is done: every row is written.
    fn finish(&mut self, worker: u32, lane: usize, fatal: bool) {
        let Some(simulated) = self.workers.get_mut(&worker) else { return };
        let Some(fill) = simulated.lanes[lane].take() else { return };
        let run = fill.run;
        if fill.work == Work::Finish {
            self.assert_filled(&fill);
        }
        for row in run.first_row..run.first_row + run.rows {
            self.written[run.slot as usize][row as usize] = Some(((fill.epoch, fill.cursor, fill.batch), fill.work));
        }
        let failures = if fatal { vec![failure(run.first_row)] } else { Vec::new() };
        if fatal {
            self.written[run.slot as usize][run.first_row as usize] = None;
        }
        self.on(Event::Done { worker, lane: lane as u32, report: RunReport { failures, ..RunReport::default() } });
    }

    fn crash(&mut self, worker: u32, in_hand: usize) {
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
    fn get_stuck(&mut self, worker: u32, in_hand: usize) {
        self.workers.get_mut(&worker).unwrap().doomed = true;
        let rows = self.in_hand(&self.workers[&worker], in_hand);
        self.on(Event::Stuck { worker, ended: "stalled".into(), in_hand: rows });
    }

    /// The nth worker that fits.
    fn pick(&self, nth: usize, fits: impl Fn(&SimulatedWorker) -> bool) -> Option<u32> {
        let all: Vec<u32> = self.workers.iter().filter(|(_, worker)| fits(worker)).map(|(&id, _)| id).collect();
        (!all.is_empty()).then(|| all[nth % all.len()])
    }

    fn grow_by(&mut self, slots: u32) {
        self.written.extend((0..slots).map(|_| vec![None; self.sampler.batch_size as usize]));
        self.on(Event::Grown { slots });
    }

    fn step(&mut self, op: u8, n: usize) {
        let busy = |worker: &SimulatedWorker| worker.lanes.iter().any(Option::is_some) && !worker.doomed;
        match op {
            0..30 => {
                if let Some(worker) = self.pick(n, |worker| !worker.up && !worker.doomed) {
                    self.workers.get_mut(&worker).unwrap().up = true;
                    self.on(Event::Up { worker });
                }
            }
            30..110 => {
                if let Some(worker) = self.pick(n, busy) {
                    self.finish(worker, n % LANES, n.is_multiple_of(23));
                }
            }
            110..150 => {
                let slot = self.held.iter().nth(n % self.held.len().max(1)).copied();
                if let Some(slot) = slot {
                    self.held.remove(&slot);
                    self.on(Event::Release { slot });
                }
            }
            150..170 => {
                if let Some(worker) = self.pick(n, |worker| worker.up || n.is_multiple_of(7)) {
                    self.crash(worker, n % 3);
                }
            }
            170..180 => {
                if let Some(worker) = self.pick(n, |worker| worker.up && !worker.doomed) {
                    self.get_stuck(worker, n % 3);
                }
            }
            180..190 => {
                if let Some(worker) = self.pick(n, |worker| worker.doomed) {
                    self.crash(worker, n % 2);
                }
            }
            190..200 => self.start(n as u64 % 4, (n as u64 / 4) % (self.sampler.len + 2)),
            200..205 => {
                let next = self.current.as_ref().map_or(0, |(_, partition, _)| partition.epoch() + 1);
                self.start(next, 0);
            }
            205..210 => {
                self.grow_by(1);
            }
            210..215 => {
                if let Some(worker) = self.pick(n, |worker| worker.up && worker.lanes[1].is_none()) {
                    self.on(Event::Done { worker, lane: 1, report: RunReport::default() });
                }
            }
            // A release of what is not held, a report of somebody who is gone: without effect.
            215..220 => self.on(Event::Done { worker: u32::MAX, lane: 0, report: RunReport::default() }),
            _ => {
                let slot = (0..self.written.len() as u32).find(|slot| !self.held.contains(slot));
                if let Some(slot) = slot {
                    self.on(Event::Release { slot });
                }
            }
        }
    }

    /// No more accidents: everything that was begun comes to its end.
    fn settle(&mut self) {
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
                (0..LANES).for_each(|lane| self.finish(worker, lane, false));
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
        assert_eq!(delivered, total, "the epoch ends: {:#?}", self.schedule);
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
        offset: None,
        worker: None,
    };
    RowFailure { row, fatal: true, error }
}

fn up(simulation: &mut Simulation) {
    for worker in simulation.workers.keys().copied().collect::<Vec<_>>() {
        simulation.step(0, worker as usize);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Whatever happens, in whatever order: rows are written once, batches come in order, finished once if they are to
    /// be, no slot has two owners, none is lost, and the epoch ends.
    #[test]
    fn any_history_ends_well(
        len in 1u64..60, batch_size in 1u32..9, workers in 1u32..5, policy in 0usize..3, finishes: bool,
        history in prop::collection::vec((0u8..225, any::<u16>()), 0..400),
    ) {
        let on_error = [OnError::Raise, OnError::Skip, OnError::Replace][policy];
        let mut simulation = Simulation::with(len, batch_size, workers, ScheduleOptions { on_error, min_run: 1, finishes });
        simulation.start(0, 0);
        for (op, n) in history {
            simulation.step(op, usize::from(n));
        }
        simulation.settle();
    }
}

#[test]
fn several_workers_share_the_first_batch() {
    let mut simulation = Simulation::new(32, 8, 2, OnError::Raise);
    up(&mut simulation);
    simulation.start(0, 0);
    let runs: Vec<_> = simulation.writers(0).map(|fill| (fill.run.first_row, fill.run.rows)).collect();
    assert_eq!(runs, [(0, 2), (4, 2), (2, 2), (6, 2)], "two runs each, dealt in turn");
}

#[test]
fn no_free_slot_means_no_work() {
    let mut simulation = Simulation::new(100, 1, 1, OnError::Raise);
    up(&mut simulation);
    simulation.start(0, 0);
    for _ in 0..20 {
        (0..LANES).for_each(|lane| simulation.finish(0, lane, false));
    }
    assert_eq!(simulation.held.len(), FIRST_SLOTS as usize);
    assert_eq!(simulation.workers[&0].lanes.iter().flatten().count(), 0);
    let slot = simulation.held.pop_first().unwrap();
    simulation.on(Event::Release { slot });
    assert_eq!(simulation.workers[&0].lanes.iter().flatten().count(), 1);
}

#[test]
fn the_rows_in_hand_are_redone_alone_and_the_second_death_is_poison() {
    let mut simulation = Simulation::new(4, 4, 1, OnError::Raise);
    up(&mut simulation);
    simulation.start(0, 0);
    // Runs of two rows; row 0 is in hand when the first worker ends.
    simulation.crash(0, 1);
    up(&mut simulation);
    let alone: Vec<_> = simulation.workers[&1].lanes.iter().flatten().map(|fill| fill.run).collect();
    assert_eq!(alone, [Run { slot: 0, first_row: 0, rows: 1 }]);
    simulation.crash(1, 1);
    simulation.settle();
    assert_eq!(simulation.failed, 1);
}

#[test]
fn a_worker_that_ends_with_nothing_in_hand_is_no_mark_on_a_row() {
    let mut simulation = Simulation::new(4, 4, 1, OnError::Raise);
    up(&mut simulation);
    simulation.start(0, 0);
    simulation.crash(0, 1);
    for worker in 1..5 {
        up(&mut simulation);
        let alone: Vec<_> = simulation.workers[&worker].lanes.iter().flatten().map(|fill| fill.run.rows).collect();
        assert_eq!(alone, [1], "the suspect stays alone");
        simulation.crash(worker, 0);
    }
    simulation.settle();
    assert_eq!(simulation.failed, 0);
}

#[test]
fn a_poison_sample_is_stepped_over_by_policy() {
    let mut simulation = Simulation::new(4, 4, 1, OnError::Skip);
    up(&mut simulation);
    simulation.start(0, 0);
    for worker in 0..2 {
        simulation.crash(worker, 1);
        up(&mut simulation);
    }
    let waiting: Vec<_> =
        simulation.schedule.runs_to_redo.iter().map(|planned| (planned.run.first_row, planned.attempt)).collect();
    assert_eq!(waiting, [(0, 1)], "the row's next candidate waits behind the other rows");
    simulation.settle();
    assert_eq!(simulation.failed, 0);
}

#[test]
fn workers_that_never_come_up_end_the_pool() {
    let mut simulation = Simulation::new(4, 4, 1, OnError::Raise);
    for worker in 0..MAX_BOOT_FAILURES {
        assert!(!simulation.over);
        simulation.crash(worker, 0);
    }
    assert!(simulation.over);
}

#[test]
fn the_next_epoch_is_begun_in_advance_and_kept_if_it_is_the_one() {
    let mut simulation = Simulation::new(2, 2, 1, OnError::Raise);
    up(&mut simulation);
    simulation.start(0, 0);
    simulation.settle();
    let ahead = simulation.schedule.ready.len();
    assert_eq!(ahead, 1, "one batch of epoch 1 is ready");
    let fills = simulation.written.clone();
    simulation.start(1, 0);
    assert_eq!(simulation.current.as_ref().unwrap().2, 1, "delivered at once");
    assert_eq!(simulation.written, fills, "without work");
    simulation.settle();
    simulation.start(5, 0);
    simulation.settle();
}

#[test]
fn a_stuck_worker_keeps_its_slot_until_it_ends() {
    let mut simulation = Simulation::new(8, 4, 1, OnError::Raise);
    up(&mut simulation);
    simulation.start(0, 0);
    simulation.get_stuck(0, 0);
    assert!(matches!(simulation.schedule.slots[0], SlotState::Draining));
    up(&mut simulation);
    (0..20).for_each(|_| (0..LANES).for_each(|lane| simulation.finish(1, lane, false)));
    assert_eq!(simulation.current.as_ref().unwrap().2, 2, "the epoch goes on without it");
    assert!(matches!(simulation.schedule.slots[0], SlotState::Draining));
    simulation.settle();
}

#[test]
fn a_sample_that_hangs_two_workers_for_good_is_poison() {
    let mut simulation = Simulation::new(8, 4, 1, OnError::Raise);
    simulation.grow_by(3);
    up(&mut simulation);
    simulation.start(0, 0);
    for worker in 0..2 {
        // Row 0 of the first batch is in worker.
        simulation.get_stuck(worker, 1);
        up(&mut simulation);
    }
    (0..20).for_each(|_| (0..LANES).for_each(|lane| simulation.finish(2, lane, false)));
    assert_eq!(
        (simulation.current.as_ref().unwrap().2, simulation.failed),
        (2, 1),
        "both batches came, one of them failed"
    );
    simulation.settle();
}

#[test]
fn a_batch_that_begins_again_waits_for_a_later_one_that_is_half_handed_out() {
    let mut simulation = Simulation::new(100, 8, 2, OnError::Raise);
    up(&mut simulation);
    simulation.start(0, 0);
    let finish_all =
        |simulation: &mut Simulation, worker| (0..LANES).for_each(|lane| simulation.finish(worker, lane, false));
    finish_all(&mut simulation, 0);
    finish_all(&mut simulation, 1);
    // Batch 0 is the trainer's and stays there. Worker 1 goes on with half of batch 2 in the last slot.
    assert_eq!(simulation.held.len(), 1);
    finish_all(&mut simulation, 1);
    assert!(simulation.schedule.free.is_empty());
    // Worker 0 has half of batch 1.
    simulation.get_stuck(0, 0);
    up(&mut simulation);
    (0..9).for_each(|_| [1, 2].into_iter().for_each(|worker| finish_all(&mut simulation, worker)));
    assert!(simulation.current.as_ref().unwrap().2 >= 2, "batch 1 came: {:#?}", simulation.schedule);
}

#[test]
fn workers_that_get_nothing_done_wait_and_then_end_the_pool() {
    let mut simulation = Simulation::new(4, 4, 1, OnError::Raise);
    simulation.start(0, 0);
    let mut ends = 0;
    while !simulation.over {
        up(&mut simulation);
        let worker = *simulation.workers.keys().next().unwrap();
        simulation.crash(worker, 0);
        ends += 1;
    }
    assert_eq!(ends, GIVE_UP_AFTER);
}

/// A batch of 4 rows, in two runs by one worker, that is to be finished; another batch follows it.
fn finishing() -> Simulation {
    let mut simulation =
        Simulation::with(8, 4, 1, ScheduleOptions { on_error: OnError::Raise, min_run: 1, finishes: true });
    up(&mut simulation);
    simulation.start(0, 0);
    simulation
}

fn works(simulation: &Simulation, worker: u32) -> Vec<(u64, u32, u32, Work)> {
    let work = |fill: &Fill| (fill.batch, fill.run.first_row, fill.run.rows, fill.work);
    simulation.workers[&worker].lanes.iter().flatten().map(work).collect()
}

#[test]
fn a_batch_is_finished_before_anything_else_and_then_delivered() {
    let mut simulation = finishing();
    simulation.finish(0, 0, false);
    assert_eq!(works(&simulation, 0), [(1, 0, 2, Work::Fill), (0, 2, 2, Work::Fill)]);
    simulation.finish(0, 1, false);
    assert_eq!(works(&simulation, 0), [(1, 0, 2, Work::Fill), (0, 0, 4, Work::Finish)]);
    assert!(simulation.held.is_empty());
    simulation.finish(0, 1, false);
    assert_eq!(simulation.held.len(), 1);
    simulation.settle();
}

#[test]
fn a_failed_batch_is_not_finished() {
    let mut simulation = finishing();
    simulation.finish(0, 0, true);
    simulation.finish(0, 1, false);
    assert_eq!((simulation.failed, simulation.held.len()), (1, 1));
    assert!(simulation.workers[&0].lanes.iter().flatten().all(|fill| fill.batch == 1));
    simulation.settle();
    assert_eq!(simulation.failed, 1);
}

#[test]
fn all_rows_are_done_again_after_an_end_in_the_middle_of_finishing() {
    for in_hand in [0, 1] {
        let mut simulation = finishing();
        simulation.finish(0, 0, false);
        simulation.finish(0, 1, false);
        simulation.finish(0, 0, false);
        assert_eq!(works(&simulation, 0), [(1, 2, 2, Work::Fill), (0, 0, 4, Work::Finish)]);
        let row = RowInHand { slot: 0, row: 0, index: 0 };
        simulation.workers.remove(&0);
        simulation.written.iter_mut().flatten().for_each(|row| *row = None);
        simulation.written[1][..2].fill(Some(((0, 0, 1), Work::Fill)));
        simulation.on(Event::Down { worker: 0, ended: "killed".into(), in_hand: vec![row; in_hand] });
        up(&mut simulation);
        assert_eq!(works(&simulation, 1), [(1, 2, 2, Work::Fill), (0, 0, 2, Work::Fill)]);
        simulation.settle();
        assert_eq!(simulation.failed, 0);
    }
}

#[test]
fn a_batch_that_ends_two_workers_while_it_is_finished_fails() {
    for stuck in [false, true] {
        let mut simulation = finishing();
        simulation.grow_by(3);
        for worker in 0..2 {
            up(&mut simulation);
            // Everything but the run that finishes the first batch.
            let other = |fill: &Fill| !(fill.work == Work::Finish && (fill.epoch, fill.batch) == (0, 0));
            while let Some(lane) =
                simulation.workers[&worker].lanes.iter().position(|fill| fill.as_ref().is_some_and(other))
            {
                simulation.finish(worker, lane, false);
            }
            assert_eq!(works(&simulation, worker), [(0, 0, 4, Work::Finish)]);
            if stuck {
                simulation.get_stuck(worker, 1);
            } else {
                simulation.crash(worker, 1);
            }
            up(&mut simulation);
            assert_eq!(simulation.failed, u64::from(worker));
        }
        simulation.settle();
        assert_eq!(simulation.failed, 1);
    }
}
