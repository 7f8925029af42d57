//! Source, decoding and transforms of one sample, checked once.
//!
//! A pipeline knows nothing of processes, slots or batches: it turns a fetched record into the bytes of one row of
//! every field, and the rows of a batch into those of a mixed one. The bytes are a function of the pipeline and the
//! [`Key`] alone.

mod compile;

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use self::compile::{Compiled, FieldFill, How, compile};
use crate::{
    counters::Counters,
    decode::{Area, Decoder, Encoded, Mask, decode_mask},
    error::{Failure, Result, Stage},
    rng::Key,
    source::{Bytes, Source, SourceField, SourceSpec},
    spec::FieldSpec,
    transform::{BatchTransform, Chain, Pixels, Region, Transform, Workspace, kept_entries},
};

/// A pipeline as data: what the trainer sends to the coordinator, which opens it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PipelineSpec {
    /// Where the records come from.
    pub source: SourceSpec,
    /// The transforms of each field that has any.
    #[serde(default)]
    pub transforms: BTreeMap<String, Vec<Transform>>,
    /// The transforms of whole batches.
    #[serde(default)]
    pub batch_transforms: Vec<BatchTransform>,
    /// For ragged fields, the positions that a row has room for: entries of a list, pixels of an image. Without it, a
    /// list has room for the source's longest one.
    #[serde(default)]
    pub capacity: BTreeMap<String, usize>,
}

impl PipelineSpec {
    /// Returns what every sample will look like, without any I/O.
    ///
    /// # Errors
    /// [`Config`](crate::Error::Config) for transforms of an unknown field, or that the field cannot take.
    pub fn fields(&self) -> Result<Vec<FieldSpec>> {
        let fields = self.source.fields();
        compile(&fields, &self.transforms, &self.batch_transforms, &self.capacity).map(|compiled| compiled.fields)
    }

    /// Opens the source. `bytes` are the shared bytes of a [`SourceSpec::Arrays`] or a
    /// [`SourceSpec::Table`].
    ///
    /// # Errors
    /// Those of [`fields`](Self::fields) and of [`SourceSpec::open`].
    pub fn open(self, bytes: Option<Bytes>) -> Result<Pipeline> {
        // A mistake in the transforms is told before a large folder is listed.
        self.fields()?;
        Pipeline::new(self.source.open(bytes)?, &self.transforms, &self.batch_transforms, &self.capacity)
    }
}

/// An opened source with its compiled transforms.
#[derive(Debug)]
pub struct Pipeline {
    source: Arc<dyn Source>,
    compiled: Compiled,
}

/// The buffers of one thread, used again from sample to sample. What they hold never shows in a result.
#[derive(Debug, Default)]
pub struct Scratch {
    images: Images,
    /// Which of the boxes filled last are left.
    kept: Vec<bool>,
    list: Vec<u8>,
}

#[derive(Debug, Default)]
struct Images {
    decoder: Decoder,
    mask: Mask,
    space: Workspace,
    /// The width and height of the image that was filled last.
    size: (u32, u32),
}

/// The time that stages took and what they counted, in all calls that added to it.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// Decoding.
    pub decode: Duration,
    /// Transforming, with the write to the row.
    pub transform: Duration,
    /// What was counted, under the names of [`Pipeline::counters`].
    pub counters: Counters,
}

/// Counts JPEGs that are not baseline, which another decoder took.
const OTHER_JPEGS: &str = "other_jpegs";

impl Pipeline {
    /// Returns the pipeline of an opened source.
    ///
    /// # Errors
    /// [`Config`](crate::Error::Config) for transforms or a capacity of an unknown field, or that the field cannot take.
    pub fn new(
        source: Arc<dyn Source>,
        transforms: &BTreeMap<String, Vec<Transform>>,
        batch_transforms: &[BatchTransform],
        capacity: &BTreeMap<String, usize>,
    ) -> Result<Self> {
        let compiled = compile(source.fields(), transforms, batch_transforms, capacity)?;
        Ok(Self { source, compiled })
    }

    /// Returns the source.
    pub fn source(&self) -> &dyn Source {
        &*self.source
    }

    /// Returns what every sample looks like.
    pub fn fields(&self) -> &[FieldSpec] {
        &self.compiled.fields
    }

    /// Returns the names of everything that may be counted.
    pub fn counters(&self) -> Vec<&'static str> {
        vec![OTHER_JPEGS]
    }

    /// Tells whether rows are only copied: nothing is read from a device, and nothing is decoded.
    pub fn copies_memory(&self) -> bool {
        let is_ready = |field: &SourceField| match field {
            SourceField::Tensor(_) => true,
            SourceField::EncodedImage { .. } | SourceField::EncodedMask { .. } | SourceField::Places { .. } => false,
        };
        !self.source.does_io() && self.source.fields().iter().all(is_ready)
    }

    /// Tells whether a batch must be [finished](Self::finish) once all its rows are filled.
    pub fn finishes(&self) -> bool {
        !self.compiled.batch.is_empty()
    }

    /// Returns fresh buffers for one thread.
    pub fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    /// Writes sample `key.index`, whose record has been fetched, to one row per field.
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
        record: &[u8],
        scratch: &mut Scratch,
        rows: &mut [&mut [u8]],
        times: &mut Times,
    ) -> Result<(), Failure> {
        let mut stage = Stage::Transform;
        // The scratch holds nothing but bytes to be overwritten, so a panic leaves nothing broken behind.
        let filled = catch_unwind(AssertUnwindSafe(|| self.fill_rows(key, record, scratch, rows, times, &mut stage)));
        filled.unwrap_or_else(|panic| Err(Failure::new(stage, format!("panicked: {}", panic_text(&*panic)))))
    }

    /// Applies the transforms of whole batches, in place. `fields` are all rows of each field, as
    /// [`fill`](Self::fill) wrote them; `key.index` is the position of the first row in the epoch's order.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage in place of a panic, such as for fields of other sizes. The rows then hold
    /// anything.
    pub fn finish(&self, key: Key, fields: &mut [&mut [u8]], rows: usize) -> Result<(), Failure> {
        // The rows are given up after a panic, and nothing else is touched.
        let finished = catch_unwind(AssertUnwindSafe(|| self.compiled.batch.apply(key, fields, rows)));
        finished.map_err(|panic| Failure::new(Stage::Transform, format!("panicked: {}", panic_text(&*panic))))
    }

    fn fill_rows(
        &self,
        key: Key,
        record: &[u8],
        scratch: &mut Scratch,
        rows: &mut [&mut [u8]],
        times: &mut Times,
        stage: &mut Stage,
    ) -> Result<(), Failure> {
        let Scratch { images, kept: flags, list } = scratch;
        let fills = &self.compiled.fills;
        if rows.len() != fills.len() {
            return Err(Failure::new(Stage::Transform, format!("got {} rows for {} fields", rows.len(), fills.len())));
        }
        for FieldFill { at, how, kept } in fills {
            let data = self.source.field(*at, key.index, record);
            let row = &mut *rows[*at];
            // Tensors are not timed: most are copied in less time than it takes to look at the clock.
            *stage = Stage::Transform;
            let data = match kept {
                None => data,
                Some(spec) => kept_entries(spec, data, flags, list)?,
            };
            match how {
                How::Image(chain) => images.fill(chain, data, key, row, times, stage)?,
                How::Mask(chain) => images.fill_mask(chain, data, key, row, times, stage)?,
                How::Places(chain) => chain.apply(data, &mut images.space, flags, row)?,
                How::Tensor(chain) => chain.apply_tensor(data, key, &mut images.space, row)?,
                How::OneHot(one_hot) => one_hot.write(data, row)?,
            }
        }
        Ok(())
    }
}

impl Images {
    /// Fills the row of an image.
    fn fill(
        &mut self,
        chain: &Chain,
        data: &[u8],
        key: Key,
        row: &mut [u8],
        times: &mut Times,
        stage: &mut Stage,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        *stage = Stage::Decode;
        let encoded = Encoded::open(data, chain.decoding())?;
        times.counters.add(OTHER_JPEGS, u64::from(encoded.is_other_jpeg()));
        // What becomes of the image is drawn before it is decoded, so that only what is needed is.
        *stage = Stage::Transform;
        self.size = encoded.size();
        let (width, height) = self.size;
        let Region { top, left, height, width, resized } = chain.plan(height, width, key, &mut self.space)?;
        *stage = Stage::Decode;
        let pixels = self.decoder.decode(encoded, Area { top, left, height, width }, resized)?;
        let decoded = Instant::now();
        times.decode += decoded - start;
        *stage = Stage::Transform;
        chain.render(Pixels::of(pixels), &mut self.space, row)?;
        times.transform += decoded.elapsed();
        Ok(())
    }

    /// Fills the row of a mask, whose image was filled last.
    fn fill_mask(
        &mut self,
        chain: &Chain,
        data: &[u8],
        key: Key,
        row: &mut [u8],
        times: &mut Times,
        stage: &mut Stage,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        *stage = Stage::Decode;
        decode_mask(data, &mut self.mask)?;
        let (width, height) = (self.mask.width(), self.mask.height());
        if (width, height) != self.size {
            // Equal draws would be of other places.
            let ((wide, tall), name) = (self.size, &chain.output().name);
            let reason = format!("mask `{name}` is {width}x{height}, and its image {wide}x{tall}");
            return Err(Failure::new(Stage::Decode, reason));
        }
        let decoded = Instant::now();
        times.decode += decoded - start;
        *stage = Stage::Transform;
        chain.plan(height, width, key, &mut self.space)?;
        chain.render(Pixels::grey8(self.mask.indices(), width, height), &mut self.space, row)?;
        times.transform += decoded.elapsed();
        Ok(())
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

#[cfg(test)]
mod tests;
