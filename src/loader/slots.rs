//! How many slots a loader has, and how far they may grow.

use crate::{
    error::{Error, Result},
    field::{Compiled, Field, Recipe},
    job::Options,
    shm::{Arena, SlotLayout},
    spec::FieldSpec,
    sys::limits::{self, ByteSize},
};

/// What slots are laid out for, as soon as it is known.
#[derive(Clone, Debug)]
pub(super) struct SlotPlan {
    /// What is made of the samples.
    pub(super) recipe: Recipe,
    /// The rows of a batch.
    pub(super) batch_size: usize,
}

impl SlotPlan {
    /// Returns what the rows of these fields of a source look like, and the layout of a slot of them.
    pub(super) fn layout(&self, fields: &[Field]) -> Result<(Vec<FieldSpec>, SlotLayout)> {
        let specs = Compiled::of(fields, &self.recipe)?.specs().to_vec();
        let layout = SlotLayout::new(self.batch_size, &specs)?;
        Ok((specs, layout))
    }
}

/// How slots are laid out anew where a sample needs more room than was guessed.
#[derive(Debug)]
pub(super) struct Growth {
    pub(super) plan: SlotPlan,
    /// The source's fields.
    pub(super) fields: Vec<Field>,
}

impl Growth {
    /// Returns the layout with room for so many places in the rows of a field, at least, and for how many there is: half as
    /// many again as there were, so that there are few layouts, where that fits under the limit.
    pub(super) fn layout(
        &mut self,
        before: &SlotLayout,
        field: u32,
        places: u64,
        budget: ArenaBudget,
    ) -> Result<(SlotLayout, u64)> {
        let spec = before.specs().get(field as usize);
        let spec = spec.ok_or_else(|| Error::Protocol(format!("there is no field {field} to grow")))?;
        let had = spec.ragged.map_or(0, |ragged| ragged.capacity as u64);
        let mut laid = |places: u64| {
            self.plan.recipe.capacity.insert(spec.name.clone(), places as usize);
            let layout = self.plan.layout(&self.fields)?.1;
            budget.check(&layout)?;
            Ok((layout, places))
        };
        laid(places.max(had.saturating_add(had / 2))).or_else(|_| laid(places))
    }
}

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
