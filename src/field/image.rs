//! Encoded images.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{
    fill::{Fill, Follow, Sample},
    kind::{FieldKind, Followed, Payload, Request, Role},
};
use crate::{
    decode::{DecodeImage, Decoder, Encoded},
    error::{Failure, Result, Stage},
    pixel::PixelType,
    spec::FieldSpec,
    transform::{self, Chain, ImageInput, ImageShape, Moves, Pixels, Region, Workspace},
};

/// An image file's bytes, decoded to (height, width, 3) `uint8`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {}

/// Counts damaged files that were decoded all the same.
const DAMAGED_IMAGES: &str = "damaged_images";

/// What may be counted while rows are filled.
pub(super) const COUNTERS: &[&str] = &[DAMAGED_IMAGES];

impl FieldKind for Image {
    fn payload(&self, _name: &str) -> Result<Payload> {
        Ok(Payload::Encoded)
    }

    fn image(&self) -> Option<&str> {
        None
    }

    fn make_room(&mut self, _longest: usize) {}

    fn compile(&self, request: Request<'_>) -> Result<(FieldSpec, Role)> {
        request.alone("it is no list")?;
        let (decoding, ops) = match request.ops {
            [first, rest @ ..] if let transform::Role::Decoding(options) = first.role => (options, rest),
            all => (DecodeImage::default(), all),
        };
        let input = ImageInput {
            name: request.name,
            shape: ImageShape { size: None, pixel: PixelType::RGB8 },
            has_channel_axis: true,
            capacity: request.capacity,
            is_followed: request.is_followed,
        };
        let chain = Chain::compile(input, ops)?;
        let spec = chain.output().clone();
        Ok((spec, Role::Image(Box::new(ImageFill { at: request.at, decoding, chain, followers: Vec::new() }))))
    }

    fn describe(&self, name: &str) -> String {
        format!("{name}: encoded image")
    }
}

#[derive(Debug)]
struct ImageFill {
    at: usize,
    decoding: DecodeImage,
    chain: Chain,
    followers: Vec<Box<dyn Follow>>,
}

impl Followed for ImageFill {
    fn add(&mut self, follower: Box<dyn Follow>) {
        self.followers.push(follower);
    }

    fn into_fill(self: Box<Self>) -> Box<dyn Fill> {
        self
    }
}

impl Fill for ImageFill {
    fn fill(&self, sample: &mut Sample<'_, '_>) -> Result<(), Failure> {
        let (mut decoder, mut space) = (sample.scratch.take::<Decoder>(), sample.scratch.take::<Workspace>());
        let filled = self.fill_image(sample, &mut decoder, &mut space);
        let mut moves = sample.scratch.take::<Moves>();
        space.swap_moves(&mut moves);
        sample.scratch.put(decoder);
        sample.scratch.put(space);
        filled?;
        self.followers.iter().try_for_each(|follower| follower.fill(sample, &moves))?;
        sample.scratch.put(moves);
        Ok(())
    }
}

impl ImageFill {
    fn fill_image(
        &self,
        sample: &mut Sample<'_, '_>,
        decoder: &mut Decoder,
        space: &mut Workspace,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        *sample.stage = Stage::Decode;
        let encoded = Encoded::open(sample.payload(self.at), self.decoding)?;
        // What becomes of the image is drawn before it is decoded, so that only what is needed is.
        *sample.stage = Stage::Transform;
        let Region { part, resized } = self.chain.plan(encoded.size(), sample.key, space)?;
        *sample.stage = Stage::Decode;
        let pixels = decoder.decode(encoded, part, resized)?;
        sample.times.counters.add(DAMAGED_IMAGES, u64::from(pixels.is_damaged()));
        let until = Instant::now();
        sample.times.decode += until - start;
        *sample.stage = Stage::Transform;
        self.chain.render(Pixels::of(pixels), space, sample.row(self.at))?;
        sample.times.transform += until.elapsed();
        Ok(())
    }
}
