//! The transforms of every field, checked, and the order in which fields are filled.

use std::collections::BTreeMap;

use crate::{
    error::{Error, Result},
    source::SourceField,
    spec::FieldSpec,
    transform::{BatchChain, BatchTransform, Chain, OneHot, Transform},
};

/// What is done to the records of a source.
#[derive(Debug)]
pub(super) struct Compiled {
    /// How each field is filled, by its place. An image comes before all that follows it, with nothing else between.
    pub(super) fills: Vec<(usize, Fill)>,
    pub(super) batch: BatchChain,
    pub(super) fields: Vec<FieldSpec>,
}

/// How a field's rows are filled.
#[derive(Debug)]
pub(super) enum Fill {
    Image(Chain),
    Mask(Chain),
    Tensor(Chain),
    /// For labels that are mixed later on.
    OneHot(OneHot),
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
    let chains = fields
        .iter()
        .map(|field| {
            let room = capacity.get(field.name()).copied();
            Chain::compile_numbered(field, &steps(field, fields, transforms)?, room)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut specs: Vec<_> = chains.iter().map(|chain| chain.output().clone()).collect();
    let batch = BatchChain::compile(batch_transforms, &mut specs)?;
    let mut fills: Vec<_> = fields
        .iter()
        .zip(chains)
        .enumerate()
        .map(|(at, (field, chain))| {
            let fill = match (batch.one_hot(at), field) {
                (Some(one_hot), _) => Fill::OneHot(one_hot.clone()),
                (None, SourceField::EncodedImage { .. }) => Fill::Image(chain),
                (None, SourceField::EncodedMask { .. }) => Fill::Mask(chain),
                (None, SourceField::Tensor(_)) => Fill::Tensor(chain),
            };
            (at, fill)
        })
        .collect();
    fills.sort_by_key(|(at, _)| match fields[*at].image().and_then(|image| place_of(fields, image)) {
        Some(image) => (image, 1),
        None => (*at, 0),
    });
    Ok(Compiled { fills, batch, fields: specs })
}

/// Returns the place of the encoded image with this name.
fn place_of(fields: &[SourceField], image: &str) -> Option<usize> {
    fields.iter().position(|field| matches!(field, SourceField::EncodedImage { name } if name == image))
}

/// Returns the transforms of a field, each with the number that its draws are keyed by.
fn steps(
    field: &SourceField,
    fields: &[SourceField],
    transforms: &BTreeMap<String, Vec<Transform>>,
) -> Result<Vec<(u64, Transform)>> {
    let of = |name: &str| transforms.get(name).map_or(&[][..], Vec::as_slice);
    let name = field.name();
    let own = (0..).zip(of(name).iter().cloned());
    let Some(image) = field.image() else { return Ok(own.collect()) };
    let refused = |what: String| Err(Error::Config(format!("field `{name}` {what}")));
    if place_of(fields, image).is_none() {
        return refused(format!("belongs to `{image}`, which is no encoded image"));
    }
    if let Some(op) = of(image).iter().find(|op| op.is_for_images_alone()) {
        return refused(format!("cannot follow `{image}` through {}, which is for images alone", op.name()));
    }
    if let Some(op) = of(name).iter().find(|op| op.of_mask().is_some()) {
        return refused(format!("follows `{image}`: it takes the {} of `{image}` and none of its own", op.name()));
    }
    // At the same places, so that they draw the same.
    let followed = (0..).zip(of(image)).filter_map(|(at, op)| Some((at, op.of_mask()?)));
    Ok(followed.chain(own).collect())
}
