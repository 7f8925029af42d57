//! Images of several samples, put together.

use std::time::Instant;

use super::{
    fill::Sample,
    image::{DAMAGED_IMAGES, count},
    kind::{Followed, ImageOf},
};
use crate::{
    decode::{DecodeImage, Decoder, Encoded},
    error::{Failure, Stage},
    geometry::Rect,
    transform::{Collage, Drawn, Mosaic, Moves, Pixels, Tile, Workspace, failure},
};

/// A mosaic of which is known what was drawn.
#[derive(Debug)]
pub(super) struct MosaicOf<'a> {
    /// The field of the image.
    pub(super) at: usize,
    pub(super) image: &'a dyn Followed,
    pub(super) mosaic: &'a Mosaic,
    pub(super) drawn: Drawn,
}

impl MosaicOf<'_> {
    /// Decodes the images of all parts, fills the row of what becomes of them together, and the rows of what follows.
    pub(super) fn fill(&self, sample: &mut Sample<'_>) -> Result<(), Failure> {
        let mut decoder = sample.scratch.take::<Decoder>();
        let mut collage = sample.scratch.take::<Collage>();
        let mut space = sample.scratch.take::<Workspace>();
        let mut moves = sample.scratch.take::<Moves>();
        let mut tiles = Vec::with_capacity(sample.parts.len());
        let filled = self.fill_image(sample, (&mut decoder, &mut collage), &mut space, &mut tiles);
        space.swap_moves(&mut moves);
        moves.tiles = tiles;
        sample.scratch.put(decoder);
        sample.scratch.put(collage);
        sample.scratch.put(space);
        filled.map_err(|failure| failure.in_field(self.at))?;
        self.image.lead(sample, &moves)?;
        sample.scratch.put(moves);
        Ok(())
    }

    fn fill_image(
        &self,
        sample: &mut Sample<'_>,
        (decoder, collage): (&mut Decoder, &mut Collage),
        space: &mut Workspace,
        tiles: &mut Vec<Tile>,
    ) -> Result<(), Failure> {
        let decoding = self.image.decoding();
        let pixel =
            decoding.pixel().ok_or_else(|| failure("images of any channels cannot be put together".to_owned()))?;
        let size = self.mosaic.canvas();
        *sample.stage = Stage::Transform;
        sample.take(size.area().saturating_mul(pixel.size() as u64), "a mosaic")?;
        self.mosaic.begin(collage, pixel);
        for part in 0..sample.parts.len() {
            let put = self.put(part, sample, decoder, collage).map_err(|failure| sample.in_part(part, failure));
            tiles.push(put?);
        }
        let begun = Instant::now();
        self.image.plan(ImageOf { size, pixel, tiles }, sample, space)?;
        self.image.render(collage.pixels(), pixel, sample, space)?;
        sample.times.transform += begun.elapsed();
        Ok(())
    }

    /// Decodes the image of a part and puts it where it belongs.
    fn put(
        &self,
        part: usize,
        sample: &mut Sample<'_>,
        decoder: &mut Decoder,
        collage: &mut Collage,
    ) -> Result<Tile, Failure> {
        let start = Instant::now();
        *sample.stage = Stage::Decode;
        let options = DecodeImage { max_bytes: sample.budget.left(), ..self.image.decoding() };
        let encoded = Encoded::open(sample.payload_of(part, self.at), options)?;
        count(&encoded, &mut sample.times.counters);
        let tile = self.mosaic.tile(part, encoded.size(), self.drawn);
        let (whole, to) = (Rect::whole(encoded.size()), tile.whole().size);
        sample.take_resize(whole.size, to, encoded.pixel().size())?;
        sample.take(encoded.memory(whole, Some(to)), "decoding")?;
        let pixels = decoder.decode(encoded, whole, Some(to))?;
        sample.times.counters.add(DAMAGED_IMAGES, u64::from(pixels.is_damaged()));
        let until = Instant::now();
        sample.times.decode += until - start;
        *sample.stage = Stage::Transform;
        collage.put(Pixels::of(pixels), &tile, self.mosaic.interpolation).map_err(failure)?;
        sample.times.transform += until.elapsed();
        Ok(tile)
    }
}
