//! Pools that live through random histories, and through those that once went wrong.

use proptest::prelude::*;

use super::simulation::{Simulation, Step};
use crate::{coordinator::schedule::ScheduleOptions, job::OnError, worker::LANES};

fn step() -> impl Strategy<Value = Step> {
    let nth = || 0..16_usize;
    prop_oneof![
        30 => nth().prop_map(Step::WorkerUp),
        80 => (nth(), 0..LANES, prop::bool::weighted(1.0 / 23.0))
            .prop_map(|(nth, lane, fatal)| Step::RunDone { nth, lane, fatal }),
        40 => nth().prop_map(Step::BatchDropped),
        20 => (nth(), prop::bool::weighted(1.0 / 7.0), 0..3_usize)
            .prop_map(|(nth, or_booting, in_hand)| Step::WorkerEnds { nth, or_booting, in_hand }),
        10 => (nth(), 0..3_usize).prop_map(|(nth, in_hand)| Step::WorkerStuck { nth, in_hand }),
        10 => (nth(), 0..2_usize).prop_map(|(nth, in_hand)| Step::DoomedWorkerEnds { nth, in_hand }),
        10 => (0..4_u64, 0..62_u64).prop_map(|(epoch, cursor)| Step::Start { epoch, cursor }),
        5 => Just(Step::StartNext),
        5 => Just(Step::Grown),
        5 => nth().prop_map(Step::FalseReport),
        5 => Just(Step::StrangersReport),
        5 => Just(Step::ReleaseOfWhatIsNotHeld),
    ]
}

fn live_through(len: u64, batch_size: u32, workers: u32, options: ScheduleOptions, history: &[Step]) {
    live(Simulation::with(len, batch_size, workers, options), history);
}

fn live(mut simulation: Simulation, history: &[Step]) {
    simulation.start(0, 0);
    for &step in history {
        simulation.step(step);
    }
    simulation.settle();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Whatever happens, in whatever order: rows are written once, batches come in order, finished once if they are to
    /// be, no slot has two owners, none is lost, and the epoch ends.
    #[test]
    fn any_history_ends_well(
        len in 1_u64..60, batch_size in 1_u32..9, workers in 1_u32..5, finishes: bool,
        on_error in prop::sample::select(vec![OnError::Raise, OnError::Skip, OnError::Replace]),
        history in prop::collection::vec(step(), 0..400),
    ) {
        live_through(len, batch_size, workers, ScheduleOptions { on_error, min_run: 1, finishes, streams: false }, &history);
    }

    /// The same of streams, which end where they do: each is in its own worker, and all their batches come, in turn.
    #[test]
    fn any_history_of_streams_ends_well(
        lengths in prop::collection::vec(0_u64..40, 1..5), batch_size in 1_u32..9, finishes: bool,
        on_error in prop::sample::select(vec![OnError::Raise, OnError::Skip]),
        history in prop::collection::vec(step(), 0..400),
    ) {
        let options = ScheduleOptions { on_error, min_run: 1, finishes, streams: true };
        live(Simulation::of_streams(lengths, batch_size, options), &history);
    }
}

const PLAIN: ScheduleOptions =
    ScheduleOptions { on_error: OnError::Raise, min_run: 1, finishes: false, streams: false };

#[test]
fn a_worker_that_gets_stuck_before_another_is_up_ends_well() {
    let stuck = Step::WorkerStuck { nth: 0, in_hand: 0 };
    live_through(1, 1, 1, PLAIN, &[Step::WorkerUp(0), stuck, Step::WorkerUp(0)]);
}

#[test]
fn the_only_worker_ends_well() {
    let ends = Step::WorkerEnds { nth: 0, or_booting: true, in_hand: 0 };
    live_through(9, 3, 1, PLAIN, &[Step::WorkerUp(0), ends]);
}

#[test]
fn a_worker_that_ends_and_one_that_gets_stuck_beside_failed_runs_end_well() {
    let done = |nth, fatal| Step::RunDone { nth, lane: nth, fatal };
    let history = [
        Step::WorkerUp(1),
        Step::Grown,
        Step::WorkerUp(0),
        Step::WorkerUp(0),
        Step::WorkerUp(0),
        done(0, true),
        done(0, true),
        done(0, false),
        done(1, false),
        Step::WorkerEnds { nth: 0, or_booting: false, in_hand: 1 },
        Step::BatchDropped(0),
        Step::WorkerUp(0),
        done(0, false),
        Step::BatchDropped(0),
        Step::WorkerStuck { nth: 0, in_hand: 0 },
        Step::WorkerUp(0),
        done(0, true),
    ];
    live_through(30, 2, 2, PLAIN, &history);
}
