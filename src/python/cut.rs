//! Cuts of an epoch into batches, as Python gives them.

use pyo3::{buffer::PyBuffer, prelude::*};

use crate::{loader::SharedCut, sampler::MultiScale};

/// A cut, with the lengths of all samples where these decide.
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

    /// Returns the cut into batches of several variants, of so many samples each, `repeat` of which follow each other.
    #[staticmethod]
    fn multi_scale(batch_sizes: Vec<u32>, repeat: u32) -> PyResult<Self> {
        Ok(Self(SharedCut::multi_scale(MultiScale::new(batch_sizes, repeat)?)))
    }

    /// The length of the longest sample; 0 where no lengths decide.
    #[getter]
    fn longest(&self) -> u32 {
        self.0.lengths().iter().copied().max().unwrap_or(0)
    }
}
