//! `FiveCrop` and `TenCrop`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    super::{
        args::check_size,
        op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
        plan::{Crop, Plan},
    },
    center_crop::center,
};
use crate::geometry::{Rect, Size};

/// Cuts out the four corners and the centre. A sample becomes five images, in this order: top left, top right, bottom left,
/// bottom right, centre; along an axis before all others. Only what is done to the row follows it, and is done to all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FiveCrop {
    /// The size of each: one number for a square, or (height, width).
    pub size: Vec<u32>,
}

/// Cuts out what [`FiveCrop`] does, and then the same of the mirrored image: ten images along an axis before all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TenCrop {
    /// The size of each: one number for a square, or (height, width).
    pub size: Vec<u32>,
    /// Whether the image is turned upside down, rather than mirrored left to right.
    #[serde(default)]
    pub vertical_flip: bool,
}

impl Operation for FiveCrop {
    fn check(&self) -> Result<(), String> {
        check_size(&self.size)
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for FiveCrop {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        output(input, Size::of(&self.size), 5)
    }

    fn plan(&self, plan: &mut Plan, _key: OpKey) -> Result<(), String> {
        let boxes = boxes(plan.size(), Size::of(&self.size))?;
        plan.show_crops(boxes.map(|part| Crop { part, flip: false, flop: false }));
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Refuses
    }
}

impl Operation for TenCrop {
    fn check(&self) -> Result<(), String> {
        check_size(&self.size)
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for TenCrop {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        output(input, Size::of(&self.size), 10)
    }

    fn plan(&self, plan: &mut Plan, _key: OpKey) -> Result<(), String> {
        let boxes = boxes(plan.size(), Size::of(&self.size))?;
        let vertical = self.vertical_flip;
        let as_it_is = boxes.into_iter().map(|part| Crop { part, flip: false, flop: false });
        let mirrored = boxes.into_iter().map(|part| Crop { part, flip: !vertical, flop: vertical });
        plan.show_crops(as_it_is.chain(mirrored));
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Refuses
    }
}

fn output(input: ImageShape, size: Size, crops: usize) -> Result<ImageShape, String> {
    input.size.map_or(Ok(()), |image| boxes(image, size).map(drop))?;
    Ok(ImageShape { crops: Some(crops), ..input.of_size(size) })
}

/// Returns the boxes that are cut out of an image.
fn boxes(image: Size, size: Size) -> Result<[Rect; 5], String> {
    if size.height > image.height || size.width > image.width {
        let (Size { height, width }, image) = (size, (image.height, image.width));
        return Err(format!("crops of {width}x{height} do not fit into {}x{} pixels", image.1, image.0));
    }
    let (bottom, right) = (i64::from(image.height - size.height), i64::from(image.width - size.width));
    let corner = |top, left| Rect { top, left, size };
    Ok([corner(0, 0), corner(0, right), corner(bottom, 0), corner(bottom, right), center(image, size)])
}
