//! Which fields belong to which: what follows an image, what goes with boxes, what is put together.

use std::sync::Arc;

use super::{Field, Kind, recipe::Recipe};
use crate::{
    error::{Error, Result},
    transform::{self, BoxFormat, BoxSteps, Mosaic, Numbered, OnMask},
};

/// Which field belongs to which.
#[derive(Clone, Copy)]
pub(super) struct Relations<'a> {
    pub(super) fields: &'a [Field],
    pub(super) ops: &'a [Vec<Numbered>],
}

impl<'a> Relations<'a> {
    pub(super) fn refused(&self, at: usize, what: &str) -> Error {
        Error::Config(format!("field `{}` {what}", self.fields[at].name))
    }

    /// Returns the name of the image that a field follows.
    pub(super) fn image(&self, at: usize) -> &'a str {
        self.fields[at].image().unwrap_or_default()
    }

    /// Returns the operations of the image that a field follows, as they are for this one; none where it follows none.
    pub(super) fn image_ops(&self, at: usize, recipe: &Recipe) -> Result<Vec<Numbered>> {
        let Some(image) = self.image_of(at)? else { return Ok(Vec::new()) };
        let name = &self.fields[image].name;
        let list = recipe.transforms.get(name).map_or(&[][..], Vec::as_slice);
        Numbered::list_for(name, recipe.draws.get(name).unwrap_or(name), list, &self.fields[at].name)
    }

    /// Returns the index of the image that a field follows, if it follows one.
    pub(super) fn image_of(&self, at: usize) -> Result<Option<usize>> {
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

    /// Returns how samples are put together, if they are: of which field, and what that draws by.
    pub(super) fn mosaic(&self) -> Result<Option<(String, Arc<Mosaic>, u64)>> {
        let samples = |op: &Numbered| match &op.role {
            transform::Role::Samples(mosaic) => Some((Arc::clone(mosaic), op.op)),
            transform::Role::Decoding(_)
            | transform::Role::Pixels(_)
            | transform::Role::Row(_)
            | transform::Role::Call(_)
            | transform::Role::Boxes(_)
            | transform::Role::KeyPoints(_)
            | transform::Role::Sound(_)
            | transform::Role::Text(_) => None,
        };
        let mut all =
            self.ops.iter().enumerate().flat_map(|(at, ops)| ops.iter().filter_map(samples).map(move |op| (at, op)));
        let Some((image, (mosaic, op))) = all.next() else { return Ok(None) };
        if let Some((other, _)) = all.next() {
            return Err(self.refused(other, "has a second Mosaic: a sample is put together with others once"));
        }
        for (at, field) in self.fields.iter().enumerate() {
            let follows = field.image() == Some(&self.fields[image].name);
            let is_list = matches!(field.kind, Kind::List(_) | Kind::Varying(_));
            if is_list && !follows && self.boxes_of(at)?.is_none() {
                let what = "has any number of entries, and a Mosaic is made of four samples: name it in labels= of the \
                            Mosaic where it has one for each box, or leave it out of the source";
                return Err(self.refused(at, what));
            }
        }
        Ok(Some((self.fields[image].name.clone(), mosaic, op)))
    }

    /// Returns of how many samples the rows of a field may be put together.
    pub(super) fn parts(&self, at: usize) -> Result<usize> {
        let of = self.boxes_of(at)?.unwrap_or(at);
        Ok(self.mosaic_of(of).map_or(1, |_| Mosaic::PARTS))
    }

    /// Returns how an image, or the image that a field follows, is put together with others, if it is.
    pub(super) fn mosaic_of(&self, at: usize) -> Option<&'a Arc<Mosaic>> {
        let name = self.fields[at].image().unwrap_or(&self.fields[at].name);
        let image = self.fields.iter().position(|field| field.name == name)?;
        self.ops[image].iter().find_map(|op| {
            let transform::Role::Samples(mosaic) = &op.role else { return None };
            Some(mosaic)
        })
    }

    /// Returns the field of the boxes that an operation of an image looks at, if one does.
    pub(super) fn boxes_looked_at(&self, at: usize) -> Result<Option<(usize, BoxFormat)>> {
        let by_boxes = |op: &&Numbered| matches!(&op.role, transform::Role::Pixels(op) if matches!(op.on_mask(), OnMask::MovesByBoxes(_)));
        let Some(op) = self.ops[at].iter().find(by_boxes) else { return Ok(None) };
        let name = &self.fields[at].name;
        let boxes = self.fields.iter().enumerate().filter_map(|(at, field)| {
            let Kind::BoundingBoxes(boxes) = &field.kind else { return None };
            (boxes.image == *name).then_some((at, boxes.format))
        });
        match boxes.collect::<Vec<_>>()[..] {
            [one] => Ok(Some(one)),
            [] => {
                Err(self
                    .refused(at, &format!("has no boxes for its {} to look at: no BoundingBoxes follow it", op.name)))
            }
            [..] => {
                Err(self.refused(at, &format!("has several fields of boxes, and {} looks at those of one", op.name)))
            }
        }
    }

    /// Returns the fields that lose an entry with each box that a field loses.
    pub(super) fn labels(&self, boxes: usize) -> Vec<String> {
        let mut steps = BoxSteps::new(BoxFormat::Xyxy);
        for op in &self.ops[boxes] {
            if let transform::Role::Boxes(box_op) = &op.role {
                box_op.add(&mut steps);
            }
        }
        let mosaic = self.mosaic_of(boxes).filter(|_| matches!(self.fields[boxes].kind, Kind::BoundingBoxes(_)));
        let more = mosaic.iter().flat_map(|mosaic| &mosaic.labels).filter(|label| !steps.labels.contains(label));
        let more: Vec<String> = more.cloned().collect();
        [steps.labels, more].concat()
    }

    /// Returns the index of the boxes that a field has an entry for each of, and loses with them.
    pub(super) fn boxes_of(&self, at: usize) -> Result<Option<usize>> {
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
