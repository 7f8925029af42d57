//! How many slots a loader has, and how far they may grow.

use crate::{
    error::{Error, Result},
    job::Options,
    shm::{Arena, SlotLayout},
    sys::limits::{self, ByteSize},
};

/// What limits the number of slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArenaBudget {
    /// How many batches may be finished ahead.
    pub(super) prefetch: usize,
    /// How large the arena may become, in bytes.
    pub(super) memory_limit: u64,
}

impl ArenaBudget {
    /// Returns how many slots a loader begins with: `prefetch` ahead, one being filled, one in the trainer's hands.
    pub(super) fn initial_slots(self) -> usize {
        self.prefetch + 2
    }

    /// Checks that the first slots fit under the limit.
    pub(super) fn check(self, layout: &SlotLayout) -> Result<()> {
        let Self { prefetch, memory_limit } = self;
        let (slots, slot) = (self.initial_slots() as u64, layout.bytes() as u64);
        let need = slots.saturating_mul(slot);
        if need <= memory_limit {
            return Ok(());
        }
        let rows = layout.rows();
        Err(Error::Memory(format!(
            "{slots} slots (prefetch={prefetch}, and two) of {} for {rows} rows need {}, and memory_limit is {}; lower \
             batch_size or prefetch, or raise memory_limit",
            ByteSize(slot),
            ByteSize(need),
            ByteSize(memory_limit)
        )))
    }

    /// Checks that there is memory for the samples in work beside the first slots.
    pub(super) fn check_samples(self, layout: &SlotLayout, options: &Options) -> Result<()> {
        let (samples, slots) = (options.bytes_in_work(), (self.initial_slots() * layout.bytes()) as u64);
        let what = format!("a loader whose samples may take {} (max_sample_bytes) beside its slots", ByteSize(samples));
        limits::check_memory_of(samples.saturating_add(slots), &what, "max_sample_bytes, batch_size or prefetch")
    }

    /// Returns how many slots to add under the limit: as many as there are, so that few segments hold many slots.
    pub(super) fn growth(self, arena: &Arena) -> usize {
        let room = self.memory_limit.saturating_sub(arena.bytes() as u64) / arena.layout().bytes() as u64;
        self.prefetch.max(arena.slots()).min(room as usize)
    }

    /// Returns the error of a trainer that holds every slot but those that are lost.
    pub(super) fn exhausted(self, arena: &Arena, held: usize, lost: usize, refused: Option<Error>) -> Error {
        let limit = || format!("memory_limit is {}", ByteSize(self.memory_limit));
        let why = refused.map_or_else(limit, |error| error.to_string());
        let lost = if lost > 0 {
            format!(" and {lost} more are lost to workers that cannot be killed")
        } else {
            String::new()
        };
        Error::SlotsExhausted(format!(
            "{held} batches are held{lost}, which are all slots of the arena ({}), and it cannot grow: {why}; drop \
             batches, copy what you keep, or raise memory_limit",
            ByteSize(arena.bytes() as u64)
        ))
    }
}
