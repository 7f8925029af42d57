//! Sources that are data: a description, and the shared memory that they lie in.

use std::ffi::OsString;

use pyo3::{buffer::PyUntypedBuffer, prelude::*, types::PyBytes};
use serde::Deserialize;

use crate::{
    error::{Error, Result},
    field::Field,
    loader::{Runs, SharedSource, Values},
    source::SourceSpec,
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

/// A source that is data.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct Source(pub(super) SharedSource);

#[pymethods]
impl Source {
    /// Takes a source in JSON that lies in no memory. It is not opened yet.
    #[new]
    fn new(spec: &str) -> PyResult<Self> {
        Ok(Self(super::from_json::<SourceSpec>("a source", spec)?.into()))
    }

    /// Copies columns of so many rows, described in JSON, out of buffers that are C-contiguous.
    #[staticmethod]
    fn table(py: Python<'_>, rows: u64, columns: &str, buffers: Vec<Bound<'_, PyAny>>) -> PyResult<Self> {
        let columns: Vec<Column> = super::from_json("the columns of a table", columns)?;
        let buffers = buffers.iter().map(PyUntypedBuffer::get).collect::<PyResult<Vec<_>>>()?;
        let values = |column: Column| {
            let values = column.stored.values(&column.field.name, &buffers)?;
            Ok((column.field, values))
        };
        let columns = columns.into_iter().map(values).collect::<Result<Vec<_>>>()?;
        Ok(Self(py.detach(|| SharedSource::table(rows, columns))?))
    }

    /// Opens the source, and returns its number of samples, its fields in JSON and its classes.
    fn describe(&self, py: Python<'_>) -> PyResult<(u64, String, Vec<OsString>)> {
        let source = py.detach(|| self.0.open())?;
        let fields = serde_json::to_string(source.fields()).map_err(|error| Error::Protocol(error.to_string()))?;
        Ok((source.len(), fields, source.classes().to_vec()))
    }

    /// Returns the source in JSON, and a copy of each piece of memory that it lies in.
    fn parts<'py>(&self, py: Python<'py>) -> PyResult<(String, Vec<Bound<'py, PyBytes>>)> {
        let spec = serde_json::to_string(self.0.spec()).map_err(|error| Error::Protocol(error.to_string()))?;
        let memory = self.0.bytes();
        Ok((spec, memory.iter().map(|bytes| PyBytes::new(py, (**bytes).as_ref())).collect()))
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
