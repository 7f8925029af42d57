//! A sample that needs more room than rows have, where that room was a guess: a new arena, and the work begins anew.
//!
//! What workers were doing is given up with them, so nobody writes to the old arena any more but those that cannot be
//! killed, which do no harm there. Batches that the trainer has stay as they are.

use std::{os::fd::OwnedFd, sync::Arc, time::Duration};

use super::{
    run::{Coordinator, schedule},
    supervisor::Supervisor,
};
use crate::{
    error::{Error, Result, Room},
    protocol::Reply,
    shm::Arena,
    sys::{memory::SharedMemory, report::report},
};

/// How long the workers may take to end.
const END_GRACE: Duration = Duration::from_millis(800);

impl Coordinator {
    /// Stops all work and asks the trainer for an arena with more room.
    pub(super) fn outgrown(&mut self, room: &Room) {
        let Some(field) = self.pipeline.fields().iter().position(|field| field.name == room.field) else { return };
        if self.is_outgrown || self.over {
            return;
        }
        self.is_outgrown = true;
        self.supervisor.end_all(END_GRACE);
        self.unforked.clear();
        self.outbox.push_back(Reply::Outgrown { field: field as u32, places: room.places as u64 });
    }

    /// Begins anew in a new arena, whose first segment this is.
    pub(super) fn grow(&mut self, field: u32, places: u64, segment: OwnedFd) -> Result<()> {
        let spec = self.pipeline.fields().get(field as usize);
        let name = spec.ok_or_else(|| Error::Protocol(format!("there is no field {field} to grow")))?.name.clone();
        let room = Room { field: name, places: places as usize };
        report(&format!("rows of field `{}` get room for {places}: a sample needs more than was guessed", room.field));
        self.pipeline = Arc::new(self.pipeline.with_room(&room)?);
        let options = self.supervisor.options().clone();
        let mut arena = Arena::new(options.layout(&self.pipeline.specs())?);
        arena.share(Arc::new(SharedMemory::open(segment)?));
        let sampler = self.supervisor.sampler().clone();
        let (schedule, actions) = schedule(&self.pipeline, &options, sampler.clone(), &arena);
        let (pipeline, trainer) = (Arc::clone(&self.pipeline), Arc::clone(&self.trainer));
        let posted = self.supervisor.posted();
        let supervisor = Supervisor::new(pipeline, options, sampler, (trainer, posted));
        self.supervisor = supervisor.with_tables_of(&self.supervisor);
        (self.arena, self.schedule, self.is_outgrown) = (arena, schedule, false);
        self.act(actions);
        Ok(())
    }
}
