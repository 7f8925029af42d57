//! `RandomApply`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    super::{
        args::{check_probability, half},
        op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
        plan::Plan,
    },
    Transform,
    parts::{self, Part, in_turn, on_mask},
};
use crate::drawn;

/// Applies transforms, one after the other, with probability `p`: all of them or none.
///
/// Images that it leaves out have the channels and the dtype of the others; where their size is another one, what follows
/// has to fix it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RandomApply {
    /// The transforms, all of which take pixels.
    pub transforms: Vec<Transform>,
    /// The probability.
    #[serde(default = "half")]
    pub p: f64,
}

impl Operation for RandomApply {
    fn check(&self) -> Result<(), String> {
        check_probability(self.p)?;
        parts::check(&self.transforms)
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(Applied { parts: Part::sequence(&self.transforms), p: self.p }))
    }
}

/// The compiled operation.
#[derive(Debug)]
struct Applied {
    parts: Vec<Part>,
    p: f64,
}

impl PixelOp for Applied {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        let made = in_turn(&self.parts, input)?;
        made.or(input, "RandomApply").ok_or_else(|| {
            let names: Vec<&str> = self.parts.iter().map(|part| part.name).collect();
            format!("{} make {made}; what is left out is {input}: they must be alike", names.join(", "))
        })
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let applied = key.draws().unit() < self.p;
        drawn::tell(|| [("applied", applied.into())]);
        if !applied {
            return Ok(());
        }
        self.parts.iter().try_for_each(|part| part.plan(plan, key))
    }

    fn on_mask(&self) -> OnMask {
        on_mask(&self.parts, |parts| Self { parts, p: self.p })
    }
}
