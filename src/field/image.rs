//! Encoded images.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{
    fill::{Fill, Follow, Sample},
    kind::{FieldKind, Followed, Payload, Request, Role},
};
use crate::{
    counters::Counters,
    decode::{DecodeImage, Decoder, Encoded},
    error::{Failure, Result, Stage},
    pixel::{Channels, PixelType},
    spec::FieldSpec,
    transform::{self, Chain, ImageInput, Layout, Moves, Numbered, Pixels, Region, Workspace},
};

/// An image file's bytes, decoded to (height, width, channels): three of `uint8`, or what [`DecodeImage`] says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The pixels that a row has room for, where transforms fix no size and nobody says; 0 for none.
    #[serde(default)]
    pub capacity: usize,
}

/// Counts damaged files that were decoded all the same.
const DAMAGED_IMAGES: &str = "damaged_images";

/// Counts images whose alpha was dropped.
const DROPPED_ALPHA: &str = "dropped_alpha";

/// Counts images whose colours were made grey.
const DROPPED_COLOUR: &str = "dropped_colour";

/// Counts images of 16 bits of which 8 were kept.
const REDUCED_DEPTH: &str = "reduced_depth";

/// Counts images whose numbers lie in a deeper dtype than theirs, where white is another number.
const WIDENED_DEPTH: &str = "widened_depth";

/// What may be counted while rows are filled.
pub(super) const COUNTERS: &[&str] = &[DAMAGED_IMAGES, DROPPED_ALPHA, DROPPED_COLOUR, REDUCED_DEPTH, WIDENED_DEPTH];

impl FieldKind for Image {
    fn payload(&self, _name: &str) -> Result<Payload> {
        Ok(Payload::Encoded)
    }

    fn image(&self) -> Option<&str> {
        None
    }

    fn make_room(&mut self, _longest: usize) {}

    fn capacity_mut(&mut self) -> Option<&mut usize> {
        Some(&mut self.capacity)
    }

    fn compile(&self, request: Request<'_>) -> Result<(FieldSpec, Role)> {
        request.alone("it is no list")?;
        let (decoding, ops) = match request.ops {
            [first, rest @ ..] if let transform::Role::Decoding(options) = first.role => (options, rest),
            all => (DecodeImage::default(), all),
        };
        let learned = (request.capacity.is_none() && self.capacity > 0).then_some(self.capacity);
        let chains = match (Chains::compile(request, decoding, ops), learned) {
            (Err(_), Some(_)) => Chains::compile(Request { capacity: learned, ..request }, decoding, ops)?,
            (chains, _) => chains?,
        };
        let spec = chains.spec().clone();
        Ok((spec, Role::Image(Box::new(ImageFill { at: request.at, decoding, chains, followers: Vec::new() }))))
    }

    fn describe(&self, name: &str) -> String {
        format!("{name}: encoded image")
    }
}

/// The compiled operations: one chain, or one each for images of 1 to 4 channels, where each file has its own. All chains
/// have the same output.
#[derive(Debug)]
struct Chains(Vec<Chain>);

impl Chains {
    fn compile(request: Request<'_>, decoding: DecodeImage, ops: &[Numbered]) -> Result<Self> {
        let compile = |pixel: PixelType, varies_in_channels| {
            let input = ImageInput {
                name: request.name,
                shape: pixel.into(),
                has_channel_axis: true,
                layout: Layout::Hwc,
                capacity: request.capacity,
                unbounded: request.unbounded,
                is_followed: request.is_followed,
                varies_in_channels,
            };
            Chain::compile(input, ops)
        };
        if let Some(pixel) = decoding.pixel() {
            return Ok(Self(vec![compile(pixel, false)?]));
        }
        let all = |varies| -> Result<Vec<Chain>> {
            let channels = (1..).map_while(Channels::of);
            channels.map(|channels| compile(PixelType::new(channels, decoding.depth()), varies)).collect()
        };
        // Operations may leave as many channels of all, as `Grayscale` does.
        let same = all(false).ok().filter(|all| all.iter().all(|chain| chain.output() == all[0].output()));
        same.map_or_else(|| all(true), Ok).map(Self)
    }

    fn spec(&self) -> &FieldSpec {
        self.0[0].output()
    }

    /// Returns the chain of images of these pixels.
    fn of(&self, pixel: PixelType) -> &Chain {
        let one_each = self.0.len() > 1;
        &self.0[if one_each { pixel.channels.count() - 1 } else { 0 }]
    }
}

#[derive(Debug)]
struct ImageFill {
    at: usize,
    decoding: DecodeImage,
    chains: Chains,
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
    fn fill(&self, sample: &mut Sample<'_>) -> Result<(), Failure> {
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
        sample: &mut Sample<'_>,
        decoder: &mut Decoder,
        space: &mut Workspace,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        *sample.stage = Stage::Decode;
        let options = DecodeImage { max_bytes: sample.budget.left(), ..self.decoding };
        let encoded = Encoded::open(sample.payload(self.at), options)?;
        count(&encoded, &mut sample.times.counters);
        let chain = self.chains.of(encoded.pixel());
        // What becomes of the image is drawn before it is decoded, so that only what is needed is.
        *sample.stage = Stage::Transform;
        let Region { part, resized } = chain.plan(encoded.size(), sample.key, space)?;
        if let Some(to) = resized {
            sample.take_resize(part.size, to, encoded.pixel().size())?;
        }
        *sample.stage = Stage::Decode;
        sample.take(encoded.memory(part, resized), "decoding")?;
        let pixels = decoder.decode(encoded, part, resized)?;
        sample.times.counters.add(DAMAGED_IMAGES, u64::from(pixels.is_damaged()));
        let until = Instant::now();
        sample.times.decode += until - start;
        *sample.stage = Stage::Transform;
        chain.render_to(Pixels::of(pixels), space, &mut sample.target(self.at))?;
        sample.times.transform += until.elapsed();
        Ok(())
    }
}

/// Counts what a file has beyond what it is decoded to, and what else is worth knowing of it.
fn count(encoded: &Encoded<'_>, counters: &mut Counters) {
    let (has, becomes) = (encoded.has(), encoded.pixel());
    for (name, is_so) in [
        (DROPPED_ALPHA, has.channels.has_alpha() && !becomes.channels.has_alpha()),
        (DROPPED_COLOUR, has.channels.is_colour() && !becomes.channels.is_colour()),
        (REDUCED_DEPTH, has.depth.size() > becomes.depth.size()),
        (WIDENED_DEPTH, has.depth.size() < becomes.depth.size()),
    ] {
        counters.add(name, u64::from(is_so));
    }
}
