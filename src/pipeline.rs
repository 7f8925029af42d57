//! Source, decoding and transforms of one sample, checked once.
//!
//! A pipeline knows nothing of processes, slots or batches: it turns a fetched record into the bytes of one row of
//! every field. The bytes are a function of the pipeline and the [`Key`] alone.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    decode::{Area, Decoder, Encoded},
    error::{Error, Failure, Result, Stage},
    rng::Key,
    source::{Bytes, Source, SourceField, SourceSpec},
    spec::FieldSpec,
    transform::{Chain, Pixels, Region, Transform, Workspace},
};

/// A pipeline as data: what the trainer sends to the coordinator, which opens it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PipelineSpec {
    /// Where the records come from.
    pub source: SourceSpec,
    /// The transforms of each field that has any.
    #[serde(default)]
    pub transforms: BTreeMap<String, Vec<Transform>>,
}

impl PipelineSpec {
    /// Returns what every sample will look like, without any I/O.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for transforms of an unknown field, or that the field cannot take.
    pub fn fields(&self) -> Result<Vec<FieldSpec>> {
        let chains = compile(&self.source.fields(), &self.transforms)?;
        Ok(chains.iter().map(|chain| chain.output().clone()).collect())
    }

    /// Opens the source. `bytes` are the shared bytes of a [`SourceSpec::Arrays`].
    ///
    /// # Errors
    /// Those of [`fields`](Self::fields) and of [`SourceSpec::open`].
    pub fn open(self, bytes: Option<Bytes>) -> Result<Pipeline> {
        // A mistake in the transforms is told before a large folder is listed.
        compile(&self.source.fields(), &self.transforms)?;
        Pipeline::new(self.source.open(bytes)?, &self.transforms)
    }
}

/// An opened source with its compiled transforms.
#[derive(Debug)]
pub struct Pipeline {
    source: Arc<dyn Source>,
    chains: Vec<FieldChain>,
    fields: Vec<FieldSpec>,
}

#[derive(Debug)]
struct FieldChain {
    encoded: bool,
    chain: Chain,
}

/// The buffers of one thread, used again from sample to sample. What they hold never shows in a result.
#[derive(Debug, Default)]
pub struct Scratch {
    decoder: Decoder,
    space: Workspace,
}

/// The time that stages took, in all calls that added to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Decoding.
    pub decode: Duration,
    /// Transforming, with the write to the row.
    pub transform: Duration,
    /// JPEGs that are not baseline, which another decoder took.
    pub other_jpegs: u64,
}

impl Pipeline {
    /// Returns the pipeline of an opened source.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for transforms of an unknown field, or that the field cannot take.
    pub fn new(source: Arc<dyn Source>, transforms: &BTreeMap<String, Vec<Transform>>) -> Result<Self> {
        let chains = compile(source.fields(), transforms)?;
        let fields = chains.iter().map(|chain| chain.output().clone()).collect();
        let chains = source
            .fields()
            .iter()
            .zip(chains)
            .map(|(field, chain)| FieldChain { encoded: matches!(field, SourceField::EncodedImage { .. }), chain })
            .collect();
        Ok(Self { source, chains, fields })
    }

    /// Returns the source.
    pub fn source(&self) -> &dyn Source {
        &*self.source
    }

    /// Returns what every sample looks like.
    pub fn fields(&self) -> &[FieldSpec] {
        &self.fields
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

    fn fill_rows(
        &self,
        key: Key,
        record: &[u8],
        scratch: &mut Scratch,
        rows: &mut [&mut [u8]],
        times: &mut Times,
        stage: &mut Stage,
    ) -> Result<(), Failure> {
        let Scratch { decoder, space } = scratch;
        if rows.len() != self.chains.len() {
            return Err(Failure::new(
                Stage::Transform,
                format!("got {} rows for {} fields", rows.len(), self.chains.len()),
            ));
        }
        for (at, (FieldChain { encoded, chain }, row)) in self.chains.iter().zip(rows).enumerate() {
            let data = self.source.field(at, key.index, record);
            if *encoded {
                let start = Instant::now();
                *stage = Stage::Decode;
                let encoded = Encoded::open(data, chain.decoding())?;
                times.other_jpegs += u64::from(encoded.is_other_jpeg());
                // What becomes of the image is drawn before it is decoded, so that only what is needed is.
                *stage = Stage::Transform;
                let (width, height) = encoded.size();
                let Region { top, left, height, width, resized } = chain.plan(height, width, key, space)?;
                *stage = Stage::Decode;
                let image = decoder.decode(encoded, Area { top, left, height, width }, resized)?;
                let decoded = Instant::now();
                times.decode += decoded - start;
                *stage = Stage::Transform;
                chain.render(Pixels::of(image), space, row)?;
                times.transform += decoded.elapsed();
            } else {
                // Not timed: most tensors are copied in less time than it takes to look at the clock.
                *stage = Stage::Transform;
                chain.apply_tensor(data, key, space, row)?;
            }
        }
        Ok(())
    }
}

fn compile(fields: &[SourceField], transforms: &BTreeMap<String, Vec<Transform>>) -> Result<Vec<Chain>> {
    if let Some(unknown) = transforms.keys().find(|name| fields.iter().all(|field| field.name() != name.as_str())) {
        let known: Vec<String> = fields.iter().map(|field| format!("`{}`", field.name())).collect();
        return Err(Error::Config(format!(
            "there is no field `{unknown}` to transform; the source has {}",
            known.join(", ")
        )));
    }
    fields.iter().map(|field| Chain::compile(field, transforms.get(field.name()).map_or(&[], Vec::as_slice))).collect()
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
