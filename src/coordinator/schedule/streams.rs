//! Epochs whose samples come as streams, one for each seat.

use super::{
    ends::Streams,
    parts::{BatchState, PlannedRun, Sharing, SlotState, WorkerStage, WorkerState},
    recovery::{POISON_DEATHS, worker_error},
    state::Schedule,
};
use crate::{
    coordinator::event::{Action, RowInHand},
    protocol::Run,
    sampler::Partition,
    worker::{LANES, Made, RowFailure},
};

impl Schedule {
    /// Gives slots to the batches that are next, in order, and plans the run of each for its seat.
    pub(super) fn plan_streams(&mut self, actions: &mut Vec<Action>) {
        while let Some(&key) = self.batches_to_restart.first() {
            self.make_room(key);
            let Some(slot) = self.free.pop_first() else { return };
            self.batches_to_restart.remove(&key);
            self.restart(key, slot, actions);
        }
        while let Some(epoch) = self.epochs.iter_mut().find(|epoch| !epoch.is_handed_out()) {
            let Some(streams) = &epoch.streams else { return };
            let mut batch = epoch.next.0;
            while streams.is_past(batch) {
                batch += 1;
            }
            let Some(slot) = self.free.pop_first() else { return };
            epoch.next = (batch + 1, 0);
            let (number, rows) = (epoch.number, epoch.partition.rows(batch));
            self.slots[slot as usize] = SlotState::Filling(BatchState::new(number, batch, rows));
            self.plan_for_seat(slot);
        }
    }

    /// Plans the whole batch of a slot, for the seat whose stream it is of.
    pub(super) fn plan_for_seat(&mut self, slot: u32) {
        let Some((streams, partition, batch)) = self.stream_of(slot) else { return };
        let (seat, rows) = (streams.seat(batch), partition.rows(batch));
        if let SlotState::Filling(batch) = &mut self.slots[slot as usize] {
            (batch.rows, batch.left) = (rows, rows);
        }
        let run = Run { slot, first_row: 0, rows };
        self.runs_to_redo.push_back(PlannedRun { seat: Some(seat), ..PlannedRun::fill(run, 0) });
    }

    /// Returns the streams that a slot is filled from, what is read of them, and the batch.
    fn stream_of(&self, slot: u32) -> Option<(&Streams, &Partition, u64)> {
        let SlotState::Filling(batch) = &self.slots[slot as usize] else { return None };
        let epoch = self.epoch(batch.epoch)?;
        Some((epoch.streams.as_ref()?, &epoch.partition, batch.number))
    }

    /// Tells whether a slot has a batch that there is not any more: a sample before it was given up, and ended its stream.
    pub(super) fn is_past_end(&self, slot: u32) -> bool {
        self.stream_of(slot).is_some_and(|(streams, _, batch)| streams.is_past(batch))
    }

    /// Returns the seat that has to finish a batch; none where any may do it.
    pub(super) fn seat_of(&self, slot: u32) -> Option<u32> {
        self.stream_of(slot).map(|(streams, _, batch)| streams.seat(batch))
    }

    /// Takes the next run that a worker can do: of each seat the earliest one, so that its stream goes forward.
    pub(super) fn next_of_a_seat(&mut self) -> Option<(u32, PlannedRun)> {
        let order = |planned: &PlannedRun| match &self.slots[planned.run.slot as usize] {
            SlotState::Filling(batch) => Some((batch.epoch, batch.number)),
            SlotState::Free | SlotState::Ready(_) | SlotState::Held | SlotState::Draining => None,
        };
        let candidate = |(&id, worker): (&u32, &WorkerState)| {
            let has_room =
                worker.stage == WorkerStage::Up && !worker.is_alone_with_a_run() && worker.in_flight() < LANES;
            let own = |(_, planned): &(usize, &PlannedRun)| planned.seat == Some(worker.seat);
            let planned = self.runs_to_redo.iter().enumerate().filter(own);
            let (at, planned) = planned.min_by_key(|(_, planned)| order(planned)).filter(|_| has_room)?;
            let fits = planned.sharing == Sharing::WithOthers || worker.in_flight() == 0;
            fits.then_some((worker.in_flight(), id, at))
        };
        let (_, id, at) = self.workers.iter().filter_map(candidate).min()?;
        self.runs_to_redo.remove(at).map(|planned| (id, planned))
    }

    /// Takes in what became of the run of a stream that has not filled its batch. Returns whether there is a batch.
    pub(super) fn took_from_stream(&mut self, slot: u32, made: Made, has_failed: bool) -> bool {
        let SlotState::Filling(batch) = &mut self.slots[slot as usize] else { return true };
        let key = (batch.epoch, batch.number);
        let is_there = made.rows > 0 || has_failed;
        if is_there {
            batch.rows = made.rows;
        } else {
            self.drain(slot);
        }
        if made.ended {
            self.end_stream(key, is_there);
        }
        is_there
    }

    /// Notes where a stream ends, and gives up what is planned, or made, of it behind that.
    fn end_stream(&mut self, (number, batch): (u64, u64), is_there: bool) {
        let Some(epoch) = self.epochs.iter_mut().find(|epoch| epoch.number == number) else { return };
        let Some(streams) = &mut epoch.streams else { return };
        streams.end_at(batch, is_there);
        let is_past = |key: (u64, u64)| key.0 == number && streams.is_past(key.1);
        self.batches_to_restart.retain(|&key| !is_past(key));
        let (slots, runs) = (&self.slots, &self.runs_to_redo);
        let made = self.ready.iter().filter(|&(&key, _)| is_past(key)).map(|(_, &slot)| slot);
        let planned = runs.iter().map(|planned| planned.run.slot).filter(|&slot| match &slots[slot as usize] {
            SlotState::Filling(batch) => is_past((batch.epoch, batch.number)),
            SlotState::Free | SlotState::Ready(_) | SlotState::Held | SlotState::Draining => false,
        });
        let given_up: Vec<u32> = made.chain(planned).collect();
        self.ready.retain(|&key, _| !is_past(key));
        self.runs_to_redo.retain(|planned| !given_up.contains(&planned.run.slot));
        for slot in given_up {
            self.drain(slot);
        }
    }

    /// Plans the run of a stream again whose worker has ended.
    pub(super) fn take_back_stream(
        &mut self,
        slot: u32,
        ended: &str,
        in_hand: &[RowInHand],
        actions: &mut Vec<Action>,
    ) {
        let hand = in_hand.iter().find(|hand| hand.slot == slot);
        if let Some(hand) = hand {
            let blamed = self.blamed(*hand);
            if self.count_death(slot, blamed) >= POISON_DEATHS {
                self.give_up_stream(slot, hand.index, ended, actions);
                return;
            }
        }
        self.plan_for_seat(slot);
    }

    /// Fails a batch with a sample that has ended workers. Its stream ends there: nobody gets past that sample.
    pub(super) fn give_up_stream(&mut self, slot: u32, index: u64, ended: &str, actions: &mut Vec<Action>) {
        let SlotState::Filling(batch) = &self.slots[slot as usize] else { return };
        let (key, rows) = ((batch.epoch, batch.number), batch.left);
        let reason = format!(
            "it ended {POISON_DEATHS} workers, the last one {ended}; what its worker had left of the epoch is lost, since it \
             lies behind that sample"
        );
        let error = worker_error(index, reason);
        actions.push(Action::Quarantine(error.clone()));
        self.end_stream(key, true);
        self.rows_done(Run { slot, first_row: 0, rows }, vec![RowFailure { row: 0, fatal: true, error }]);
    }
}
