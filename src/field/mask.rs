//! Masks of class indices.

use std::{sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};

use super::{
    fill::{Follow, Sample},
    kind::{FieldKind, Payload, Request, Role},
};
use crate::{
    decode::{self, decode_mask},
    error::{Failure, Result, Stage},
    geometry::Size,
    pixel::{Channels, Depth, PixelType},
    spec::{DType, FieldSpec},
    transform::{
        self, Chain, Collage, ImageInput, Interpolation, Layout, Mosaic, Moves, Numbered, OnMask, Pixels, Transform,
        Workspace, failure, ops::ToDtype,
    },
};

/// An image file's bytes, decoded to (height, width) class indices. It takes the geometry of its image, with the same draws
/// and by the nearest pixel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    /// The field of the image.
    pub image: String,
    /// The dtype of the indices: `uint8`, or `uint16` or `int32`, which take files of 16 bits too.
    #[serde(default = "eight_bits")]
    pub dtype: DType,
}

/// What indices may be.
const DTYPES: [DType; 3] = [DType::UInt8, DType::UInt16, DType::Int32];

const fn eight_bits() -> DType {
    DType::UInt8
}

impl Mask {
    /// Returns masks of `uint8` that follow the images of a field.
    pub fn of(image: impl Into<String>) -> Self {
        Self { image: image.into(), dtype: eight_bits() }
    }
}

/// Returns the depth in which indices of a dtype are decoded and moved.
fn depth(dtype: DType) -> Depth {
    if dtype == DType::UInt8 { Depth::U8 } else { Depth::U16 }
}

/// Returns what the pixels are of which indices of a dtype are made.
fn pixel(dtype: DType) -> PixelType {
    PixelType::new(Channels::Grey, depth(dtype))
}

/// Returns what makes the dtype of the indices of what is decoded.
fn cast(dtype: DType) -> Option<Numbered> {
    let cast = Transform::ToDtype(ToDtype { dtype, scale: false });
    (dtype == DType::Int32).then(|| Numbered { at: String::new(), op: 0, name: cast.name(), role: cast.role() })
}

/// What may be counted while rows are filled.
pub(super) const COUNTERS: &[&str] = &[];

impl FieldKind for Mask {
    fn payload(&self, _name: &str) -> Result<Payload> {
        Ok(Payload::Encoded)
    }

    fn image(&self) -> Option<&str> {
        Some(&self.image)
    }

    fn make_room(&mut self, _longest: usize) {}

    fn capacity_mut(&mut self) -> Option<&mut usize> {
        None
    }

    fn compile(&self, request: Request<'_>) -> Result<(FieldSpec, Role)> {
        request.alone("it is no list")?;
        if !DTYPES.contains(&self.dtype) {
            return Err(request.refused(format!("a mask is of uint8, uint16 or int32, not of {}", self.dtype)));
        }
        let chain = chain(request, &self.image, self.dtype)?;
        let (spec, mosaic) = (chain.output().clone(), request.mosaic.cloned());
        Ok((spec, Role::Follower(Box::new(MaskFill { at: request.at, dtype: self.dtype, chain, mosaic }))))
    }

    fn describe(&self, name: &str) -> String {
        format!("{name}: encoded mask")
    }
}

/// Returns the chain of a field of class indices: the geometry of its image, then what is asked of itself.
pub(super) fn chain(request: Request<'_>, image: &str, dtype: DType) -> Result<Chain> {
    // Keyed as the image's operations, so that they draw the same.
    let followed = request.image_ops.iter().filter_map(|op| Some(Numbered { role: moved(op)?, ..op.clone() }));
    let mut ops: Vec<Numbered> = followed.collect();
    for op in request.ops {
        if let transform::Role::Call(call) = &op.role
            && call.moves_pixels
        {
            return Err(request.refused(format!(
                "it follows `{image}`, and `{}` may move pixels: say Call(..., moves_pixels=False) if it moves none",
                call.name
            )));
        }
        if let transform::Role::Pixels(pixel_op) = &op.role
            && !matches!(pixel_op.on_mask(), OnMask::Leaves)
        {
            let name = request.name;
            return Err(crate::error::Error::Config(format!(
                "field `{name}` follows `{image}`: it takes the {} of `{image}` and none of its own",
                op.name
            )));
        }
    }
    ops.extend(cast(dtype));
    ops.extend_from_slice(request.ops);
    let input = ImageInput {
        name: request.name,
        shape: request.shape(pixel(dtype)),
        has_channel_axis: false,
        layout: Layout::Hwc,
        capacity: request.capacity,
                unbounded: request.unbounded,
        is_followed: false,
        varies_in_channels: false,
    };
    Chain::compile(input, &ops)
}

/// Returns what an operation on the image does to the mask, if anything.
fn moved(op: &Numbered) -> Option<transform::Role> {
    let transform::Role::Pixels(pixel_op) = &op.role else { return None };
    match pixel_op.on_mask() {
        OnMask::Moves(same) | OnMask::MovesByBoxes(same) => Some(transform::Role::Pixels(same)),
        OnMask::Leaves | OnMask::Refuses => None,
    }
}

/// Refuses a mask of another size than its image: equal draws would be of other boxes.
pub(super) fn check_size(name: &str, size: Size, image: Size) -> Result<(), Failure> {
    if size == image {
        return Ok(());
    }
    let reason =
        format!("mask `{name}` is {}x{}, and its image {}x{}", size.width, size.height, image.width, image.height);
    Err(Failure::new(Stage::Decode, reason))
}

#[derive(Debug)]
struct MaskFill {
    at: usize,
    dtype: DType,
    chain: Chain,
    mosaic: Option<Arc<Mosaic>>,
}

impl Follow for MaskFill {
    fn fill(&self, sample: &mut Sample<'_>, moves: &Moves) -> Result<(), Failure> {
        let (mut mask, mut space) = (sample.scratch.take::<decode::Mask>(), sample.scratch.take::<Workspace>());
        let filled = self.fill_mask(sample, moves, &mut mask, &mut space);
        sample.scratch.put(mask);
        sample.scratch.put(space);
        filled.map_err(|failure| failure.in_field(self.at))
    }
}

impl MaskFill {
    fn fill_mask(
        &self,
        sample: &mut Sample<'_>,
        moves: &Moves,
        mask: &mut decode::Mask,
        space: &mut Workspace,
    ) -> Result<(), Failure> {
        if let (Some(mosaic), [_, ..]) = (&self.mosaic, &moves.tiles[..]) {
            return self.fill_mosaic(mosaic, sample, moves, mask, space);
        }
        let indices = self.decode(sample, (0, moves.before), mask)?;
        let begun = Instant::now();
        self.render(Pixels::of(indices), sample, moves, space)?;
        sample.times.transform += begun.elapsed();
        Ok(())
    }

    /// Decodes the mask of a part, whose image has this size.
    fn decode<'m>(
        &self,
        sample: &mut Sample<'_>,
        (part, image): (usize, Size),
        mask: &'m mut decode::Mask,
    ) -> Result<&'m decode::Image, Failure> {
        let start = Instant::now();
        *sample.stage = Stage::Decode;
        let indices = decode_mask(sample.payload_of(part, self.at), depth(self.dtype), mask)?;
        let size = indices.size();
        // The indices, and as much while they are unpacked. The format has kept to the limit on pixels.
        sample.take(2 * size.area() * self.dtype.size() as u64, "decoding a mask")?;
        check_size(&self.chain.output().name, size, image)?;
        sample.times.decode += start.elapsed();
        Ok(indices)
    }

    /// Fills the row of a mask that takes the geometry of its image.
    fn render(
        &self,
        indices: Pixels<'_>,
        sample: &mut Sample<'_>,
        moves: &Moves,
        space: &mut Workspace,
    ) -> Result<(), Failure> {
        *sample.stage = Stage::Transform;
        space.give_boxes(moves.boxes.iter().copied());
        self.chain.plan(moves.before, sample.key, space)?;
        self.chain.render_to(indices, space, &mut sample.target(self.at))
    }

    /// Puts the masks of all parts together as their images are.
    fn fill_mosaic(
        &self,
        mosaic: &Mosaic,
        sample: &mut Sample<'_>,
        moves: &Moves,
        mask: &mut decode::Mask,
        space: &mut Workspace,
    ) -> Result<(), Failure> {
        let mut collage = sample.scratch.take::<Collage>();
        let pixel = pixel(self.dtype);
        sample.take(mosaic.canvas().area() * pixel.size() as u64, "a mosaic of masks")?;
        mosaic.begin_mask(&mut collage, pixel);
        for (part, tile) in moves.tiles.iter().enumerate() {
            let indices = self.decode(sample, (part, tile.image()), mask);
            let indices = indices.map_err(|failure| sample.in_part(part, failure))?;
            *sample.stage = Stage::Transform;
            collage.put(Pixels::of(indices), tile, Interpolation::Nearest).map_err(failure)?;
        }
        let rendered = self.render(collage.pixels(), sample, moves, space);
        sample.scratch.put(collage);
        rendered
    }
}
