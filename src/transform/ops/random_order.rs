//! `RandomOrder`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    super::{
        op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
        plan::Plan,
    },
    Transform,
    parts::{self, Part, on_mask},
};
use crate::drawn;

/// How many transforms that change what images are may be put in any order: their subsets are looked at.
const MOST_CHANGING: usize = 12;

/// Applies transforms in a random order.
///
/// In every order they give the same channels and dtype; where they give several sizes, what follows has to fix it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RandomOrder {
    /// The transforms, all of which take pixels. A [`struct@super::Compose`] is one.
    pub transforms: Vec<Transform>,
}

impl Operation for RandomOrder {
    fn check(&self) -> Result<(), String> {
        parts::check(&self.transforms)
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(AnyOrder(Part::list(&self.transforms))))
    }
}

/// The compiled operation.
#[derive(Debug)]
struct AnyOrder(Vec<Part>);

impl PixelOp for AnyOrder {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        let parts = &self.0;
        let mut made = parts.iter().map(|part| part.output(input));
        if made.all(|made| made == Ok(input)) {
            return Ok(input);
        }
        if parts.len() > MOST_CHANGING {
            return Err(format!("takes at most {MOST_CHANGING} transforms where one changes size, channels or dtype"));
        }
        // What may have become of images when the parts of a set have been done, by the set's bits.
        let mut after: Vec<Vec<ImageShape>> = vec![Vec::new(); 1 << parts.len()];
        after[0].push(input);
        for set in 0..after.len() - 1 {
            for shape in std::mem::take(&mut after[set]) {
                for (at, part) in parts.iter().enumerate().filter(|(at, _)| set & (1 << at) == 0) {
                    let made = part.output(shape)?;
                    let more = &mut after[set | (1 << at)];
                    if !more.contains(&made) {
                        more.push(made);
                    }
                }
            }
        }
        let all = after.pop().unwrap_or_default();
        all.iter().skip(1).try_fold(all[0], |shape, other| {
            shape.or(*other, "RandomOrder").ok_or_else(|| {
                format!("makes {shape} in one order, and {other} in another: they must be alike")
            })
        })
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        key.draws().shuffle(&mut order);
        drawn::tell(|| [("order", order.clone().into())]);
        order.into_iter().try_for_each(|at| self.0[at].plan(plan, key))
    }

    fn on_mask(&self) -> OnMask {
        on_mask(&self.0, Self)
    }
}
