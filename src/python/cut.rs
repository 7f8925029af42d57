//! Cuts of an epoch into batches by the lengths of samples, as Python gives them.

use pyo3::{buffer::PyBuffer, prelude::*};

use crate::loader::SharedCut;

/// A cut, with the lengths of all samples.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct Cut(pub(super) SharedCut);

#[pymethods]
impl Cut {
    /// Takes what is asked for, in JSON, and the length of each sample.
    #[new]
    fn new(py: Python<'_>, options: &str, lengths: PyBuffer<u32>) -> PyResult<Self> {
        let options = super::from_json("a cut", options)?;
        let lengths = lengths.to_vec(py)?;
        Ok(Self(py.detach(|| SharedCut::new(options, lengths))?))
    }

    /// The length of the longest sample.
    #[getter]
    fn longest(&self) -> u32 {
        self.0.lengths().iter().copied().max().unwrap_or(0)
    }
}
