//! Bounding boxes and keypoints to a row of the batch: moved as their image was, then cleaned.

use super::{
    Transform, Workspace,
    motion::{self, Motion},
};
use crate::{
    error::{Error, Failure, Result, Stage},
    geometry::Size,
    source::{BoxFormat, Places},
    spec::{DType, FieldSpec},
};

/// The compiled transforms of a field of places.
#[derive(Clone, Debug)]
pub struct PlacesChain {
    output: FieldSpec,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Boxes { from: BoxFormat, to: BoxFormat, steps: Vec<Step> },
    KeyPoints { numbers: usize, clamps: bool },
}

/// What is done to boxes after their image's geometry.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Clamp,
    Sanitize { min_size: f32, min_area: f32 },
}

/// Returns the entries of a list that are `kept`, in `out`: those that go with the boxes that are left.
///
/// # Errors
/// A [`Failure`] of the transform stage where the list has not as many entries as there were boxes.
pub fn kept_entries<'a>(
    spec: &FieldSpec,
    data: &[u8],
    kept: &[bool],
    out: &'a mut Vec<u8>,
) -> Result<&'a [u8], Failure> {
    let entry = spec.entry_bytes();
    if data.len() != kept.len() * entry {
        let (name, entries, boxes) = (&spec.name, data.len() / entry, kept.len());
        return Err(failure(format!("field `{name}` has {entries} entries for {boxes} boxes")));
    }
    out.clear();
    for (entry, _) in data.chunks_exact(entry).zip(kept).filter(|(_, kept)| **kept) {
        out.extend_from_slice(entry);
    }
    Ok(out)
}

impl PlacesChain {
    /// Compiles the transforms that a field of places has of its own.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for entries that are no places, an argument out of range, or a transform that the
    /// field cannot take.
    pub fn compile(spec: &FieldSpec, places: Places, ops: &[Transform], capacity: Option<usize>) -> Result<Self> {
        let refused = |what: String| Error::Config(format!("field `{}`: {what}", spec.name));
        let mut output = spec.clone();
        let Some(ragged) = output.ragged.as_mut().filter(|ragged| ragged.axes == 1) else {
            return Err(refused("places are a list for each sample".to_owned()));
        };
        ragged.capacity = capacity.unwrap_or(ragged.capacity);
        let (dtype, shape) = (spec.dtype, &spec.shape[..]);
        let mut kind = match (places, shape, shape.last()) {
            _ if dtype != DType::Float32 => return Err(refused(format!("places are float32, not {dtype}"))),
            (Places::Boxes { format }, [4], _) => Kind::Boxes { from: format, to: format, steps: Vec::new() },
            (Places::KeyPoints, _, Some(&numbers @ (2 | 3))) => Kind::KeyPoints { numbers, clamps: false },
            (Places::Boxes { .. }, ..) => return Err(refused(format!("boxes are of shape [4], not {shape:?}"))),
            (Places::KeyPoints, ..) => {
                return Err(refused(format!("keypoints are of shape [.., 2] or [.., 3], not {shape:?}")));
            }
        };
        for (at, op) in ops.iter().enumerate() {
            op.validate().map_err(|error| refused(format!("transform {at}: {error}")))?;
            match (op, &mut kind) {
                (Transform::ClampBoundingBoxes {}, Kind::Boxes { steps, .. }) => steps.push(Step::Clamp),
                (Transform::SanitizeBoundingBoxes { min_size, min_area, .. }, Kind::Boxes { steps, .. }) => {
                    steps.push(Step::Sanitize { min_size: *min_size as f32, min_area: *min_area as f32 });
                }
                (Transform::ConvertBoundingBoxFormat { format }, Kind::Boxes { to, .. }) => *to = *format,
                (Transform::ClampKeyPoints {}, Kind::KeyPoints { clamps, .. }) => *clamps = true,
                (_, Kind::Boxes { .. }) => {
                    return Err(refused(format!("transform {at}: {} takes no boxes", op.name())));
                }
                (_, Kind::KeyPoints { .. }) => {
                    return Err(refused(format!("transform {at}: {} takes no keypoints", op.name())));
                }
            }
        }
        output.row_bytes()?;
        Ok(Self { output, kind })
    }

    /// Returns what every row of the field looks like.
    pub const fn output(&self) -> &FieldSpec {
        &self.output
    }

    /// Writes the places of one sample, whose image was planned last in `space`, to a row of the batch; says in `kept`
    /// which boxes are left.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage for more entries than there is room for.
    pub fn apply(
        &self,
        data: &[u8],
        space: &mut Workspace,
        kept: &mut Vec<bool>,
        row: &mut [u8],
    ) -> Result<(), Failure> {
        let Workspace { plan, boxes, .. } = space;
        let size = plan.size();
        match &self.kind {
            Kind::Boxes { from, to, steps } => {
                boxes.clear();
                boxes.extend(numbers::<4>(data).map(|numbers| {
                    plan.motions.iter().fold(from.to_corners(numbers), |bounds, motion| motion.bounds(bounds))
                }));
                kept.clear();
                kept.resize(boxes.len(), true);
                for step in steps {
                    step.apply(boxes, size, kept);
                }
                let left = kept.iter().filter(|kept| **kept).count();
                let row = self.output.begin_row(row, &[left]).map_err(failure)?;
                let left = boxes.iter().zip(&*kept).filter(|(_, kept)| **kept).map(|(corners, _)| *corners);
                for (corners, out) in left.zip(row.chunks_exact_mut(16)) {
                    out.copy_from_slice(bytemuck::bytes_of(&to.of_corners(corners)));
                }
            }
            Kind::KeyPoints { numbers: 3, clamps } => {
                let row = self.output.begin_row(row, &[data.len() / self.output.entry_bytes()]).map_err(failure)?;
                for ([x, y, visibility], out) in numbers::<3>(data).zip(row.chunks_exact_mut(12)) {
                    // A point that was not marked lies nowhere: COCO writes zeros.
                    let [x, y] = if visibility == 0.0 { [x, y] } else { moved([x, y], &plan.motions, size, *clamps) };
                    out.copy_from_slice(bytemuck::bytes_of(&[x, y, visibility]));
                }
            }
            Kind::KeyPoints { clamps, .. } => {
                let row = self.output.begin_row(row, &[data.len() / self.output.entry_bytes()]).map_err(failure)?;
                for (point, out) in numbers::<2>(data).zip(row.chunks_exact_mut(8)) {
                    out.copy_from_slice(bytemuck::bytes_of(&moved(point, &plan.motions, size, *clamps)));
                }
            }
        }
        Ok(())
    }
}

impl Step {
    fn apply(self, boxes: &mut [[f32; 4]], size: Size, flags: &mut [bool]) {
        let (width, height) = (size.width as f32, size.height as f32);
        let inside = |[left, top, right, bottom]: [f32; 4]| {
            [left, right].iter().all(|x| (0.0..=width).contains(x))
                && [top, bottom].iter().all(|y| (0.0..=height).contains(y))
        };
        for (bounds, kept) in boxes.iter_mut().zip(flags) {
            match self {
                Self::Clamp => *bounds = motion::clamped(*bounds, size),
                Self::Sanitize { min_size, min_area } => {
                    let (across, down) = (bounds[2] - bounds[0], bounds[3] - bounds[1]);
                    *kept &= across >= min_size && down >= min_size && across * down >= min_area && inside(*bounds);
                }
            }
        }
    }
}

fn moved(point: [f32; 2], motions: &[Motion], size: Size, clamps: bool) -> [f32; 2] {
    let [x, y] = motions.iter().fold(point, |point, motion| motion.point(point));
    if clamps { [x.clamp(0.0, size.width as f32 - 1.0), y.clamp(0.0, size.height as f32 - 1.0)] } else { [x, y] }
}

/// Returns `float32` numbers, which may lie at any address, `N` at a time.
fn numbers<const N: usize>(data: &[u8]) -> impl Iterator<Item = [f32; N]> {
    data.chunks_exact(4 * N).map(|entry| {
        let mut numbers = [0.0_f32; N];
        bytemuck::cast_slice_mut(&mut numbers).copy_from_slice(entry);
        numbers
    })
}

fn failure(reason: String) -> Failure {
    Failure::new(Stage::Transform, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Ragged;

    fn list(dtype: DType, shape: &[usize]) -> FieldSpec {
        FieldSpec { ragged: Some(Ragged { axes: 1, capacity: 3 }), ..FieldSpec::new("x", dtype, shape) }
    }

    #[test]
    fn entries_go_with_their_boxes() {
        let mut out = vec![9; 3];
        let spec = list(DType::Int16, &[2]);
        let data: Vec<u8> = (0..12).collect();
        assert_eq!(kept_entries(&spec, &data, &[true, false, true], &mut out).unwrap(), [0, 1, 2, 3, 8, 9, 10, 11]);
        assert!(kept_entries(&spec, &[], &[], &mut out).unwrap().is_empty());
        let failure = kept_entries(&spec, &data, &[true], &mut out).unwrap_err();
        assert_eq!(failure.reason, "field `x` has 3 entries for 1 boxes");
    }

    #[test]
    fn what_is_no_place_is_refused() {
        let boxes = Places::Boxes { format: BoxFormat::Xyxy };
        let message = |spec: &FieldSpec, places| PlacesChain::compile(spec, places, &[], None).unwrap_err().to_string();
        assert!(message(&list(DType::Float64, &[4]), boxes).contains("places are float32, not float64"));
        assert!(message(&list(DType::Float32, &[3]), boxes).contains("boxes are of shape [4], not [3]"));
        assert!(message(&list(DType::Float32, &[4]), Places::KeyPoints).contains("[.., 2] or [.., 3], not [4]"));
        let fixed = FieldSpec::new("x", DType::Float32, [4]);
        assert!(message(&fixed, boxes).contains("places are a list for each sample"));
    }

    #[test]
    fn boxes_that_are_small_or_reach_out_are_removed() {
        let size = Size { height: 10, width: 20 };
        let removes = |bounds: [f32; 4]| {
            let mut flags = [true];
            Step::Sanitize { min_size: 2.0, min_area: 6.0 }.apply(&mut [bounds], size, &mut flags);
            !flags[0]
        };
        assert!(!removes([0.0, 0.0, 20.0, 10.0]));
        assert!(!removes([0.0, 0.0, 2.0, 3.0]));
        assert!(removes([0.0, 0.0, 1.9, 9.0]));
        assert!(removes([0.0, 0.0, 2.0, 2.9]));
        assert!(removes([-0.1, 0.0, 9.0, 9.0]));
        assert!(removes([0.0, 0.0, 20.1, 9.0]));
        assert!(removes([f32::NAN, 0.0, 9.0, 9.0]));
    }
}
