//! What the schedule decides, step by step, with simulated workers and a simulated trainer.

mod histories;
mod simulation;

use self::simulation::{FIRST_SLOTS, Simulation, Step};
use super::{
    ScheduleOptions,
    parts::SlotState,
    recovery::{GIVE_UP_AFTER, MAX_BOOT_FAILURES},
};
use crate::{
    coordinator::event::{Event, RowInHand},
    job::OnError,
    protocol::{Fill, Run, Work},
    worker::LANES,
};

fn up(simulation: &mut Simulation) {
    for worker in simulation.workers.keys().copied().collect::<Vec<_>>() {
        simulation.step(Step::WorkerUp(worker as usize));
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
fn an_epoch_goes_on_with_the_batch_that_is_next() {
    let mut simulation = Simulation::new(8, 2, 1, OnError::Raise);
    up(&mut simulation);
    simulation.on(Event::Start { generation: 1, epoch: 0, cursor: 0, batch: 2 });
    let batches: Vec<_> = (0..FIRST_SLOTS).flat_map(|slot| simulation.writers(slot)).map(|fill| fill.batch).collect();
    assert_eq!(batches, [2, 2], "two runs of one row");
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
    let mut simulation = Simulation::with(
        8,
        4,
        1,
        ScheduleOptions { on_error: OnError::Raise, min_run: 1, finishes: true, streams: false },
    );
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

fn of_streams(lengths: &[u64], batch_size: u32) -> Simulation {
    let options = ScheduleOptions { on_error: OnError::Raise, min_run: 1, finishes: false, streams: true };
    let mut simulation = Simulation::of_streams(lengths.to_vec(), batch_size, options);
    up(&mut simulation);
    simulation.start(0, 0);
    simulation
}

#[test]
fn batches_of_streams_are_the_seats_in_turn_and_get_slots_in_order() {
    let mut simulation = of_streams(&[8, 8], 2);
    let batches = |simulation: &Simulation, worker| -> Vec<u64> {
        simulation.workers[&worker].lanes.iter().flatten().map(|fill| fill.batch).collect()
    };
    assert_eq!((batches(&simulation, 0), batches(&simulation, 1)), (vec![0, 2], vec![1]), "of three slots");
    // However quick one is: a slot that it freed would be lacking for the batch that is next.
    simulation.finish(0, 1, false);
    assert_eq!((batches(&simulation, 0), batches(&simulation, 1)), (vec![0], vec![1]));
    simulation.settle();
    assert_eq!(simulation.current.as_ref().unwrap().2, 8);
}

#[test]
fn a_run_of_a_stream_is_done_again_by_its_seat_before_those_behind_it() {
    let mut simulation = of_streams(&[40, 40], 2);
    simulation.crash(0, 0);
    up(&mut simulation);
    let again: Vec<u64> = simulation.workers[&2].lanes.iter().flatten().map(|fill| fill.batch).collect();
    assert_eq!(again, [0, 2]);
    simulation.settle();
    assert_eq!(simulation.failed, 0);
}

#[test]
fn a_sample_that_ends_two_workers_ends_its_stream() {
    let mut simulation = of_streams(&[20, 20], 2);
    for worker in [0, 2] {
        simulation.crash(worker, 1);
        up(&mut simulation);
    }
    simulation.settle();
    assert_eq!((simulation.failed, simulation.current.as_ref().unwrap().2), (1, 20), "the other stream is whole");
}
