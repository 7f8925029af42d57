//! Batches to the trainer, in order, and the next epoch in advance.

use super::{
    parts::{BatchState, SlotState},
    state::Schedule,
};
use crate::{coordinator::event::Action, worker::RowFailure};

impl Schedule {
    pub(super) fn deliver(&mut self, actions: &mut Vec<Action>) {
        while let Some(front) = self.epochs.front_mut()
            && let Some(generation) = front.generation
        {
            if front.is_delivered() {
                if front.streams.is_some() {
                    actions.push(Action::Ended { generation });
                }
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
    pub(super) fn advance(&mut self) {
        let Some(last) = self.epochs.back() else { return };
        if last.generation.is_some() && last.is_handed_out() {
            let Some(epoch) = last.partition.epoch().checked_add(1) else { return };
            if self.sampler.is_known(epoch) && self.sampler.partition(epoch, 0).batches() > 0 {
                self.begin(None, (epoch, 0), 0);
            }
        }
    }
}
