//! Tables of NumPy arrays.

use pyo3::{buffer::PyUntypedBuffer, prelude::*, types::PyBytes};
use serde::Deserialize;

use crate::{
    error::{Error, Result},
    field::Field,
    loader::{Runs, SharedArrays, Values},
};

/// A column, and what holds it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    field: Field,
    stored: Stored,
}

/// How a column is stored, and in which of the buffers: by their numbers.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored {
    /// A row of a C-contiguous array for each sample.
    Rows(usize),
    /// A list's entries, or a file's bytes, for each sample: all of them, and where each sample's end, one `uint64` a sample.
    Runs(usize, usize),
    /// The path of a file for each sample, likewise.
    Files(usize, usize),
}

/// Columns in shared memory, copied once.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct Table(pub(super) SharedArrays);

#[pymethods]
impl Table {
    /// Copies columns of so many rows, described in JSON, out of buffers that are C-contiguous.
    #[new]
    fn new(py: Python<'_>, rows: u64, columns: &str, buffers: Vec<Bound<'_, PyAny>>) -> PyResult<Self> {
        let columns: Vec<Column> = super::from_json("the columns of a table", columns)?;
        let buffers = buffers.iter().map(PyUntypedBuffer::get).collect::<PyResult<Vec<_>>>()?;
        let values = |column: Column| {
            let values = column.stored.values(&column.field.name, &buffers)?;
            Ok((column.field, values))
        };
        let columns = columns.into_iter().map(values).collect::<Result<Vec<_>>>()?;
        Ok(Self(py.detach(|| SharedArrays::table(rows, columns))?))
    }

    /// Returns the table as a source in JSON, and a copy of the bytes that it is in.
    fn parts<'py>(&self, py: Python<'py>) -> PyResult<(String, Bound<'py, PyBytes>)> {
        let spec = serde_json::to_string(&self.0.spec()).map_err(|error| Error::Protocol(error.to_string()))?;
        Ok((spec, PyBytes::new(py, (*self.0.bytes()).as_ref())))
    }

    /// The number of rows.
    #[getter]
    fn rows(&self) -> u64 {
        self.0.rows()
    }
}

impl Stored {
    /// Returns what the buffers hold of the column `name`.
    fn values<'a>(self, name: &str, buffers: &'a [PyUntypedBuffer]) -> Result<Values<'a>> {
        let bytes = |number: usize| {
            let buffer = buffers.get(number);
            let buffer =
                buffer.ok_or_else(|| Error::Config(format!("column `{name}`: there is no buffer {number}")))?;
            super::buffer::bytes_of(buffer)
                .ok_or_else(|| Error::Config(format!("column `{name}`: buffer {number} is not C-contiguous")))
        };
        let runs = |all, ends| -> Result<Runs<'_>> {
            let (all, end_bytes) = (bytes(all)?, bytes(ends)?);
            // An empty slice may lie anywhere, also where no u64 can.
            let ends = if end_bytes.is_empty() { Ok(&[][..]) } else { bytemuck::try_cast_slice(end_bytes) };
            let ends =
                ends.map_err(|error| Error::Config(format!("column `{name}`: the ends of its runs: {error}")))?;
            Ok(Runs { bytes: all, ends })
        };
        Ok(match self {
            Self::Rows(array) => Values::Rows(bytes(array)?),
            Self::Runs(all, ends) => Values::Runs(runs(all, ends)?),
            Self::Files(all, ends) => Values::Files(runs(all, ends)?),
        })
    }
}
