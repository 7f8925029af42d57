//! `Pad`, and borders as other operations add them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::{MAX_EDGE, PaddingMode, channels, check_fill, check_fill_of, single, zero_fill},
    op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
    plan::Plan,
    view::Outside,
};
use crate::geometry::{Rect, Size};

/// Adds a border.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Pad {
    /// One number of pixels for all sides, two for left and right, top and bottom, or four for left, top, right, bottom.
    #[serde(default)]
    pub padding: Vec<u32>,
    /// What a constant border is made of.
    #[serde(default = "zero_fill")]
    pub fill: Vec<f32>,
    /// What the border is made of.
    #[serde(default)]
    pub padding_mode: PaddingMode,
}

impl Operation for Pad {
    fn check(&self) -> Result<(), String> {
        if self.padding.is_empty() {
            return Err("padding must be one, two or four numbers".into());
        }
        check_border(&self.padding, &self.fill)
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for Pad {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        check_fill_of(Some(&self.fill), input.pixel)?;
        let padded = input.size.map(|size| padded(size, sides(&self.padding))).transpose()?;
        Ok(ImageShape { size: padded.map(|padded| padded.size), ..input })
    }

    fn plan(&self, plan: &mut Plan, _key: OpKey) -> Result<(), String> {
        plan.crop(padded(plan.size(), sides(&self.padding))?, outside(self.padding_mode, &self.fill));
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Moves(Arc::new(Self { fill: fill_of_mask(&self.fill), ..self.clone() }))
    }
}

/// Checks the numbers of a border, of which there may be none.
pub(super) fn check_border(padding: &[u32], fill: &[f32]) -> Result<(), String> {
    if !matches!(padding.len(), 0 | 1 | 2 | 4) {
        return Err(format!("padding must be one, two or four numbers, not {}", padding.len()));
    }
    if let Some(side) = padding.iter().find(|&&side| side > MAX_EDGE) {
        return Err(format!("padding {side} must be at most {MAX_EDGE}"));
    }
    check_fill(Some(fill))
}

/// Returns what lies outside of an image with such a border.
pub(super) fn outside(mode: PaddingMode, fill: &[f32]) -> Outside {
    mode.outside(channels(Some(fill)).unwrap_or_default())
}

/// Returns the fill of a mask's border: that of its image, where it is one index, else 0.
pub(super) fn fill_of_mask(fill: &[f32]) -> Vec<f32> {
    single(Some(fill)).unwrap_or_else(zero_fill)
}

/// How many pixels are added to each side of an image: left, top, right, bottom.
pub(super) type Sides = [u32; 4];

/// Returns the sides that no number, one, two (left and right, top and bottom) or four stand for.
pub(super) fn sides(padding: &[u32]) -> Sides {
    match *padding {
        [] => [0; 4],
        [all] => [all; 4],
        [left, top] => [left, top, left, top],
        _ => [padding[0], padding[1], padding[2], padding[3]],
    }
}

/// Returns the box of a padded image, which reaches beyond the image.
pub(super) fn padded(image: Size, [left, top, right, bottom]: Sides) -> Result<Rect, String> {
    let edge = |edge: u32, before: u32, after: u32| edge.checked_add(before)?.checked_add(after);
    match (edge(image.height, top, bottom), edge(image.width, left, right)) {
        (Some(height), Some(width)) => {
            Ok(Rect { top: -i64::from(top), left: -i64::from(left), size: Size { height, width } })
        }
        _ => Err("the padded image is too large".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size(height: u32, width: u32) -> Size {
        Size { height, width }
    }

    #[test]
    fn padding_has_torchvisions_sides() {
        assert_eq!(sides(&[]), [0; 4]);
        assert_eq!(sides(&[3]), [3; 4]);
        assert_eq!(sides(&[1, 2]), [1, 2, 1, 2]);
        assert_eq!(sides(&[1, 2, 3, 4]), [1, 2, 3, 4]);
        assert_eq!(padded(size(10, 20), [1, 2, 3, 4]).unwrap(), Rect { top: -2, left: -1, size: size(16, 24) });
    }

    #[test]
    fn a_mask_has_the_fill_of_its_image_where_it_is_one_value() {
        assert_eq!(fill_of_mask(&[7.0]), [7.0]);
        for none in [&[1.0, 2.0, 3.0][..], &[0.5], &[-1.0], &[256.0]] {
            assert_eq!(fill_of_mask(none), [0.0]);
        }
    }
}
