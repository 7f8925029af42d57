//! `RandomChoice` for samples; that for batches is a transform of batches.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    super::{
        args::check_weights,
        op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
        plan::Plan,
    },
    Transform,
    parts::{self, Part, on_mask},
};
use crate::drawn;

/// Applies one of several transforms, drawn for each sample.
///
/// All of them give the same channels and dtype; where they give several sizes, what follows has to fix it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RandomChoice {
    /// What to choose from; all take pixels. A [`struct@super::Compose`] is one.
    pub transforms: Vec<Transform>,
    /// Their probabilities, up to a common factor. Default: all are equally likely.
    #[serde(default)]
    pub p: Option<Vec<f64>>,
}

impl Operation for RandomChoice {
    fn check(&self) -> Result<(), String> {
        parts::check(&self.transforms)?;
        self.p.as_deref().map_or(Ok(()), |p| check_weights(p, self.transforms.len()))
    }

    fn role(&self) -> Role {
        let weights = self.p.clone().unwrap_or_else(|| vec![1.0; self.transforms.len()]);
        Role::Pixels(Arc::new(Choice { parts: Part::list(&self.transforms), weights }))
    }
}

/// The compiled operation.
#[derive(Debug)]
struct Choice {
    parts: Vec<Part>,
    weights: Vec<f64>,
}

impl PixelOp for Choice {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        let mut all: Option<(ImageShape, &str)> = None;
        for part in &self.parts {
            let made = part.output(input)?;
            let Some((shape, other)) = all else {
                all = Some((made, part.name));
                continue;
            };
            let both = shape.or(made, "RandomChoice").ok_or_else(|| {
                let name = part.name;
                format!("{other} makes {shape}, and {name} {made}: they must be alike")
            })?;
            all = Some((both, part.name));
        }
        Ok(all.map_or(input, |(shape, _)| shape))
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let chosen = key.draws().choose(&self.weights);
        drawn::tell(|| [("idx", chosen.into())]);
        self.parts[chosen].plan(plan, key)
    }

    fn on_mask(&self) -> OnMask {
        on_mask(&self.parts, |parts| Self { parts, weights: self.weights.clone() })
    }
}
