//! `GaussianBlur`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::{MAX_EDGE, check_range},
    blur::Blur,
    op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
    plan::Plan,
};
use crate::{drawn, geometry::Size};

/// Blurs by a Gaussian of random width; the edges are continued by reflection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GaussianBlur {
    /// The number of taps, odd: one for both directions, or (width, height).
    pub kernel_size: Vec<u32>,
    /// One standard deviation in pixels, or the bounds of it.
    #[serde(default = "default_sigma")]
    pub sigma: Vec<f64>,
}

fn default_sigma() -> Vec<f64> {
    vec![0.1, 2.0]
}

impl Operation for GaussianBlur {
    fn check(&self) -> Result<(), String> {
        let Self { kernel_size, sigma } = self;
        if !matches!(kernel_size.len(), 1 | 2) || kernel_size.iter().any(|taps| taps % 2 == 0 || *taps > MAX_EDGE) {
            return Err(format!("kernel_size must be one odd number or two, up to {MAX_EDGE}, not {kernel_size:?}"));
        }
        match sigma[..] {
            [only] => check_range("sigma", [only, only]),
            [low, high] => check_range("sigma", [low, high]),
            _ => Err(format!("sigma must be one number or two, not {sigma:?}")),
        }
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for GaussianBlur {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        Ok(input)
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let Self { kernel_size, sigma } = self;
        let kernel = [kernel_size[0], kernel_size[kernel_size.len() - 1]];
        let Size { height, width } = plan.size();
        if kernel[0] / 2 >= width || kernel[1] / 2 >= height {
            return Err(format!(
                "a blur of {} by {} taps needs more than {width}x{height} pixels",
                kernel[0], kernel[1]
            ));
        }
        let sigma = key.draws().uniform(sigma[0], sigma[sigma.len() - 1]) as f32;
        drawn::tell(|| [("sigma", sigma.into())]);
        plan.edit(Blur { kernel, sigma });
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Leaves
    }
}
