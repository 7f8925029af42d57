//! Sources that are data: a description, and the shared memory that they lie in.

use std::{
    ffi::OsString,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use bytemuck::AnyBitPattern;
use pyo3::{
    buffer::{PyBuffer, PyUntypedBuffer},
    exceptions::PyValueError,
    prelude::*,
    types::PyBytes,
};
use serde::Deserialize;

use crate::{
    error::{Error, Result},
    field::Field,
    index::{Cache, Progress, Take, TfRecord, WebDataset},
    loader::{Columns, Parts, Runs, Shards, SharedSource, TokenWindows, Values},
    source::{self, SourceSpec},
    spec::DType,
    stamp::Stamp,
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
    /// Bytes of shards: for each sample the shard as `uint32`, where they start in it, and how many they are as `uint64`.
    Parts(usize, usize, usize),
    /// Rows of arrays in shards: for each array its first sample, its shard, where in that it starts, and the bytes from one
    /// row to the next, as four `uint64`.
    Blocks(usize),
    /// Rows of an array that may overlap: the array, and where they lie in it, likewise.
    Windows(usize, usize),
}

/// What is made of windows of tokens.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokensDescription {
    output: DType,
    limit: u64,
    separator: Option<u32>,
    segments: bool,
}

/// A table: numbers stand for buffers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    rows: u64,
    columns: Vec<Column>,
    /// What samples are called: all names, and where each ends.
    keys: Option<(usize, usize)>,
    #[serde(default)]
    classes: Vec<String>,
    /// Whether workers map shards into their memory rather than read them.
    #[serde(default)]
    mapped: bool,
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

    /// Copies columns, described in JSON, out of buffers that are C-contiguous. `shards` are the files that columns
    /// lie in: their paths, their bytes and their times of change in nanoseconds, as they were when the parts were found.
    #[staticmethod]
    #[pyo3(signature = (description, buffers, shards = Vec::new()))]
    fn table(
        py: Python<'_>,
        description: &str,
        buffers: Vec<Bound<'_, PyAny>>,
        shards: Vec<(PathBuf, u64, i64)>,
    ) -> PyResult<Self> {
        let Description { rows, columns, keys, classes, mapped } = super::from_json("a table", description)?;
        let buffers = buffers.iter().map(PyUntypedBuffer::get).collect::<PyResult<Vec<_>>>()?;
        let values = |column: Column| {
            let values = column.stored.values(&column.field.name, &buffers)?;
            Ok((column.field, values))
        };
        let columns = columns.into_iter().map(values).collect::<Result<Vec<_>>>()?;
        let keys = keys.map(|(all, ends)| runs("the keys", &buffers, all, ends)).transpose()?;
        let table = || {
            let files = shards.into_iter().map(stamped).collect::<Result<Vec<_>>>()?;
            let shards = (!files.is_empty()).then_some(Shards { files: &files, mapped });
            SharedSource::table(Columns { len: rows, columns, shards, keys, classes })
        };
        Ok(Self(py.detach(table)?))
    }

    /// Finds the samples of tar files, described in JSON, and returns them with the number of those that were left out. `cache`
    /// is the folder of indices; `progress` is called with how many of how many files are done.
    #[staticmethod]
    fn web_dataset(
        py: Python<'_>,
        description: &str,
        cache: Option<PathBuf>,
        progress: Py<PyAny>,
    ) -> PyResult<(Self, u64)> {
        let set: WebDataset = super::from_json("a WebDataset", description)?;
        let (source, skipped) = indexed(py, progress, |told| set.index(&Cache::new(cache), told))?;
        Ok((Self(source), skipped))
    }

    /// Finds the records of `TFRecord` files, described in JSON; `cache` and `progress` as above.
    #[staticmethod]
    fn tf_record(py: Python<'_>, description: &str, cache: Option<PathBuf>, progress: Py<PyAny>) -> PyResult<Self> {
        let set: TfRecord = super::from_json("a TFRecord", description)?;
        Ok(Self(indexed(py, progress, |told| set.index(&Cache::new(cache), told))?))
    }

    /// Returns in JSON what is taken of members with this suffix where nothing else is said.
    #[staticmethod]
    fn take_of(suffix: &str) -> PyResult<String> {
        let take = Take::by_suffix(suffix).map_err(PyValueError::new_err)?;
        Ok(serde_json::to_string(&take).map_err(|error| Error::Protocol(error.to_string()))?)
    }

    /// Makes samples of the windows of tokens that this table has in its only column, as JSON describes. `documents` are, of
    /// all shards one after another, the bytes at which documents start, as `uint64`, and for each shard where these end.
    #[pyo3(signature = (description, documents = None))]
    fn tokens(
        &self,
        py: Python<'_>,
        description: &str,
        documents: Option<(PyBuffer<u64>, PyBuffer<u64>)>,
    ) -> PyResult<Self> {
        let TokensDescription { output, limit, separator, segments } = super::from_json("tokens", description)?;
        let documents = match documents {
            Some((starts, ends)) => Some((starts.to_vec(py)?, ends.to_vec(py)?)),
            None => None,
        };
        let make = || {
            let documents = documents.as_ref();
            let documents = documents.map(|(starts, ends)| Runs { bytes: bytemuck::cast_slice(starts), ends });
            self.0.tokens(TokenWindows { output, limit, separator, segments, documents })
        };
        Ok(Self(py.detach(make)?))
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
        let source::Values { bytes, ends } = py.detach(|| source::values(&*self.0.open()?, name))?;
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

/// Builds an index without the interpreter's lock, which `progress` is called with.
fn indexed<T: Send>(
    py: Python<'_>,
    progress: Py<PyAny>,
    build: impl FnOnce(Progress<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    let failed = Mutex::new(None);
    let told = |done, all| {
        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_none() {
            *failed = Python::attach(|py| progress.call1(py, (done, all)).err());
        }
    };
    let result = py.detach(|| build(&told));
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(result?),
    }
}

/// Returns the absolute path of a shard, and what the file was.
fn stamped((path, size, changed): (PathBuf, u64, i64)) -> Result<(PathBuf, Stamp)> {
    let absolute = std::path::absolute(&path);
    let path = absolute.map_err(|error| Error::sys(format!("find the shard `{}`", path.display()), error))?;
    Ok((path, Stamp { size, changed: changed as u64 }))
}

/// Returns the bytes of a buffer for `what`.
fn bytes<'a>(what: &str, buffers: &'a [PyUntypedBuffer], number: usize) -> Result<&'a [u8]> {
    let buffer = buffers.get(number).ok_or_else(|| Error::Config(format!("{what}: there is no buffer {number}")))?;
    super::buffer::bytes_of(buffer).ok_or_else(|| Error::Config(format!("{what}: buffer {number} is not C-contiguous")))
}

/// Returns the numbers in a buffer.
fn numbers<'a, T: AnyBitPattern>(what: &str, buffers: &'a [PyUntypedBuffer], number: usize) -> Result<&'a [T]> {
    let bytes = bytes(what, buffers, number)?;
    // An empty slice may lie anywhere, also where no number can.
    let numbers = if bytes.is_empty() { Ok(&[][..]) } else { bytemuck::try_cast_slice(bytes) };
    numbers.map_err(|error| Error::Config(format!("{what}: the numbers in buffer {number}: {error}")))
}

fn runs<'a>(what: &str, buffers: &'a [PyUntypedBuffer], all: usize, ends: usize) -> Result<Runs<'a>> {
    Ok(Runs { bytes: bytes(what, buffers, all)?, ends: numbers(what, buffers, ends)? })
}

impl Stored {
    /// Returns what the buffers hold of the column `name`.
    fn values<'a>(self, name: &str, buffers: &'a [PyUntypedBuffer]) -> Result<Values<'a>> {
        let what = format!("column `{name}`");
        Ok(match self {
            Self::Rows(array) => Values::Rows(bytes(&what, buffers, array)?),
            Self::Runs(all, ends) => Values::Runs(runs(&what, buffers, all, ends)?),
            Self::Files(all, ends) => Values::Files(runs(&what, buffers, all, ends)?),
            Self::Parts(shards, starts, sizes) => Values::Parts(Parts {
                shards: numbers(&what, buffers, shards)?,
                starts: numbers(&what, buffers, starts)?,
                sizes: numbers(&what, buffers, sizes)?,
            }),
            Self::Blocks(blocks) => Values::Blocks(numbers(&what, buffers, blocks)?),
            Self::Windows(array, blocks) => {
                Values::Windows(bytes(&what, buffers, array)?, numbers(&what, buffers, blocks)?)
            }
        })
    }
}
