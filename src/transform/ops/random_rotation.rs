//! `RandomRotation`, and turns as other operations do them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    affine::{Affine, Warp},
    args::{Interpolation, around_zero, black, channels, check_center, check_degrees, check_fill_of, check_warp, nearest, single},
    fill::Fill,
    op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
    plan::Plan,
};
use crate::drawn;

/// Rotates by a random angle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RandomRotation {
    /// One number `x` for an angle in `[-x, x]`, or the bounds; anticlockwise.
    pub degrees: Vec<f64>,
    /// `Nearest` or `Bilinear`.
    #[serde(default = "nearest")]
    pub interpolation: Interpolation,
    /// Whether the result grows to hold the whole image.
    #[serde(default)]
    pub expand: bool,
    /// The fixed point (x, y) in pixels; `None` is the centre.
    #[serde(default)]
    pub center: Option<[f64; 2]>,
    /// What lies outside the image.
    #[serde(default = "black")]
    pub fill: Option<Vec<f32>>,
}

impl Operation for RandomRotation {
    fn check(&self) -> Result<(), String> {
        check_degrees(&self.degrees)?;
        check_center(self.center)?;
        check_warp(self.interpolation, self.fill.as_deref())
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for RandomRotation {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        check_fill_of(self.fill.as_deref(), input.pixel)?;
        Ok(ImageShape { size: input.size.filter(|_| !self.expand), ..input })
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let [low, high] = around_zero(&self.degrees);
        let angle = key.draws().uniform(low, high);
        drawn::tell(|| [("angle", angle.into())]);
        rotate(plan, angle, self.expand, self.center, self.interpolation, channels(self.fill.as_deref()));
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        let fill = single(self.fill.as_deref());
        OnMask::Moves(Arc::new(Self { interpolation: Interpolation::Nearest, fill, ..self.clone() }))
    }
}

/// Rotates the image anticlockwise by an angle in degrees.
#[expect(clippy::float_cmp, reason = "only exact quarter turns need no rounding")]
pub(super) fn rotate(
    plan: &mut Plan,
    angle: f64,
    expand: bool,
    center: Option<[f64; 2]>,
    interpolation: Interpolation,
    fill: Option<Fill>,
) {
    let (angle, size) = (angle.rem_euclid(360.0), plan.size());
    let mut warp = Warp::new(&Affine::rotation(angle, center), size, interpolation, fill);
    if center.is_none() && angle == 180.0 {
        plan.half_turn(|image| warp.motion(image));
        return;
    }
    if center.is_none() && (angle == 90.0 || angle == 270.0) && (expand || size.height == size.width) {
        warp.quarter(angle == 90.0, size);
    } else if expand {
        warp.expand(size);
    }
    warp.add_to(plan);
}
