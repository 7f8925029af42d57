//! Bounding boxes.

use serde::{Deserialize, Serialize};

use super::{
    fill::{Follow, GoWithBoxes, Kept, Sample},
    kind::{FieldKind, GoneWith, Payload, Request, Role},
};
use crate::{
    error::{Failure, Result},
    spec::{DType, FieldSpec, Ragged},
    transform::{self, BoxFormat, BoxSteps, Boxes, Moves},
};

/// Bounding boxes in an image, whose geometry they follow: four `float32` each, any number a sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundingBoxes {
    /// The field of the image.
    pub image: String,
    /// What the four numbers are.
    pub format: BoxFormat,
    /// The most boxes that a sample has.
    #[serde(default)]
    pub capacity: usize,
}

fn spec(name: &str, capacity: usize) -> FieldSpec {
    FieldSpec { ragged: Some(Ragged { axes: 1, capacity }), ..FieldSpec::new(name, DType::Float32, [4]) }
}

/// The bytes of four `float32`.
const BOX_BYTES: usize = 16;

/// What may be counted while rows are filled.
pub(super) const COUNTERS: &[&str] = &[];

impl FieldKind for BoundingBoxes {
    fn payload(&self, _name: &str) -> Result<Payload> {
        Ok(Payload::Entries(BOX_BYTES))
    }

    fn image(&self) -> Option<&str> {
        Some(&self.image)
    }

    fn make_room(&mut self, longest: usize) {
        self.capacity = longest / BOX_BYTES;
    }

    fn capacity_mut(&mut self) -> Option<&mut usize> {
        Some(&mut self.capacity)
    }

    fn compile(&self, request: Request<'_>) -> Result<(FieldSpec, Role)> {
        request.alone("it has boxes of its own")?;
        let spec = spec(request.name, request.capacity.unwrap_or(self.capacity * request.parts));
        spec.row_bytes()?;
        let mut steps = BoxSteps::new(self.format);
        for op in request.ops {
            let transform::Role::Boxes(box_op) = &op.role else {
                return Err(request.refused(format!("transform {}: {} takes no boxes", op.at, op.name)));
            };
            box_op.add(&mut steps);
        }
        let fill = BoxesFill { at: request.at, spec: spec.clone(), from: self.format, steps, entries: Vec::new() };
        Ok((spec, Role::Boxes(Box::new(fill))))
    }

    fn describe(&self, name: &str) -> String {
        spec(name, self.capacity).to_string()
    }
}

#[derive(Debug)]
struct BoxesFill {
    at: usize,
    spec: FieldSpec,
    from: BoxFormat,
    steps: BoxSteps,
    entries: Vec<Box<dyn GoWithBoxes>>,
}

impl GoneWith for BoxesFill {
    fn add(&mut self, entries: Box<dyn GoWithBoxes>) {
        self.entries.push(entries);
    }

    fn into_follow(self: Box<Self>) -> Box<dyn Follow> {
        self
    }
}

/// The boxes of one sample, and which of them are left.
#[derive(Debug, Default)]
struct Buffers {
    corners: Vec<[f32; 4]>,
    kept: Kept,
}

impl Follow for BoxesFill {
    fn fill(&self, sample: &mut Sample<'_>, moves: &Moves) -> Result<(), Failure> {
        let mut buffers = sample.scratch.take::<Buffers>();
        let Buffers { corners, kept } = &mut *buffers;
        corners.clear();
        kept.clear();
        for part in 0..moves.parts() {
            for numbers in numbers::<4>(sample.payload_of(part, self.at)) {
                let seen = moves.bounds(part, self.from.to_corners(numbers));
                corners.push(seen.unwrap_or_default());
                kept.all.push(seen.is_some());
            }
            kept.end_part();
        }
        self.steps.apply(&mut Boxes { corners, kept: &mut kept.all, image: moves.after });
        let left = kept.all.iter().filter(|kept| **kept).count();
        let row = sample.begin(self.at, &self.spec, &[left, 4])?;
        let left = corners.iter().zip(&kept.all).filter(|(_, kept)| **kept).map(|(corners, _)| *corners);
        for (corners, out) in left.zip(row.chunks_exact_mut(BOX_BYTES)) {
            out.copy_from_slice(bytemuck::bytes_of(&self.steps.format.of_corners(corners)));
        }
        self.entries.iter().try_for_each(|entries| entries.fill(sample, moves, kept))?;
        sample.scratch.put(buffers);
        Ok(())
    }
}

/// Returns `float32` numbers, which may lie at any address, `N` at a time.
pub(super) fn numbers<const N: usize>(data: &[u8]) -> impl Iterator<Item = [f32; N]> {
    data.chunks_exact(4 * N).map(|entry| {
        let mut numbers = [0.0_f32; N];
        bytemuck::cast_slice_mut(&mut numbers).copy_from_slice(entry);
        numbers
    })
}
