//! The operations of every field, checked, and what is filled by what.

use std::collections::BTreeMap;

use super::{
    Field,
    fill::{Fill, Sample},
    kind::{Request, Role},
    label::OneHotFill,
    left_behind,
    recipe::Recipe,
};
use crate::{
    error::{Error, Failure, Result},
    function::Functions,
    rng::Key,
    spec::FieldSpec,
    transform::{self, BatchChain, BatchRows, BoxFormat, BoxSteps, Numbered, OnMask},
};

/// What is done to the records of a source.
#[derive(Debug)]
pub struct Compiled {
    /// What fills the rows of all fields; those that follow others are filled by them.
    fills: Vec<Box<dyn Fill>>,
    batch: BatchChain,
    specs: Vec<FieldSpec>,
}

impl Compiled {
    /// Compiles the transforms of a source's fields.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for transforms or a capacity of an unknown field, or that the field cannot take, and for
    /// what seems to belong to a transformed image and does not follow it.
    pub fn of(fields: &[Field], recipe: &Recipe) -> Result<Self> {
        let Recipe { transforms, batch_transforms, capacity, draws, unbounded } = recipe;
        let mut ops = Vec::with_capacity(fields.len());
        for field in fields {
            let name = &field.name;
            let list = transforms.get(name).map_or(&[][..], Vec::as_slice);
            ops.push(Numbered::list(name, draws.get(name).unwrap_or(name), list)?);
        }
        let relations = Relations { fields, ops: &ops };
        check_names(recipe, &relations)?;
        check_draws(fields, draws)?;
        let (mut specs, mut roles) = (Vec::with_capacity(fields.len()), Vec::with_capacity(fields.len()));
        for (at, field) in fields.iter().enumerate() {
            let request = Request {
                name: &field.name,
                at,
                ops: &ops[at],
                image_ops: relations.image_of(at)?.map_or(&[], |image| &ops[image]),
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
        Ok(Self { fills: nested(roles, &relations)?, batch, specs })
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
fn nested(roles: Vec<Role>, relations: &Relations<'_>) -> Result<Vec<Box<dyn Fill>>> {
    let mut fills: Vec<Option<Box<dyn Fill>>> = roles.iter().map(|_| None).collect();
    let (mut images, mut boxes, mut followers, mut entries) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (at, role) in roles.into_iter().enumerate() {
        match role {
            Role::Alone(fill) => fills[at] = Some(fill),
            Role::Image(image) => images.push((at, image)),
            Role::Boxes(fill) => boxes.push((at, fill)),
            Role::Follower(fill) => followers.push((at, fill)),
            Role::Entries(fill) => entries.push((at, fill)),
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
    for (at, image) in images {
        fills[at] = Some(image.into_fill());
    }
    Ok(fills.into_iter().flatten().collect())
}

/// Refuses names that no field has.
fn check_names(recipe: &Recipe, relations: &Relations<'_>) -> Result<()> {
    let Recipe { transforms, capacity, draws, .. } = recipe;
    let fields = relations.fields;
    let labels: Vec<String> = (0..fields.len()).flat_map(|at| relations.labels(at)).collect();
    let named = transforms.keys().map(|name| (name, "transforms", "to transform"));
    let named = named.chain(capacity.keys().map(|name| (name, "capacity", "for capacity")));
    let drawn = draws.iter().flat_map(|(name, of)| [(name, "draws", "for draws"), (of, "draws", "to draw as")]);
    let mut named = named.chain(drawn).chain(labels.iter().map(|name| (name, "labels", "to go with boxes")));
    let unknown = named.find(|(name, ..)| fields.iter().all(|field| field.name != **name));
    unknown.map_or(Ok(()), |(unknown, argument, what)| {
        let known: Vec<String> = fields.iter().map(|field| format!("`{}`", field.name)).collect();
        let known = known.join(", ");
        Err(Error::Config(format!("{argument}: there is no field `{unknown}` {what}; the source has {known}")))
    })
}

/// Refuses fields that draw as others and cannot.
fn check_draws(fields: &[Field], draws: &BTreeMap<String, String>) -> Result<()> {
    for (name, of) in draws {
        let follows = |name: &str| fields.iter().find(|field| field.name == name).and_then(Field::image);
        if name == of {
            continue;
        }
        let what = match (follows(name), follows(of), draws.get(of)) {
            (Some(image), ..) => format!("it follows `{image}`, and draws as that does"),
            (None, Some(image), _) => format!("`{of}` follows `{image}`: name that"),
            (None, None, Some(other)) => format!("`{of}` draws as `{other}` itself: name that"),
            (None, None, None) => continue,
        };
        return Err(Error::Config(format!("field `{name}` cannot draw as `{of}`: {what}")));
    }
    Ok(())
}

/// Which field belongs to which.
#[derive(Clone, Copy)]
struct Relations<'a> {
    fields: &'a [Field],
    ops: &'a [Vec<Numbered>],
}

impl<'a> Relations<'a> {
    fn refused(&self, at: usize, what: &str) -> Error {
        Error::Config(format!("field `{}` {what}", self.fields[at].name))
    }

    /// Returns the name of the image that a field follows.
    fn image(&self, at: usize) -> &'a str {
        self.fields[at].image().unwrap_or_default()
    }

    /// Returns the index of the image that a field follows, if it follows one.
    fn image_of(&self, at: usize) -> Result<Option<usize>> {
        let Some(image) = self.fields[at].image() else { return Ok(None) };
        let Some(found) = self.fields.iter().position(|other| other.name == image) else {
            return Err(self.refused(at, &format!("belongs to `{image}`, which is no encoded image")));
        };
        for op in &self.ops[found] {
            if let transform::Role::Call(call) = &op.role
                && call.moves_pixels
            {
                let what = format!(
                    "cannot follow `{image}` through `{}`, of which nobody knows where it moves pixels: give the whole \
                     sample to it by Map, or say Call(..., moves_pixels=False) if it moves none",
                    call.name
                );
                return Err(self.refused(at, &what));
            }
            if let transform::Role::Pixels(pixel_op) = &op.role
                && matches!(pixel_op.on_mask(), OnMask::Refuses)
            {
                let what = format!("cannot follow `{image}` through {}, which is for images alone", op.name);
                return Err(self.refused(at, &what));
            }
        }
        Ok(Some(found))
    }

    /// Returns the fields that lose an entry with each box that a field loses.
    fn labels(&self, boxes: usize) -> Vec<String> {
        let mut steps = BoxSteps::new(BoxFormat::Xyxy);
        for op in &self.ops[boxes] {
            if let transform::Role::Boxes(box_op) = &op.role {
                box_op.add(&mut steps);
            }
        }
        steps.labels
    }

    /// Returns the index of the boxes that a field has an entry for each of, and loses with them.
    fn boxes_of(&self, at: usize) -> Result<Option<usize>> {
        let field = &self.fields[at];
        let mut all = (0..self.fields.len()).filter(|boxes| self.labels(*boxes).contains(&field.name));
        let Some(boxes) = all.next() else { return Ok(None) };
        if all.next().is_some() {
            return Err(self.refused(at, "cannot go with boxes: two fields of boxes name it"));
        }
        if field.image().is_some_and(|image| Some(image) != self.fields[boxes].image()) {
            return Err(self.refused(at, "cannot go with boxes: it belongs to another image"));
        }
        Ok(Some(boxes))
    }
}
