//! Standard descriptors that are closed, kept in use for a while.

use pyo3::prelude::*;

use crate::{error::Result, sys::stdio};

/// As long as it lives, what Python opens gets none of the numbers 0 to 2, and programs that it starts have them open.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct StdioTaken {
    _taken: stdio::StdioTaken,
}

#[pymethods]
impl StdioTaken {
    /// Opens `/dev/null` for those that are closed.
    #[new]
    fn new() -> Result<Self> {
        Ok(Self { _taken: stdio::StdioTaken::take()? })
    }
}
