//! Batches that are finished as a whole, in place, when all their rows are done.
//!
//! A worker that ends at it leaves rows of which nobody knows whether they are still as they were filled: its notes are
//! hints, and only good enough to decide whether the batch is to blame. So all rows are done again.

use super::{POISON_DEATHS, Schedule, Slot, Todo};
use crate::{
    coordinator::event::{Action, InHand},
    error::{SampleError, Stage},
    protocol::Run,
    worker::RowFailure,
};

/// Stands in the place of a row, and of its sample's index, where deaths count against the batch as a whole.
pub(super) const WHOLE: u32 = u32::MAX;

impl Schedule {
    /// Plans the run that finishes a batch, before everything else.
    pub(super) fn hand_out_to_finish(&mut self, slot: u32) {
        let Slot::Filling(batch) = &mut self.slots[slot as usize] else { return };
        batch.finishing = true;
        batch.left = batch.rows;
        let run = Run { slot, first_row: 0, rows: batch.rows };
        let key = (batch.epoch, batch.number, WHOLE, u64::from(WHOLE));
        // Alone after it has ended a worker, so that it is known for certain if it ends a second one.
        let solo = self.deaths.contains_key(&key);
        self.redo.push_front(Todo { run, attempt: 0, solo, finish: true });
    }

    /// Returns what a worker's end counts against: the row that it had in hand, or the batch that it was finishing.
    pub(super) fn blamed(&self, hand: InHand) -> InHand {
        match &self.slots[hand.slot as usize] {
            Slot::Filling(batch) if batch.finishing => InHand { row: WHOLE, index: u64::from(WHOLE), ..hand },
            _ => hand,
        }
    }

    /// Plans a batch anew whose worker ended before it had finished it.
    pub(super) fn take_back_batch(&mut self, slot: u32, ended: &str, in_hand: &[InHand], actions: &mut Vec<Action>) {
        let begun = in_hand.iter().find(|hand| hand.slot == slot).map(|hand| self.blamed(*hand));
        let deaths = begun.map_or(0, |hand| self.book_death(hand));
        let Slot::Filling(batch) = &mut self.slots[slot as usize] else { return };
        batch.finishing = false;
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
        let Slot::Filling(batch) = &self.slots[slot as usize] else { return };
        let (epoch, number, rows) = (batch.epoch, batch.number, batch.rows);
        let Some(epoch) = self.epoch(epoch) else { return };
        let error = SampleError {
            index: epoch.plan.index(number, 0, 0),
            key: String::new(),
            stage: Stage::Worker,
            reason: format!("the transforms of its batch ended {POISON_DEATHS} workers, the last one {ended}"),
            errno: None,
            offset: None,
            worker: None,
        };
        actions.push(Action::Record(error.clone()));
        self.finish(Run { slot, first_row: 0, rows }, vec![RowFailure { row: 0, fatal: true, error }]);
    }
}
