//! What operations that are made of others have in common: their parts, which are operations on pixels.

use std::sync::Arc;

use super::{
    super::{
        op::{ImageShape, OnMask, OpKey, PixelOp, Role},
        plan::Plan,
    },
    Transform,
};
use crate::drawn;

/// An operation that is part of another one.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) name: &'static str,
    /// How many of that name stand before it.
    before: u64,
    op: Arc<dyn PixelOp>,
}

impl Part {
    /// Returns parts, one for each transform of a list that was [checked](check).
    pub(super) fn list<'a>(transforms: impl IntoIterator<Item = &'a Transform>) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        for transform in transforms {
            let Role::Pixels(op) = transform.role() else { continue };
            let name = transform.name();
            let before = parts.iter().filter(|part| part.name == name).count() as u64;
            parts.push(Self { name, before, op });
        }
        parts
    }

    /// Returns the parts of a sequence: compositions dissolve in it, as they do in the list of a field.
    pub(super) fn sequence(transforms: &[Transform]) -> Vec<Self> {
        Self::list(Transform::flat(transforms).into_iter().map(|(_, transform)| transform))
    }

    /// Returns what images become.
    pub(super) fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        if input.crops.is_some() {
            return Err(format!("{}: must stand before the crops, of which there are several", self.name));
        }
        self.op.output(input).map_err(|what| format!("{}: {what}", self.name))
    }

    /// Draws and adds to a plan; `key` is that of the whole.
    pub(super) fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let planned = drawn::of("", self.name, || self.op.plan(plan, key.part(self.name, self.before)));
        planned.and_then(|()| plan.check_area()).map_err(|what| format!("{}: {what}", self.name))
    }
}

/// Checks the transforms that are to be parts.
pub(super) fn check(transforms: &[Transform]) -> Result<(), String> {
    if transforms.is_empty() {
        return Err("transforms must not be empty".to_owned());
    }
    for (at, transform) in Transform::flat(transforms) {
        let refused = |what: &str| format!("transforms[{at}]: {}: {what}", transform.name());
        transform.operation().check().map_err(|what| refused(&what))?;
        match transform.role() {
            Role::Pixels(_) => {}
            Role::Samples(_) => {
                return Err(refused("puts samples together before there is one image, and stands before all others"));
            }
            Role::Decoding(_) => return Err(refused("goes with an encoded image, and stands before all others")),
            Role::Row(_) => {
                return Err(refused(
                    "is done to the row that an image becomes, to all or to none: it stands by itself",
                ));
            }
            Role::Call(_) => {
                return Err(refused("is a function, which stands by itself: what is random about it, it draws"));
            }
            Role::Boxes(_) | Role::KeyPoints(_) => {
                return Err(refused("goes with boxes or keypoints, not with an image"));
            }
            Role::Sound(_) => return Err(refused("takes sound, not pixels")),
            Role::Text(_) => return Err(refused("takes texts, and no images")),
        }
    }
    Ok(())
}

/// Returns what images become by parts, one after the other.
pub(super) fn in_turn(parts: &[Part], input: ImageShape) -> Result<ImageShape, String> {
    parts.iter().try_fold(input, |shape, part| part.output(shape))
}

/// Says what a whole does to a mask, which `whole` makes of the parts as they are for masks.
pub(super) fn on_mask<P: PixelOp + 'static>(parts: &[Part], whole: impl FnOnce(Vec<Part>) -> P) -> OnMask {
    let mut for_masks = Vec::with_capacity(parts.len());
    let (mut moves, mut by_boxes) = (false, false);
    for part in parts {
        let op = match part.op.on_mask() {
            OnMask::Refuses => return OnMask::Refuses,
            OnMask::Leaves => Arc::new(Stays),
            OnMask::Moves(op) => {
                moves = true;
                op
            }
            OnMask::MovesByBoxes(op) => {
                (moves, by_boxes) = (true, true);
                op
            }
        };
        for_masks.push(Part { op, ..part.clone() });
    }
    match (moves, by_boxes) {
        (_, true) => OnMask::MovesByBoxes(Arc::new(whole(for_masks))),
        (true, false) => OnMask::Moves(Arc::new(whole(for_masks))),
        (false, false) => OnMask::Leaves,
    }
}

/// Does nothing, in the stead of what changes no mask.
#[derive(Debug)]
struct Stays;

impl PixelOp for Stays {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        Ok(input)
    }

    fn plan(&self, _plan: &mut Plan, _key: OpKey) -> Result<(), String> {
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Leaves
    }
}
