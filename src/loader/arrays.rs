//! Arrays of the trainer, put where workers can see them.

#![expect(unsafe_code, reason = "copies the caller's arrays into memory that nobody else has yet")]

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    shm::SharedBytes,
    source::{ArrayField, Bytes, Column, ColumnKind, List, SourceSpec, Table, Within},
    spec::{DType, FieldSpec},
    sys::{limits, memory::SharedMemory},
};

const ALIGN: usize = 64;

/// Arrays in shared memory: a source whose samples are the rows.
///
/// The workers belong to a process that was started clean, so they cannot see the trainer's own arrays; they are
/// copied once, here, and may be dropped afterwards. Loaders over the same value share the copy.
#[derive(Clone, Debug)]
pub struct SharedArrays {
    len: u64,
    spec: SourceSpec,
    memory: Arc<SharedMemory>,
}

/// A column to be copied: its values, C-contiguous.
#[derive(Clone, Debug)]
pub enum Values<'a> {
    /// Paths of image files.
    Images(Runs<'a>),
    /// Paths of mask files, and the column of their images.
    Masks(Runs<'a>, String),
    /// A row of this dtype and shape for each sample.
    Array(DType, Vec<usize>, &'a [u8]),
    /// Entries of this dtype and shape, for each sample as many as it has; with an image if they are boxes or
    /// keypoints.
    Lists(DType, Vec<usize>, Runs<'a>, Option<Within>),
}

/// Runs of bytes of varying length, one for each sample.
#[derive(Clone, Copy, Debug)]
pub struct Runs<'a> {
    /// The runs, one after the other.
    pub bytes: &'a [u8],
    /// Where each run ends.
    pub ends: &'a [u64],
}

impl SharedArrays {
    /// Copies arrays of `len` rows each, given with the spec of one row and as C-contiguous bytes.
    ///
    /// # Errors
    /// [`Error::Config`] for no arrays, no rows, a name given twice, or bytes of another size than the spec says;
    /// [`Error::Memory`] where the copy does not fit under a limit of this process.
    pub fn copy(len: u64, arrays: &[(FieldSpec, &[u8])]) -> Result<Self> {
        if arrays.is_empty() || len == 0 {
            return Err(Error::config("arrays need at least one field and one row"));
        }
        let mut fields: Vec<ArrayField> = Vec::with_capacity(arrays.len());
        let mut end = 0_usize;
        for (spec, bytes) in arrays {
            let rows = usize::try_from(len).ok().and_then(|len| spec.row_bytes().ok()?.checked_mul(len));
            if rows != Some(bytes.len()) {
                let (name, got) = (&spec.name, bytes.len());
                return Err(Error::Config(format!(
                    "array `{name}` of {len} rows has {got} bytes, which do not fit {spec}"
                )));
            }
            if fields.iter().any(|field| field.spec.name == spec.name) {
                return Err(Error::Config(format!("array `{}` is given twice", spec.name)));
            }
            fields.push(ArrayField { spec: spec.clone(), offset: end });
            end = (end + bytes.len()).next_multiple_of(ALIGN);
        }
        let parts =
            fields.iter().map(|field| field.offset).zip(arrays.iter().map(|(_, bytes)| *bytes)).collect::<Vec<_>>();
        let memory = copy_to_shared(&parts, end)?;
        Ok(Self { len, spec: SourceSpec::Arrays { len, fields }, memory })
    }

    /// Copies columns of `len` rows each, given by name: the source is a [`Table`](crate::source::Table).
    ///
    /// # Errors
    /// [`Error::Config`] for columns that no table can be made of; [`Error::Memory`] where the copy does not fit under
    /// a limit of this process.
    pub fn table(len: u64, columns: &[(String, Values<'_>)]) -> Result<Self> {
        let (mut parts, mut end): (Vec<(usize, &[u8])>, usize) = (Vec::new(), 0);
        let mut add = |bytes| {
            let offset = end;
            parts.push((offset, bytes));
            end = (end + bytes.len()).next_multiple_of(ALIGN);
            offset
        };
        let runs = |runs: &Runs<'_>, offset: usize, ends: usize| {
            let starts = std::iter::once(&0).chain(runs.ends);
            let sizes = starts.zip(runs.ends).map(|(start, end)| end.saturating_sub(*start));
            List { offset, ends, longest: sizes.max().unwrap_or(0) as usize }
        };
        let mut placed_columns = Vec::with_capacity(columns.len());
        for (name, values) in columns {
            let kind = match values {
                Values::Images(paths) => {
                    ColumnKind::Images { paths: runs(paths, add(paths.bytes), add(bytemuck::cast_slice(paths.ends))) }
                }
                Values::Masks(paths, image) => ColumnKind::Masks {
                    paths: runs(paths, add(paths.bytes), add(bytemuck::cast_slice(paths.ends))),
                    image: image.clone(),
                },
                Values::Array(dtype, shape, bytes) => {
                    ColumnKind::Array { dtype: *dtype, shape: shape.clone(), offset: add(bytes) }
                }
                Values::Lists(dtype, shape, values, within) => ColumnKind::Lists {
                    dtype: *dtype,
                    shape: shape.clone(),
                    values: runs(values, add(values.bytes), add(bytemuck::cast_slice(values.ends))),
                    within: within.clone(),
                },
            };
            placed_columns.push(Column { name: name.clone(), kind });
        }
        let memory = copy_to_shared(&parts, end)?;
        // Opened once here, so that columns that are none raise where they are made.
        Table::open(len, &placed_columns, Some(bytes_of(&memory)))?;
        Ok(Self { len, spec: SourceSpec::Table { len, columns: placed_columns }, memory })
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.len
    }

    /// Returns the source as data.
    pub fn spec(&self) -> SourceSpec {
        self.spec.clone()
    }

    /// Returns the copy, for a source in this process.
    pub(super) fn bytes(&self) -> Bytes {
        bytes_of(&self.memory)
    }

    pub(super) fn memory(&self) -> &Arc<SharedMemory> {
        &self.memory
    }
}

/// Copies parts to their offsets in new memory of `len` bytes.
fn copy_to_shared(parts: &[(usize, &[u8])], len: usize) -> Result<Arc<SharedMemory>> {
    limits::check_memory(len as u64, "the shared copy of the arrays")?;
    let memory = SharedMemory::create("stokehold-arrays", len.max(1))?;
    for (offset, bytes) in parts {
        assert!(offset.checked_add(bytes.len()).is_some_and(|end| end <= len), "a part lies outside");
        // SAFETY: the memory was made just now for len bytes, nobody else has it, and the part lies in it.
        unsafe { memory.as_mut_ptr().add(*offset).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
    Ok(Arc::new(memory))
}

fn bytes_of(memory: &Arc<SharedMemory>) -> Bytes {
    // SAFETY: SharedArrays writes the memory only before anybody else can see it.
    Arc::new(unsafe { SharedBytes::new(Arc::clone(memory)) })
}
