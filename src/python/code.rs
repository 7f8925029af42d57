//! Code of the user on its way to a coordinator, and in it.

use std::{
    os::fd::{AsFd, AsRawFd, RawFd},
    sync::Arc,
};

use pyo3::{buffer::PyUntypedBuffer, prelude::*};

use super::{dataset::Dataset, error::raised, forks, functions::UserFunctions, probe};
use crate::{
    coordinator::{Begin, OpenCode, OpenedCode},
    error::{Error, Result},
    field::Recipe,
    function::Functions,
    learn::learn,
    loader::shared_pieces,
    rng::Key,
    source::Source,
    sys::{memory::SharedMemory, process, report},
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
    fn open(&self, memory: &[SharedMemory]) -> Result<OpenedCode> {
        let what = || "opening the loader's code in the coordinator".to_owned();
        let descriptors: Vec<RawFd> = memory.iter().map(|piece| piece.as_fd().as_raw_fd()).collect();
        Python::attach(|py| {
            let before = if matches!(self, Self::Given(_)) { Vec::new() } else { process::descriptors() };
            let code = match self {
                Self::By(open) => open.bind(py).call1((descriptors,)),
                Self::Given(code) => begun(py, code),
            };
            let code = code.map_err(|error| Error::Raised { what: what(), raised: Box::new(raised(py, &error)) })?;
            let mut descriptors = process::descriptors();
            descriptors.retain(|fd| !before.contains(fd));
            let functions = UserFunctions::of(&code, false)
                .map_err(|error| Error::Raised { what: what(), raised: Box::new(raised(py, &error)) })?;
            let functions: Arc<dyn Functions> = Arc::new(functions);
            let has_dataset = code.getattr("dataset").is_ok_and(|dataset| !dataset.is_none());
            let source = if has_dataset {
                Some(Arc::new(Dataset::probed(py, &code, descriptors)?) as Arc<dyn Source>)
            } else {
                None
            };
            Ok(OpenedCode { source, functions })
        })
    }

    fn learn(
        &self,
        source: &Arc<dyn Source>,
        recipe: Recipe,
        functions: &Arc<dyn Functions>,
        key: Key,
    ) -> Result<Recipe> {
        let learned = probe::in_child("the functions of transforms", || {
            let recipe = learn(source, recipe, functions, key)?;
            serde_json::to_string(&recipe).map_err(|error| Error::Protocol(error.to_string()))
        })?;
        serde_json::from_str(&learned)
            .map_err(|error| Error::Protocol(format!("what was learned of functions: {error}")))
    }

    fn keeps_descriptors(&self) -> bool {
        matches!(self, Self::Given(_))
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

/// Tells the trainer something, in one line.
#[pyfunction]
#[pyo3(name = "report")]
pub(super) fn report_line(line: &str) {
    report::report(line);
}
