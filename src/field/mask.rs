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
    pixel::PixelType,
    spec::FieldSpec,
    transform::{self, Chain, ImageInput, ImageShape, Moves, Numbered, OnMask, Pixels, Workspace},
};

/// An image file's bytes, decoded to (height, width) class indices, `uint8`. It takes the geometry of its image, with the
/// same draws and by the nearest pixel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    /// The field of the image.
    pub image: String,
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

    fn compile(&self, request: Request<'_>) -> Result<(FieldSpec, Role)> {
        request.alone("it is no list")?;
        let chain = chain(request, &self.image)?;
        let spec = chain.output().clone();
        Ok((spec, Role::Follower(Box::new(MaskFill { at: request.at, chain }))))
    }

    fn describe(&self, name: &str) -> String {
        format!("{name}: encoded mask")
    }
}

/// Returns the chain of a field of class indices: the geometry of its image, then what is asked of itself.
pub(super) fn chain(request: Request<'_>, image: &str) -> Result<Chain> {
    // Keyed as the image's operations, so that they draw the same.
    let followed = request.image_ops.iter().filter_map(|op| Some(Numbered { role: moved(op)?, ..op.clone() }));
    let mut ops: Vec<Numbered> = followed.collect();
    for op in request.ops {
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
    ops.extend_from_slice(request.ops);
    let input = ImageInput {
        name: request.name,
        shape: ImageShape { size: None, pixel: PixelType::GREY8 },
        has_channel_axis: false,
        capacity: request.capacity,
        is_followed: false,
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
    chain: Chain,
}

impl Follow for MaskFill {
    fn fill(&self, sample: &mut Sample<'_, '_>, moves: &Moves) -> Result<(), Failure> {
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
        sample: &mut Sample<'_, '_>,
        moves: &Moves,
        mask: &mut decode::Mask,
        space: &mut Workspace,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        *sample.stage = Stage::Decode;
        decode_mask(sample.payload(self.at), mask)?;
        let size = mask.size();
        check_size(&self.chain.output().name, size, moves)?;
        let decoded = Instant::now();
        sample.times.decode += decoded - start;
        *sample.stage = Stage::Transform;
        self.chain.plan(size, sample.key, space)?;
        self.chain.render(Pixels::new(mask.indices(), size, PixelType::GREY8), space, sample.row(self.at))?;
        sample.times.transform += decoded.elapsed();
        Ok(())
    }
}
