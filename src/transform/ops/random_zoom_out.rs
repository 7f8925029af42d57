//! `RandomZoomOut`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    super::{
        args::{
            PaddingMode, check_fill, check_fill_of, check_probability, check_range, half, short_uniform, short_unit,
            truncated, zero_fill, told},
        op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
        plan::Plan,
    },
    pad::{fill_of_mask, outside},
};
use crate::{
    drawn,
    geometry::{Rect, Size},
    rng::Draws,
};

/// Puts the image at a random position of a larger one, with probability `p`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RandomZoomOut {
    /// What the larger one is made of.
    #[serde(default = "zero_fill")]
    pub fill: Vec<f32>,
    /// The bounds of how many times as large it is, in each direction; from 1 on.
    #[serde(default = "default_side_range")]
    pub side_range: [f64; 2],
    /// The probability.
    #[serde(default = "half")]
    pub p: f64,
}

const fn default_side_range() -> [f64; 2] {
    [1.0, 4.0]
}

impl Operation for RandomZoomOut {
    fn check(&self) -> Result<(), String> {
        check_range("side_range", self.side_range)?;
        if self.side_range[0] < 1.0 {
            return Err(format!("side_range begins at {} and must not be below 1", self.side_range[0]));
        }
        check_probability(self.p)?;
        check_fill(Some(&self.fill))
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for RandomZoomOut {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        check_fill_of(Some(&self.fill), input.pixel)?;
        Ok(ImageShape { size: None, ..input })
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let mut draws = key.draws();
        let applied = draws.unit() < self.p;
        drawn::tell(|| [("applied", applied.into())]);
        if applied {
            let part = zoomed_out(plan.size(), self.side_range, &mut draws);
            drawn::tell(|| told(part));
            plan.crop(part, outside(PaddingMode::Constant, &self.fill));
        }
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Moves(Arc::new(Self { fill: fill_of_mask(&self.fill), ..self.clone() }))
    }
}

/// Draws the box of the larger image: torchvision's `make_params`, in its `f32`.
fn zoomed_out(image: Size, side_range: [f64; 2], draws: &mut Draws) -> Rect {
    let factor = short_uniform(side_range, draws);
    let edge = |edge: u32| truncated(edge, factor).max(edge);
    let size = Size { height: edge(image.height), width: edge(image.width) };
    let mut start = |room: u32| -i64::from(truncated(room, short_unit(draws)));
    let left = start(size.width - image.width);
    Rect { top: start(size.height - image.height), left, size }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Key;

    proptest! {
        #[test]
        fn the_image_lies_in_the_larger_one(
            height in 1..999_u32, width in 1..999_u32, low in 1.0..3.0_f64, more in 0.0..3.0_f64, index: u64,
        ) {
            let image = Size { height, width };
            let found = zoomed_out(image, [low, low + more], &mut Key { seed: 1, epoch: 0, index }.rng(0));
            prop_assert!(found.top <= 0 && found.left <= 0);
            prop_assert!(found.bottom() >= i64::from(height) && found.right() >= i64::from(width));
            let times = f64::from(found.size.width) / f64::from(width);
            prop_assert!(times <= low + more + 1e-3);
        }
    }
}
