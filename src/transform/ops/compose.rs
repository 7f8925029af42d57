//! `Compose`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    super::{
        op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
        plan::Plan,
    },
    Transform,
    parts::{Part, in_turn, on_mask},
};

/// Several transforms, one after the other. In the list of a field it stands for them, and they draw as they would without
/// it. As one of those that others choose from or put in order, it is one: then all of it takes pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Compose {
    /// The transforms.
    pub transforms: Vec<Transform>,
}

impl Operation for Compose {
    /// Whoever lists it checks what is in it.
    fn check(&self) -> Result<(), String> {
        Transform::flat(&self.transforms).into_iter().try_for_each(|(at, transform)| {
            let checked = transform.operation().check();
            checked.map_err(|what| format!("transforms[{at}]: {}: {what}", transform.name()))
        })
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(Sequence(Part::sequence(&self.transforms))))
    }
}

/// The operations of a composition that is part of another operation.
#[derive(Debug)]
struct Sequence(Vec<Part>);

impl PixelOp for Sequence {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        in_turn(&self.0, input)
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        self.0.iter().try_for_each(|part| part.plan(plan, key))
    }

    fn on_mask(&self) -> OnMask {
        on_mask(&self.0, Self)
    }
}
