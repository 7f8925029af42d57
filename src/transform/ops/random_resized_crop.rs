//! `RandomResizedCrop`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::{Interpolation, aspect_ratio, check_range, check_size, told},
    op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
    plan::Plan,
    view::Outside,
};
use crate::{
    drawn,
    geometry::{Rect, Size},
    rng::Draws,
};

/// Cuts out a box of random area and aspect ratio and resizes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RandomResizedCrop {
    /// One size for a square, or (height, width).
    pub size: Vec<u32>,
    /// The bounds of the box's area, as a fraction of the image's.
    #[serde(default = "default_scale")]
    pub scale: [f64; 2],
    /// The bounds of the box's aspect ratio, width over height.
    #[serde(default = "default_ratio")]
    pub ratio: [f64; 2],
    /// The filter; always antialiased.
    #[serde(default)]
    pub interpolation: Interpolation,
}

const fn default_scale() -> [f64; 2] {
    [0.08, 1.0]
}

const fn default_ratio() -> [f64; 2] {
    [3.0 / 4.0, 4.0 / 3.0]
}

impl Operation for RandomResizedCrop {
    fn check(&self) -> Result<(), String> {
        check_size(&self.size)?;
        check_range("scale", self.scale)?;
        check_range("ratio", self.ratio)
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for RandomResizedCrop {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        Ok(ImageShape { size: Some(Size::of(&self.size)), ..input })
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let part = random_box(plan.size(), self.scale, self.ratio, &mut key.draws());
        drawn::tell(|| told(part));
        plan.crop(part, Outside::default());
        plan.resize(Size::of(&self.size), self.interpolation);
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Moves(Arc::new(Self { interpolation: Interpolation::Nearest, ..self.clone() }))
    }
}

/// Draws the box of `RandomResizedCrop`: torchvision's `get_params`.
fn random_box(image: Size, scale: [f64; 2], ratio: [f64; 2], draws: &mut Draws) -> Rect {
    for _ in 0..10 {
        let area = image.area() as f64 * draws.uniform(scale[0], scale[1]);
        let aspect = aspect_ratio(ratio, draws);
        if let Some(size) = box_size(image, area, aspect) {
            let top = draws.below(u64::from(image.height - size.height) + 1) as i64;
            let left = draws.below(u64::from(image.width - size.width) + 1) as i64;
            return Rect { top, left, size };
        }
    }
    fallback(image, ratio)
}

/// Returns the size of a box of this area and aspect ratio, where it fits the image.
fn box_size(image: Size, area: f64, aspect: f64) -> Option<Size> {
    let width = (area * aspect).sqrt().round_ties_even();
    let height = (area / aspect).sqrt().round_ties_even();
    let fits = |edge: f64, limit: u32| edge > 0.0 && edge <= f64::from(limit);
    (fits(width, image.width) && fits(height, image.height))
        .then_some(Size { height: height as u32, width: width as u32 })
}

/// Returns the largest central box of an aspect ratio within the bounds.
fn fallback(image: Size, ratio: [f64; 2]) -> Rect {
    let aspect = f64::from(image.width) / f64::from(image.height);
    // Bounds that do not hold the image's own aspect leave an edge of at least one pixel.
    let edge = |edge: f64, limit: u32| (edge.round_ties_even() as u32).clamp(1, limit);
    let size = if aspect < ratio[0] {
        Size { height: edge(f64::from(image.width) / ratio[0], image.height), width: image.width }
    } else if aspect > ratio[1] {
        Size { height: image.height, width: edge(f64::from(image.height) * ratio[1], image.width) }
    } else {
        image
    };
    Rect { top: i64::from((image.height - size.height) / 2), left: i64::from((image.width - size.width) / 2), size }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Key;

    const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];

    const fn size(height: u32, width: u32) -> Size {
        Size { height, width }
    }

    #[test]
    fn box_sizes_are_those_of_torchvision() {
        // int(round(sqrt(area * aspect))), int(round(sqrt(area / aspect))), with Python's round.
        assert_eq!(box_size(size(375, 500), 93_750.0, 1.0), Some(size(306, 306)));
        assert_eq!(box_size(size(375, 500), 93_750.0, 1.25), Some(size(274, 342)));
        assert_eq!(box_size(size(10, 10), 6.25, 1.0), Some(size(2, 2)));
        assert_eq!(box_size(size(10, 10), 12.25, 1.0), Some(size(4, 4)));
        assert_eq!(box_size(size(10, 10), 100.0, 1.3), None);
    }

    #[test]
    fn the_fallback_is_a_central_box() {
        let expected = Rect { top: 0, left: 433, size: size(100, 133) };
        assert_eq!(fallback(size(100, 1000), RATIO), expected);
        let expected = Rect { top: 433, left: 0, size: size(133, 100) };
        assert_eq!(fallback(size(1000, 100), RATIO), expected);
        assert_eq!(fallback(size(100, 100), RATIO), Rect::whole(size(100, 100)));
    }

    #[test]
    fn the_first_boxes_of_a_seed_never_change() {
        let draw = |index| random_box(size(375, 500), [0.08, 1.0], RATIO, &mut Key { seed: 0, epoch: 0, index }.rng(0));
        let boxes = [0, 1].map(|index| {
            let found = draw(index);
            (found.top, found.left, found.size.height, found.size.width)
        });
        assert_eq!(boxes, [(29, 28, 262, 210), (39, 61, 324, 414)]);
    }

    proptest! {
        #[test]
        fn boxes_lie_inside_the_image(
            height in 1..5000_u32, width in 1..5000_u32, low in 0.01..1.0_f64, more in 0.0..1.0_f64,
            ratio in 0.1..2.0_f64, wider in 1.0..4.0_f64, index: u64,
        ) {
            let image = size(height, width);
            let (scale, ratio) = ([low, low + more], [ratio, ratio * wider]);
            let found = random_box(image, scale, ratio, &mut Key { seed: 1, epoch: 0, index }.rng(0));
            prop_assert!(found.is_inside(image));
            prop_assert!(found.size.area() > 0);
        }

        #[test]
        fn areas_and_aspects_lie_within_their_bounds(height in 200..3000_u32, width in 200..3000_u32, index: u64) {
            let image = size(height, width);
            let found = random_box(image, [0.1, 0.2], RATIO, &mut Key { seed: 2, epoch: 0, index }.rng(3));
            // Only a narrow image is left to the fallback.
            prop_assume!(f64::from(height.max(width)) / f64::from(height.min(width)) < 4.0);
            let area = found.size.area() as f64 / image.area() as f64;
            let aspect = f64::from(found.size.width) / f64::from(found.size.height);
            prop_assert!((0.097..0.206).contains(&area), "area {area}");
            prop_assert!((0.72..1.39).contains(&aspect), "aspect {aspect}");
        }
    }
}
