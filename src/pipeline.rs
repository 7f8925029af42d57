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
    decode::{self, Image, MAX_PIXELS, Mask},
    error::{Error, Failure, Result, Stage},
    rng::Key,
    source::{Bytes, Source, SourceField, SourceSpec},
    spec::FieldSpec,
    transform::{Chain, Pixels, Transform, Workspace},
};

/// A pipeline as data: what the trainer sends to the coordinator, which opens it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PipelineSpec {
    /// Where the records come from.
    pub source: SourceSpec,
    /// The transforms of each field that has any.
    #[serde(default)]
    pub transforms: BTreeMap<String, Vec<Transform>>,
    /// For ragged fields, the positions that a row has room for: entries of a list, pixels of an image. Without it, a
    /// list has room for the source's longest one.
    #[serde(default)]
    pub capacity: BTreeMap<String, usize>,
}

impl PipelineSpec {
    /// Returns what every sample will look like, without any I/O.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for transforms of an unknown field, or that the field cannot take.
    pub fn fields(&self) -> Result<Vec<FieldSpec>> {
        let chains = compile(&self.source.fields(), &self.transforms, &self.capacity)?;
        Ok(chains.iter().map(|chain| chain.output().clone()).collect())
    }

    /// Opens the source. `bytes` are the shared bytes of a [`SourceSpec::Arrays`] or a
    /// [`SourceSpec::Table`].
    ///
    /// # Errors
    /// Those of [`fields`](Self::fields) and of [`SourceSpec::open`].
    pub fn open(self, bytes: Option<Bytes>) -> Result<Pipeline> {
        // A mistake in the transforms is told before a large folder is listed.
        compile(&self.source.fields(), &self.transforms, &self.capacity)?;
        Pipeline::new(self.source.open(bytes)?, &self.transforms, &self.capacity)
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
    kind: Kind,
    chain: Chain,
}

/// What a field's bytes are.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Image,
    /// A mask, with the place of its image among the fields.
    Mask {
        image: Option<usize>,
    },
    Tensor,
}

/// The buffers of one thread, used again from sample to sample. What they hold never shows in a result.
#[derive(Debug, Default)]
pub struct Scratch {
    image: Image,
    mask: Mask,
    space: Workspace,
    /// The height and width of each field of the sample that is encoded.
    sizes: Vec<Option<(u32, u32)>>,
}

/// The time that stages took, in all calls that added to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Decoding.
    pub decode: Duration,
    /// Transforming, with the write to the row.
    pub transform: Duration,
}

impl Pipeline {
    /// Returns the pipeline of an opened source.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for transforms or a capacity of an unknown field, or that the field cannot take.
    pub fn new(
        source: Arc<dyn Source>,
        transforms: &BTreeMap<String, Vec<Transform>>,
        capacity: &BTreeMap<String, usize>,
    ) -> Result<Self> {
        let chains = compile(source.fields(), transforms, capacity)?;
        let fields = chains.iter().map(|chain| chain.output().clone()).collect();
        let chains = source
            .fields()
            .iter()
            .zip(chains)
            .map(|(field, chain)| {
                let kind = match field {
                    SourceField::EncodedImage { .. } => Kind::Image,
                    SourceField::EncodedMask { image, .. } => Kind::Mask { image: place_of(source.fields(), image) },
                    SourceField::Tensor(_) => Kind::Tensor,
                };
                FieldChain { kind, chain }
            })
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
        let Scratch { image, mask, space, sizes } = scratch;
        if rows.len() != self.chains.len() {
            return Err(Failure::new(
                Stage::Transform,
                format!("got {} rows for {} fields", rows.len(), self.chains.len()),
            ));
        }
        sizes.clear();
        for (at, (FieldChain { kind, chain }, row)) in self.chains.iter().zip(rows).enumerate() {
            let data = self.source.field(at, key.index, record);
            if let Kind::Tensor = kind {
                // Not timed: most tensors are copied in less time than it takes to look at the clock.
                *stage = Stage::Transform;
                chain.apply_tensor(data, key, space, row)?;
                sizes.push(None);
                continue;
            }
            let start = Instant::now();
            *stage = Stage::Decode;
            let pixels = if let Kind::Image = kind {
                decode::decode_rgb8(data, image, MAX_PIXELS)?;
                Pixels::rgb8(image.pixels(), image.width(), image.height())
            } else {
                decode::decode_mask(data, mask)?;
                Pixels::grey8(mask.indices(), mask.width(), mask.height())
            };
            let decoded = Instant::now();
            times.decode += decoded - start;
            *stage = Stage::Transform;
            let (height, width) = pixels.edges();
            sizes.push(Some((height, width)));
            chain.plan(height, width, key, space)?;
            chain.render(pixels, space, row)?;
            times.transform += decoded.elapsed();
        }
        self.check_masks(sizes)
    }

    /// Refuses a mask that is not of its image's size: equal draws would then be of other places.
    fn check_masks(&self, sizes: &[Option<(u32, u32)>]) -> Result<(), Failure> {
        for (at, FieldChain { kind, chain }) in self.chains.iter().enumerate() {
            let Kind::Mask { image: Some(image) } = *kind else { continue };
            if let (Some((height, width)), Some((tall, wide))) = (sizes[at], sizes[image])
                && (height, width) != (tall, wide)
            {
                return Err(Failure::new(
                    Stage::Decode,
                    format!("mask `{}` is {width}x{height}, and its image {wide}x{tall}", chain.output().name),
                ));
            }
        }
        Ok(())
    }
}

/// Returns the place of the encoded image with this name.
fn place_of(fields: &[SourceField], image: &str) -> Option<usize> {
    fields.iter().position(|field| matches!(field, SourceField::EncodedImage { name } if name == image))
}

fn compile(
    fields: &[SourceField],
    transforms: &BTreeMap<String, Vec<Transform>>,
    capacity: &BTreeMap<String, usize>,
) -> Result<Vec<Chain>> {
    let named =
        transforms.keys().map(|name| (name, "to transform")).chain(capacity.keys().map(|name| (name, "for capacity")));
    for (unknown, what) in named {
        if fields.iter().all(|field| field.name() != unknown.as_str()) {
            let known: Vec<String> = fields.iter().map(|field| format!("`{}`", field.name())).collect();
            return Err(Error::Config(format!(
                "there is no field `{unknown}` {what}; the source has {}",
                known.join(", ")
            )));
        }
    }
    let of = |name: &str| transforms.get(name).map_or(&[][..], Vec::as_slice);
    fields
        .iter()
        .map(|field| {
            let name = field.name();
            let own = (0..).zip(of(name).iter().cloned());
            let ops: Vec<(u64, Transform)> = match field {
                SourceField::EncodedMask { image, .. } => {
                    if place_of(fields, image).is_none() {
                        return Err(Error::Config(format!(
                            "mask `{name}` belongs to `{image}`, which is no encoded image"
                        )));
                    }
                    if let Some(op) = of(name).iter().find(|op| op.of_mask().is_some()) {
                        return Err(Error::Config(format!(
                            "mask `{name}` follows `{image}`: it takes the {} of `{image}` and none of its own",
                            op.name()
                        )));
                    }
                    // At the same places, so that they draw the same.
                    let followed = (0..).zip(of(image)).filter_map(|(at, op)| Some((at, op.of_mask()?)));
                    followed.chain(own).collect()
                }
                SourceField::EncodedImage { .. } | SourceField::Tensor(_) => own.collect(),
            };
            Chain::compile_numbered(field, &ops, capacity.get(name).copied())
        })
        .collect()
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
