//! `ScaleJitter`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::{Interpolation, check_range, check_size, short_uniform, truncated},
    op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
    plan::Plan,
};
use crate::{drawn, geometry::Size, rng::Draws};

/// Resizes to a random multiple of the size at which the image would fit into another one, keeping the aspect ratio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ScaleJitter {
    /// The size to fit into, as torchvision reads it: the first number is a width, the second a height.
    pub target_size: [u32; 2],
    /// The bounds of the factor.
    #[serde(default = "default_scale_range")]
    pub scale_range: [f64; 2],
    /// The filter; always antialiased.
    #[serde(default)]
    pub interpolation: Interpolation,
}

const fn default_scale_range() -> [f64; 2] {
    [0.1, 2.0]
}

impl Operation for ScaleJitter {
    fn check(&self) -> Result<(), String> {
        check_size(&self.target_size)?;
        check_range("scale_range", self.scale_range)
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for ScaleJitter {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        Ok(ImageShape { size: None, ..input })
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let size = self.draw(plan.size(), &mut key.draws());
        drawn::tell(|| [("size", [size.height, size.width].into())]);
        plan.resize(size, self.interpolation);
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Moves(Arc::new(Self { interpolation: Interpolation::Nearest, ..self.clone() }))
    }
}

impl ScaleJitter {
    /// Draws the size: torchvision's `make_params`, in its `f32`, but for at least one pixel.
    fn draw(&self, image: Size, draws: &mut Draws) -> Size {
        let [width, height] = self.target_size.map(f64::from);
        let fits = (height / f64::from(image.height)).min(width / f64::from(image.width));
        let factor = fits as f32 * short_uniform(self.scale_range, draws);
        let edge = |edge: u32| truncated(edge, factor).max(1);
        Size { height: edge(image.height), width: edge(image.width) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;

    #[test]
    fn an_image_fits_into_the_size_times_the_factor() {
        let fixed = |image: [u32; 2], factor: f64| {
            let jitter = ScaleJitter {
                target_size: [40, 30],
                scale_range: [factor, factor],
                interpolation: Interpolation::Bilinear,
            };
            let image = Size { height: image[0], width: image[1] };
            let size = jitter.draw(image, &mut Key { seed: 1, epoch: 0, index: 0 }.rng(0));
            [size.height, size.width]
        };
        // 40 is the width.
        assert_eq!(fixed([300, 400], 1.0), [30, 40]);
        assert_eq!(fixed([300, 200], 0.5), [15, 10]);
        assert_eq!(fixed([1000, 10], 0.1), [3, 1], "at least one pixel");
    }
}
