//! `ColorJitter`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::{around_one, around_zero, check_bounds},
    color::Color,
    op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
    plan::Plan,
};
use crate::{drawn, pixel::Channels};

/// Changes brightness, contrast, saturation and hue in random order. Each is one number `x` for a factor in
/// `[max(0, 1 - x), 1 + x]`, or the bounds of the factor; of hue, for a shift in `[-x, x]`, or its bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ColorJitter {
    /// The brightness.
    pub brightness: Option<Vec<f64>>,
    /// The contrast.
    pub contrast: Option<Vec<f64>>,
    /// The saturation.
    pub saturation: Option<Vec<f64>>,
    /// The hue, -0.5 to 0.5 of the full circle.
    pub hue: Option<Vec<f64>>,
}

impl Operation for ColorJitter {
    fn check(&self) -> Result<(), String> {
        let Self { brightness, contrast, saturation, hue } = self;
        for (name, bounds) in [("brightness", brightness), ("contrast", contrast), ("saturation", saturation)] {
            check_bounds(name, bounds.as_deref(), 0.0, f64::MAX)?;
        }
        check_bounds("hue", hue.as_deref(), -0.5, 0.5)
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for ColorJitter {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        input.check_eight_bits()?;
        if input.pixel.channels == Channels::GreyAlpha && (self.saturation.is_some() || self.hue.is_some()) {
            return Err("saturation and hue are of colours, and an image of 2 channels is grey with alpha".to_owned());
        }
        Ok(input)
    }

    /// Draws the order and the strength of the four changes, as torchvision does: the order first.
    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let mut draws = key.draws();
        let mut order = [0, 1, 2, 3];
        draws.shuffle(&mut order);
        let factors = [&self.brightness, &self.contrast, &self.saturation].map(|bounds| bounds.as_deref().map(around_one));
        let [brightness, contrast, saturation] = factors;
        let bounds = [brightness, contrast, saturation, self.hue.as_deref().map(around_zero)];
        let factors = bounds.map(|bounds| bounds.map(|[low, high]| draws.uniform(low, high)));
        drawn::tell(|| {
            let [brightness, contrast, saturation, hue] = factors;
            [
                ("fn_idx", order.into()),
                ("brightness_factor", brightness.into()),
                ("contrast_factor", contrast.into()),
                ("saturation_factor", saturation.into()),
                ("hue_factor", hue.into()),
            ]
        });
        for at in order {
            if let Some(factor) = factors[at] {
                plan.edit(match at {
                    0 => Color::Brightness(factor as f32),
                    1 => Color::Contrast(factor),
                    2 => Color::Saturation(factor),
                    _ => Color::Hue(factor as f32),
                });
            }
        }
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Leaves
    }
}
