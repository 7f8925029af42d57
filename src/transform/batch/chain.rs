//! Transforms of batches, checked and compiled once.

use std::fmt;

use super::{
    BatchCall, BatchTransform,
    label::{self, OneHot},
    mix::{self, Canvas, Patch},
};
use crate::{
    error::{Error, Failure, Result, Stage},
    function::{BatchField, Functions},
    rng::{Draws, Key},
    spec::{DType, FieldSpec},
};

/// The compiled transforms of a batch.
#[derive(Clone, Debug, Default)]
pub struct BatchChain {
    steps: Vec<Step>,
    one_hot: Vec<(usize, OneHot)>,
}

#[derive(Clone, Debug)]
enum Step {
    Mix(Mix),
    Choice { steps: Vec<Self>, p: Vec<f64> },
    Call { call: BatchCall, at: u64 },
}

/// The rows of a batch.
pub struct BatchRows<'a, 'r> {
    /// How many rows there are.
    pub rows: usize,
    /// All rows of each field.
    pub fields: &'a mut [&'r mut [u8]],
    /// What the rows of each field look like.
    pub specs: &'a [FieldSpec],
    /// The functions that are called, where there are any.
    pub functions: Option<&'a dyn Functions>,
}

impl fmt::Debug for BatchRows<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchRows").field("rows", &self.rows).field("specs", &self.specs).finish_non_exhaustive()
    }
}

/// A mix of the rows of some fields.
#[derive(Clone, Debug)]
struct Mix {
    p: f64,
    alpha: f64,
    image: (usize, How),
    /// Masks of the image, which are mixed as it is.
    masks: Vec<(usize, How)>,
    label: Option<usize>,
}

#[derive(Clone, Debug)]
enum How {
    MixUp(DType),
    CutMix(Canvas),
}

/// Sets the draws for batches apart from those of the transforms of samples, which count from 0.
const BATCH_OPS: u64 = 1 << 63;

impl BatchChain {
    /// Compiles transforms, and changes the fields to what they will be: labels become probabilities.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for an argument out of range, a field that is not there, or one that cannot be mixed.
    pub fn compile(transforms: &[BatchTransform], fields: &mut [FieldSpec]) -> Result<Self> {
        let mut one_hot = Vec::new();
        let steps = transforms.iter().enumerate().map(|(at, transform)| {
            transform
                .validate()
                .and_then(|()| compile(transform, at as u64, fields, &mut one_hot))
                .map_err(|error| Error::Config(format!("batch transform {at}: {error}")))
        });
        Ok(Self { steps: steps.collect::<Result<_>>()?, one_hot })
    }

    /// Tells whether there is nothing to be done.
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Returns how the rows of a field of labels are to be written; none for other fields.
    pub fn one_hot(&self, field: usize) -> Option<&OneHot> {
        self.one_hot.iter().find(|(of, _)| *of == field).map(|(_, one_hot)| one_hot)
    }

    /// Transforms a batch in place; `key.index` names it.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage, of a function.
    ///
    /// # Panics
    /// Where a field's bytes are not those of so many rows, or are not aligned as their dtype asks.
    pub fn apply(&self, key: Key, batch: &mut BatchRows<'_, '_>) -> Result<(), Failure> {
        for (at, step) in (0..).zip(&self.steps) {
            step.apply(&mut key.rng(BATCH_OPS + at), key, batch)?;
        }
        Ok(())
    }
}

impl Step {
    fn apply(&self, draws: &mut Draws, key: Key, batch: &mut BatchRows<'_, '_>) -> Result<(), Failure> {
        match self {
            Self::Call { call, at } => batch.call(call, *at, key)?,
            Self::Choice { steps, p } => {
                let chosen = draws.choose(p);
                steps[chosen].apply(draws, key, batch)?;
            }
            Self::Mix(mix) => mix.apply(draws, batch),
        }
        Ok(())
    }
}

impl Mix {
    fn apply(&self, draws: &mut Draws, batch: &mut BatchRows<'_, '_>) {
        let Self { p, alpha, image: (image, how), masks, label } = self;
        // Where every batch is mixed, nothing is drawn for it.
        if *p < 1.0 && draws.unit() >= *p {
            return;
        }
        let BatchRows { fields, rows, .. } = batch;
        let rows = *rows;
        let lam = f64::from(draws.symmetric_beta(*alpha));
        let (lam, patch) = match how {
            How::MixUp(_) => (lam, None),
            How::CutMix(canvas) => {
                let patch = Patch::draw(*canvas, lam, draws);
                (patch.outside(*canvas), Some(patch))
            }
        };
        for (at, how) in std::iter::once((image, how)).chain(masks.iter().map(|(at, how)| (at, how))) {
            match (how, patch) {
                (How::MixUp(dtype), _) => mix::blend(*dtype, fields[*at], rows, lam),
                (How::CutMix(canvas), Some(patch)) => mix::paste(*canvas, patch, fields[*at], rows),
                (How::CutMix(_), None) => {}
            }
        }
        if let Some(label) = label {
            mix::blend(DType::Float32, fields[*label], rows, lam);
        }
    }
}

impl BatchRows<'_, '_> {
    fn call(&mut self, call: &BatchCall, at: u64, key: Key) -> Result<(), Failure> {
        let Self { rows, fields, specs, functions } = self;
        let named = |failure: Failure| {
            let reason = format!("batch transform {at}: `{}`: {}", call.name, failure.reason);
            Failure { reason, ..failure }
        };
        let functions = functions
            .ok_or_else(|| named(Failure::new(Stage::Transform, "there are no functions to be called here")))?;
        let mut fields: Vec<BatchField<'_>> =
            fields.iter_mut().zip(*specs).map(|(bytes, spec)| BatchField { spec, bytes }).collect();
        functions.finish(call.function, key, *rows, &mut fields).map_err(named)
    }
}

fn compile(
    transform: &BatchTransform,
    at: u64,
    fields: &mut [FieldSpec],
    one_hot: &mut Vec<(usize, OneHot)>,
) -> Result<Step> {
    let named = |what: String| Error::Config(format!("{}: {what}", transform.name()));
    let (mixing, cut) = match transform {
        BatchTransform::MixUp(mixing) => (mixing, false),
        BatchTransform::CutMix(mixing) => (mixing, true),
        BatchTransform::Call(call) => return Ok(Step::Call { call: call.clone(), at }),
        BatchTransform::RandomChoice { transforms, p } => {
            let steps = transforms.iter().map(|inner| compile(inner, at, fields, one_hot));
            let steps = steps.collect::<Result<Vec<_>>>()?;
            let p = p.clone().unwrap_or_else(|| vec![1.0; steps.len()]);
            return Ok(Step::Choice { steps, p });
        }
    };
    let place = |name: &str, what| {
        fields.iter().position(|field| field.name == name).ok_or_else(|| {
            let known: Vec<_> = fields.iter().map(|field| format!("`{}`", field.name)).collect();
            named(format!("there is no field `{name}` to be its {what}; the source has {}", known.join(", ")))
        })
    };
    let image = place(&mixing.image, "image")?;
    let label = mixing.label.as_ref().map(|label| place(label, "label")).transpose()?;
    let how = how(&fields[image], cut).map_err(named)?;
    let masks = mixing.masks.iter().map(|mask| {
        let at = place(mask, "mask")?;
        Ok((at, how_of_mask(&fields[at], &how).map_err(named)?))
    });
    let masks = masks.collect::<Result<_>>()?;
    if let Some(label) = label {
        one_hot.extend(
            label::probabilities(&mut fields[label], mixing.num_classes)
                .map_err(named)?
                .map(|one_hot| (label, one_hot)),
        );
    }
    Ok(Step::Mix(Mix { p: mixing.p, alpha: mixing.alpha, image: (image, how), masks, label }))
}

/// Returns how a mask is mixed whose image is mixed so.
fn how_of_mask(mask: &FieldSpec, image: &How) -> Result<How, String> {
    let FieldSpec { name, dtype, .. } = mask;
    match image {
        How::MixUp(_) if !dtype.is_float() => Err(format!(
            "mixes masks that are float, and field `{name}` is {dtype}: the mean of two classes is none of them; make              it float by ToDtype, or use CutMix"
        )),
        How::MixUp(_) => how(mask, false),
        How::CutMix(canvas) => match how(mask, true)? {
            How::CutMix(own) if (own.height, own.width) == (canvas.height, canvas.width) => Ok(How::CutMix(own)),
            How::CutMix(own) => Err(format!(
                "mask `{name}` is {}x{}, and its image {}x{}",
                own.width, own.height, canvas.width, canvas.height
            )),
            other @ How::MixUp(_) => Ok(other),
        },
    }
}

fn how(image: &FieldSpec, cut: bool) -> Result<How, String> {
    let FieldSpec { name, dtype, shape, ragged } = image;
    if ragged.is_some() {
        return Err(format!("takes images of one size, and those of field `{name}` vary"));
    }
    if !cut {
        return if mix::blends(*dtype) && !shape.is_empty() {
            Ok(How::MixUp(*dtype))
        } else {
            let takes = "images of uint8, float16, bfloat16 or float32";
            Err(format!("takes {takes}, and field `{name}` is {dtype} of shape {shape:?}"))
        };
    }
    let is_channels = |extent| matches!(extent, 1..=4);
    let (planes, height, width, pixel) = match shape[..] {
        [height, width] => (1, height, width, 1),
        [first, _, last] if is_channels(first) && is_channels(last) => {
            return Err(format!("cannot tell where the channels of field `{name}` of shape {shape:?} stand"));
        }
        [height, width, channels] if is_channels(channels) => (1, height, width, channels),
        [channels, height, width] if is_channels(channels) => (channels, height, width, 1),
        _ => (0, 0, 0, 0),
    };
    if height * width == 0 {
        let takes = "images of shape (H, W), (H, W, C) or (C, H, W) with 1 to 4 channels";
        return Err(format!("takes {takes}, and field `{name}` has the shape {shape:?}"));
    }
    Ok(How::CutMix(Canvas { planes, height, width, pixel: pixel * dtype.size() }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::Mixing, *};

    const KEY: Key = Key { seed: 5, epoch: 1, index: 12 };

    fn fields() -> [FieldSpec; 2] {
        [FieldSpec::new("image", DType::Float32, [3, 16, 20]), FieldSpec::new("label", DType::Int64, [])]
    }

    /// A batch whose images are filled with their row's number, and whose labels are those too.
    fn applied(transforms: &[BatchTransform], rows: usize, key: Key) -> (Vec<f32>, Vec<f32>) {
        let mut specs = fields();
        let chain = BatchChain::compile(transforms, &mut specs).unwrap();
        let classes = specs[1].shape[0];
        let mut images: Vec<f32> = (0..rows * 960).map(|at| (at / 960) as f32).collect();
        let mut labels = vec![0.0_f32; rows * classes];
        for (row, label) in labels.chunks_exact_mut(classes).enumerate() {
            let index = (row as i64).to_ne_bytes();
            chain.one_hot(1).unwrap().write(&index, bytemuck::cast_slice_mut(label)).unwrap();
        }
        let mut fields = [bytemuck::cast_slice_mut(&mut images), bytemuck::cast_slice_mut(&mut labels)];
        chain.apply(key, &mut BatchRows { rows, fields: &mut fields, specs: &specs, functions: None }).unwrap();
        (images, labels)
    }

    fn mixes() -> [BatchTransform; 2] {
        [BatchTransform::MixUp(Mixing { alpha: 2.0, ..Mixing::new(6) }), BatchTransform::CutMix(Mixing::new(6))]
    }

    #[test]
    fn choices_are_a_function_of_seed_epoch_and_place() {
        for mix in mixes() {
            let labels = |key| applied(std::slice::from_ref(&mix), 4, key).1;
            assert_eq!(labels(KEY), labels(KEY));
            for other in [Key { seed: 6, ..KEY }, Key { epoch: 2, ..KEY }, Key { index: 16, ..KEY }] {
                assert_ne!(labels(KEY), labels(other), "{mix:?}");
            }
        }
    }

    #[test]
    fn golden_mixes_never_change() {
        let weights = mixes().map(|mix| applied(&[mix], 2, KEY).1[0]);
        assert_eq!(weights.map(f32::to_bits), [0.787_353_16, 0.962_5].map(f32::to_bits));
    }

    proptest! {
        /// What a label says of an image is what the image is made of.
        #[test]
        fn labels_are_the_shares_of_the_images(index: u64, rows in 1usize..6, which in 0usize..3) {
            let transforms = match which {
                2 => vec![BatchTransform::RandomChoice { transforms: mixes().to_vec(), p: None }],
                one => vec![mixes()[one].clone()],
            };
            let (images, labels) = applied(&transforms, rows, Key { index, ..KEY });
            for (image, label) in images.chunks_exact(960).zip(labels.chunks_exact(6)) {
                let mean = image.iter().sum::<f32>() / 960.0;
                let said: f32 = label.iter().zip(0_u8..).map(|(share, class)| share * f32::from(class)).sum();
                prop_assert!((mean - said).abs() < 1e-4, "{mean} {said}");
                prop_assert!((label.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_choice_follows_its_probabilities() {
        let cut = |p: [f64; 2]| {
            let choice = BatchTransform::RandomChoice { transforms: mixes().to_vec(), p: Some(p.to_vec()) };
            let is_cut = |index: &u64| {
                let (images, _) = applied(std::slice::from_ref(&choice), 2, Key { index: *index, ..KEY });
                images.iter().all(|value| value.fract() == 0.0)
            };
            (0..600).filter(is_cut).count()
        };
        assert_eq!((cut([2.0, 0.0]), cut([0.0, 1e-9])), (0, 600));
        assert!((110..190).contains(&cut([3.0, 1.0])), "{}", cut([3.0, 1.0]));
    }

    #[test]
    fn several_are_applied_in_turn_and_draw_each_their_own() {
        let mix = mixes()[0].clone();
        let (_, once) = applied(std::slice::from_ref(&mix), 2, KEY);
        let (_, twice) = applied(&[mix.clone(), mix], 2, KEY);
        let (first, both) = (f64::from(once[0]), f64::from(twice[0]));
        // own' = own * a + other * (1 - a), and then the same with b.
        let second = (both - (1.0 - first)) / (2.0 * first - 1.0);
        assert!((0.0..=1.0).contains(&second) && (second - first).abs() > 1e-3, "{first} {second}");
    }

    #[test]
    fn the_place_of_the_channels_is_seen_from_the_shape() {
        let canvas = |shape: &[usize]| {
            let image = FieldSpec::new("image", DType::Float16, shape);
            match how(&image, true) {
                Ok(How::CutMix(canvas)) => Some((canvas.planes, canvas.height, canvas.width, canvas.pixel)),
                _ => None,
            }
        };
        assert_eq!(canvas(&[7, 9]), Some((1, 7, 9, 2)));
        assert_eq!(canvas(&[7, 9, 3]), Some((1, 7, 9, 6)));
        assert_eq!(canvas(&[4, 7, 9]), Some((4, 7, 9, 2)));
        for shape in [&[7][..], &[3, 9, 1], &[5, 7, 9], &[3, 0, 9], &[0, 7, 3], &[2, 3, 7, 9]] {
            assert_eq!(canvas(shape), None, "{shape:?}");
        }
    }
}
