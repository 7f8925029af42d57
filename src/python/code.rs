//! Code of the user on its way to a coordinator, and in it.

use std::{
    os::fd::{AsFd, AsRawFd, RawFd},
    sync::Arc,
};

use pyo3::{buffer::PyUntypedBuffer, prelude::*};

use super::{
    dataset::{Dataset, enter, learn},
    error::raised,
    forks,
    functions::UserFunctions,
};
use crate::{
    coordinator::Begin,
    error::{Error, Result},
    function::Functions,
    loader::shared_pieces,
    source::Source,
    sys::{memory::SharedMemory, process, report},
    worker::{OpenCode, OpenedCode},
};

/// Copies the pickle of code, and the buffers that lie apart, to shared memory.
pub(super) fn shared(py: Python<'_>, pickle: &[u8], buffers: &[PyUntypedBuffer]) -> PyResult<Vec<Arc<SharedMemory>>> {
    let parts: Option<Vec<&[u8]>> = buffers.iter().map(super::buffer::bytes_of).collect();
    let parts = parts.ok_or_else(|| Error::config("a buffer of the loader's code is not contiguous"))?;
    Ok(py.detach(|| shared_pieces(pickle, &parts))?)
}

/// Opens code of Python.
#[derive(Debug)]
pub(super) enum Opener {
    /// By a function that gets the descriptors of the memory.
    By(Py<PyAny>),
    /// It is there already: this process is a fork of the trainer.
    Given(Py<PyAny>),
}

impl OpenCode for Opener {
    fn open(&self, memory: &[Arc<SharedMemory>]) -> Result<Box<dyn OpenedCode>> {
        let descriptors: Vec<RawFd> = memory.iter().map(|piece| piece.as_fd().as_raw_fd()).collect();
        Python::attach(|py| {
            let before = if matches!(self, Self::Given(_)) { Vec::new() } else { process::descriptors() };
            let code = match self {
                Self::By(open) => open.bind(py).call1((descriptors,)),
                Self::Given(code) => begun(py, code),
            };
            let code = code.map_err(|error| {
                let what = "opening the loader's code".to_owned();
                Error::Raised { what, raised: Box::new(raised(py, &error)) }
            })?;
            let mut descriptors = process::descriptors();
            descriptors.retain(|fd| !before.contains(fd));
            Ok(Box::new(Opened { code: code.unbind(), descriptors }) as Box<dyn OpenedCode>)
        })
    }

    fn known(&self, facts: &str) -> Result<Arc<dyn Source>> {
        super::dataset::known(facts)
    }

    fn keeps_descriptors(&self) -> bool {
        matches!(self, Self::Given(_))
    }
}

/// Code that is ready to make samples.
#[derive(Debug)]
struct Opened {
    code: Py<PyAny>,
    /// What it has opened.
    descriptors: Vec<RawFd>,
}

impl OpenedCode for Opened {
    fn functions(&self) -> Result<Arc<dyn Functions>> {
        Python::attach(|py| {
            let functions = UserFunctions::of(self.code.bind(py), false).map_err(|error| {
                let what = "looking at functions".to_owned();
                Error::Raised { what, raised: Box::new(raised(py, &error)) }
            })?;
            Ok(Arc::new(functions) as Arc<dyn Functions>)
        })
    }

    fn learn(&self) -> Result<String> {
        Python::attach(|py| {
            // Such a process is as a worker is, its first one: a dataset may need that.
            let code = self.code.bind(py);
            enter(py, &self.code, 0).and_then(|()| learn(py, code)).map_err(|error| {
                let what = "trying samples of the dataset".to_owned();
                Error::Raised { what, raised: Box::new(raised(py, &error)) }
            })
        })
    }

    fn source(&self, facts: &str) -> Result<Arc<dyn Source>> {
        Python::attach(|py| {
            let dataset = Dataset::new(py, self.code.bind(py), facts, self.descriptors.clone()).map_err(|error| {
                let what = "opening the dataset".to_owned();
                Error::Raised { what, raised: Box::new(raised(py, &error)) }
            })?;
            Ok(Arc::new(dataset) as Arc<dyn Source>)
        })
    }
}

/// Begins a coordinator that is a fork of the trainer.
fn begun<'py>(py: Python<'py>, code: &Py<PyAny>) -> PyResult<Bound<'py, PyAny>> {
    py.import("stokehold.user.begin")?.call_method1("forked", (code,))
}

/// Serves the trainer at the other end of standard input, as its coordinator, and ends this process. `open_code` returns the
/// code behind descriptors.
#[pyfunction]
pub(super) fn serve_code(open_code: Py<PyAny>) {
    forks::tell_of_forks();
    let opener = Opener::By(open_code);
    process::exit_now(crate::loader::serve_stdin(&Begin::Code(&opener)));
}

/// Serves the coordinator at the other end of standard input, as a worker that was not forked, and ends this process.
#[pyfunction]
pub(super) fn serve_worker(py: Python<'_>, open_code: Py<PyAny>) {
    let opener = Opener::By(open_code);
    let status = py.detach(|| crate::loader::serve_posted_stdin(&opener));
    process::exit_now(status);
}

/// Returns the signal at which a worker is to report what its code is doing, and the descriptor to write that to.
#[pyfunction]
pub(super) fn stack_signal() -> (i32, Option<RawFd>) {
    (process::stack_signal(), report::descriptor())
}

/// Tells the trainer something, in one line.
#[pyfunction]
#[pyo3(name = "report")]
pub(super) fn report_line(line: &str) {
    report::report(line);
}
