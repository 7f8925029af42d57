//! What a kind of field says of itself. Nothing has a default: what a kind forgot would not compile.

use std::{
    fmt::{self, Debug},
    sync::Arc,
};

use super::{
    fill::{Fill, Follow, GoWithBoxes, Sample},
    tokens::TokensFill,
};
use crate::{
    decode::DecodeImage,
    error::{Error, Failure, Result},
    geometry::Size,
    pixel::PixelType,
    spec::FieldSpec,
    transform::{BoxFormat, ImageShape, Mosaic, Moves, Numbered, Pixels, Region, Tile, Workspace},
};

/// What a source gives for one sample of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A file's bytes, or those of one in memory.
    Encoded,
    /// A row of this many bytes.
    Row(usize),
    /// Any number of entries of this many bytes, at least one.
    Entries(usize),
}

/// A kind of field.
pub(super) trait FieldKind: Debug {
    /// Returns what a source gives for a sample of the field `name`.
    fn payload(&self, name: &str) -> Result<Payload>;

    /// Returns the field of the image whose geometry this one follows.
    fn image(&self) -> Option<&str>;

    /// Makes room for so many bytes, where samples vary in length.
    fn make_room(&mut self, longest: usize);

    /// Returns what a row has room for, where samples vary in length.
    fn capacity_mut(&mut self) -> Option<&mut usize>;

    /// Checks the operations of a field and says what its rows look like and how they are filled.
    fn compile(&self, request: Request<'_>) -> Result<(FieldSpec, Role)>;

    /// Returns the field's name and what it is.
    fn describe(&self, name: &str) -> String;
}

/// A field to be compiled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Its index among the fields.
    pub(super) at: usize,
    /// Its own operations.
    pub(super) ops: &'a [Numbered],
    /// The operations of the image that it follows; none where it follows none.
    pub(super) image_ops: &'a [Numbered],
    /// How it, or the image that it follows, is put together with those of other samples, if it is.
    pub(super) mosaic: Option<&'a Arc<Mosaic>>,
    /// Of how many samples its rows may be put together.
    pub(super) parts: usize,
    /// The field of the boxes that its operations look at, where one does, and what the numbers of these are.
    pub(super) boxes: Option<(usize, BoxFormat)>,
    /// What a row is to have room for, where that was given.
    pub(super) capacity: Option<usize>,
    /// Whether rows are as large as they must be, without a capacity.
    pub(super) unbounded: bool,
    /// Whether other fields follow this one.
    pub(super) is_followed: bool,
    /// Whether it has an entry for each box of another field, and loses it with the box.
    pub(super) goes_with_boxes: bool,
}

/// By whom a field's rows are filled.
#[derive(Debug)]
pub(super) enum Role {
    /// By nobody else: the field stands alone.
    Alone(Box<dyn Fill>),
    /// With those of all fields that are made of the same image; others can follow it.
    Image(Box<dyn Followed>),
    /// By the image that it follows.
    Follower(Box<dyn Follow>),
    /// By the image that it follows, and others can go with it.
    Boxes(Box<dyn GoneWith>),
    /// By the boxes that it goes with.
    Entries(Box<dyn GoWithBoxes>),
    /// With those of all fields that are made of the same tokens of a text.
    Tokens(TokensFill),
}

/// An encoded image, which others can follow. It is decoded once for all fields that are made of it.
pub(super) trait Followed: Debug + Send + Sync {
    /// Adds a follower.
    fn add(&mut self, follower: Box<dyn Follow>);

    /// Returns how the image is decoded.
    fn decoding(&self) -> DecodeImage;

    /// Returns how the image is put together with those of other samples, if it is.
    fn mosaic(&self) -> Option<&Mosaic>;

    /// Draws what becomes of an image, before there are pixels, and returns which part of it is needed. `tiles` says where
    /// images lie that it was put together of.
    fn plan(&self, image: ImageOf<'_>, sample: &mut Sample<'_>, space: &mut Workspace) -> Result<Region, Failure>;

    /// Fills the row of what was planned last in `space`; `pixel` is what the image's pixels mean.
    fn render(
        &self,
        image: Pixels<'_>,
        pixel: PixelType,
        sample: &mut Sample<'_>,
        space: &mut Workspace,
    ) -> Result<(), Failure>;

    /// Fills the rows of what follows, by these moves.
    fn lead(&self, sample: &mut Sample<'_>, moves: &Moves) -> Result<(), Failure>;
}

/// What is known of an image before it is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImageOf<'a> {
    /// Its size.
    pub(super) size: Size,
    /// What its pixels are.
    pub(super) pixel: PixelType,
    /// Where the images of several samples lie in it; none where it is that of one.
    pub(super) tiles: &'a [Tile],
}

/// Boxes that other fields go with.
pub(super) trait GoneWith: Follow {
    /// Adds a field.
    fn add(&mut self, entries: Box<dyn GoWithBoxes>);

    /// Returns the same as what follows an image.
    fn into_follow(self: Box<Self>) -> Box<dyn Follow>;
}

impl Request<'_> {
    /// Returns images of such pixels, of one size where they are put together of others.
    pub(super) fn shape(&self, pixel: PixelType) -> ImageShape {
        let size = self.mosaic.and_then(|mosaic| mosaic.output());
        size.map_or_else(|| pixel.into(), |size| ImageShape::from(pixel).of_size(size))
    }

    /// Refuses the field.
    pub(super) fn refused(&self, what: impl fmt::Display) -> Error {
        Error::Config(format!("field `{}`: {what}", self.name))
    }

    /// Refuses a field that goes with boxes, unless its kind can.
    pub(super) fn alone(&self, why_not: &str) -> Result<()> {
        if self.goes_with_boxes {
            return Err(Error::Config(format!("field `{}` cannot go with boxes: {why_not}", self.name)));
        }
        Ok(())
    }

    /// Refuses a capacity.
    pub(super) fn without_capacity(&self) -> Result<()> {
        self.capacity.map_or(Ok(()), |_| Err(crate::transform::no_capacity(self.name)))
    }

    /// Refuses all operations, of which there may be none.
    pub(super) fn without_ops(&self, takes: &str) -> Result<()> {
        self.ops.first().map_or(Ok(()), |op| Err(self.refused(format!("transform {}: {} {takes}", op.at, op.name))))
    }
}
