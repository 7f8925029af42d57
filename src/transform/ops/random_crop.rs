//! `RandomCrop`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    super::{
        args::{PaddingMode, check_fill_of, check_size, zero_fill, told},
        op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
        plan::Plan,
    },
    pad::{Sides, check_border, fill_of_mask, outside, padded, sides},
};
use crate::{
    drawn,
    geometry::{Rect, Size},
    rng::Draws,
};

/// Cuts out a box of fixed size at a random position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RandomCrop {
    /// One size for a square, or (height, width).
    pub size: Vec<u32>,
    /// The border that is added before: no number for none, else as of [`Pad`](super::pad::Pad).
    #[serde(default)]
    pub padding: Vec<u32>,
    /// What a constant border is made of.
    #[serde(default = "zero_fill")]
    pub fill: Vec<f32>,
    /// What the border is made of.
    #[serde(default)]
    pub padding_mode: PaddingMode,
    /// Whether an image that is smaller than `size` is padded on both sides by what it lacks.
    #[serde(default)]
    pub pad_if_needed: bool,
}

impl Operation for RandomCrop {
    fn check(&self) -> Result<(), String> {
        check_size(&self.size)?;
        check_border(&self.padding, &self.fill)
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for RandomCrop {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        check_fill_of(Some(&self.fill), input.pixel)?;
        Ok(ImageShape { size: Some(Size::of(&self.size)), ..input })
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let (sides, size) = (sides(&self.padding), Size::of(&self.size));
        let part = random_crop(plan.size(), sides, self.pad_if_needed, size, &mut key.draws())?;
        drawn::tell(|| told(part));
        plan.crop(part, outside(self.padding_mode, &self.fill));
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Moves(Arc::new(Self { fill: fill_of_mask(&self.fill), ..self.clone() }))
    }
}

/// Draws the box of `RandomCrop`: torchvision's `make_params`. It reaches beyond the image where that is padded.
fn random_crop(
    image: Size,
    [mut left, mut top, mut right, mut bottom]: Sides,
    pad_if_needed: bool,
    size: Size,
    draws: &mut Draws,
) -> Result<Rect, String> {
    let mut whole = padded(image, [left, top, right, bottom])?;
    if pad_if_needed {
        let (rows, columns) =
            (size.height.saturating_sub(whole.size.height), size.width.saturating_sub(whole.size.width));
        (left, top, right, bottom) = (left + columns, top + rows, right + columns, bottom + rows);
        whole = padded(image, [left, top, right, bottom])?;
    }
    let (Some(rows), Some(columns)) =
        (whole.size.height.checked_sub(size.height), whole.size.width.checked_sub(size.width))
    else {
        let (wanted, found) = (size, whole.size);
        return Err(format!(
            "a crop of {}x{} is larger than the padded image of {}x{}",
            wanted.width, wanted.height, found.width, found.height
        ));
    };
    let mut start = |room: u32| if room > 0 { draws.below(u64::from(room) + 1) as i64 } else { 0 };
    let (down, across) = (start(rows), start(columns));
    Ok(Rect { top: whole.top + down, left: whole.left + across, size })
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
        fn crops_lie_inside_the_padded_image(
            height in 1..99_u32, width in 1..99_u32, to in 1..150_u32, padding in prop::collection::vec(0..9_u32, 4),
            pad_if_needed: bool, index: u64,
        ) {
            let (image, to) = (size(height, width), size(to, to));
            let draws = &mut Key { seed: 1, epoch: 0, index }.rng(0);
            let whole = padded(image, sides(&padding)).unwrap();
            let fits = whole.size.height >= to.height && whole.size.width >= to.width;
            match random_crop(image, sides(&padding), pad_if_needed, to, draws) {
                Ok(found) => {
                    prop_assert_eq!(found.size, to);
                    let room = |have: u32, want: u32| i64::from(want.saturating_sub(have));
                    let (down, across) = (room(whole.size.height, to.height), room(whole.size.width, to.width));
                    prop_assert!(fits || pad_if_needed);
                    prop_assert!(found.top >= whole.top - down && found.bottom() <= whole.bottom() + down);
                    prop_assert!(found.left >= whole.left - across && found.right() <= whole.right() + across);
                }
                Err(_) => prop_assert!(!fits && !pad_if_needed),
            }
        }
    }
}
