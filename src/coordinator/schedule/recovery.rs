//! What follows when a worker ends, or cannot be ended.

use std::collections::BTreeSet;

use super::{
    parts::{BatchState, Blamed, PlannedRun, Sharing, SlotState, WorkerStage},
    state::Schedule,
};
use crate::{
    coordinator::event::{Action, RowInHand},
    error::{Failure, SampleError, Stage},
    job::{MAX_ATTEMPTS, OnError},
    protocol::{Run, Work},
    worker::RowFailure,
};

/// Deaths of one row before it counts as poison.
pub(super) const POISON_DEATHS: u32 = 2;
/// Workers that may end before they are up, one after another, before the pool gives up.
pub(super) const MAX_BOOT_FAILURES: u32 = 5;
/// Ends without a run that was done in between, for each worker, after which the pool gives up.
pub(super) const GIVE_UP_AFTER: u32 = 64;

/// The error of a sample that has ended workers.
pub(super) fn worker_error(index: u64, reason: String) -> SampleError {
    Failure::new(Stage::Worker, reason).of(index, String::new())
}

impl Schedule {
    pub(super) fn down(&mut self, id: u32, ended: &str, in_hand: &[RowInHand], actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.remove(&id) else { return };
        for (planned, _) in worker.lanes.into_iter().flatten() {
            match self.slots[planned.run.slot as usize] {
                SlotState::Filling(_) if self.is_past_end(planned.run.slot) => self.drain(planned.run.slot),
                SlotState::Filling(_) if planned.work == Work::Finish => {
                    self.take_back_batch(planned.run.slot, ended, in_hand, actions);
                }
                SlotState::Filling(_) if planned.is_of_stream() => {
                    self.take_back_stream(planned.run.slot, ended, in_hand, actions);
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
                self.poison(*hand, planned.attempt, ended, actions);
            }
        }
        self.redo(planned, begun, first_row + rows);
    }

    /// Plans a part of a run again. If the run was alone in its worker, so is the part: a worker has died at this row
    /// before.
    fn redo(&mut self, planned: &PlannedRun, from: u32, to: u32) {
        if from < to {
            let run = Run { slot: planned.run.slot, first_row: from, rows: to - from };
            self.runs_to_redo.push_back(PlannedRun { run, ..planned.clone() });
        }
    }

    /// Counts a worker's death against what it had in hand, and returns how many there were.
    pub(super) fn count_death(&mut self, slot: u32, blamed: Blamed) -> u32 {
        let SlotState::Filling(batch) = &self.slots[slot as usize] else { return 0 };
        let deaths = self.deaths.entry((batch.epoch, batch.number, blamed)).or_insert(0);
        *deaths += 1;
        *deaths
    }

    /// Gives a sample up, which was not come to before so many others: its row fails, or gets the next candidate.
    fn poison(&mut self, hand: RowInHand, others: u32, ended: &str, actions: &mut Vec<Action>) {
        let RowInHand { slot, row, index } = hand;
        let SlotState::Filling(batch) = &self.slots[slot as usize] else { return };
        let (number, epoch) = (batch.number, batch.epoch);
        let Some(epoch) = self.epoch(epoch) else { return };
        let error = worker_error(index, format!("it ended {POISON_DEATHS} workers, the last one {ended}"));
        // The worker may have come to this sample by giving up others.
        let tried = (others..MAX_ATTEMPTS)
            .find(|&tried| self.on_error.candidate(&epoch.partition, number, row, tried) == index);
        let attempt = tried.map_or(MAX_ATTEMPTS, |tried| tried + 1);
        let run = Run { slot, first_row: row, rows: 1 };
        actions.push(Action::Quarantine(error.clone()));
        if self.on_error == OnError::Raise || attempt >= MAX_ATTEMPTS {
            self.rows_done(run, vec![RowFailure { row, fatal: true, error }]);
        } else {
            self.runs_to_redo.push_back(PlannedRun::fill(run, attempt));
        }
    }

    pub(super) fn stuck(&mut self, id: u32, ended: &str, in_hand: &[RowInHand], actions: &mut Vec<Action>) {
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
    pub(super) fn count_lost(&mut self, actions: &mut Vec<Action>) {
        let stuck = self.workers.values().filter(|worker| worker.stage == WorkerStage::Stuck);
        let slots: BTreeSet<u32> =
            stuck.flat_map(|worker| worker.lanes.iter().flatten().map(|(planned, _)| planned.run.slot)).collect();
        if self.lost_slots != slots.len() as u32 {
            self.lost_slots = slots.len() as u32;
            actions.push(Action::Lost { slots: self.lost_slots });
        }
    }

    /// Takes a batch out of its slot, to be begun again in another.
    pub(super) fn begin_again(&mut self, slot: u32, (number, batch): (u64, u64)) {
        self.runs_to_redo.retain(|planned| planned.run.slot != slot);
        self.ready.remove(&(number, batch));
        self.drain(slot);
        if let Some(epoch) = self.epochs.iter_mut().find(|epoch| epoch.number == number) {
            if epoch.filling == Some(slot) {
                // Half handed out: all of it is handed out again.
                epoch.filling = None;
                epoch.next = (batch + 1, 0);
            }
            if epoch.streams.as_ref().is_none_or(|streams| !streams.is_past(batch)) {
                self.batches_to_restart.insert((number, batch));
            }
        }
    }

    /// Begins a batch again in a free slot, without the samples that are known to be poison.
    pub(super) fn restart(&mut self, (number, batch): (u64, u64), slot: u32, actions: &mut Vec<Action>) {
        let Some(rows) = self.epoch(number).map(|epoch| epoch.partition.rows(batch)) else { return };
        self.slots[slot as usize] = SlotState::Filling(BatchState::new(number, batch, rows));
        let given_up = self.given_up.remove(&(number, batch)).unwrap_or_default();
        if let Some(ended) = given_up.batch {
            self.give_up_batch(slot, &ended, actions);
            return;
        }
        if self.streams
            && let Some((_, (index, ended))) = given_up.rows.first_key_value()
        {
            self.give_up_stream(slot, *index, ended, actions);
            return;
        }
        let mut begun = 0;
        for (row, (index, ended)) in given_up.rows {
            self.hand_out_again(slot, begun, row);
            begun = row + 1;
            self.poison(RowInHand { slot, row, index }, 0, &ended, actions);
        }
        self.hand_out_again(slot, begun, rows);
    }

    pub(super) fn hand_out_again(&mut self, slot: u32, from: u32, to: u32) {
        if self.streams {
            self.plan_for_seat(slot);
            return;
        }
        for first_row in (from..to).step_by(self.run_rows as usize) {
            let run = Run { slot, first_row, rows: self.run_rows.min(to - first_row) };
            self.runs_to_redo.push_back(PlannedRun::fill(run, 0));
        }
    }
}
