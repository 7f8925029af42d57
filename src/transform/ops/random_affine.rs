//! `RandomAffine`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    affine::{Affine, Warp},
    args::{
        Interpolation, around_zero, black, channels, check_bounds, check_center, check_degrees, check_fill_of, check_range, check_warp,
        nearest, single,
    },
    op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
    plan::Plan,
};
use crate::{drawn, geometry::Size, rng::Draws};

/// Rotates, moves, scales and shears at random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RandomAffine {
    /// One number `x` for an angle in `[-x, x]`, or the bounds; clockwise.
    pub degrees: Vec<f64>,
    /// The largest moves (across, down), as fractions of the width and the height.
    #[serde(default)]
    pub translate: Option<[f64; 2]>,
    /// The bounds of the factor.
    #[serde(default)]
    pub scale: Option<[f64; 2]>,
    /// The angle of the shear across: one number `x` for `[-x, x]`, or two bounds, or four, the last two down.
    #[serde(default)]
    pub shear: Option<Vec<f64>>,
    /// `Nearest` or `Bilinear`.
    #[serde(default = "nearest")]
    pub interpolation: Interpolation,
    /// What lies outside the image.
    #[serde(default = "black")]
    pub fill: Option<Vec<f32>>,
    /// The fixed point (x, y) in pixels; `None` is the centre.
    #[serde(default)]
    pub center: Option<[f64; 2]>,
}

impl Operation for RandomAffine {
    fn check(&self) -> Result<(), String> {
        let Self { degrees, translate, scale, shear, interpolation, fill, center } = self;
        check_degrees(degrees)?;
        if let Some([across, down]) = translate
            && ![across, down].into_iter().all(|most| (0.0..=1.0).contains(most))
        {
            return Err(format!("translate = ({across}, {down}) must lie between 0 and 1"));
        }
        scale.map_or(Ok(()), |scale| check_range("scale", scale))?;
        check_shear(shear.as_deref())?;
        check_center(*center)?;
        check_warp(*interpolation, fill.as_deref())
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for RandomAffine {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        check_fill_of(self.fill.as_deref(), input.pixel)?;
        Ok(input)
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let affine = self.draw(plan.size(), &mut key.draws());
        drawn::tell(|| {
            let Affine { angle, translate, scale, shear, .. } = affine;
            [("angle", angle.into()), ("translate", translate.into()), ("scale", scale.into()), ("shear", shear.into())]
        });
        Warp::new(&affine, plan.size(), self.interpolation, channels(self.fill.as_deref())).add_to(plan);
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        let fill = single(self.fill.as_deref());
        OnMask::Moves(Arc::new(Self { interpolation: Interpolation::Nearest, fill, ..self.clone() }))
    }
}

impl RandomAffine {
    fn draw(&self, image: Size, draws: &mut Draws) -> Affine {
        let [low, high] = around_zero(&self.degrees);
        let angle = draws.uniform(low, high);
        let translate = self.translate.map_or([0.0; 2], |[across, down]| {
            [across * f64::from(image.width), down * f64::from(image.height)]
                .map(|most| draws.uniform(-most, most).round_ties_even())
        });
        let scale = self.scale.map_or(1.0, |[low, high]| draws.uniform(low, high));
        let shear = match self.shear.as_deref() {
            None => [0.0; 2],
            Some([left, right, up, down]) => [draws.uniform(*left, *right), draws.uniform(*up, *down)],
            Some(bounds) => {
                let [low, high] = around_zero(bounds);
                [draws.uniform(low, high), 0.0]
            }
        };
        Affine { angle, translate, scale, shear, center: self.center }
    }
}

fn check_shear(shear: Option<&[f64]>) -> Result<(), String> {
    match shear {
        Some([left, right, up, down]) => {
            check_bounds("shear", Some(&[*left, *right]), f64::MIN, f64::MAX)?;
            check_bounds("shear", Some(&[*up, *down]), f64::MIN, f64::MAX)
        }
        Some(shear) if shear.len() > 2 => Err(format!("shear must be one, two or four numbers, not {}", shear.len())),
        shear => check_bounds("shear", shear, f64::MIN, f64::MAX),
    }
}
