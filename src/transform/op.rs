//! What an operation says of itself. Nothing has a default: what an operation forgot would not compile.

use std::{fmt::Debug, sync::Arc};

use super::{boxes::BoxSteps, call::Call, elements::RowSteps, mosaic::Mosaic, plan::Plan};
use crate::{
    decode::DecodeImage,
    geometry::Size,
    pixel::{Depth, PixelType},
    rng::{Draws, Key},
};

/// An operation: the arguments of one transform.
pub(super) trait Operation {
    /// Checks the arguments, as far as they can be checked without knowing what they are applied to.
    fn check(&self) -> Result<(), String>;

    /// Says what the operation is applied to.
    fn role(&self) -> Role;
}

/// What an operation is applied to.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// To encoded images, before there are pixels.
    Decoding(DecodeImage),
    /// To pixels, height and width first.
    Pixels(Arc<dyn PixelOp>),
    /// To the elements of the row that the pixels become.
    Row(Arc<dyn RowOp>),
    /// To encoded images of several samples, which it puts together.
    Samples(Arc<Mosaic>),
    /// To whatever it is: a function is called.
    Call(Arc<Call>),
    /// To bounding boxes that have followed their image.
    Boxes(Arc<dyn BoxOp>),
    /// To keypoints that have followed their image: whether those outside are moved to its nearest pixel.
    KeyPoints(KeyPointOp),
}

/// What is known of the images that an operation gets or gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageShape {
    /// Their size, where it is the same for all.
    pub(crate) size: Option<Size>,
    /// What their pixels are, all of which means something.
    pub(crate) pixel: PixelType,
}

impl ImageShape {
    /// Refuses images that are not of 8 bits.
    pub(super) fn check_eight_bits(&self) -> Result<(), String> {
        let PixelType { channels, depth } = self.pixel;
        match depth {
            Depth::U8 => Ok(()),
            Depth::U16 | Depth::F32 => {
                Err(format!("takes uint8 images, not {} of {} channels", depth.dtype(), channels.count()))
            }
        }
    }
}

/// An operation on pixels.
pub(crate) trait PixelOp: Debug + Send + Sync {
    /// Returns what the images become.
    ///
    /// # Errors
    /// The reason why the operation cannot take such images.
    fn output(&self, input: ImageShape) -> Result<ImageShape, String>;

    /// Draws what is random and adds to the plan of one sample.
    ///
    /// # Errors
    /// The reason why the operation cannot take this sample's image.
    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String>;

    /// Says what the operation does to a mask of its image.
    fn on_mask(&self) -> OnMask;
}

/// What an operation on an image does to a mask of it.
#[derive(Clone, Debug)]
pub(crate) enum OnMask {
    /// The same geometry, by the nearest pixel, filled with the same value where there is one for all channels.
    Moves(Arc<dyn PixelOp>),
    /// The same geometry, where the boxes of the image decide about that.
    MovesByBoxes(Arc<dyn PixelOp>),
    /// Nothing: it changes colours.
    Leaves,
    /// It cannot be done to masks, nor to boxes and keypoints.
    Refuses,
}

/// An operation on the elements of a row.
pub(crate) trait RowOp: Debug + Send + Sync {
    /// Adds the operation, whose draws are keyed by `op`.
    ///
    /// # Errors
    /// The reason why the operation cannot take what comes before it.
    fn add(&self, row: &mut RowSteps, op: u64) -> Result<(), String>;
}

/// An operation on bounding boxes.
pub(crate) trait BoxOp: Debug + Send + Sync {
    /// Adds the operation.
    fn add(&self, steps: &mut BoxSteps);
}

/// An operation on keypoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyPointOp {
    /// Moves those outside of their image to its nearest pixel.
    Clamp,
}

/// Whose randomness: that of one operation on one sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpKey {
    /// The sample.
    pub(crate) key: Key,
    /// What stands for the operation: its field and its name.
    pub(crate) op: u64,
}

impl OpKey {
    /// Returns the draws of the operation, from their beginning.
    pub(super) fn draws(self) -> Draws {
        self.key.rng(self.op)
    }
}
