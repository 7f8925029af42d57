//! `RandomHorizontalFlip` and `RandomVerticalFlip`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::check_probability,
    op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
    plan::Plan,
};
use crate::drawn;

/// Mirrors the image left to right with probability `p`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RandomHorizontalFlip {
    /// The probability.
    pub p: f64,
}

/// Mirrors the image upside down with probability `p`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RandomVerticalFlip {
    /// The probability.
    pub p: f64,
}

impl Operation for RandomHorizontalFlip {
    fn check(&self) -> Result<(), String> {
        check_probability(self.p)
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for RandomHorizontalFlip {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        Ok(input)
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let applied = key.draws().unit() < self.p;
        drawn::tell(|| [("applied", applied.into())]);
        if applied {
            plan.flip();
        }
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Moves(Arc::new(self.clone()))
    }
}

impl Operation for RandomVerticalFlip {
    fn check(&self) -> Result<(), String> {
        check_probability(self.p)
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for RandomVerticalFlip {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        Ok(input)
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let applied = key.draws().unit() < self.p;
        drawn::tell(|| [("applied", applied.into())]);
        if applied {
            plan.flop();
        }
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Moves(Arc::new(self.clone()))
    }
}
