//! The operations of every field, checked, and what is filled by what.

use std::sync::Arc;

use super::{
    Field, checks,
    decoded::DecodedFill,
    fill::{Fill, Sample},
    kind::{Request, Role},
    label::OneHotFill,
    left_behind,
    made::MadeFields,
    recipe::Recipe,
    relations::Relations,
    tokens::TokensFill,
};
use crate::{
    drawn,
    error::{Failure, Result},
    function::Functions,
    rng::Key,
    spec::FieldSpec,
    transform::{BatchChain, BatchRows, Drawn, Mosaic, Numbered},
};

/// What is done to the records of a source.
#[derive(Debug)]
pub struct Compiled {
    /// What fills the rows of all fields; those that follow others are filled by them.
    fills: Vec<Box<dyn Fill>>,
    batch: BatchChain,
    specs: Vec<FieldSpec>,
    made: MadeFields,
    /// How samples are put together, if they are, and what that draws by.
    mosaic: Option<(String, Arc<Mosaic>, u64)>,
}

impl Compiled {
    /// Compiles the transforms of a source's fields.
    ///
    /// # Errors
    /// [`Config`](crate::Error::Config) for transforms or a capacity of an unknown field, or that the field cannot take, and for
    /// what seems to belong to a transformed image and does not follow it.
    pub fn of(source: &[Field], recipe: &Recipe) -> Result<Self> {
        let Recipe { transforms, batch_transforms, capacity, draws, unbounded, .. } = recipe;
        let made = MadeFields::of(source, recipe)?;
        let fields = &made.fields[..];
        let mut ops = Vec::with_capacity(fields.len());
        for field in fields {
            let name = &field.name;
            let list = transforms.get(name).map_or(&[][..], Vec::as_slice);
            ops.push(Numbered::list(name, draws.get(name).unwrap_or(name), list)?);
        }
        let relations = Relations { fields, ops: &ops };
        checks::names(recipe, &relations, source)?;
        let mosaic = relations.mosaic()?;
        checks::draws(fields, draws)?;
        checks::fills(fields, recipe)?;
        checks::texts(fields, &ops)?;
        let (mut specs, mut roles) = (Vec::with_capacity(fields.len()), Vec::with_capacity(fields.len()));
        for (at, field) in fields.iter().enumerate() {
            let image_ops = relations.image_ops(at, recipe)?;
            let request = Request {
                name: &field.name,
                at,
                ops: &ops[at],
                image_ops: &image_ops,
                mosaic: relations.mosaic_of(at),
                parts: relations.parts(at)?,
                boxes: relations.boxes_looked_at(at)?,
                capacity: capacity.get(&field.name).copied(),
                unbounded: *unbounded,
                is_followed: fields.iter().any(|other| other.image() == Some(field.name.as_str())),
                goes_with_boxes: relations.boxes_of(at)?.is_some(),
            };
            let (spec, role) = field.kind.get().compile(request)?;
            specs.push(spec);
            roles.push(role);
        }
        left_behind::check(fields, &ops, recipe)?;
        let batch = BatchChain::compile(batch_transforms, &mut specs)?;
        for (at, role) in roles.iter_mut().enumerate() {
            if let Some(one_hot) = batch.one_hot(at).cloned() {
                if let Some(op) = ops[at].first() {
                    let what = format!("is mixed, and its {} would not be done: do it in the source", op.name);
                    return Err(relations.refused(at, &what));
                }
                let spec = specs[at].clone();
                *role = Role::Alone(Box::new(OneHotFill { at, one_hot, spec }));
            }
        }
        Ok(Self { fills: nested(roles, &relations, &made.origins)?, batch, specs, made, mosaic })
    }

    /// Draws the samples that are put together with sample `key.index` of a source of so many, where some are.
    pub(crate) fn mosaic(&self, key: Key, len: u64) -> Option<Drawn> {
        let (_, mosaic, op) = self.mosaic.as_ref()?;
        mosaic.draw(len, &mut key.rng(*op))
    }

    /// Tells whether the samples that are put together with another one are the same by other transforms.
    pub(super) fn draws_others_as(&self, other: &Self) -> bool {
        let drawn = |compiled: &Self| compiled.mosaic.as_ref().map(|(_, mosaic, op)| (mosaic.p.to_bits(), *op));
        drawn(self) == drawn(other)
    }

    /// Tells what was drawn for putting samples together, where some are.
    pub(crate) fn tell_mosaic(&self, drawn: Option<Drawn>) {
        if let Some((field, ..)) = &self.mosaic {
            drawn::of(field, "Mosaic", || Drawn::tell(drawn));
        }
    }

    /// Tells whether samples may be put together with others.
    pub const fn has_mosaic(&self) -> bool {
        self.mosaic.is_some()
    }

    /// Returns the fields of every sample: those of the source that stay, and views of them.
    pub fn fields(&self) -> &[Field] {
        &self.made.fields
    }

    /// Returns the number of the source's field that a field is made of.
    pub fn origin(&self, field: usize) -> usize {
        self.made.origins[field]
    }

    /// Returns what every sample looks like.
    pub fn specs(&self) -> &[FieldSpec] {
        &self.specs
    }

    /// Tells whether a batch must be [finished](Self::finish) once all its rows are filled.
    pub const fn finishes(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Fills the rows of a sample: every byte of them.
    ///
    /// # Errors
    /// A [`Failure`] of the decode or transform stage. The rows then hold anything.
    pub fn fill(&self, sample: &mut Sample<'_>) -> Result<(), Failure> {
        self.fills.iter().try_for_each(|fill| fill.fill(sample))
    }

    /// Applies the transforms of whole batches, in place. `fields` are all rows of each field; `key.index` is the
    /// position of the first row in the epoch's order.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage, of a function that is called.
    pub fn finish(
        &self,
        key: Key,
        fields: &mut [&mut [u8]],
        rows: usize,
        functions: Option<&dyn Functions>,
    ) -> Result<(), Failure> {
        self.batch.apply(key, &mut BatchRows { rows, fields, specs: &self.specs, functions })
    }
}

/// Gives what goes with boxes to the boxes, and what follows an image to the image.
fn nested(roles: Vec<Role>, relations: &Relations<'_>, origins: &[usize]) -> Result<Vec<Box<dyn Fill>>> {
    let mut fills: Vec<Option<Box<dyn Fill>>> = roles.iter().map(|_| None).collect();
    let (mut images, mut boxes, mut followers, mut entries) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut tokens: Vec<(usize, TokensFill)> = Vec::new();
    for (at, role) in roles.into_iter().enumerate() {
        match role {
            Role::Alone(fill) => fills[at] = Some(fill),
            Role::Image(image) => images.push((at, image)),
            Role::Boxes(fill) => boxes.push((at, fill)),
            Role::Follower(fill) => followers.push((at, fill)),
            Role::Entries(fill) => entries.push((at, fill)),
            Role::Tokens(fill) => {
                let shared =
                    tokens.iter_mut().find(|(other, shared)| origins[*other] == origins[at] && shared.takes(&fill));
                match shared {
                    Some((_, shared)) => shared.add(fill),
                    None => tokens.push((at, fill)),
                }
            }
        }
    }
    for (at, fill) in entries {
        let of = relations.boxes_of(at)?;
        let gone_with = boxes.iter_mut().find(|(boxes, _)| Some(*boxes) == of);
        gone_with.ok_or_else(|| relations.refused(at, "goes with boxes that are none"))?.1.add(fill);
    }
    followers.extend(boxes.into_iter().map(|(at, fill)| (at, fill.into_follow())));
    for (at, fill) in followers {
        let of = relations.image_of(at)?;
        let image = images.iter_mut().find(|(image, _)| Some(*image) == of);
        let none =
            || relations.refused(at, &format!("belongs to `{}`, which is no encoded image", relations.image(at)));
        image.ok_or_else(none)?.1.add(fill);
    }
    let mut decoded: Vec<(usize, DecodedFill)> = Vec::new();
    for (at, image) in images {
        let shared = decoded.iter_mut().find(|(other, fill)| origins[*other] == origins[at] && fill.takes(&*image));
        match shared {
            Some((_, fill)) => fill.add(image),
            None => decoded.push((at, DecodedFill::new(at, image))),
        }
    }
    for (at, fill) in decoded {
        fills[at] = Some(Box::new(fill));
    }
    for (at, fill) in tokens {
        fills[at] = Some(Box::new(fill));
    }
    Ok(fills.into_iter().flatten().collect())
}
