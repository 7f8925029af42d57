//! Keypoints.

use serde::{Deserialize, Serialize};

use super::{
    boxes::numbers,
    fill::{Follow, GoWithBoxes, Kept, Sample},
    kind::{FieldKind, Payload, Request, Role},
    list::kept_entries,
};
use crate::{
    error::{Failure, Result},
    spec::{DType, FieldSpec, Ragged},
    transform::{self, KeyPointOp, Moves, failure},
};

/// Points in an image, whose geometry they follow. The last axis of an entry is x and y, or x, y and a third number,
/// COCO's visibility, which is kept as it is; `float32`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPoints {
    /// The field of the image.
    pub image: String,
    /// The shape of one entry.
    pub shape: Vec<usize>,
    /// The most entries that a sample has.
    #[serde(default)]
    pub capacity: usize,
}

impl KeyPoints {
    fn spec(&self, name: &str, capacity: usize) -> FieldSpec {
        let ragged = Some(Ragged { axes: 1, capacity });
        FieldSpec { ragged, ..FieldSpec::new(name, DType::Float32, &self.shape[..]) }
    }
}

/// What may be counted while rows are filled.
pub(super) const COUNTERS: &[&str] = &[];

impl FieldKind for KeyPoints {
    fn payload(&self, name: &str) -> Result<Payload> {
        Payload::entries(name, DType::Float32, &self.shape)
    }

    fn image(&self) -> Option<&str> {
        Some(&self.image)
    }

    fn make_room(&mut self, longest: usize) {
        self.capacity = longest / self.spec("", 0).entry_bytes();
    }

    fn capacity_mut(&mut self) -> Option<&mut usize> {
        Some(&mut self.capacity)
    }

    fn compile(&self, request: Request<'_>) -> Result<(FieldSpec, Role)> {
        let spec = self.spec(request.name, request.capacity.unwrap_or(self.capacity * request.parts));
        let Some(numbers @ (2 | 3)) = self.shape.last().copied() else {
            return Err(request.refused(format!("keypoints are of shape [.., 2] or [.., 3], not {:?}", self.shape)));
        };
        spec.row_bytes()?;
        let mut clamps = false;
        for op in request.ops {
            let transform::Role::KeyPoints(KeyPointOp::Clamp) = &op.role else {
                return Err(request.refused(format!("transform {}: {} takes no keypoints", op.at, op.name)));
            };
            clamps = true;
        }
        let fill = KeyPointsFill { at: request.at, spec: spec.clone(), numbers, clamps };
        Ok((spec, if request.goes_with_boxes { Role::Entries(Box::new(fill)) } else { Role::Follower(Box::new(fill)) }))
    }

    fn describe(&self, name: &str) -> String {
        self.spec(name, self.capacity).to_string()
    }
}

#[derive(Debug)]
struct KeyPointsFill {
    at: usize,
    spec: FieldSpec,
    /// How many numbers a point has: 2 or 3.
    numbers: usize,
    clamps: bool,
}

impl Follow for KeyPointsFill {
    fn fill(&self, sample: &mut Sample<'_>, moves: &Moves) -> Result<(), Failure> {
        self.fill_kept(sample, moves, None)
    }
}

impl GoWithBoxes for KeyPointsFill {
    fn fill(&self, sample: &mut Sample<'_>, moves: &Moves, kept: &Kept) -> Result<(), Failure> {
        self.fill_kept(sample, moves, Some(kept))
    }
}

impl KeyPointsFill {
    /// Writes the points of all parts, or those whose boxes are kept.
    fn fill_kept(&self, sample: &mut Sample<'_>, moves: &Moves, kept: Option<&Kept>) -> Result<(), Failure> {
        let mut list = sample.scratch.take::<Vec<u8>>();
        list.clear();
        for part in 0..moves.parts() {
            let (start, data) = (list.len(), sample.payload_of(part, self.at));
            match kept {
                Some(kept) => kept_entries(&self.spec, data, kept.part(part), &mut list)
                    .map_err(|failure| sample.in_part(part, failure))?,
                None => list.extend_from_slice(data),
            }
            self.move_points(&mut list[start..], part, moves);
        }
        let points = list.len() / self.spec.entry_bytes();
        let row = sample.begin(self.at, &self.spec, &[points, self.numbers])?;
        if row.len() != list.len() {
            return Err(failure(format!("the record has {} bytes, the field {}", list.len(), row.len())));
        }
        row.copy_from_slice(&list);
        sample.scratch.put(list);
        Ok(())
    }

    fn move_points(&self, data: &mut [u8], part: usize, moves: &Moves) {
        if self.numbers == 3 {
            for out in data.chunks_exact_mut(12) {
                let [x, y, visibility] = numbers::<3>(out).next().unwrap_or_default();
                // A point that was not marked lies nowhere: COCO writes zeros. So does one over which an image lies.
                let (point, is_seen) = if visibility == 0.0 { ([x, y], true) } else { self.moved([x, y], part, moves) };
                let ([x, y], visibility) = if is_seen { (point, visibility) } else { ([0.0; 2], 0.0) };
                out.copy_from_slice(bytemuck::bytes_of(&[x, y, visibility]));
            }
        } else {
            for out in data.chunks_exact_mut(8) {
                let point = numbers::<2>(out).next().unwrap_or_default();
                out.copy_from_slice(bytemuck::bytes_of(&self.moved(point, part, moves).0));
            }
        }
    }

    fn moved(&self, point: [f32; 2], part: usize, moves: &Moves) -> ([f32; 2], bool) {
        let ([x, y], is_seen) = moves.point(part, point);
        if !self.clamps {
            return ([x, y], is_seen);
        }
        let clamped = [x.clamp(0.0, moves.after.width as f32 - 1.0), y.clamp(0.0, moves.after.height as f32 - 1.0)];
        (clamped, is_seen)
    }
}
