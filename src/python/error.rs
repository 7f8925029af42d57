//! Errors as exceptions: the only place that maps one to the other.

use std::fmt::Write;

use pyo3::{
    create_exception,
    exceptions::{PyException, PyMemoryError, PyOSError, PyRuntimeError, PyValueError},
    prelude::*,
    types::PyDict,
};

use crate::error::{Error, Failure, Raised, SampleError, Stage, printable};

create_exception!(
    stokehold._native,
    DecodeError,
    PyException,
    "A sample's bytes are not what they should be, or a transform cannot take it.\n\n\
     Attributes: ``index``, ``key`` (a path where there is one), ``stage``, ``worker``, ``offset`` (a\n\
     byte in the record, where it is known), ``reason``."
);
create_exception!(
    stokehold._native,
    WorkerError,
    PyRuntimeError,
    "The pool is over or could not start, or a sample ended every worker that touched it."
);
create_exception!(
    stokehold._native,
    SlotsExhaustedError,
    PyRuntimeError,
    "The trainer holds so many batches that none can be filled, and the arena may not grow."
);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = printable(&error.to_string()).into_owned();
        match error {
            Error::Config(_) => PyValueError::new_err(message),
            Error::Memory(_) => PyMemoryError::new_err(message),
            Error::Sample(error) => sample_error(&error, message),
            Error::Worker(_) => WorkerError::new_err(message),
            Error::SlotsExhausted(_) => SlotsExhaustedError::new_err(message),
            Error::Sys { call, source } => os_error(source.raw_os_error(), call, &message),
            Error::Usage(_) | Error::Protocol(_) => PyRuntimeError::new_err(message),
            Error::Raised { what, raised } => {
                let context = Context { index: None, key: &what, stage: "begin".into(), worker: None, at: "" };
                received(&raised, &context)
            }
        }
    }
}

/// With its errno, the exception is of the right class: `FileNotFoundError`, `PermissionError` and so on.
fn os_error(errno: Option<i32>, context: String, message: &str) -> PyErr {
    match errno {
        Some(errno) => {
            let words = std::io::Error::from_raw_os_error(errno).to_string();
            let words = words.split(" (os error").next().unwrap_or_default().to_owned();
            PyOSError::new_err((errno, format!("{}: {words}", printable(&context))))
        }
        None => PyOSError::new_err(message.to_owned()),
    }
}

/// Returns the exception for bytes that belong to no sample.
pub(super) fn decode_error(failure: &Failure) -> PyErr {
    let error = DecodeError::new_err(failure.to_string());
    Python::attach(|py| {
        let value = error.value(py);
        let named = value
            .setattr("index", py.None())
            .and_then(|()| value.setattr("key", ""))
            .and_then(|()| value.setattr("stage", failure.stage.to_string()))
            .and_then(|()| value.setattr("worker", py.None()))
            .and_then(|()| value.setattr("offset", failure.offset))
            .and_then(|()| value.setattr("reason", &failure.reason));
        named.map_or_else(|failed| failed, |()| error.clone_ref(py))
    })
}

/// Where an exception of the user's code was raised.
struct Context<'a> {
    index: Option<u64>,
    key: &'a str,
    stage: String,
    worker: Option<u32>,
    /// The field and the transform, where it was one.
    at: &'a str,
}

/// Returns the failure of a sample whose code raised an exception.
pub(super) fn failed(py: Python<'_>, error: &PyErr) -> Failure {
    let errno = error
        .is_instance_of::<PyOSError>(py)
        .then(|| error.value(py).getattr("errno").ok()?.extract::<i32>().ok())
        .flatten();
    Failure { errno, ..Failure::raised(Stage::Read, raised(py, error)) }
}

/// Returns an exception as it crosses processes.
pub(super) fn raised(py: Python<'_>, error: &PyErr) -> Raised {
    let sent = || {
        let sent = py.import("stokehold.user.failures")?.call_method1("sent", (error.clone_ref(py).into_value(py),))?;
        sent.extract::<(String, String, Option<Vec<u8>>)>()
    };
    match sent() {
        Ok((line, trace, whole)) => Raised { line, trace, whole: whole.map(|bytes| hexadecimal(&bytes)) },
        Err(other) => Raised { line: error.to_string(), trace: format!("{error}\n{other}"), whole: None },
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns the exception that crossed processes.
fn received(raised: &Raised, context: &Context<'_>) -> PyErr {
    Python::attach(|py| {
        let make = || {
            let dict = PyDict::new(py);
            dict.set_item("index", context.index)?;
            dict.set_item("key", context.key)?;
            dict.set_item("stage", &context.stage)?;
            dict.set_item("worker", context.worker)?;
            dict.set_item("at", context.at)?;
            let module = py.import("stokehold.user.failures")?;
            module.call_method1("received", (&raised.line, &raised.trace, &raised.whole, dict))
        };
        make().map_or_else(|error| error, PyErr::from_value)
    })
}

fn sample_error(sample: &SampleError, message: String) -> PyErr {
    if let Some(raised) = &sample.raised {
        let SampleError { index, key, stage, worker, reason, .. } = sample;
        let at = reason.strip_suffix(&raised.line).map_or("", |at| at.trim_end_matches(": "));
        let context = Context { index: Some(*index), key, stage: stage.to_string(), worker: *worker, at };
        return received(raised, &context);
    }
    let error = match (sample.stage, sample.errno) {
        (Stage::Read, Some(errno)) => PyOSError::new_err((errno, message)),
        (Stage::Read, None) => PyOSError::new_err(message),
        (Stage::Worker, _) => WorkerError::new_err(message),
        (Stage::Decode | Stage::Transform, _) => DecodeError::new_err(message),
    };
    Python::attach(|py| {
        let value = error.value(py);
        let named = value
            .setattr("index", sample.index)
            .and_then(|()| value.setattr("key", &sample.key))
            .and_then(|()| value.setattr("stage", sample.stage.to_string()))
            .and_then(|()| value.setattr("worker", sample.worker))
            .and_then(|()| value.setattr("offset", sample.offset))
            .and_then(|()| value.setattr("reason", &sample.reason));
        named.map_or_else(|failed| failed, |()| error.clone_ref(py))
    })
}
