//! `CenterCrop`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::check_size,
    op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
    plan::Plan,
    view::Outside,
};
use crate::geometry::{Rect, Size};

/// Cuts out the centre; what lies outside the image is zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CenterCrop {
    /// One size for a square, or (height, width).
    pub size: Vec<u32>,
}

impl Operation for CenterCrop {
    fn check(&self) -> Result<(), String> {
        check_size(&self.size)
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for CenterCrop {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        Ok(ImageShape { size: Some(Size::of(&self.size)), ..input })
    }

    fn plan(&self, plan: &mut Plan, _key: OpKey) -> Result<(), String> {
        plan.crop(center(plan.size(), Size::of(&self.size)), Outside::default());
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Moves(Arc::new(self.clone()))
    }
}

/// Returns the box of `CenterCrop`; it reaches beyond an image that is smaller.
pub(super) fn center(image: Size, size: Size) -> Rect {
    fn start(image: u32, crop: u32) -> i64 {
        if crop > image {
            -i64::from((crop - image) / 2)
        } else {
            // Python's round, which torchvision uses, takes halves to the even neighbour.
            (f64::from(image - crop) / 2.0).round_ties_even() as i64
        }
    }
    Rect { top: start(image.height, size.height), left: start(image.width, size.width), size }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn size(height: u32, width: u32) -> Size {
        Size { height, width }
    }

    #[test]
    fn center_boxes_are_those_of_torchvision() {
        // Halves go to the even neighbour: (341 - 224) / 2 = 58.5 is 58, (343 - 224) / 2 = 59.5 is 60.
        for (image, expected) in [
            (size(256, 341), (16, 58)),
            (size(343, 256), (60, 16)),
            (size(224, 224), (0, 0)),
            (size(100, 301), (-62, 38)),
            (size(101, 223), (-61, 0)),
        ] {
            let found = center(image, size(224, 224));
            assert_eq!((found.top, found.left), expected, "{image:?}");
        }
    }

    proptest! {
        #[test]
        fn centers_hold_or_are_held(height in 1..999_u32, width in 1..999_u32, to in 1..999_u32) {
            let (image, to) = (size(height, width), size(to, to));
            let found = center(image, to);
            prop_assert!(found.is_inside(image) || to.height > height || to.width > width);
            if to.height >= height { prop_assert!(found.top <= 0 && found.bottom() >= i64::from(height)); }
        }
    }
}
