//! Sources that are data: a description, and the shared memory that they lie in.

use std::ffi::OsString;

use pyo3::{
    buffer::{PyBuffer, PyUntypedBuffer},
    prelude::*,
    types::PyBytes,
};
use serde::Deserialize;

use crate::{
    error::{Error, Result},
    field::Field,
    loader::{self, Runs, SharedSource},
    source::{SourceSpec, Values, values},
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

    /// Copies columns of so many rows, described in JSON, out of buffers that are C-contiguous; `classes` are the names of
    /// the classes that their labels count.
    #[staticmethod]
    fn table(
        py: Python<'_>,
        rows: u64,
        columns: &str,
        buffers: Vec<Bound<'_, PyAny>>,
        classes: Vec<String>,
    ) -> PyResult<Self> {
        let columns: Vec<Column> = super::from_json("the columns of a table", columns)?;
        let buffers = buffers.iter().map(PyUntypedBuffer::get).collect::<PyResult<Vec<_>>>()?;
        let values = |column: Column| {
            let values = column.stored.values(&column.field.name, &buffers)?;
            Ok((column.field, values))
        };
        let columns = columns.into_iter().map(values).collect::<Result<Vec<_>>>()?;
        Ok(Self(py.detach(|| SharedSource::table(rows, columns))?.with_classes(classes)))
    }

    /// Selects samples of this source, which has `of` of them, by their indices.
    fn select(&self, py: Python<'_>, of: u64, indices: PyBuffer<u64>) -> PyResult<Self> {
        let indices = indices.to_vec(py)?;
        Ok(Self(py.detach(|| self.0.select(of, &indices))?))
    }

    /// Puts sources one after the other.
    #[staticmethod]
    fn concat(sources: Vec<PyRef<'_, Self>>) -> PyResult<Self> {
        let sources: Vec<SharedSource> = sources.iter().map(|source| source.0.clone()).collect();
        Ok(Self(SharedSource::concat(&sources)?))
    }

    /// Puts the fields of another source beside those of this one.
    fn join(&self, other: &Self) -> PyResult<Self> {
        Ok(Self(self.0.join(&other.0)?))
    }

    /// Returns what a field is of all samples: bytes, one after the other, and where each sample's end.
    fn values<'py>(&self, py: Python<'py>, name: &str) -> PyResult<(Bound<'py, PyBytes>, Vec<u64>)> {
        let Values { bytes, ends } = py.detach(|| values(&*self.0.open()?, name))?;
        Ok((PyBytes::new(py, &bytes), ends))
    }

    /// Returns the fields of the source in JSON, without opening it.
    #[getter]
    fn fields(&self) -> PyResult<String> {
        Ok(serde_json::to_string(&self.0.spec().fields()).map_err(|error| Error::Protocol(error.to_string()))?)
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
    fn values<'a>(self, name: &str, buffers: &'a [PyUntypedBuffer]) -> Result<loader::Values<'a>> {
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
            Self::Rows(array) => loader::Values::Rows(bytes(array)?),
            Self::Runs(all, ends) => loader::Values::Runs(runs(all, ends)?),
            Self::Files(all, ends) => loader::Values::Files(runs(all, ends)?),
        })
    }
}
