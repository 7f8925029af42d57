//! Segmentations of objects.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{
    fill::{Follow, GoWithBoxes, Kept, Sample},
    kind::{FieldKind, Payload, Request, Role},
    mask,
};
use crate::{
    decode::Segments,
    error::{Failure, Result, Stage},
    pixel::PixelType,
    spec::{DType, FieldSpec, Ragged},
    transform::{Chain, Moves, Pixels, Workspace, failure},
};

/// Polygons and runs of pixels of the objects in an image, drawn as masks: (objects, height, width) of 0 and 1, or one
/// mask (height, width) of their classes, where later ones lie over earlier ones and 0 is what no object covers; `uint8`.
/// They take the geometry of their image, as a mask does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segmentation {
    /// The field of the image.
    pub image: String,
    /// Whether there is one mask of classes.
    pub merged: bool,
    /// The most objects that a sample has.
    #[serde(default)]
    pub capacity: usize,
}

/// The bytes of a word of the payload; see [`Segments`].
const WORD_BYTES: usize = 4;

/// What may be counted while rows are filled.
pub(super) const COUNTERS: &[&str] = &[];

impl FieldKind for Segmentation {
    fn payload(&self, _name: &str) -> Result<Payload> {
        Ok(Payload::Entries(WORD_BYTES))
    }

    fn image(&self) -> Option<&str> {
        Some(&self.image)
    }

    /// Bytes do not tell how many objects there are: the capacity does.
    fn make_room(&mut self, _longest: usize) {}

    fn capacity_mut(&mut self) -> Option<&mut usize> {
        Some(&mut self.capacity)
    }

    fn compile(&self, request: Request<'_>) -> Result<(FieldSpec, Role)> {
        if request.mosaic.is_some() {
            return Err(request.refused("segmentations are not put together by Mosaic: draw masks of them first"));
        }
        if self.merged {
            request.alone("it is one mask")?;
            let chain = mask::chain(request, &self.image, DType::UInt8)?;
            let spec = chain.output().clone();
            let fill = SegmentationFill { at: request.at, spec: spec.clone(), chain, merged: true };
            return Ok((spec, Role::Follower(Box::new(fill))));
        }
        let fixed = mask::chain(Request { capacity: None, ..request }, &self.image, DType::UInt8);
        let (chain, ragged) = match (fixed, request.capacity) {
            (Ok(chain), given) => (chain, Ragged { axes: 1, capacity: given.unwrap_or(self.capacity) }),
            (Err(_), Some(capacity)) => (mask::chain(request, &self.image, DType::UInt8)?, Ragged { axes: 3, capacity }),
            (Err(error), None) => return Err(error),
        };
        let spec = FieldSpec { ragged: Some(ragged), ..chain.output().clone() };
        spec.row_bytes()?;
        let fill = SegmentationFill { at: request.at, spec: spec.clone(), chain, merged: false };
        Ok((spec, if request.goes_with_boxes { Role::Entries(Box::new(fill)) } else { Role::Follower(Box::new(fill)) }))
    }

    fn describe(&self, name: &str) -> String {
        format!("{name}: {}", if self.merged { "segmentation" } else { "segmentations" })
    }
}

#[derive(Debug)]
struct SegmentationFill {
    at: usize,
    spec: FieldSpec,
    chain: Chain,
    merged: bool,
}

/// The buffers of one thread.
#[derive(Debug, Default)]
struct Buffers {
    mask: Vec<u8>,
    crossings: Vec<u32>,
}

impl Follow for SegmentationFill {
    fn fill(&self, sample: &mut Sample<'_>, moves: &Moves) -> Result<(), Failure> {
        self.fill_kept(sample, moves, None)
    }
}

impl GoWithBoxes for SegmentationFill {
    fn fill(&self, sample: &mut Sample<'_>, moves: &Moves, kept: &Kept) -> Result<(), Failure> {
        self.fill_kept(sample, moves, Some(&kept.all))
    }
}

impl SegmentationFill {
    fn fill_kept(&self, sample: &mut Sample<'_>, moves: &Moves, kept: Option<&[bool]>) -> Result<(), Failure> {
        let (mut buffers, mut space) = (sample.scratch.take::<Buffers>(), sample.scratch.take::<Workspace>());
        *sample.stage = Stage::Decode;
        space.give_boxes(moves.boxes.iter().copied());
        let Buffers { mask, crossings } = &mut *buffers;
        let filled = Segments::open(sample.payload(self.at), crossings).and_then(|segments| {
            self.check(&segments, moves, kept)?;
            mask.clear();
            mask.resize(segments.size().area() as usize, 0);
            if self.merged {
                self.fill_merged(sample, segments, mask, &mut space)
            } else {
                self.fill_each(sample, segments, (moves, kept), mask, &mut space)
            }
        });
        sample.scratch.put(buffers);
        sample.scratch.put(space);
        filled.map_err(|failure| failure.in_field(self.at))
    }

    fn check(&self, segments: &Segments<'_>, moves: &Moves, kept: Option<&[bool]>) -> Result<(), Failure> {
        let name = &self.spec.name;
        mask::check_size(name, segments.size(), moves.before)?;
        match kept.map(<[bool]>::len) {
            Some(boxes) if boxes != segments.objects() => {
                Err(failure(format!("field `{name}` has {} entries for {boxes} boxes", segments.objects())))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn fill_merged(
        &self,
        sample: &mut Sample<'_>,
        mut segments: Segments<'_>,
        mask: &mut [u8],
        space: &mut Workspace,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        for _ in 0..segments.objects() {
            segments.draw(mask, |class| class as u8)?;
        }
        let drawn = Instant::now();
        sample.times.decode += drawn - start;
        *sample.stage = Stage::Transform;
        self.chain.plan(segments.size(), sample.key, space)?;
        let pixels = Pixels::new(mask, segments.size(), PixelType::GREY8);
        self.chain.render_to(pixels, space, &mut sample.target(self.at))?;
        sample.times.transform += drawn.elapsed();
        Ok(())
    }

    fn fill_each(
        &self,
        sample: &mut Sample<'_>,
        mut segments: Segments<'_>,
        (moves, kept): (&Moves, Option<&[bool]>),
        mask: &mut [u8],
        space: &mut Workspace,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        let mut drawing = Duration::ZERO;
        let is_kept = |at: usize| kept.is_none_or(|kept| kept[at]);
        let count = (0..segments.objects()).filter(|&at| is_kept(at)).count();
        let (after, key) = (moves.after, sample.key);
        let extents = [count, after.height as usize, after.width as usize];
        let row = sample.rows.begin(self.at, &self.spec, &extents)?;
        let each = after.area() as usize * self.spec.dtype.size();
        let mut rows = row.chunks_exact_mut(each.max(1));
        for at in 0..segments.objects() {
            let begun = Instant::now();
            mask.fill(0);
            segments.draw(mask, |_| 1)?;
            drawing += begun.elapsed();
            if is_kept(at)
                && let Some(out) = rows.next()
            {
                *sample.stage = Stage::Transform;
                self.chain.plan(segments.size(), key, space)?;
                self.chain.render_values(Pixels::new(mask, segments.size(), PixelType::GREY8), space, out)?;
            }
        }
        sample.times.decode += drawing;
        sample.times.transform += start.elapsed().saturating_sub(drawing);
        Ok(())
    }
}
