//! Orders of the samples of an epoch, as Python gives them.

use pyo3::{buffer::PyBuffer, prelude::*};

use crate::{error::Result, loader::SharedOrder};

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
    fn weighted(py: Python<'_>, weights: PyBuffer<f64>, num_samples: Option<u64>) -> PyResult<Self> {
        let weights = weights.to_vec(py)?;
        made(py, || SharedOrder::weighted(&weights, num_samples))
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

    /// Mixes parts of a source, of these lengths, by weight.
    #[staticmethod]
    fn mixture(py: Python<'_>, weights: Vec<f64>, lengths: Vec<u64>, num_samples: Option<u64>) -> PyResult<Self> {
        made(py, || SharedOrder::mixture(&weights, &lengths, num_samples))
    }
}
