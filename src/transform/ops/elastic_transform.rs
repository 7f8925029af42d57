//! `ElasticTransform`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::{Interpolation, MAX_EDGE, channels, check_fill_of, check_warp, single},
    elastic::{Displacement, Elastic},
    op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
    plan::Plan,
    sample::Sampling,
};
use crate::drawn;

/// Moves each pixel by a random distance, which changes smoothly over the image.
///
/// The edges of the noise are continued by reflection, so that the image must be larger than four times `sigma`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ElasticTransform {
    /// How far pixels are moved: one number, or (across, down).
    pub alpha: Vec<f64>,
    /// The standard deviation of the Gaussian that smooths the distances, in pixels: one number, or (across, down); 0 for
    /// none.
    pub sigma: Vec<f64>,
    /// `Nearest` or `Bilinear`.
    pub interpolation: Interpolation,
    /// What lies outside the image.
    pub fill: Option<Vec<f32>>,
}

impl Operation for ElasticTransform {
    fn check(&self) -> Result<(), String> {
        let Self { alpha, sigma, interpolation, fill } = self;
        for (name, values, bounds) in [("alpha", alpha, -1e6..=1e6), ("sigma", sigma, 0.0..=f64::from(MAX_EDGE) / 8.0)] {
            if !matches!(values.len(), 1 | 2) {
                return Err(format!("{name} must be one number or two, not {}", values.len()));
            }
            if let Some(value) = values.iter().find(|value| !bounds.contains(value)) {
                return Err(format!("{name} = {value} must lie between {} and {}", bounds.start(), bounds.end()));
            }
        }
        if sigma.contains(&0.0) && sigma.iter().any(|sigma| *sigma > 0.0) {
            return Err("sigma must be positive in both directions, or 0 in both".to_owned());
        }
        check_warp(*interpolation, fill.as_deref())
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for ElasticTransform {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        check_fill_of(self.fill.as_deref(), input.pixel)?;
        Ok(input)
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let both = |values: &[f64]| [values[0] as f32, values[values.len() - 1] as f32];
        let displacement = Displacement::new(plan.size(), both(&self.alpha), both(&self.sigma), &mut key.draws())?;
        drawn::tell(|| [("noise", displacement.noise().into())]);
        let displacement = Arc::new(displacement);
        let sampling = Sampling::new(self.interpolation, channels(self.fill.as_deref()));
        plan.warp(Elastic { displacement: Arc::clone(&displacement), sampling }, |_| displacement.motion());
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        let fill = single(self.fill.as_deref());
        OnMask::Moves(Arc::new(Self { interpolation: Interpolation::Nearest, fill, ..self.clone() }))
    }
}
