//! Who gets which run next.

use super::{
    parts::{BatchState, PlannedRun, Sharing, SlotState, WorkerStage},
    state::Schedule,
};
use crate::{
    coordinator::event::Action,
    protocol::{Fill, Run},
    worker::LANES,
};

impl Schedule {
    pub(super) fn assign(&mut self, actions: &mut Vec<Action>) {
        loop {
            self.advance();
            let next = if self.streams {
                self.plan_streams(actions);
                self.next_of_a_seat()
            } else {
                self.next_of_any(actions)
            };
            let Some((id, planned)) = next else { return };
            self.hand_out(id, planned, actions);
        }
    }

    /// Takes the next run and finds who does it.
    fn next_of_any(&mut self, actions: &mut Vec<Action>) -> Option<(u32, PlannedRun)> {
        let one_is_alone = self.runs_to_redo.iter().any(|planned| planned.sharing == Sharing::Alone);
        let (sharing, lanes) = if one_is_alone { (Sharing::Alone, 1) } else { (Sharing::WithOthers, LANES) };
        let candidate = self
            .workers
            .iter()
            .filter(|(_, worker)| {
                worker.stage == WorkerStage::Up && !worker.is_alone_with_a_run() && worker.in_flight() < lanes
            })
            .min_by_key(|(_, worker)| worker.in_flight())
            .map(|(&id, _)| id)?;
        self.next_run(sharing, actions).map(|planned| (candidate, planned))
    }

    fn hand_out(&mut self, id: u32, planned: PlannedRun, actions: &mut Vec<Action>) {
        let SlotState::Filling(batch) = &self.slots[planned.run.slot as usize] else {
            unreachable!("work is handed out for filling slots only")
        };
        let Some(epoch) = self.epoch(batch.epoch) else { unreachable!("a filling slot belongs to an epoch") };
        let (epoch_number, cursor) = (epoch.partition.epoch(), epoch.partition.cursor());
        let batch = batch.number;
        let Some(worker) = self.workers.get_mut(&id) else { unreachable!("the worker was just found") };
        let Some(lane) = worker.lanes.iter().position(Option::is_none) else { unreachable!("it has a lane free") };
        let PlannedRun { run, attempt, work, .. } = planned;
        let fill = Fill { tag: lane as u32, run, epoch: epoch_number, cursor, batch, attempt, work };
        worker.lanes[lane] = Some((planned, fill));
        actions.push(Action::Fill { worker: id, fill });
    }

    fn next_run(&mut self, sharing: Sharing, actions: &mut Vec<Action>) -> Option<PlannedRun> {
        if let Some(at) = self.runs_to_redo.iter().position(|planned| planned.sharing == sharing) {
            return self.runs_to_redo.remove(at);
        }
        if let Some(&key) = self.batches_to_restart.first() {
            self.make_room(key);
            if let Some(slot) = self.free.pop_first() {
                self.batches_to_restart.remove(&key);
                self.restart(key, slot, actions);
                return self.next_run(sharing, actions);
            }
            // A later batch that is half handed out must be finished before its slot can make room.
            self.epochs.iter().find(|epoch| epoch.filling.is_some())?;
        }
        let run_rows = self.run_rows;
        let half = !self.batches_to_restart.is_empty();
        let epoch = self
            .epochs
            .iter_mut()
            .find(|epoch| epoch.next.0 < epoch.partition.batches() && (!half || epoch.filling.is_some()))?;
        let (batch, first_row) = epoch.next;
        let rows = epoch.partition.rows(batch);
        let slot = if let Some(slot) = epoch.filling {
            slot
        } else {
            let slot = self.free.pop_first()?;
            let number = epoch.number;
            self.slots[slot as usize] = SlotState::Filling(BatchState::new(number, batch, rows));
            epoch.filling = Some(slot);
            slot
        };
        let run = Run { slot, first_row, rows: run_rows.min(rows - first_row) };
        if first_row + run.rows == rows {
            epoch.next = (batch + 1, 0);
            epoch.filling = None;
        } else {
            epoch.next = (batch, first_row + run.rows);
        }
        Some(PlannedRun::fill(run, 0))
    }

    /// Frees a slot for an earlier batch by putting a later, finished one back: else both would wait for good.
    pub(super) fn make_room(&mut self, before: (u64, u64)) {
        if self.free.is_empty()
            && let Some((&key, &slot)) = self.ready.iter().max_by_key(|(key, _)| **key)
            && key > before
        {
            self.begin_again(slot, key);
        }
    }
}
