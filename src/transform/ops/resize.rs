//! `Resize`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::{Interpolation, check_edge, check_size},
    op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
    plan::Plan,
};
use crate::geometry::Size;

/// Resizes: the shorter side to one size, keeping the aspect ratio, or to (height, width).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Resize {
    /// One size or two.
    pub size: Vec<u32>,
    /// The filter; always antialiased.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// With one size, the longest that the longer side may become.
    #[serde(default)]
    pub max_size: Option<u32>,
}

impl Operation for Resize {
    fn check(&self) -> Result<(), String> {
        check_size(&self.size)?;
        match self.max_size {
            None => Ok(()),
            Some(_) if self.size.len() == 2 => Err("max_size goes with one size, not with (height, width)".into()),
            Some(max) if max <= self.size[0] => {
                Err(format!("max_size = {max} must be greater than size = {}", self.size[0]))
            }
            Some(max) => check_edge(max),
        }
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for Resize {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        let size = match (input.size, &self.size[..]) {
            (Some(known), _) => Some(resized(known, &self.size, self.max_size)?),
            (None, [_, _]) => Some(Size::of(&self.size)),
            (None, _) => None,
        };
        Ok(ImageShape { size, ..input })
    }

    fn plan(&self, plan: &mut Plan, _key: OpKey) -> Result<(), String> {
        plan.resize(resized(plan.size(), &self.size, self.max_size)?, self.interpolation);
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Moves(Arc::new(Self { interpolation: Interpolation::Nearest, ..self.clone() }))
    }
}

/// Returns what `Resize` makes of an image: torchvision's `_compute_resized_output_size`.
fn resized(image: Size, size: &[u32], max_size: Option<u32>) -> Result<Size, String> {
    let &[short_to] = size else { return Ok(Size::of(size)) };
    let (short, long) = (image.height.min(image.width), image.height.max(image.width));
    let scaled =
        |edge: u64, numerator: u64, denominator: u64| (edge as f64 * numerator as f64 / denominator as f64) as u64;
    let (mut short_to, mut long_to) = (u64::from(short_to), scaled(short_to.into(), long.into(), short.into()));
    if let Some(max) = max_size.map(u64::from)
        && long_to > max
    {
        (short_to, long_to) = (scaled(max, short_to, long_to), max);
    }
    match (u32::try_from(short_to), u32::try_from(long_to)) {
        (Ok(short), Ok(long)) if short > 0 => Ok(if image.width <= image.height {
            Size { height: long, width: short }
        } else {
            Size { height: short, width: long }
        }),
        _ => Err(format!(
            "an image of {}x{} cannot be resized to {long_to} by {short_to} pixels",
            image.width, image.height
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size(height: u32, width: u32) -> Size {
        Size { height, width }
    }

    #[test]
    fn resized_sizes_are_those_of_torchvision() {
        // Worked out from the formulas of torchvision 0.29 `_compute_resized_output_size`.
        for (image, to, max, expected) in [
            (size(375, 500), &[256][..], None, size(256, 341)),
            (size(500, 375), &[256], None, size(341, 256)),
            (size(333, 500), &[256], None, size(256, 384)),
            (size(7, 3), &[5], None, size(11, 5)),
            (size(375, 500), &[256], Some(300), size(225, 300)),
            (size(375, 500), &[256], Some(341), size(256, 341)),
            (size(375, 500), &[10, 20], None, size(10, 20)),
            (size(64, 64), &[64], None, size(64, 64)),
        ] {
            assert_eq!(resized(image, to, max).unwrap(), expected, "{image:?} {to:?} {max:?}");
        }
        assert!(resized(size(1, 60_000), &[65_535], None).is_ok());
        assert!(resized(size(1, 70_000), &[65_535], None).is_err());
        assert!(resized(size(1, 1000), &[1], Some(2)).unwrap_err().contains("cannot be resized"));
    }
}
