//! How many slots a loader has, and how far they may grow.

use crate::{
    error::{Error, Result},
    field::{Field, Payload, Recipe, Variants},
    job::Options,
    shm::{Arena, SlotLayout},
    source::SourceSpec,
    sys::limits::{self, ByteSize},
};

/// What slots are laid out for, as soon as it is known.
#[derive(Clone, Debug)]
pub(super) struct SlotPlan {
    /// What is made of the samples.
    pub(super) recipe: Recipe,
    /// How samples become batches.
    pub(super) options: Options,
    /// What workers need beside slots.
    pub(super) beside: WorkerMemory,
}

/// What workers need of memory beside slots, as far as it is known before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WorkerMemory {
    /// For samples in work, where they are files, of which any may be large.
    samples: u64,
    /// For what sources keep.
    kept: u64,
}

impl WorkerMemory {
    pub(super) fn of(source: &SourceSpec, options: &Options) -> Self {
        let reads_files = source.fields().iter().any(|field| matches!(field.payload(), Ok(Payload::Encoded)));
        let samples = if reads_files { options.bytes_in_work() } else { 0 };
        let workers = u64::from(options.num_workers.max(1));
        Self { samples, kept: source.kept_bytes().saturating_mul(workers) }
    }
}

impl SlotPlan {
    /// Returns the layout of a slot for rows of these fields of a source.
    pub(super) fn layout(&self, fields: &[Field]) -> Result<SlotLayout> {
        self.options.layout(&Variants::of(fields, &self.recipe)?.specs())
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
            let layout = self.plan.layout(&self.fields)?;
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
        // What three slots of one row need is needed in any case.
        let can_help = 3 * slot / rows.max(1) as u64 <= memory_limit;
        let advice = match (rows > 1, prefetch > 1) {
            (true, true) if can_help => "lower batch_size or prefetch, or raise memory_limit",
            (true, false) if can_help => "lower batch_size, or raise memory_limit",
            (false, true) if can_help => "lower prefetch, or raise memory_limit",
            (_, _) => "raise memory_limit: three single samples do not fit",
        };
        Err(Error::Memory(format!(
            "{slots} slots (prefetch={prefetch}, and two) of {} for {rows} rows need {}, and memory_limit is {}; {advice}",
            ByteSize(slot),
            ByteSize(need),
            ByteSize(memory_limit)
        )))
    }

    /// Checks that there is memory for what workers need beside the first slots.
    pub(super) fn check_beside(self, layout: &SlotLayout, beside: WorkerMemory) -> Result<()> {
        let WorkerMemory { samples, kept } = beside;
        let slots = (self.initial_slots() * layout.bytes()) as u64;
        let (samples_may, kept_are) = (ByteSize(samples), ByteSize(kept));
        let (what, lower) = match (samples, kept) {
            (0, 0) => return Ok(()),
            (_, 0) => (format!("samples may take {samples_may} (max_sample_bytes)"), "max_sample_bytes"),
            (0, _) => (format!("workers keep up to {kept_are} (the source's cache)"), "the source's cache"),
            (_, _) => (
                format!(
                    "samples may take {samples_may} (max_sample_bytes) and whose workers keep up to {kept_are} (the \
                     source's cache)"
                ),
                "max_sample_bytes, the source's cache",
            ),
        };
        let what = format!("a loader whose {what} beside its slots");
        let need = samples.saturating_add(kept).saturating_add(slots);
        let ours = if layout.rows() > 1 { "batch_size or prefetch" } else { "prefetch" };
        limits::check_memory_of(need, &what, &format!("lower {lower}, {ours}, or raise the limit"))
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
