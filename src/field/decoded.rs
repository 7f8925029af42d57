//! Fields of one encoded image, which is decoded once for all of them.

use std::time::Instant;

use super::{
    fill::{Fill, Sample},
    image::{DAMAGED_IMAGES, count},
    kind::{Followed, ImageOf},
    mosaic::MosaicOf,
};
use crate::{
    decode::{DecodeImage, Decoder, Encoded},
    error::{Failure, Stage},
    geometry::{Rect, Size},
    transform::{Moves, Pixels, Region, Workspace},
};

/// Decodes an image, and fills the rows of all fields that are made of it.
///
/// What becomes of each is drawn before anything is decoded, so that only what one of them needs is. Where that is more
/// than one part, the box around all parts is decoded as it is, and none of them is reduced meanwhile.
#[derive(Debug)]
pub(super) struct DecodedFill {
    /// A field that has the image as its payload.
    at: usize,
    decoding: DecodeImage,
    images: Vec<Box<dyn Followed>>,
}

impl DecodedFill {
    /// Returns what fills the row of a field.
    pub(super) fn new(at: usize, image: Box<dyn Followed>) -> Self {
        Self { at, decoding: image.decoding(), images: vec![image] }
    }

    /// Tells whether another field can be made of the image as it is decoded for this one.
    pub(super) fn takes(&self, image: &dyn Followed) -> bool {
        let is_apart = |image: &dyn Followed| image.mosaic().is_some();
        image.decoding() == self.decoding && !is_apart(image) && !self.images.iter().any(|image| is_apart(&**image))
    }

    /// Adds such a field.
    pub(super) fn add(&mut self, image: Box<dyn Followed>) {
        self.images.push(image);
    }

    fn fill_images(
        &self,
        sample: &mut Sample<'_>,
        decoder: &mut Decoder,
        spaces: &mut [Box<Workspace>],
    ) -> Result<(), Failure> {
        let start = Instant::now();
        *sample.stage = Stage::Decode;
        let options = DecodeImage { max_bytes: sample.budget.left(), ..self.decoding };
        let encoded = Encoded::open(sample.payload(self.at), options)?;
        count(&encoded, &mut sample.times.counters);
        *sample.stage = Stage::Transform;
        let known = ImageOf { size: encoded.size(), pixel: encoded.pixel(), tiles: &[] };
        let mut needed: Option<Region> = None;
        for (image, space) in self.images.iter().zip(&mut *spaces) {
            let region = image.plan(known, sample, space)?;
            needed = Some(needed.map_or(region, |needed| both(needed, region)));
        }
        let needed = needed.unwrap_or_else(|| Region { part: Rect::whole(encoded.size()), resized: None });
        *sample.stage = Stage::Decode;
        let (size, pixel) = (encoded.size(), encoded.pixel());
        sample.take(encoded.memory(needed.part, needed.resized), "decoding")?;
        let pixels = decoder.decode(encoded, needed.part, needed.resized)?;
        sample.times.counters.add(DAMAGED_IMAGES, u64::from(pixels.is_damaged()));
        let until = Instant::now();
        sample.times.decode += until - start;
        *sample.stage = Stage::Transform;
        // The whole may be decoded where that takes no longer.
        let part = if pixels.size() == size { Rect::whole(size) } else { needed.part };
        for (image, space) in self.images.iter().zip(spaces) {
            if self.images.len() > 1 {
                space.cut_to(part);
            }
            image.render(Pixels::of(pixels), pixel, sample, space)?;
        }
        sample.times.transform += until.elapsed();
        Ok(())
    }
}

/// Returns a region that holds two others.
fn both(one: Region, other: Region) -> Region {
    let (a, b) = (one.part, other.part);
    let (top, left) = (a.top.min(b.top), a.left.min(b.left));
    let size =
        Size { height: (a.bottom().max(b.bottom()) - top) as u32, width: (a.right().max(b.right()) - left) as u32 };
    Region { part: Rect { top, left, size }, resized: None }
}

impl Fill for DecodedFill {
    fn fill(&self, sample: &mut Sample<'_>) -> Result<(), Failure> {
        if let [image] = &self.images[..]
            && let (Some(mosaic), Some(drawn)) = (image.mosaic(), sample.mosaic)
        {
            return MosaicOf { at: self.at, image: &**image, mosaic, drawn }.fill(sample);
        }
        let mut decoder = sample.scratch.take::<Decoder>();
        let mut spaces: Vec<Box<Workspace>> = self.images.iter().map(|_| sample.scratch.take()).collect();
        let filled = self.fill_images(sample, &mut decoder, &mut spaces);
        sample.scratch.put(decoder);
        let mut all_moves = Vec::with_capacity(spaces.len());
        for mut space in spaces {
            let mut moves = sample.scratch.take::<Moves>();
            space.swap_moves(&mut moves);
            moves.tiles.clear();
            sample.scratch.put(space);
            all_moves.push(moves);
        }
        filled.map_err(|failure| failure.in_field(self.at))?;
        for (image, moves) in self.images.iter().zip(all_moves) {
            image.lead(sample, &moves)?;
            sample.scratch.put(moves);
        }
        Ok(())
    }
}
