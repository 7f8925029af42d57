//! The transforms of every field, checked, and the order in which fields are filled.

use std::collections::BTreeMap;

use crate::{
    error::{Error, Result},
    source::{Places, SourceField},
    spec::FieldSpec,
    transform::{BatchChain, BatchTransform, Chain, OneHot, PlacesChain, Transform},
};

/// What is done to the records of a source.
#[derive(Debug)]
pub(super) struct Compiled {
    /// How the fields are filled, in this order: after an image come the places in it, after boxes what is kept with
    /// them, and masks last, with nothing else between.
    pub(super) fills: Vec<FieldFill>,
    pub(super) batch: BatchChain,
    pub(super) fields: Vec<FieldSpec>,
}

/// How a field's rows are filled.
#[derive(Debug)]
pub(super) struct FieldFill {
    /// The field's place.
    pub(super) at: usize,
    pub(super) how: How,
    /// For a field with an entry for each box, the spec of the entries: only those of the boxes filled last that are
    /// left are kept.
    pub(super) kept: Option<FieldSpec>,
}

/// What a row is made of.
#[derive(Debug)]
pub(super) enum How {
    Image(Chain),
    Mask(Chain),
    Places(PlacesChain),
    Tensor(Chain),
    /// For labels that are mixed later on.
    OneHot(OneHot),
}

/// The fields of a source, and the transforms of those that have any.
#[derive(Clone, Copy)]
struct Given<'a> {
    fields: &'a [SourceField],
    transforms: &'a BTreeMap<String, Vec<Transform>>,
}

/// Compiles the transforms of a source's fields.
///
/// # Errors
/// [`Config`](Error::Config) for transforms or a capacity of an unknown field, or that the field cannot take.
pub(super) fn compile(
    fields: &[SourceField],
    transforms: &BTreeMap<String, Vec<Transform>>,
    batch_transforms: &[BatchTransform],
    capacity: &BTreeMap<String, usize>,
) -> Result<Compiled> {
    let labels = transforms.values().flatten().filter_map(|op| match op {
        Transform::SanitizeBoundingBoxes { labels, .. } => Some(labels),
        _ => None,
    });
    let named = transforms.keys().map(|name| (name, "to transform"));
    let named = named.chain(capacity.keys().map(|name| (name, "for capacity")));
    let named = named.chain(labels.flatten().map(|name| (name, "to go with boxes")));
    for (unknown, what) in named {
        if fields.iter().all(|field| field.name() != unknown.as_str()) {
            let known: Vec<String> = fields.iter().map(|field| format!("`{}`", field.name())).collect();
            return Err(Error::Config(format!(
                "there is no field `{unknown}` {what}; the source has {}",
                known.join(", ")
            )));
        }
    }
    let given = Given { fields, transforms };
    let mut hows = Vec::with_capacity(fields.len());
    let mut specs = Vec::with_capacity(fields.len());
    for field in fields {
        let room = capacity.get(field.name()).copied();
        if let SourceField::Places { spec, places, .. } = field {
            given.image_of(field)?;
            let chain = PlacesChain::compile(spec, *places, given.of(field.name()), room)?;
            specs.push(chain.output().clone());
            hows.push(How::Places(chain));
            continue;
        }
        let chain = Chain::compile_numbered(field, &given.steps(field)?, room)?;
        specs.push(chain.output().clone());
        hows.push(match field {
            SourceField::EncodedImage { .. } => How::Image(chain),
            SourceField::EncodedMask { .. } => How::Mask(chain),
            SourceField::Places { .. } | SourceField::Tensor(_) => How::Tensor(chain),
        });
    }
    let batch = BatchChain::compile(batch_transforms, &mut specs)?;
    let mut fills = Vec::with_capacity(fields.len());
    for (at, how) in hows.into_iter().enumerate() {
        let how = batch.one_hot(at).cloned().map_or(how, How::OneHot);
        let boxes = given.boxes_of(at)?;
        let kept = match (&fields[at], boxes) {
            (SourceField::Places { spec, .. } | SourceField::Tensor(spec), Some(_)) => Some(spec.clone()),
            _ => None,
        };
        fills.push((given.turn(at, boxes)?, FieldFill { at, how, kept }));
    }
    fills.sort_by_key(|(turn, _)| *turn);
    Ok(Compiled { fills: fills.into_iter().map(|(_, fill)| fill).collect(), batch, fields: specs })
}

impl<'a> Given<'a> {
    /// Returns the transforms of a field.
    fn of(self, name: &str) -> &'a [Transform] {
        self.transforms.get(name).map_or(&[], Vec::as_slice)
    }

    /// Returns the place of the image that a field follows, if it follows one.
    fn image_of(self, field: &SourceField) -> Result<Option<usize>> {
        let Some(image) = field.image() else { return Ok(None) };
        let refused = |what: String| Error::Config(format!("field `{}` {what}", field.name()));
        let is_image = |other: &SourceField| matches!(other, SourceField::EncodedImage { name } if name == image);
        if let Some(op) = self.of(image).iter().find(|op| op.is_for_images_alone()) {
            return Err(refused(format!("cannot follow `{image}` through {}, which is for images alone", op.name())));
        }
        let place = self.fields.iter().position(is_image);
        place.map(Some).ok_or_else(|| refused(format!("belongs to `{image}`, which is no encoded image")))
    }

    /// Returns the transforms of an image, mask or tensor, each with the number that its draws are keyed by.
    fn steps(self, field: &SourceField) -> Result<Vec<(u64, Transform)>> {
        let name = field.name();
        let own = (0..).zip(self.of(name).iter().cloned());
        let Some(image) = self.image_of(field)?.map(|at| self.fields[at].name()) else { return Ok(own.collect()) };
        if let Some(op) = self.of(name).iter().find(|op| op.of_mask().is_some()) {
            return Err(Error::Config(format!(
                "field `{name}` follows `{image}`: it takes the {} of `{image}` and none of its own",
                op.name()
            )));
        }
        // At the same places, so that they draw the same.
        let followed = (0..).zip(self.of(image)).filter_map(|(at, op)| Some((at, op.of_mask()?)));
        Ok(followed.chain(own).collect())
    }

    /// Returns the place of the boxes that a field has an entry for each of, and loses with them.
    fn boxes_of(self, at: usize) -> Result<Option<usize>> {
        let field = &self.fields[at];
        let name = field.name();
        let refused = |what: &str| Err(Error::Config(format!("field `{name}` cannot go with boxes: {what}")));
        let sanitizes = |boxes: &SourceField| {
            self.of(boxes.name()).iter().any(|op| {
                matches!(op, Transform::SanitizeBoundingBoxes { labels, .. } if labels.iter().any(|label| label == name))
            })
        };
        let mut all = (0..self.fields.len()).filter(|boxes| sanitizes(&self.fields[*boxes]));
        let (Some(boxes), None) = (all.next(), all.next()) else {
            return if all.next().is_none() { Ok(None) } else { refused("two fields of boxes name it") };
        };
        match field {
            SourceField::Tensor(spec) if spec.ragged.is_none() => refused("it is no list"),
            SourceField::EncodedImage { .. } | SourceField::EncodedMask { .. } => refused("it is no list"),
            SourceField::Places { places: Places::Boxes { .. }, .. } => refused("it has boxes of its own"),
            SourceField::Places { image, .. } if Some(image.as_str()) != self.fields[boxes].image() => {
                refused("it belongs to another image")
            }
            SourceField::Places { .. } | SourceField::Tensor(_) => Ok(Some(boxes)),
        }
    }

    /// Returns when a field is filled: with its image's place, then in order of what it needs.
    fn turn(self, at: usize, boxes: Option<usize>) -> Result<(usize, usize, usize)> {
        let lead = boxes.unwrap_or(at);
        let mask = matches!(self.fields[at], SourceField::EncodedMask { .. });
        Ok(match self.image_of(&self.fields[lead])? {
            None => (at, 0, 0),
            Some(image) if mask => (image, usize::MAX, at),
            Some(image) => (image, 1 + lead, if boxes.is_some() { 1 + at } else { 0 }),
        })
    }
}
