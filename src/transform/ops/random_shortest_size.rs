//! `RandomShortestSize`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::{Interpolation, check_edge},
    op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
    plan::Plan,
};
use crate::{drawn, geometry::Size, rng::Draws};

/// Resizes the shorter side to one of several sizes, keeping the aspect ratio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RandomShortestSize {
    /// What to choose from.
    pub min_size: Vec<u32>,
    /// The longest that the longer side may become.
    #[serde(default)]
    pub max_size: Option<u32>,
    /// The filter; always antialiased.
    #[serde(default)]
    pub interpolation: Interpolation,
}

impl Operation for RandomShortestSize {
    fn check(&self) -> Result<(), String> {
        if self.min_size.is_empty() {
            return Err("min_size must be one number or several to choose from, not none".into());
        }
        self.min_size.iter().chain(&self.max_size).try_for_each(|&edge| check_edge(edge))
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for RandomShortestSize {
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

impl RandomShortestSize {
    /// Draws the size: torchvision's `make_params`, but for at least one pixel.
    fn draw(&self, image: Size, draws: &mut Draws) -> Size {
        let short_to = self.min_size[draws.below(self.min_size.len() as u64) as usize];
        let (short, long) = (image.height.min(image.width), image.height.max(image.width));
        let ratio = f64::from(short_to) / f64::from(short);
        let ratio = self.max_size.map_or(ratio, |most| ratio.min(f64::from(most) / f64::from(long)));
        let edge = |edge: u32| ((f64::from(edge) * ratio) as u32).max(1);
        Size { height: edge(image.height), width: edge(image.width) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;

    #[test]
    fn the_shorter_side_becomes_one_of_the_sizes() {
        let drawn = |max_size, image: [u32; 2], index| {
            let shortest = RandomShortestSize {
                min_size: vec![10, 20, 30],
                max_size,
                interpolation: Interpolation::Bilinear,
            };
            let image = Size { height: image[0], width: image[1] };
            let size = shortest.draw(image, &mut Key { seed: 1, epoch: 0, index }.rng(0));
            [size.height, size.width]
        };
        let all: std::collections::BTreeSet<_> = (0..40).map(|index| drawn(None, [100, 250], index)).collect();
        assert_eq!(all.into_iter().collect::<Vec<_>>(), [[10, 25], [20, 50], [30, 75]]);
        let most = (0..40).map(|index| drawn(Some(45), [250, 100], index)).max();
        assert_eq!(most, Some([45, 18]));
        assert_eq!(drawn(Some(10), [1000, 2], 0), [10, 1], "at least one pixel");
    }
}
