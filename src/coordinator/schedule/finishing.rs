//! Batches that are finished as a whole, in place, when all their rows are done.
//!
//! If a worker ends while it finishes a batch, nobody knows which rows it has changed. Its notes are hints: they tell only
//! whether it had begun, and so whether the batch is to blame. All rows are done again.

use super::{
    parts::{BatchStage, Blamed, PlannedRun, Sharing, SlotState},
    recovery::{POISON_DEATHS, worker_error},
    state::Schedule,
};
use crate::{
    coordinator::event::{Action, RowInHand},
    protocol::{Run, Work},
    worker::RowFailure,
};

impl Schedule {
    /// Plans the run that finishes a batch, before everything else.
    pub(super) fn hand_out_to_finish(&mut self, slot: u32) {
        let SlotState::Filling(batch) = &mut self.slots[slot as usize] else { return };
        batch.stage = BatchStage::Finishing;
        batch.left = batch.rows;
        let run = Run { slot, first_row: 0, rows: batch.rows };
        let has_ended_a_worker = self.deaths.contains_key(&(batch.epoch, batch.number, Blamed::Batch));
        let sharing = if has_ended_a_worker { Sharing::Alone } else { Sharing::WithOthers };
        let seat = self.seat_of(slot);
        self.runs_to_redo.push_front(PlannedRun { run, attempt: 0, work: Work::Finish, sharing, seat });
    }

    /// Returns the row, or the batch, that a worker's death counts against.
    pub(super) fn blamed(&self, hand: RowInHand) -> Blamed {
        match &self.slots[hand.slot as usize] {
            SlotState::Filling(batch) if batch.stage == BatchStage::Finishing => Blamed::Batch,
            SlotState::Free | SlotState::Filling(_) | SlotState::Ready(_) | SlotState::Held | SlotState::Draining => {
                // Where a stream begins anew, the notes of a row are of other samples.
                let row = if self.streams { 0 } else { hand.row };
                Blamed::Row { row, index: hand.index }
            }
        }
    }

    /// Plans a batch again whose worker ended before it had finished it.
    pub(super) fn take_back_batch(&mut self, slot: u32, ended: &str, in_hand: &[RowInHand], actions: &mut Vec<Action>) {
        let had_begun = in_hand.iter().any(|hand| hand.slot == slot);
        let deaths = if had_begun { self.count_death(slot, Blamed::Batch) } else { 0 };
        let SlotState::Filling(batch) = &mut self.slots[slot as usize] else { return };
        batch.stage = BatchStage::Filling;
        batch.left = batch.rows;
        let rows = batch.rows;
        if deaths < POISON_DEATHS {
            self.hand_out_again(slot, 0, rows);
        } else {
            self.give_up_batch(slot, ended, actions);
        }
    }

    /// Fails a batch that has ended workers, in the name of its first sample.
    pub(super) fn give_up_batch(&mut self, slot: u32, ended: &str, actions: &mut Vec<Action>) {
        let SlotState::Filling(batch) = &self.slots[slot as usize] else { return };
        let (epoch, number, rows) = (batch.epoch, batch.number, batch.rows);
        let Some(epoch) = self.epoch(epoch) else { return };
        let reason = format!("the transforms of its batch ended {POISON_DEATHS} workers, the last one {ended}");
        let error = worker_error(epoch.partition.index(number, 0, 0), reason);
        actions.push(Action::Quarantine(error.clone()));
        self.rows_done(Run { slot, first_row: 0, rows }, vec![RowFailure { row: 0, fatal: true, error }]);
    }
}
