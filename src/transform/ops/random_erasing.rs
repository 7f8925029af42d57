//! `RandomErasing`, on the row that has been written.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::{Layout, aspect_ratio, check_probability, check_range, half, told},
    elements::{Row, RowEdit, RowSteps},
    encode::Encode,
    op::{Operation, Role, RowOp},
};
use crate::{
    drawn,
    geometry::{Rect, Size},
    rng::Draws,
};

/// Replaces a random box by a value, with probability `p`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RandomErasing {
    /// The probability.
    #[serde(default = "half")]
    pub p: f64,
    /// The bounds of the box's area, as a fraction of the image's.
    #[serde(default = "default_scale")]
    pub scale: [f64; 2],
    /// The bounds of the box's aspect ratio, height over width.
    #[serde(default = "default_ratio")]
    pub ratio: [f64; 2],
    /// One value, or one per channel, in the units that the elements have at this position of the chain; `None` draws
    /// each from the standard normal distribution.
    #[serde(default = "zero")]
    pub value: Option<Vec<f64>>,
}

const fn default_scale() -> [f64; 2] {
    [0.02, 0.33]
}

const fn default_ratio() -> [f64; 2] {
    [0.3, 3.3]
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional argument")]
fn zero() -> Option<Vec<f64>> {
    Some(vec![0.0])
}

impl Operation for RandomErasing {
    fn check(&self) -> Result<(), String> {
        let Self { p, scale, ratio, value } = self;
        check_probability(*p)?;
        if !(0.0 <= scale[0] && scale[0] <= scale[1] && scale[1] <= 1.0) {
            return Err(format!("scale = ({}, {}) must lie between 0 and 1, the smaller first", scale[0], scale[1]));
        }
        check_range("ratio", *ratio)?;
        match value.as_deref() {
            Some([]) => Err("value must be a number, or one per channel".into()),
            Some(values) if values.iter().any(|value| !value.is_finite()) => Err("value must be finite".into()),
            Some(_) | None => Ok(()),
        }
    }

    fn role(&self) -> Role {
        Role::Row(Arc::new(self.clone()))
    }
}

impl RowOp for RandomErasing {
    fn add(&self, row: &mut RowSteps, op: u64) -> Result<(), String> {
        row.check_value(self.value.as_deref())?;
        row.edit(op, Arc::new(self.clone()));
        Ok(())
    }
}

impl RowEdit for RandomErasing {
    fn name(&self) -> &'static str {
        "RandomErasing"
    }

    fn apply(&self, encode: &Encode, mut draws: Draws, row: Row<'_>) {
        if draws.unit() >= self.p {
            drawn::tell(|| [("applied", false.into())]);
            return;
        }
        let part = erased_box(row.size, self.scale, self.ratio, &mut draws);
        drawn::tell(|| [("applied", (part.size.area() > 0).into())]);
        drawn::tell(|| told(part));
        let element = encode.element();
        let index = |y: usize, x: usize, channel: usize| {
            let pixel = y * row.size.width as usize + x;
            match row.layout {
                Layout::Hwc => pixel * row.channels + channel,
                Layout::Chw => channel * row.size.area() as usize + pixel,
            }
        };
        for channel in 0..row.channels {
            let fixed = self.value.as_ref().map(|value| encode.bytes(channel, value[channel.min(value.len() - 1)]));
            for y in part.top as usize..part.bottom() as usize {
                for x in part.left as usize..part.right() as usize {
                    let bytes = fixed.unwrap_or_else(|| encode.bytes(channel, draws.normal()));
                    let start = index(y, x, channel) * element;
                    row.bytes[start..start + element].copy_from_slice(&bytes[..element]);
                }
            }
        }
    }
}

/// Draws the box of `RandomErasing`: torchvision's `make_params`. It is empty where none of ten fits.
fn erased_box(image: Size, scale: [f64; 2], ratio: [f64; 2], draws: &mut Draws) -> Rect {
    for _ in 0..10 {
        let area = image.area() as f64 * draws.uniform(scale[0], scale[1]);
        let aspect = aspect_ratio(ratio, draws);
        // Here, an aspect is height over width.
        let height = (area * aspect).sqrt().round_ties_even();
        let width = (area / aspect).sqrt().round_ties_even();
        if height < f64::from(image.height) && width < f64::from(image.width) {
            let size = Size { height: height as u32, width: width as u32 };
            let top = draws.below(u64::from(image.height - size.height) + 1) as i64;
            let left = draws.below(u64::from(image.width - size.width) + 1) as i64;
            return Rect { top, left, size };
        }
    }
    Rect::default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Key;

    const fn size(height: u32, width: u32) -> Size {
        Size { height, width }
    }

    proptest! {
        #[test]
        fn erased_boxes_lie_inside(height in 1..300_u32, width in 1..300_u32, index: u64) {
            let draws = &mut Key { seed: 1, epoch: 0, index }.rng(0);
            let found = erased_box(size(height, width), [0.02, 0.33], [0.3, 3.3], draws);
            prop_assert!(found.is_inside(size(height, width)));
            prop_assert!(found.size.area() as f64 <= 0.4 * f64::from(height * width) + 2.0 * f64::from(height + width));
        }
    }
}
