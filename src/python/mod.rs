//! The Python extension module `stokehold._native`: converts, detaches from the interpreter, delegates.
//!
//! Nothing here takes a decision. What Python users see is made of these parts in `python/stokehold`.

mod arrays;
mod batch;
mod buffer;
mod code;
mod cut;
mod dataset;
mod error;
mod forks;
mod functions;
mod images;
mod loader;
mod memory;
mod order;
mod payloads;
mod pipeline;
mod posture;
mod randomness;
mod rows;
mod slots;
mod source;
mod stdio;

use std::{
    ffi::{OsString, c_int},
    path::PathBuf,
};

use pyo3::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    error::Error,
    panics,
    source::{ImageFolder, Source},
    sys::report,
    transform::{BatchTransform, Transform},
};

/// The native half of stokehold.
#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use super::{
        auto_workers,
        batch::Batch,
        buffer::Field,
        check_batch_transform, check_transform,
        code::{report_line, serve_code, serve_worker, stack_signal},
        cut::Cut,
        error::{DecodeError, SlotsExhaustedError, WorkerError},
        forks::leave_pool,
        image_folder_samples,
        images::decode_jpeg,
        init,
        loader::Loader,
        memory::{Memory, nameless_file},
        order::Order,
        payloads::Payloads,
        pipeline::Pipeline,
        posture::Posture,
        print_line, probe_parquet,
        randomness::Randomness,
        rows::{copy_row, copy_rows},
        serve,
        slots::{Slot, Slots},
        source::Source,
        stdio::StdioTaken,
        unpack_zstd,
    };

    #[pymodule_init]
    fn add_version(module: &super::Bound<'_, super::PyModule>) -> super::PyResult<()> {
        // The hook of the standard library that is linked into this module; it is nobody else's.
        super::panics::report_with(super::report::report);
        super::PyModuleMethods::add(module, "__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// Reads a value from JSON. An error has no line and column, since nobody wrote the text.
fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> PyResult<T> {
    let value = serde_json::from_str::<Value>(text).and_then(serde_json::from_value);
    Ok(value.map_err(|error| Error::Config(format!("not {what}: {error}")))?)
}

/// Reads the description of a transform, whose arguments Python has checked as far as their types say it. An error names
/// the first argument that is of another form.
fn described<T: DeserializeOwned>(description: &str) -> PyResult<T> {
    let value: Value = from_json("a description", description)?;
    serde_json::from_value(value.clone()).map_err(|_| Error::Config(refused::<T>(&value)).into())
}

fn refused<T: DeserializeOwned>(value: &Value) -> String {
    let arguments = value.as_object().cloned().unwrap_or_default();
    let name = arguments.get("op").and_then(Value::as_str).unwrap_or("a transform").to_owned();
    // Without it, all is well, or it is the one that is missing.
    let is_wrong = |argument: &String| {
        let mut others = arguments.clone();
        others.remove(argument);
        serde_json::from_value::<T>(others.into()).map_or_else(|e| e.to_string().starts_with("missing field"), |_| true)
    };
    match arguments.keys().filter(|argument| *argument != "op").find(|argument| is_wrong(argument)) {
        Some(argument) => {
            format!("{name}: {argument} cannot be {}: help({name}) says what it takes", arguments[argument])
        }
        None => format!("{name}: the arguments cannot be {value}: help({name}) says what it takes"),
    }
}

/// Checks a transform's description; raises `ValueError` if it is none, or its values cannot work.
#[pyfunction]
fn check_transform(description: &str) -> PyResult<()> {
    Ok(described::<Transform>(description)?.validate()?)
}

/// Checks the description of a transform of batches; raises `ValueError` if it is none, or its values cannot work.
#[pyfunction]
fn check_batch_transform(description: &str) -> PyResult<()> {
    Ok(described::<BatchTransform>(description)?.validate()?)
}

/// Returns how many workers suit one of `ranks` trainers on this machine: processors by affinity and quota, shared.
#[pyfunction]
fn auto_workers(ranks: usize) -> usize {
    crate::loader::auto_workers(ranks)
}

/// Returns the paths and the labels of the samples of an image folder, and the names of its classes; `cache` is the folder
/// in which listings are kept.
#[pyfunction]
fn image_folder_samples(
    py: Python<'_>,
    root: PathBuf,
    cache: Option<PathBuf>,
) -> PyResult<(Vec<OsString>, Vec<i64>, Vec<OsString>)> {
    Ok(py.detach(|| {
        let folder = ImageFolder::open(&root, cache.as_deref())?;
        let (paths, labels) = folder.samples().map(|(path, label)| (path.into_os_string(), label)).unzip();
        Ok::<_, Error>((paths, labels, folder.classes().to_vec()))
    })?)
}

/// Unpacks a file of Zstandard frames to a new file of `size` bytes, which is whole or not there.
#[pyfunction]
fn unpack_zstd(py: Python<'_>, source: PathBuf, to: PathBuf, size: u64) -> PyResult<()> {
    Ok(py.detach(|| crate::source::unpack_zstd(&source, &to, size))?)
}

/// Reads the footers of Parquet files. `request` says in JSON what is to be read of them; returns the source in JSON.
#[pyfunction]
fn probe_parquet(py: Python<'_>, request: &str) -> PyResult<String> {
    #[cfg(feature = "parquet")]
    {
        let request: crate::source::ParquetRequest = from_json("what to read of Parquet files", request)?;
        let spec = crate::source::SourceSpec::Parquet(py.detach(|| request.probe())?);
        Ok(serde_json::to_string(&spec).map_err(|error| Error::Protocol(error.to_string()))?)
    }
    #[cfg(not(feature = "parquet"))]
    {
        let _ = (py, request);
        Err(Error::config("this build of stokehold reads no Parquet: it was built without the feature `parquet`")
            .into())
    }
}

/// Writes a line to a descriptor of somebody else, unless that would have to wait.
#[pyfunction]
fn print_line(descriptor: c_int, line: &str) {
    report::print(descriptor, line);
}

/// Serves the trainer at the other end of standard input, as its coordinator, and ends this process.
#[pyfunction]
fn serve() {
    crate::sys::process::exit_now(crate::loader::serve_stdin(&crate::coordinator::Begin::Described));
}

/// Does the same if this process was started to be a coordinator; else returns at once.
#[pyfunction]
fn init() {
    crate::loader::init();
}
