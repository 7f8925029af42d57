//! Source, decoding and transforms of one sample, checked once.
//!
//! A pipeline knows nothing of processes, slots or batches: it turns a record into the bytes of one row of
//! every field, and the rows of a batch into those of a mixed one. The bytes are a function of the pipeline and the
//! [`Key`] alone.

use std::{collections::BTreeSet, slice, sync::Arc};

use serde::{Deserialize, Serialize};

pub use crate::field::{Scratch, Times};
use crate::{
    budget::Budget,
    error::{Error, Failure, Result, Room, Stage},
    field::{self, Compiled, Field, Kind, Payload, Recipe, Sample, Variants},
    function::{Functions, Learned},
    panics,
    rng::Key,
    source::{Bytes, Reader, Record, Source, SourceSpec, StreamEnd},
    spec::FieldSpec,
    transform::{Drawn, Rows, SlotRows},
};

/// A pipeline as data: what the trainer sends to the coordinator, which opens it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PipelineSpec {
    /// Where the records come from.
    pub source: SourceSpec,
    /// What is made of them.
    pub recipe: Recipe,
}

impl PipelineSpec {
    /// Returns what every sample will look like in batches of each variant, without any I/O.
    ///
    /// # Errors
    /// [`Config`](crate::Error::Config) for transforms of an unknown field, or that the field cannot take.
    pub fn fields(&self) -> Result<Vec<Vec<FieldSpec>>> {
        let fields = self.source.fields();
        Variants::of(&fields, &self.recipe).map(|variants| variants.specs().into_iter().map(<[_]>::to_vec).collect())
    }

    /// Opens the source, which lies in these pieces of memory.
    ///
    /// # Errors
    /// Those of [`fields`](Self::fields) and of [`SourceSpec::open`].
    pub fn open(self, memory: &[Bytes]) -> Result<Pipeline> {
        // A mistake in the transforms is told before a large folder is listed.
        self.fields()?;
        Pipeline::new(self.source.open(memory)?, &self.recipe)
    }
}

/// Reads samples, and tells functions of runs.
struct RunReader<'a> {
    reader: Box<dyn Reader + 'a>,
    functions: &'a dyn Functions,
}

impl Reader for RunReader<'_> {
    fn begin(&mut self) {
        self.functions.enter_run();
        self.reader.begin();
    }

    fn takes_runs(&self) -> bool {
        self.reader.takes_runs()
    }

    fn expect(&mut self, keys: &[Key]) {
        self.reader.expect(keys);
    }

    fn behind(&mut self, key: Key) -> Option<Key> {
        self.reader.behind(key)
    }

    fn ended(&self) -> Option<StreamEnd> {
        self.reader.ended()
    }

    fn read(&mut self, key: Key, record: &mut Record, most: u64) -> Result<(), Failure> {
        self.reader.read(key, record, most)
    }

    fn end(&mut self) {
        self.reader.end();
        self.functions.leave_run();
    }
}

/// Returns the samples that a mosaic is made of; none where a sample is itself alone.
fn parts(index: u64, mosaic: Option<Drawn>) -> Option<Vec<u64>> {
    mosaic.map(|drawn| [index].into_iter().chain(drawn.others).collect())
}

/// Reads samples that are put together with others.
struct MosaicReader<'a> {
    reader: Box<dyn Reader + 'a>,
    pipeline: &'a Pipeline,
}

impl Reader for MosaicReader<'_> {
    fn begin(&mut self) {
        self.reader.begin();
    }

    fn read(&mut self, key: Key, record: &mut Record, most: u64) -> Result<(), Failure> {
        // Which samples are put together is the same in each variant.
        let Pipeline { variants, source, .. } = self.pipeline;
        let parts = parts(key.index, variants.first().mosaic(key, source.len()));
        let parts = parts.as_deref().unwrap_or_else(|| slice::from_ref(&key.index));
        let mut left = most;
        for (index, part) in parts.iter().zip(record.parts_mut(parts.len())) {
            let read = self.reader.read(Key { index: *index, ..key }, part, left);
            read.map_err(|failure| if *index == key.index { failure } else { failure.in_mosaic(*index) })?;
            left = left.saturating_sub(part.len() as u64);
        }
        Ok(())
    }

    fn end(&mut self) {
        self.reader.end();
    }
}

/// An opened source with its compiled transforms.
#[derive(Debug)]
pub struct Pipeline {
    source: Arc<dyn Source>,
    variants: Variants,
    recipe: Recipe,
    /// The fields whose room is a guess, and grows.
    growing: BTreeSet<String>,
    sample_bytes: u64,
    functions: Option<Arc<dyn Functions>>,
    /// Whether they are called.
    calls: bool,
}

impl Pipeline {
    /// Returns the pipeline of an opened source.
    ///
    /// # Errors
    /// Those of [`Variants::of`].
    pub fn new(source: Arc<dyn Source>, recipe: &Recipe) -> Result<Self> {
        let variants = Variants::of(source.fields(), recipe)?;
        let compiled = variants.first();
        if compiled.has_mosaic() && source.is_stream() {
            return Err(Error::config(
                "a Mosaic draws other samples, and those of an iterable dataset cannot be drawn",
            ));
        }
        let fields = compiled.fields().iter().map(|field| &field.name);
        let growing = fields.filter(|name| source.guesses_room() && !recipe.capacity.contains_key(*name)).cloned();
        let growing = growing.collect();
        let (sample_bytes, calls) = (Budget::DEFAULT, recipe.calls());
        Ok(Self { source, variants, recipe: recipe.clone(), growing, sample_bytes, functions: None, calls })
    }

    /// Sets the functions that transforms call.
    #[must_use]
    pub fn with_functions(self, functions: Arc<dyn Functions>) -> Self {
        Self { functions: Some(functions), ..self }
    }

    /// Returns the pipeline of an opened source whose recipe has room already for fields that may grow.
    ///
    /// # Errors
    /// Those of [`Compiled::of`].
    pub fn grown(source: Arc<dyn Source>, recipe: &Recipe, growing: Vec<String>) -> Result<Self> {
        Ok(Self { growing: growing.into_iter().collect(), ..Self::new(source, recipe)? })
    }

    /// Returns what is made of the samples.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Returns the fields whose room is a guess, and grows.
    pub fn growing(&self) -> Vec<String> {
        self.growing.iter().cloned().collect()
    }

    /// Returns the same pipeline with so much room in the rows of a field.
    ///
    /// # Errors
    /// Those of [`Compiled::of`].
    pub fn with_room(&self, room: &Room) -> Result<Self> {
        let mut recipe = self.recipe.clone();
        recipe.capacity.insert(room.field.clone(), room.places);
        let variants = Variants::of(self.source.fields(), &recipe)?;
        let (source, growing, functions) = (Arc::clone(&self.source), self.growing.clone(), self.functions.clone());
        let Self { sample_bytes, calls, .. } = *self;
        Ok(Self { source, variants, recipe, growing, sample_bytes, functions, calls })
    }

    /// Tells whether a row of this field gets more room where a sample needs it.
    pub fn grows(&self, field: &str) -> bool {
        self.growing.contains(field)
    }

    /// Sets the [budget](Budget) of a sample, in bytes.
    #[must_use]
    pub fn with_sample_bytes(self, sample_bytes: u64) -> Self {
        Self { sample_bytes, ..self }
    }

    /// Returns the [budget](Budget) of a sample, in bytes.
    pub fn sample_bytes(&self) -> u64 {
        self.sample_bytes
    }

    /// Returns the source.
    pub fn source(&self) -> &dyn Source {
        &*self.source
    }

    /// Returns the fields that samples are made of, in the order of their rows: those of the source that stay, and views.
    pub fn made(&self) -> &[Field] {
        self.variants.first().fields()
    }

    /// Returns what every sample looks like; where batches have variants, in those of the first one.
    pub fn fields(&self) -> &[FieldSpec] {
        self.variants.first().specs()
    }

    /// Returns what every sample looks like in batches of each variant.
    pub fn specs(&self) -> Vec<&[FieldSpec]> {
        self.variants.specs()
    }

    /// Returns the names of everything that may be counted.
    pub fn counters() -> Vec<&'static str> {
        field::counters()
    }

    /// Tells whether rows are nothing but copies of what lies in memory, or is made as quickly.
    pub fn copies_memory(&self) -> bool {
        let made = |field: &Field| {
            let is_tokenized = matches!(field.kind, Kind::Text(_)) && self.recipe.changes(&field.name);
            is_tokenized || matches!(field.payload(), Ok(Payload::Encoded)) || field.image().is_some()
        };
        self.source.is_quick() && !self.calls() && !self.made().iter().any(made)
    }

    /// Tells whether a batch must be [finished](Self::finish) once all its rows are filled.
    pub fn finishes(&self) -> bool {
        self.variants.first().finishes()
    }

    /// Tells whether samples may be put together with others, which are drawn from all of the source.
    pub fn draws_others(&self) -> bool {
        self.variants.first().has_mosaic()
    }

    /// Returns what one thread reads samples with.
    pub fn reader(&self) -> Box<dyn Reader + '_> {
        let reader = self.source.reader();
        let reader: Box<dyn Reader + '_> =
            if self.variants.first().has_mosaic() { Box::new(MosaicReader { reader, pipeline: self }) } else { reader };
        match self.called() {
            None => reader,
            Some(functions) => Box::new(RunReader { reader, functions }),
        }
    }

    /// Returns the functions, if any is called: only then need they be told of runs and samples.
    fn called(&self) -> Option<&dyn Functions> {
        self.functions.as_deref().filter(|_| self.calls)
    }

    /// Begins a worker's process; `seat` is its number.
    ///
    /// # Errors
    /// [`Raised`](crate::Error::Raised) where code of the user refuses.
    pub fn enter(&self, seat: u32) -> Result<()> {
        self.source.enter(seat)?;
        self.functions.as_deref().map_or(Ok(()), |functions| functions.enter(seat))
    }

    /// Returns the signal at which a worker reports what code of the user is doing, from whatever that is.
    pub fn stack_signal(&self) -> Option<i32> {
        self.source.stack_signal().or_else(|| self.functions.as_deref()?.stack_signal())
    }

    /// Tells whether one thread is to read ahead of those that make rows.
    pub fn reads_ahead(&self) -> bool {
        self.source.does_io() && !self.calls()
    }

    /// Tells whether several reads at a time pay, where they take long.
    pub fn overlaps(&self) -> bool {
        self.reads_ahead() && self.source.waits()
    }

    /// Tells whether functions of somebody else are called.
    pub fn calls(&self) -> bool {
        self.calls
    }

    /// Returns fresh buffers for one thread.
    pub fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    /// Writes sample `key.index`, whose record has been read, to one row per field.
    ///
    /// Each row is exactly its field's `row_bytes` long, and every byte of it is written.
    ///
    /// # Errors
    /// A [`Failure`] of the decode or transform stage; a panic in either becomes one too. The rows then hold
    /// anything.
    ///
    /// # Panics
    /// Never: it catches its own.
    pub fn fill(
        &self,
        key: Key,
        record: &Record,
        scratch: &mut Scratch,
        rows: &mut [&mut [u8]],
        times: &mut Times,
    ) -> Result<(), Failure> {
        let fields = self.fields().len();
        if rows.len() != fields {
            return Err(Failure::new(Stage::Transform, format!("got {} rows for {fields} fields", rows.len())));
        }
        self.make((0, key), record, scratch, &mut SlotRows(rows), times).map(drop)
    }

    /// As [`fill`](Self::fill), in a batch of this variant, to any rows. Returns what functions gave of which that was not
    /// known.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    pub(crate) fn make(
        &self,
        (variant, key): (u32, Key),
        record: &Record,
        scratch: &mut Scratch,
        rows: &mut dyn Rows,
        times: &mut Times,
    ) -> Result<Vec<Learned>, Failure> {
        let compiled = self.variant(variant)?;
        let mut stage = Stage::Transform;
        let mut learned = Vec::new();
        let functions = self.called();
        if let Some(functions) = functions {
            functions.begin(key);
        }
        let mosaic = compiled.has_mosaic().then(|| compiled.mosaic(key, self.source.len())).flatten();
        compiled.tell_mosaic(mosaic);
        let parts = parts(key.index, mosaic);
        let parts = parts.as_deref().unwrap_or_else(|| slice::from_ref(&key.index));
        let payload = |part: usize, field| {
            let record = if compiled.has_mosaic() { record.part(part) } else { record };
            self.source.field(compiled.origin(field), parts[part], record)
        };
        let (mut budget, len) = (Budget::new(self.sample_bytes), record.len() as u64);
        budget.take(len, "the record").map_err(|reason| Failure::new(Stage::Read, reason))?;
        let mut sample = Sample {
            key,
            parts,
            payload: &payload,
            mosaic,
            rows,
            scratch,
            times,
            stage: &mut stage,
            budget,
            functions,
            learned: &mut learned,
        };
        // The scratch holds nothing but bytes to be overwritten, so a panic leaves nothing broken behind.
        let filled = panics::caught(|| compiled.fill(&mut sample));
        let taken = sample.budget.taken() - len;
        sample.scratch.settle(taken);
        match filled {
            Ok(Ok(())) => Ok(learned),
            Ok(Err(failure)) => Err(self.named(failure, key.index)),
            Err(panic) => Err(Failure::new(stage, format!("panicked: {panic}"))),
        }
    }

    /// Returns what is done in batches of a variant.
    fn variant(&self, variant: u32) -> Result<&Compiled, Failure> {
        let none = || Failure::new(Stage::Transform, format!("there is no variant {variant} of batches"));
        self.variants.all().get(variant as usize).ok_or_else(none)
    }

    /// Names the field that failed, and its file, where the sample does not go by that.
    fn named(&self, mut failure: Failure, index: u64) -> Failure {
        let Some(at) = failure.field else { return failure };
        let name = &self.made()[at].name;
        let encoded = self.source.fields().iter().filter(|field| matches!(field.payload(), Ok(Payload::Encoded)));
        match self.source.file(self.variants.first().origin(at), index) {
            Some(file) if file == self.source.key(index) => {}
            Some(file) => failure.reason = format!("{name} `{file}`: {}", failure.reason),
            None if encoded.count() > 1 => failure.reason = format!("{name}: {}", failure.reason),
            None => {}
        }
        failure
    }

    /// Applies the transforms of whole batches to a batch of this variant, in place. `fields` are all rows of each field, as
    /// [`fill`](Self::fill) wrote them; `key.index` is the position of the first row in the epoch's order.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage in place of a panic, such as for fields of other sizes. The rows then hold
    /// anything.
    pub fn finish(&self, (variant, key): (u32, Key), fields: &mut [&mut [u8]], rows: usize) -> Result<(), Failure> {
        let compiled = self.variant(variant)?;
        // The rows are given up after a panic, and nothing else is touched.
        panics::caught(|| compiled.finish(key, fields, rows, self.functions.as_deref()))
            .unwrap_or_else(|panic| Err(Failure::new(Stage::Transform, format!("panicked: {panic}"))))
    }
}

#[cfg(test)]
mod tests;
