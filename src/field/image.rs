//! Encoded images.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    boxes::numbers,
    fill::{Follow, Sample},
    kind::{FieldKind, Followed, ImageOf, Payload, Request, Role},
};
use crate::{
    counters::Counters,
    decode::{DecodeImage, Encoded},
    error::{Failure, Result},
    pixel::{Channels, PixelType},
    spec::FieldSpec,
    transform::{self, BoxFormat, Chain, ImageInput, Layout, Mosaic, Moves, Numbered, Pixels, Region, Workspace},
};

/// An image file's bytes, decoded to (height, width, channels): three of `uint8`, or what [`DecodeImage`] says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The pixels that a row has room for, where transforms fix no size and nobody says; 0 for none.
    #[serde(default)]
    pub capacity: usize,
}

/// Counts damaged files that were decoded all the same.
pub(super) const DAMAGED_IMAGES: &str = "damaged_images";

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
        let ops = match ops {
            [first, rest @ ..] if matches!(first.role, transform::Role::Samples(_)) => {
                check_mosaic(request, first, decoding)?;
                rest
            }
            all => all,
        };
        let learned = (request.capacity.is_none() && self.capacity > 0).then_some(self.capacity);
        let chains = match (Chains::compile(request, decoding, ops), learned) {
            (Err(_), Some(_)) => Chains::compile(Request { capacity: learned, ..request }, decoding, ops)?,
            (chains, _) => chains?,
        };
        let spec = chains.spec().clone();
        let (at, boxes, mosaic) = (request.at, request.boxes, request.mosaic.cloned());
        Ok((spec, Role::Image(Box::new(ImageFill { at, decoding, chains, boxes, mosaic, followers: Vec::new() }))))
    }

    fn describe(&self, name: &str) -> String {
        format!("{name}: encoded image")
    }
}

/// Refuses images that cannot be put together.
fn check_mosaic(request: Request<'_>, op: &Numbered, decoding: DecodeImage) -> Result<()> {
    let transform::Role::Samples(mosaic) = &op.role else { return Ok(()) };
    let refused = |what| request.refused(format!("transform {}: {}: {what}", op.at, op.name));
    let pixel = decoding.pixel();
    let pixel = pixel.ok_or_else(|| refused("its images have one number of channels: give DecodeImage a mode".into()))?;
    mosaic.check_of(pixel).map_err(refused)
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
                shape: request.shape(pixel),
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
    /// The field of the boxes that the operations look at, if one does.
    boxes: Option<(usize, BoxFormat)>,
    mosaic: Option<Arc<Mosaic>>,
    followers: Vec<Box<dyn Follow>>,
}

impl Followed for ImageFill {
    fn add(&mut self, follower: Box<dyn Follow>) {
        self.followers.push(follower);
    }

    fn decoding(&self) -> DecodeImage {
        self.decoding
    }

    fn mosaic(&self) -> Option<&Mosaic> {
        self.mosaic.as_deref()
    }

    fn plan(&self, image: ImageOf<'_>, sample: &mut Sample<'_>, space: &mut Workspace) -> Result<Region, Failure> {
        let ImageOf { size, pixel, tiles } = image;
        if let Some((at, format)) = self.boxes {
            let of = |part| numbers(sample.payload_of(part, at)).map(move |numbers| format.to_corners(numbers));
            let tiled = tiles.iter().enumerate().flat_map(|(part, tile)| of(part).filter_map(move |corners| tile.bounds(corners)));
            space.give_boxes(tiled.chain(tiles.is_empty().then(|| of(0)).into_iter().flatten()));
        }
        let region = self.chains.of(pixel).plan(size, sample.key, space)?;
        if let Some(to) = region.resized {
            sample.take_resize(region.part.size, to, pixel.size())?;
        }
        Ok(region)
    }

    fn render(
        &self,
        image: Pixels<'_>,
        pixel: PixelType,
        sample: &mut Sample<'_>,
        space: &mut Workspace,
    ) -> Result<(), Failure> {
        self.chains.of(pixel).render_to(image, space, &mut sample.target(self.at))
    }

    fn lead(&self, sample: &mut Sample<'_>, moves: &Moves) -> Result<(), Failure> {
        self.followers.iter().try_for_each(|follower| follower.fill(sample, moves))
    }
}

/// Counts what a file has beyond what it is decoded to, and what else is worth knowing of it.
pub(super) fn count(encoded: &Encoded<'_>, counters: &mut Counters) {
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
