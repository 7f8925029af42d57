//! Ready tensors in shared bytes: a row of each array is a sample.

use std::{collections::HashSet, fmt};

use super::{ArrayField, Bytes, Source, SourceField};
use crate::error::{Error, Failure, Result};

/// C-contiguous arrays of equal length that lie in one shared region.
pub struct Arrays {
    len: u64,
    fields: Vec<SourceField>,
    places: Vec<Place>,
    bytes: Bytes,
}

/// Where an array starts and how far apart its rows are.
#[derive(Clone, Copy)]
struct Place {
    offset: usize,
    row_bytes: usize,
}

impl Arrays {
    /// Opens `len` rows of `fields`, which lie in `bytes`.
    ///
    /// # Errors
    /// [`Config`](Error::Config) where there are no rows, no fields, two fields of one name, no bytes, or
    /// arrays that reach beyond them.
    pub fn open(len: u64, fields: &[ArrayField], bytes: Option<Bytes>) -> Result<Self> {
        let bytes = bytes.ok_or_else(|| Error::config("the arrays' bytes are missing"))?;
        if len == 0 {
            return Err(Error::config("the arrays have no rows: pass at least one sample"));
        }
        if fields.is_empty() {
            return Err(Error::config("there are no arrays: pass at least one named array"));
        }
        let available = (*bytes).as_ref().len();
        let mut names = HashSet::new();
        let mut places = Vec::with_capacity(fields.len());
        for ArrayField { spec, offset } in fields {
            if !names.insert(spec.name.as_str()) {
                return Err(Error::Config(format!("two arrays are named `{}`: names must differ", spec.name)));
            }
            let row_bytes = spec.row_bytes()?;
            let end = usize::try_from(len)
                .ok()
                .and_then(|rows| rows.checked_mul(row_bytes))
                .and_then(|size| size.checked_add(*offset));
            if end.is_none_or(|end| end > available) {
                return Err(Error::Config(format!(
                    "array `{}` of {len} rows of {row_bytes} bytes at offset {offset} does not fit the {available} shared bytes",
                    spec.name
                )));
            }
            places.push(Place { offset: *offset, row_bytes });
        }
        let fields = fields.iter().map(|field| SourceField::Tensor(field.spec.clone())).collect();
        Ok(Self { len, fields, places, bytes })
    }
}

impl fmt::Debug for Arrays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrays").field("len", &self.len).field("fields", &self.fields).finish_non_exhaustive()
    }
}

impl Source for Arrays {
    fn len(&self) -> u64 {
        self.len
    }

    fn fields(&self) -> &[SourceField] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        format!("row {index}")
    }

    fn does_io(&self) -> bool {
        false
    }

    fn fetch(&self, _index: u64, record: &mut Vec<u8>) -> Result<(), Failure> {
        record.clear();
        Ok(())
    }

    fn field<'a>(&'a self, field: usize, index: u64, _record: &'a [u8]) -> &'a [u8] {
        let Place { offset, row_bytes } = self.places[field];
        let start = offset + index as usize * row_bytes;
        &(*self.bytes).as_ref()[start..start + row_bytes]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::spec::{DType, FieldSpec};

    fn field(name: &str, dtype: DType, shape: &[usize], offset: usize) -> ArrayField {
        ArrayField { spec: FieldSpec::new(name, dtype, shape), offset }
    }

    fn bytes(len: u8) -> Bytes {
        Arc::new((0..len).collect::<Vec<u8>>())
    }

    fn message(result: Result<Arrays>) -> String {
        match result {
            Err(Error::Config(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rows_are_slices_of_the_shared_bytes() {
        let fields = [field("x", DType::UInt8, &[3], 2), field("y", DType::Int16, &[], 8)];
        let arrays = Arrays::open(2, &fields, Some(bytes(12))).unwrap();
        let mut record = vec![7];
        arrays.fetch(1, &mut record).unwrap();
        assert!(record.is_empty());
        assert_eq!(arrays.field(0, 1, &record), [5, 6, 7]);
        assert_eq!(arrays.field(1, 1, &record), [10, 11]);
        assert_eq!(arrays.key(1), "row 1");
    }

    #[test]
    fn arrays_that_do_not_fit_are_refused() {
        let one = [field("x", DType::UInt8, &[3], 0)];
        assert!(message(Arrays::open(5, &one, Some(bytes(14)))).contains("does not fit the 14 shared bytes"));
        assert!(message(Arrays::open(u64::MAX, &one, Some(bytes(14)))).contains("does not fit"));
        assert!(
            message(Arrays::open(1, &[field("x", DType::UInt8, &[1], usize::MAX)], Some(bytes(1))))
                .contains("does not fit")
        );
        assert!(message(Arrays::open(0, &one, Some(bytes(14)))).contains("no rows"));
        assert!(message(Arrays::open(1, &[], Some(bytes(14)))).contains("no arrays"));
        assert!(message(Arrays::open(1, &one, None)).contains("missing"));
        let twice = [one[0].clone(), one[0].clone()];
        assert!(message(Arrays::open(1, &twice, Some(bytes(14)))).contains("two arrays are named `x`"));
    }
}
