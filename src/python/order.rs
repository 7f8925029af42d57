//! Orders of the samples of an epoch, as Python gives them.

use pyo3::{buffer::PyBuffer, prelude::*};

use crate::{error::Result, loader::SharedOrder, sampler::Pacing};

/// An order, with its table where workers can see it.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct Order(pub(super) SharedOrder);

/// Makes an order without the interpreter's lock.
fn made(py: Python<'_>, make: impl FnOnce() -> Result<SharedOrder> + Send) -> PyResult<Order> {
    Ok(Order(py.detach(make)?))
}

#[pymethods]
impl Order {
    /// Draws samples by weight.
    #[staticmethod]
    fn weighted(py: Python<'_>, weights: PyBuffer<f64>, num_samples: Option<u64>, replacement: bool) -> PyResult<Self> {
        let weights = weights.to_vec(py)?;
        let draw = if replacement { SharedOrder::weighted } else { SharedOrder::weighted_once };
        made(py, || draw(&weights, num_samples))
    }

    /// Draws the easiest samples first; by the square root, or else evenly.
    #[staticmethod]
    fn curriculum(
        py: Python<'_>,
        difficulty: PyBuffer<f64>,
        by_root: bool,
        start: f64,
        epochs: f64,
        num_samples: Option<u64>,
    ) -> PyResult<Self> {
        let difficulty = difficulty.to_vec(py)?;
        let pacing = if by_root { Pacing::Root } else { Pacing::Linear };
        made(py, || SharedOrder::curriculum(&difficulty, pacing, (start, epochs), num_samples))
    }

    /// Gives each sample of a shuffled order some times in a row.
    #[staticmethod]
    fn repeated(py: Python<'_>, times: u64, num_samples: Option<u64>) -> PyResult<Self> {
        made(py, || SharedOrder::repeated(times, num_samples))
    }

    /// Gives the samples of these indices.
    #[staticmethod]
    fn explicit(py: Python<'_>, indices: PyBuffer<u64>) -> PyResult<Self> {
        let indices = indices.to_vec(py)?;
        made(py, || SharedOrder::explicit(&indices))
    }

    /// Gives the samples of so many indices, which each epoch has of its own.
    #[staticmethod]
    fn listed(py: Python<'_>, indices: u64) -> PyResult<Self> {
        made(py, || SharedOrder::listed(indices))
    }

    /// Mixes parts of a source, of these lengths, by weights that hold from an epoch on.
    #[staticmethod]
    fn mixture(
        py: Python<'_>,
        stages: Vec<(u64, Vec<f64>)>,
        lengths: Vec<u64>,
        num_samples: Option<u64>,
    ) -> PyResult<Self> {
        made(py, || SharedOrder::scheduled_mixture(&stages, &lengths, num_samples))
    }
}
