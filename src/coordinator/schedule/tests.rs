//! The schedule in a world of simulated workers and a simulated trainer, which check each action as it comes.

use proptest::prelude::*;

use super::*;
use crate::sampler::EpochPlan;

const FIRST_SLOTS: u32 = 3;

/// A simulated worker.
#[derive(Debug)]
struct Hand {
    up: bool,
    /// Told to end, or given up on: it takes no more work.
    doomed: bool,
    lanes: [Option<Fill>; LANES],
}

/// Epoch, cursor and batch, and whether the batch has been finished as a whole.
type Mark = ((u64, u64, u64), bool);

struct World {
    schedule: Schedule,
    sampler: Sampler,
    hands: BTreeMap<u32, Hand>,
    finishes: bool,
    /// What each row of each slot was last written for; none where nobody can know what is in there.
    written: Vec<Vec<Option<Mark>>>,
    held: BTreeSet<u32>,
    /// The current iteration: its number and plan, and the batches delivered.
    current: Option<(u64, EpochPlan, u64)>,
    generations: u64,
    failed: u64,
    over: bool,
}

impl World {
    fn new(len: u64, batch_size: u32, workers: u32, on_error: OnError) -> Self {
        Self::with(len, batch_size, workers, Terms { on_error, min_run: 1, finishes: false })
    }

    fn with(len: u64, batch_size: u32, workers: u32, terms: Terms) -> Self {
        let sampler = Sampler { len, shuffle: true, seed: 1, batch_size, drop_last: false, rank: 0, world_size: 1 };
        let (schedule, actions) = Schedule::new(sampler.clone(), terms, workers, FIRST_SLOTS);
        let mut world = Self {
            schedule,
            sampler,
            hands: BTreeMap::new(),
            finishes: terms.finishes,
            written: vec![vec![None; batch_size as usize]; FIRST_SLOTS as usize],
            held: BTreeSet::new(),
            current: None,
            generations: 0,
            failed: 0,
            over: false,
        };
        world.act(actions);
        world
    }

    fn on(&mut self, event: Event) {
        let actions = self.schedule.on(event);
        self.act(actions);
    }

    fn writers(&self, slot: u32) -> impl Iterator<Item = &Fill> {
        self.hands.values().flat_map(|hand| hand.lanes.iter().flatten()).filter(move |fill| fill.run.slot == slot)
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Hire { worker, .. } => {
                    let hand = Hand { up: false, doomed: false, lanes: [None, None] };
                    assert!(self.hands.insert(worker, hand).is_none(), "worker {worker} is hired twice");
                }
                Action::Fill { worker, fill } => self.take_fill(worker, fill),
                Action::Ready { generation, batch, slot, rows } => {
                    let plan = self.take_batch(generation, batch, slot);
                    assert_eq!(rows, plan.rows(batch));
                    let mark = Some(((plan.epoch(), plan.cursor(), batch), self.finishes));
                    let slot_rows = &self.written[slot as usize][..rows as usize];
                    assert!(
                        slot_rows.iter().all(|row| *row == mark),
                        "batch {batch} has rows of others: {slot_rows:?}"
                    );
                }
                Action::Failed { generation, batch, slot, .. } => {
                    self.take_batch(generation, batch, slot);
                    self.failed += 1;
                }
                Action::Record(_) | Action::Lost { .. } => {}
                Action::Kill { worker } => {
                    if let Some(hand) = self.hands.get_mut(&worker) {
                        hand.doomed = true;
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
        if fill.finish {
            assert!(self.finishes);
            assert_eq!((rows.start, rows.end), (0, self.sampler.plan(fill.epoch, fill.cursor).rows(fill.batch)));
            self.assert_filled(&fill);
        }
        let hand = self.hands.get_mut(&worker).expect("work for a worker that is not there");
        assert!(hand.up && !hand.doomed, "work for a worker that is not up");
        assert!(hand.lanes[fill.tag as usize].replace(fill).is_none(), "a lane is used twice");
    }

    /// A batch is finished when all its rows are done, none of them failed, and never twice.
    fn assert_filled(&self, fill: &Fill) {
        let rows = &self.written[fill.run.slot as usize][..fill.run.rows as usize];
        let mark = Some(((fill.epoch, fill.cursor, fill.batch), false));
        assert!(rows.iter().all(|row| *row == mark), "{fill:?} of {rows:?}");
    }

    fn take_batch(&mut self, generation: u64, batch: u64, slot: u32) -> EpochPlan {
        assert_eq!(self.writers(slot).count(), 0, "slot {slot} is delivered while somebody writes to it");
        assert!(self.held.insert(slot), "slot {slot} is delivered twice");
        let (current, plan, delivered) = self.current.as_mut().expect("a batch of no iteration");
        assert_eq!((generation, batch), (*current, *delivered), "batches come in order");
        *delivered += 1;
        plan.clone()
    }

    fn start(&mut self, epoch: u64, cursor: u64) {
        self.generations += 1;
        self.current = Some((self.generations, self.sampler.plan(epoch, cursor), 0));
        self.on(Event::Start { generation: self.generations, epoch, cursor });
    }

    /// A worker's in-flight work is done: every row is written.
    fn finish(&mut self, worker: u32, lane: usize, fatal: bool) {
        let Some(hand) = self.hands.get_mut(&worker) else { return };
        let Some(fill) = hand.lanes[lane].take() else { return };
        let run = fill.run;
        if fill.finish {
            self.assert_filled(&fill);
        }
        for row in run.first_row..run.first_row + run.rows {
            self.written[run.slot as usize][row as usize] = Some(((fill.epoch, fill.cursor, fill.batch), fill.finish));
        }
        let failures = if fatal { vec![failure(run.first_row)] } else { Vec::new() };
        if fatal {
            self.written[run.slot as usize][run.first_row as usize] = None;
        }
        self.on(Event::Done { worker, lane: lane as u32, failures });
    }

    fn crash(&mut self, worker: u32, in_hand: usize) {
        let Some(hand) = self.hands.remove(&worker) else { return };
        for fill in hand.lanes.iter().flatten() {
            for row in fill.run.first_row..fill.run.first_row + fill.run.rows {
                // Half written: it is nobody's.
                self.written[fill.run.slot as usize][row as usize] = None;
            }
        }
        let rows = self.in_hand(&hand, in_hand);
        self.on(Event::Down { worker, ended: "killed".into(), in_hand: rows });
    }

    /// The rows that a worker has noted as being in hand: at most so many; of a batch to finish, the first.
    fn in_hand(&self, hand: &Hand, most: usize) -> Vec<InHand> {
        let rows = hand.lanes.iter().flatten().flat_map(|fill| {
            let plan = self.sampler.plan(fill.epoch, fill.cursor);
            let noted = if fill.finish { 1 } else { fill.run.rows };
            (fill.run.first_row..fill.run.first_row + noted).map(move |row| {
                let index = plan.index(fill.batch, row, fill.attempt);
                InHand { slot: fill.run.slot, row, index }
            })
        });
        rows.take(most).collect()
    }

    /// A worker was killed and does not end.
    fn get_stuck(&mut self, worker: u32, in_hand: usize) {
        self.hands.get_mut(&worker).unwrap().doomed = true;
        let rows = self.in_hand(&self.hands[&worker], in_hand);
        self.on(Event::Stuck { worker, ended: "stalled".into(), in_hand: rows });
    }

    /// The nth worker that fits.
    fn pick(&self, nth: usize, fits: impl Fn(&Hand) -> bool) -> Option<u32> {
        let all: Vec<u32> = self.hands.iter().filter(|(_, hand)| fits(hand)).map(|(&id, _)| id).collect();
        (!all.is_empty()).then(|| all[nth % all.len()])
    }

    fn grow_by(&mut self, slots: u32) {
        self.written.extend((0..slots).map(|_| vec![None; self.sampler.batch_size as usize]));
        self.on(Event::Grown { slots });
    }

    fn step(&mut self, op: u8, n: usize) {
        let busy = |hand: &Hand| hand.lanes.iter().any(Option::is_some) && !hand.doomed;
        match op {
            0..30 => {
                if let Some(worker) = self.pick(n, |hand| !hand.up && !hand.doomed) {
                    self.hands.get_mut(&worker).unwrap().up = true;
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
                if let Some(worker) = self.pick(n, |hand| hand.up || n.is_multiple_of(7)) {
                    self.crash(worker, n % 3);
                }
            }
            170..180 => {
                if let Some(worker) = self.pick(n, |hand| hand.up && !hand.doomed) {
                    self.get_stuck(worker, n % 3);
                }
            }
            180..190 => {
                if let Some(worker) = self.pick(n, |hand| hand.doomed) {
                    self.crash(worker, n % 2);
                }
            }
            190..200 => self.start(n as u64 % 4, (n as u64 / 4) % (self.sampler.len + 2)),
            200..205 => {
                let next = self.current.as_ref().map_or(0, |(_, plan, _)| plan.epoch() + 1);
                self.start(next, 0);
            }
            205..210 => {
                self.grow_by(1);
            }
            210..215 => {
                if let Some(worker) = self.pick(n, |hand| hand.up && hand.lanes[1].is_none()) {
                    self.on(Event::Done { worker, lane: 1, failures: Vec::new() });
                }
            }
            // A release of what is not held, a report of somebody who is gone: without effect.
            215..220 => self.on(Event::Done { worker: u32::MAX, lane: 0, failures: Vec::new() }),
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
        let total = self.current.as_ref().map_or(0, |(_, plan, _)| plan.batches());
        let mut calm = 0;
        while calm < 3 && !self.over {
            let before = (self.current.as_ref().map(|current| current.2), self.hands.len(), self.written.clone());
            for worker in self.hands.keys().copied().collect::<Vec<_>>() {
                if self.hands[&worker].doomed {
                    self.crash(worker, 0);
                } else if !self.hands[&worker].up {
                    self.hands.get_mut(&worker).unwrap().up = true;
                    self.on(Event::Up { worker });
                }
                (0..LANES).for_each(|lane| self.finish(worker, lane, false));
            }
            while let Some(slot) = self.held.pop_first() {
                self.on(Event::Release { slot });
            }
            let after = (self.current.as_ref().map(|current| current.2), self.hands.len(), self.written.clone());
            calm = if before == after { calm + 1 } else { 0 };
        }
        if self.over {
            return;
        }
        let delivered = self.current.as_ref().map_or(0, |current| current.2);
        assert_eq!(delivered, total, "the epoch ends: {:#?}", self.schedule);
        let lost = self.schedule.slots.iter().filter(|slot| matches!(slot, Slot::Held | Slot::Draining)).count();
        assert_eq!(lost, 0, "no slot is lost: {:?}", self.schedule.slots);
        let free = self.schedule.slots.iter().filter(|slot| matches!(slot, Slot::Free)).count();
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

fn up(world: &mut World) {
    for worker in world.hands.keys().copied().collect::<Vec<_>>() {
        world.step(0, worker as usize);
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
        let mut world = World::with(len, batch_size, workers, Terms { on_error, min_run: 1, finishes });
        world.start(0, 0);
        for (op, n) in history {
            world.step(op, usize::from(n));
        }
        world.settle();
    }
}

#[test]
fn several_workers_share_the_first_batch() {
    let mut world = World::new(32, 8, 2, OnError::Raise);
    up(&mut world);
    world.start(0, 0);
    let runs: Vec<_> = world.writers(0).map(|fill| (fill.run.first_row, fill.run.rows)).collect();
    assert_eq!(runs, [(0, 2), (4, 2), (2, 2), (6, 2)], "two runs each, dealt in turn");
}

#[test]
fn no_free_slot_means_no_work() {
    let mut world = World::new(100, 1, 1, OnError::Raise);
    up(&mut world);
    world.start(0, 0);
    for _ in 0..20 {
        (0..LANES).for_each(|lane| world.finish(0, lane, false));
    }
    assert_eq!(world.held.len(), FIRST_SLOTS as usize);
    assert_eq!(world.hands[&0].lanes.iter().flatten().count(), 0);
    let slot = world.held.pop_first().unwrap();
    world.on(Event::Release { slot });
    assert_eq!(world.hands[&0].lanes.iter().flatten().count(), 1);
}

#[test]
fn the_rows_in_hand_are_redone_alone_and_the_second_death_is_poison() {
    let mut world = World::new(4, 4, 1, OnError::Raise);
    up(&mut world);
    world.start(0, 0);
    // Runs of two rows; row 0 is in hand when the first worker ends.
    world.crash(0, 1);
    up(&mut world);
    let alone: Vec<_> = world.hands[&1].lanes.iter().flatten().map(|fill| fill.run).collect();
    assert_eq!(alone, [Run { slot: 0, first_row: 0, rows: 1 }]);
    world.crash(1, 1);
    world.settle();
    assert_eq!(world.failed, 1);
}

#[test]
fn a_worker_that_ends_with_nothing_in_hand_is_no_mark_on_a_row() {
    let mut world = World::new(4, 4, 1, OnError::Raise);
    up(&mut world);
    world.start(0, 0);
    world.crash(0, 1);
    for worker in 1..5 {
        up(&mut world);
        let alone: Vec<_> = world.hands[&worker].lanes.iter().flatten().map(|fill| fill.run.rows).collect();
        assert_eq!(alone, [1], "the suspect stays alone");
        world.crash(worker, 0);
    }
    world.settle();
    assert_eq!(world.failed, 0);
}

#[test]
fn a_poison_sample_is_stepped_over_by_policy() {
    let mut world = World::new(4, 4, 1, OnError::Skip);
    up(&mut world);
    world.start(0, 0);
    for worker in 0..2 {
        world.crash(worker, 1);
        up(&mut world);
    }
    let waiting: Vec<_> = world.schedule.redo.iter().map(|todo| (todo.run.first_row, todo.attempt)).collect();
    assert_eq!(waiting, [(0, 1)], "the row's next candidate waits behind the other rows");
    world.settle();
    assert_eq!(world.failed, 0);
}

#[test]
fn workers_that_never_come_up_end_the_pool() {
    let mut world = World::new(4, 4, 1, OnError::Raise);
    for worker in 0..MAX_BOOT_FAILURES {
        assert!(!world.over);
        world.crash(worker, 0);
    }
    assert!(world.over);
}

#[test]
fn the_next_epoch_is_begun_in_advance_and_kept_if_it_is_the_one() {
    let mut world = World::new(2, 2, 1, OnError::Raise);
    up(&mut world);
    world.start(0, 0);
    world.settle();
    let ahead = world.schedule.ready.len();
    assert_eq!(ahead, 1, "one batch of epoch 1 is ready");
    let fills = world.written.clone();
    world.start(1, 0);
    assert_eq!(world.current.as_ref().unwrap().2, 1, "delivered at once");
    assert_eq!(world.written, fills, "without work");
    world.settle();
    world.start(5, 0);
    world.settle();
}

#[test]
fn a_stuck_worker_keeps_its_slot_until_it_ends() {
    let mut world = World::new(8, 4, 1, OnError::Raise);
    up(&mut world);
    world.start(0, 0);
    world.get_stuck(0, 0);
    assert!(matches!(world.schedule.slots[0], Slot::Draining));
    up(&mut world);
    (0..20).for_each(|_| (0..LANES).for_each(|lane| world.finish(1, lane, false)));
    assert_eq!(world.current.as_ref().unwrap().2, 2, "the epoch goes on without it");
    assert!(matches!(world.schedule.slots[0], Slot::Draining));
    world.settle();
}

#[test]
fn a_sample_that_hangs_two_workers_for_good_is_poison() {
    let mut world = World::new(8, 4, 1, OnError::Raise);
    world.grow_by(3);
    up(&mut world);
    world.start(0, 0);
    for worker in 0..2 {
        // Row 0 of the first batch is in hand.
        world.get_stuck(worker, 1);
        up(&mut world);
    }
    (0..20).for_each(|_| (0..LANES).for_each(|lane| world.finish(2, lane, false)));
    assert_eq!((world.current.as_ref().unwrap().2, world.failed), (2, 1), "both batches came, one of them failed");
    world.settle();
}

#[test]
fn a_batch_that_begins_again_waits_for_a_later_one_that_is_half_handed_out() {
    let mut world = World::new(100, 8, 2, OnError::Raise);
    up(&mut world);
    world.start(0, 0);
    let finish_all = |world: &mut World, worker| (0..LANES).for_each(|lane| world.finish(worker, lane, false));
    finish_all(&mut world, 0);
    finish_all(&mut world, 1);
    // Batch 0 is the trainer's and stays there. Worker 1 goes on with half of batch 2 in the last slot.
    assert_eq!(world.held.len(), 1);
    finish_all(&mut world, 1);
    assert!(world.schedule.free.is_empty());
    // Worker 0 has half of batch 1.
    world.get_stuck(0, 0);
    up(&mut world);
    (0..9).for_each(|_| [1, 2].into_iter().for_each(|worker| finish_all(&mut world, worker)));
    assert!(world.current.as_ref().unwrap().2 >= 2, "batch 1 came: {:#?}", world.schedule);
}

#[test]
fn workers_that_get_nothing_done_wait_and_then_end_the_pool() {
    let mut world = World::new(4, 4, 1, OnError::Raise);
    world.start(0, 0);
    let mut ends = 0;
    while !world.over {
        up(&mut world);
        let worker = *world.hands.keys().next().unwrap();
        world.crash(worker, 0);
        ends += 1;
    }
    assert_eq!(ends, FRUITLESS_OVER);
}

/// A batch of 4 rows, in two runs by one worker, that is to be finished; another batch follows it.
fn finishing() -> World {
    let mut world = World::with(8, 4, 1, Terms { on_error: OnError::Raise, min_run: 1, finishes: true });
    up(&mut world);
    world.start(0, 0);
    world
}

fn works(world: &World, worker: u32) -> Vec<(u64, u32, u32, bool)> {
    let work = |fill: &Fill| (fill.batch, fill.run.first_row, fill.run.rows, fill.finish);
    world.hands[&worker].lanes.iter().flatten().map(work).collect()
}

#[test]
fn a_batch_is_finished_before_anything_else_and_then_delivered() {
    let mut world = finishing();
    world.finish(0, 0, false);
    assert_eq!(works(&world, 0), [(1, 0, 2, false), (0, 2, 2, false)]);
    world.finish(0, 1, false);
    assert_eq!(works(&world, 0), [(1, 0, 2, false), (0, 0, 4, true)]);
    assert!(world.held.is_empty());
    world.finish(0, 1, false);
    assert_eq!(world.held.len(), 1);
    world.settle();
}

#[test]
fn a_failed_batch_is_not_finished() {
    let mut world = finishing();
    world.finish(0, 0, true);
    world.finish(0, 1, false);
    assert_eq!((world.failed, world.held.len()), (1, 1));
    assert!(world.hands[&0].lanes.iter().flatten().all(|fill| fill.batch == 1));
    world.settle();
    assert_eq!(world.failed, 1);
}

#[test]
fn all_rows_are_done_again_after_an_end_in_the_middle_of_finishing() {
    for in_hand in [0, 1] {
        let mut world = finishing();
        world.finish(0, 0, false);
        world.finish(0, 1, false);
        world.finish(0, 0, false);
        assert_eq!(works(&world, 0), [(1, 2, 2, false), (0, 0, 4, true)]);
        let row = InHand { slot: 0, row: 0, index: 0 };
        world.hands.remove(&0);
        world.written.iter_mut().flatten().for_each(|row| *row = None);
        world.written[1][..2].fill(Some(((0, 0, 1), false)));
        world.on(Event::Down { worker: 0, ended: "killed".into(), in_hand: vec![row; in_hand] });
        up(&mut world);
        assert_eq!(works(&world, 1), [(1, 2, 2, false), (0, 0, 2, false)]);
        world.settle();
        assert_eq!(world.failed, 0);
    }
}

#[test]
fn a_batch_that_ends_two_workers_while_it_is_finished_fails() {
    for stuck in [false, true] {
        let mut world = finishing();
        world.grow_by(3);
        for worker in 0..2 {
            up(&mut world);
            // Everything but the run that finishes the first batch.
            let other = |fill: &Fill| !(fill.finish && (fill.epoch, fill.batch) == (0, 0));
            while let Some(lane) = world.hands[&worker].lanes.iter().position(|fill| fill.as_ref().is_some_and(other)) {
                world.finish(worker, lane, false);
            }
            assert_eq!(works(&world, worker), [(0, 0, 4, true)]);
            if stuck {
                world.get_stuck(worker, 1);
            } else {
                world.crash(worker, 1);
            }
            up(&mut world);
            assert_eq!(world.failed, u64::from(worker));
        }
        world.settle();
        assert_eq!(world.failed, 1);
    }
}
