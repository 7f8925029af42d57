//! NumPy arrays as a source.

use pyo3::{buffer::PyUntypedBuffer, prelude::*};

use crate::{
    error::Error,
    loader::SharedArrays,
    spec::{DType, FieldSpec},
};

/// Arrays in shared memory, copied once.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct Arrays(pub(super) SharedArrays);

#[pymethods]
impl Arrays {
    /// Copies C-contiguous arrays, given as (name, dtype, shape of one row, array).
    #[new]
    fn new(py: Python<'_>, rows: u64, arrays: Vec<(String, String, Vec<usize>, Bound<'_, PyAny>)>) -> PyResult<Self> {
        let mut specs = Vec::with_capacity(arrays.len());
        let mut buffers = Vec::with_capacity(arrays.len());
        for (name, dtype, shape, array) in &arrays {
            specs.push(FieldSpec {
                name: name.clone(),
                dtype: DType::parse(dtype).map_err(|error| Error::Config(format!("array `{name}`: {error}")))?,
                shape: shape.clone(),
            });
            buffers.push(PyUntypedBuffer::get(array)?);
        }
        let mut fields = Vec::with_capacity(arrays.len());
        for (spec, buffer) in specs.into_iter().zip(&buffers) {
            let bytes = super::buffer::bytes_of(buffer)
                .ok_or_else(|| Error::Config(format!("array `{}` is not C-contiguous", spec.name)))?;
            fields.push((spec, bytes));
        }
        Ok(Self(py.detach(|| SharedArrays::copy(rows, &fields))?))
    }

    /// The number of rows.
    #[getter]
    fn rows(&self) -> u64 {
        self.0.rows()
    }
}
