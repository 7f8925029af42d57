//! What an operation says of itself. Nothing has a default: what an operation forgot would not compile.

use std::{fmt::Debug, sync::Arc};

use xxhash_rust::xxh3::Xxh3;

use super::{
    boxes::BoxSteps,
    call::Call,
    elements::RowSteps,
    mosaic::Mosaic,
    plan::Plan,
    sound::{Sound, SoundShape},
    tokenize::Tokenize,
};
use crate::{
    budget::Budget,
    decode::DecodeImage,
    drawn,
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
    /// To texts, which it makes tokens of.
    Text(Arc<Tokenize>),
    /// To waveforms, or to spectrograms.
    Sound(Arc<dyn SoundOp>),
}

impl std::fmt::Display for ImageShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let PixelType { channels, depth } = self.pixel;
        if let Some(crops) = self.crops {
            write!(f, "{crops} crops of ")?;
        }
        write!(f, "{} images of {} channels", depth.dtype(), channels.count())?;
        self.size.map_or(Ok(()), |Size { height, width }| write!(f, " and {width}x{height} pixels"))
    }
}

/// What is known of the images that an operation gets or gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageShape {
    /// Their size, where it is the same for all.
    pub(crate) size: Option<Size>,
    /// What their pixels are, all of which means something.
    pub(crate) pixel: PixelType,
    /// How many of them a sample has, where it has several: crops of one.
    pub(crate) crops: Option<usize>,
    /// The operation that may give several sizes, where that is why none is known.
    pub(crate) unsized_by: Option<&'static str>,
}

impl From<PixelType> for ImageShape {
    /// Returns images of any size.
    fn from(pixel: PixelType) -> Self {
        Self { size: None, pixel, crops: None, unsized_by: None }
    }
}

impl ImageShape {
    /// Returns the same images, of this size.
    pub(crate) fn of_size(self, size: Size) -> Self {
        Self { size: Some(size), ..self }
    }

    /// Returns what images are that may be these or others; none where a field cannot hold both. `by` lets that be so.
    pub(super) fn or(self, other: Self, by: &'static str) -> Option<Self> {
        if self.pixel != other.pixel || self.crops != other.crops || (self.crops.is_some() && self.size != other.size) {
            return None;
        }
        if self.size == other.size {
            return Some(Self { unsized_by: self.unsized_by.or(other.unsized_by), ..self });
        }
        Some(Self { size: None, unsized_by: Some(by), ..self })
    }

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

/// An operation on sound.
pub(crate) trait SoundOp: Debug + Send + Sync {
    /// Returns what sound becomes.
    ///
    /// # Errors
    /// The reason why the operation cannot take such sound.
    fn output(&self, input: SoundShape) -> Result<SoundShape, String>;

    /// Draws what is random and does it to one sample.
    ///
    /// # Errors
    /// The reason why the operation cannot take this sample's sound, or that there is no budget for it.
    fn apply(&self, sound: Sound, key: OpKey, budget: &mut Budget) -> Result<Sound, String>;
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
    /// Returns the key of a part of the operation: by its name, and by how many parts of that name stand before it. So a
    /// part draws for itself, and changes no draws of what stands beside the operation.
    pub(super) fn part(self, name: &str, before: u64) -> Self {
        let mut hash = Xxh3::new();
        hash.update(&self.op.to_le_bytes());
        hash.update(name.as_bytes());
        hash.update(&before.to_le_bytes());
        Self { op: hash.digest(), ..self }
    }

    /// Returns the draws of the operation, from their beginning.
    pub(super) fn draws(self) -> Draws {
        drawn::begin();
        self.key.rng(self.op)
    }
}
