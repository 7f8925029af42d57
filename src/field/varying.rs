//! Arrays that vary in more axes than the first.

use serde::{Deserialize, Serialize};

use super::{
    fill::{Fill, Sample},
    kind::{FieldKind, Payload, Request, Role},
};
use crate::{
    error::{Failure, Result},
    spec::{DType, FieldSpec, Ragged},
    transform::failure,
};

/// An array whose leading axes vary from sample to sample. Its payload begins with their extents, 8 native-endian bytes
/// each; the values follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Varying {
    /// The type of its elements.
    pub dtype: DType,
    /// How many axes vary: the first ones.
    pub axes: usize,
    /// The extents of the others.
    pub shape: Vec<usize>,
    /// The most positions along the varying axes that a sample has.
    #[serde(default)]
    pub capacity: usize,
}

/// The most axes that may vary: what the header of a ragged row has room for.
const MOST_AXES: usize = crate::spec::RAGGED_HEADER / EXTENT_BYTES;
const EXTENT_BYTES: usize = 8;

/// What may be counted while rows are filled.
pub(super) const COUNTERS: &[&str] = &[];

impl Varying {
    fn spec(&self, name: &str, capacity: usize) -> FieldSpec {
        let ragged = Some(Ragged { axes: self.axes, capacity });
        FieldSpec { ragged, ..FieldSpec::new(name, self.dtype, &self.shape[..]) }
    }
}

impl FieldKind for Varying {
    fn payload(&self, _name: &str) -> Result<Payload> {
        Ok(Payload::Entries(1))
    }

    fn image(&self) -> Option<&str> {
        None
    }

    fn make_room(&mut self, longest: usize) {
        self.capacity = longest / self.spec("", 0).entry_bytes();
    }

    fn capacity_mut(&mut self) -> Option<&mut usize> {
        Some(&mut self.capacity)
    }

    fn compile(&self, request: Request<'_>) -> Result<(FieldSpec, Role)> {
        request.alone("it is no list")?;
        request.without_ops(&format!("takes images, not arrays of {} axes that vary", self.axes))?;
        if !(1..=MOST_AXES).contains(&self.axes) {
            return Err(request.refused(format!("{} axes vary, and 1 to {MOST_AXES} may", self.axes)));
        }
        let spec = self.spec(request.name, request.capacity.unwrap_or(self.capacity));
        spec.row_bytes()?;
        Ok((spec.clone(), Role::Alone(Box::new(VaryingFill { at: request.at, axes: self.axes, spec }))))
    }

    fn describe(&self, name: &str) -> String {
        self.spec(name, self.capacity).to_string()
    }
}

#[derive(Debug)]
struct VaryingFill {
    at: usize,
    axes: usize,
    spec: FieldSpec,
}

impl Fill for VaryingFill {
    fn fill(&self, sample: &mut Sample<'_>) -> Result<(), Failure> {
        let data = sample.payload(self.at);
        let (header, values) = data
            .split_at_checked(self.axes * EXTENT_BYTES)
            .ok_or_else(|| failure(format!("the record has {} bytes, and no extents", data.len())))?;
        let extents: Vec<usize> = header
            .chunks_exact(EXTENT_BYTES)
            .map(|bytes| bytes.try_into().map_or(0, |bytes| u64::from_ne_bytes(bytes) as usize))
            .collect();
        let shape = [&extents[..], &self.spec.shape].concat();
        let row = sample.begin(self.at, &self.spec, &shape)?;
        if values.len() != row.len() {
            return Err(failure(format!("the record has {} bytes, the field {}", values.len(), row.len())));
        }
        row.copy_from_slice(values);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        budget::Budget,
        error::Stage,
        field::{Compiled, Field, Recipe, Scratch, Times},
        rng::Key,
        transform::SlotRows,
    };

    #[test]
    fn an_array_lies_behind_its_extents() {
        let kind = Varying { dtype: DType::UInt8, axes: 2, shape: vec![2], capacity: 4 };
        let fill = |payload: &[u8], row: &mut [u8]| {
            let compiled = Compiled::of(&[Field::new("x", kind.clone())], &Recipe::default()).unwrap();
            let (mut scratch, mut times, mut stage) = (Scratch::default(), Times::default(), Stage::Transform);
            compiled
                .fill(&mut Sample {
                    key: Key { seed: 0, epoch: 0, index: 0 },
                    parts: &[0],
                    payload: &|_, _| payload,
                    mosaic: None,
                    rows: &mut SlotRows(&mut [row]),
                    scratch: &mut scratch,
                    times: &mut times,
                    stage: &mut stage,
                    budget: Budget::new(1 << 20),
                    functions: None,
                    learned: &mut Vec::new(),
                })
                .map(|()| compiled.specs()[0].clone())
        };
        let payload = |extents: [u64; 2], values: &[u8]| [&extents.map(u64::to_ne_bytes).concat(), values].concat();
        let mut row = vec![9; 128];
        let spec = fill(&payload([1, 3], &[1, 2, 3, 4, 5, 6]), &mut row).unwrap();
        let (shape, values) = spec.read_row(&row);
        assert_eq!((shape, &row[values]), (vec![1, 3, 2], &[1, 2, 3, 4, 5, 6][..]));
        let failed = fill(&payload([2, 3], &[0; 12]), &mut row).unwrap_err();
        assert!(failed.reason.contains("needs room for 2x3"), "{}", failed.reason);
        assert!(fill(&payload([1, 3], &[0; 5]), &mut row).is_err());
        assert!(fill(&[1], &mut row).is_err());
        let capacity: BTreeMap<_, _> = [("x".to_owned(), 9)].into();
        let given = Recipe { capacity, ..Recipe::default() };
        let compiled = Compiled::of(&[Field::new("x", kind)], &given).unwrap();
        assert_eq!(compiled.specs()[0].ragged, Some(Ragged { axes: 2, capacity: 9 }));
    }
}
