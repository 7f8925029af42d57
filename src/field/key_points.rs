//! Keypoints.

use serde::{Deserialize, Serialize};

use super::{
    boxes::numbers,
    fill::{Follow, GoWithBoxes, Sample},
    kind::{FieldKind, Payload, Request, Role},
    list::kept_entries,
};
use crate::{
    error::{Failure, Result},
    spec::{DType, FieldSpec, Ragged},
    transform::{self, KeyPointOp, Moves},
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
        let spec = self.spec(request.name, request.capacity.unwrap_or(self.capacity));
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
        let data = sample.payload(self.at);
        self.write(data, moves, sample)
    }
}

impl GoWithBoxes for KeyPointsFill {
    fn fill(&self, sample: &mut Sample<'_>, moves: &Moves, kept: &[bool]) -> Result<(), Failure> {
        let mut list = sample.scratch.take::<Vec<u8>>();
        kept_entries(&self.spec, sample.payload(self.at), kept, &mut list)?;
        let written = self.write(&list, moves, sample);
        sample.scratch.put(list);
        written
    }
}

impl KeyPointsFill {
    fn write(&self, data: &[u8], moves: &Moves, sample: &mut Sample<'_>) -> Result<(), Failure> {
        let points = data.len() / self.spec.entry_bytes();
        let row = sample.begin(self.at, &self.spec, &[points, self.numbers])?;
        if self.numbers == 3 {
            for ([x, y, visibility], out) in numbers::<3>(data).zip(row.chunks_exact_mut(12)) {
                // A point that was not marked lies nowhere: COCO writes zeros.
                let [x, y] = if visibility == 0.0 { [x, y] } else { self.moved([x, y], moves) };
                out.copy_from_slice(bytemuck::bytes_of(&[x, y, visibility]));
            }
        } else {
            for (point, out) in numbers::<2>(data).zip(row.chunks_exact_mut(8)) {
                out.copy_from_slice(bytemuck::bytes_of(&self.moved(point, moves)));
            }
        }
        Ok(())
    }

    fn moved(&self, point: [f32; 2], moves: &Moves) -> [f32; 2] {
        let [x, y] = moves.point(point);
        if !self.clamps {
            return [x, y];
        }
        [x.clamp(0.0, moves.after.width as f32 - 1.0), y.clamp(0.0, moves.after.height as f32 - 1.0)]
    }
}
