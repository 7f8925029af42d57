//! Masks of class indices.

use std::time::Instant;

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
        self, Chain, ImageInput, Layout, Moves, Numbered, OnMask, Pixels, Transform, Workspace, ops::ToDtype,
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
        let spec = chain.output().clone();
        Ok((spec, Role::Follower(Box::new(MaskFill { at: request.at, dtype: self.dtype, chain }))))
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
            && matches!(pixel_op.on_mask(), OnMask::Moves(_) | OnMask::Refuses)
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
        shape: PixelType::new(Channels::Grey, depth(dtype)).into(),
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
        OnMask::Moves(same) => Some(transform::Role::Pixels(same)),
        OnMask::Leaves | OnMask::Refuses => None,
    }
}

/// Refuses a mask of another size than its image: equal draws would be of other boxes.
pub(super) fn check_size(name: &str, size: Size, moves: &Moves) -> Result<(), Failure> {
    let image = moves.before;
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
}

impl Follow for MaskFill {
    fn fill(&self, sample: &mut Sample<'_>, moves: &Moves) -> Result<(), Failure> {
        let (mut mask, mut space) = (sample.scratch.take::<decode::Mask>(), sample.scratch.take::<Workspace>());
        let filled = self.fill_mask(sample, moves, &mut mask, &mut space);
        sample.scratch.put(mask);
        sample.scratch.put(space);
        filled
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
        let start = Instant::now();
        *sample.stage = Stage::Decode;
        let indices = decode_mask(sample.payload(self.at), depth(self.dtype), mask)?;
        let size = indices.size();
        // The indices, and as much while they are unpacked. The format has kept to the limit on pixels.
        sample.take(2 * size.area() * self.dtype.size() as u64, "decoding a mask")?;
        check_size(&self.chain.output().name, size, moves)?;
        let decoded = Instant::now();
        sample.times.decode += decoded - start;
        *sample.stage = Stage::Transform;
        self.chain.plan(size, sample.key, space)?;
        self.chain.render_to(Pixels::of(indices), space, &mut sample.target(self.at))?;
        sample.times.transform += decoded.elapsed();
        Ok(())
    }
}
