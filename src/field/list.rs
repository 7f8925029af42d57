//! Lists whose length varies from sample to sample.

use serde::{Deserialize, Serialize};

use super::{
    called::called,
    fill::{Fill, GoWithBoxes, Kept, Sample},
    kind::{FieldKind, Payload, Request, Role},
};
use crate::{
    error::{Failure, Result},
    function::ArraySpec,
    spec::{DType, FieldSpec, Ragged},
    transform::{self, Between, Moves, failure},
};

/// Entries of fixed shape, any number a sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The type of an entry's elements.
    pub dtype: DType,
    /// The shape of one entry.
    pub shape: Vec<usize>,
    /// The most entries that a sample has.
    #[serde(default)]
    pub capacity: usize,
}

/// What may be counted while rows are filled.
pub(super) const COUNTERS: &[&str] = &[];

impl FieldKind for List {
    fn payload(&self, name: &str) -> Result<Payload> {
        Payload::entries(name, self.dtype, &self.shape)
    }

    fn image(&self) -> Option<&str> {
        None
    }

    fn make_room(&mut self, longest: usize) {
        self.capacity = longest / spec("", self.dtype, &self.shape, 0).entry_bytes();
    }

    fn capacity_mut(&mut self) -> Option<&mut usize> {
        Some(&mut self.capacity)
    }

    fn compile(&self, request: Request<'_>) -> Result<(FieldSpec, Role)> {
        compile_list(spec(request.name, self.dtype, &self.shape, self.capacity * request.parts), request)
    }

    fn describe(&self, name: &str) -> String {
        spec(name, self.dtype, &self.shape, self.capacity).to_string()
    }
}

impl Payload {
    /// Returns the payload of a list of such entries.
    pub(super) fn entries(name: &str, dtype: DType, shape: &[usize]) -> Result<Self> {
        match FieldSpec::new(name, dtype, shape).row_bytes()? {
            0 => Err(crate::error::Error::Config(format!("column `{name}` has entries of no size"))),
            entry => Ok(Self::Entries(entry)),
        }
    }
}

/// Returns the spec of a list.
pub(super) fn spec(name: &str, dtype: DType, shape: &[usize], capacity: usize) -> FieldSpec {
    FieldSpec { ragged: Some(Ragged { axes: 1, capacity }), ..FieldSpec::new(name, dtype, shape) }
}

/// Compiles a field of this spec, whose payload is its entries.
pub(super) fn compile_list(spec: FieldSpec, request: Request<'_>) -> Result<(FieldSpec, Role)> {
    let are = format!("lists of {} of shape {:?}", spec.dtype, spec.shape);
    compile_lists(spec, request, &are)
}

/// As [`compile_list`], of lists that are something in the words of an error.
pub(super) fn compile_lists(mut spec: FieldSpec, request: Request<'_>, are: &str) -> Result<(FieldSpec, Role)> {
    let takes = format!("takes images of uint8, uint16 or float32 and of one shape, [H, W] or [H, W, C], not {are}");
    if request.ops.first().is_some_and(|op| matches!(op.role, transform::Role::Call(_))) {
        request.alone("a function may give other entries than it gets")?;
        let shape = [&[None], &spec.shape.iter().copied().map(Some).collect::<Vec<_>>()[..]].concat();
        return called(request, Between { spec: ArraySpec { dtype: spec.dtype, shape }, layout: None });
    }
    request.without_ops(&takes)?;
    if let (Some(ragged), Some(capacity)) = (&mut spec.ragged, request.capacity) {
        ragged.capacity = capacity;
    }
    spec.row_bytes()?;
    let fill = ListFill { at: request.at, spec: spec.clone() };
    Ok((spec, if request.goes_with_boxes { Role::Entries(Box::new(fill)) } else { Role::Alone(Box::new(fill)) }))
}

#[derive(Debug)]
struct ListFill {
    at: usize,
    spec: FieldSpec,
}

impl Fill for ListFill {
    fn fill(&self, sample: &mut Sample<'_>) -> Result<(), Failure> {
        let data = sample.payload(self.at);
        self.write(data, sample)
    }
}

impl GoWithBoxes for ListFill {
    fn fill(&self, sample: &mut Sample<'_>, moves: &Moves, kept: &Kept) -> Result<(), Failure> {
        let mut list = sample.scratch.take::<Vec<u8>>();
        list.clear();
        for part in 0..moves.parts() {
            kept_entries(&self.spec, sample.payload_of(part, self.at), kept.part(part), &mut list)
                .map_err(|failure| sample.in_part(part, failure))?;
        }
        let written = self.write(&list, sample);
        sample.scratch.put(list);
        written
    }
}

impl ListFill {
    fn write(&self, data: &[u8], sample: &mut Sample<'_>) -> Result<(), Failure> {
        let row = begin_list(self.at, &self.spec, data.len() / self.spec.entry_bytes(), sample)?;
        if data.len() != row.len() {
            return Err(failure(format!("the record has {} bytes, the field {}", data.len(), row.len())));
        }
        row.copy_from_slice(data);
        Ok(())
    }
}

/// Returns the place for a list's entries.
fn begin_list<'s>(
    at: usize,
    spec: &FieldSpec,
    entries: usize,
    sample: &'s mut Sample<'_>,
) -> Result<&'s mut [u8], Failure> {
    if spec.shape.is_empty() {
        return sample.begin(at, spec, &[entries]);
    }
    let shape = [&[entries], &spec.shape[..]].concat();
    sample.begin(at, spec, &shape)
}

/// Adds the entries of a list that are `kept` to `out`: those that go with the boxes that are left.
///
/// # Errors
/// A [`Failure`] of the transform stage where the list has not as many entries as there were boxes.
pub(super) fn kept_entries(spec: &FieldSpec, data: &[u8], kept: &[bool], out: &mut Vec<u8>) -> Result<(), Failure> {
    let entry = spec.entry_bytes();
    if data.len() != kept.len() * entry {
        let (name, entries, boxes) = (&spec.name, data.len() / entry, kept.len());
        return Err(failure(format!("field `{name}` has {entries} entries for {boxes} boxes")));
    }
    for (entry, _) in data.chunks_exact(entry).zip(kept).filter(|(_, kept)| **kept) {
        out.extend_from_slice(entry);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_go_with_their_boxes() {
        let mut out = vec![];
        let spec = spec("x", DType::Int16, &[2], 3);
        let data: Vec<u8> = (0..12).collect();
        kept_entries(&spec, &data, &[true, false, true], &mut out).unwrap();
        assert_eq!(out, [0, 1, 2, 3, 8, 9, 10, 11]);
        kept_entries(&spec, &[], &[], &mut out).unwrap();
        assert_eq!(out.len(), 8);
        let failure = kept_entries(&spec, &data, &[true], &mut out).unwrap_err();
        assert_eq!(failure.reason, "field `x` has 3 entries for 1 boxes");
    }
}
