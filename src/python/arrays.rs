//! NumPy arrays as a source.

use pyo3::{buffer::PyUntypedBuffer, prelude::*};

use crate::{
    error::Error,
    field::{BoundingBoxes, Field, Image, KeyPoints, Kind, List, Mask},
    loader::{Runs, SharedArrays, Values},
    spec::{DType, FieldSpec},
};

/// A column of a table: name, kind, dtype, shape, values, ends of the runs, the image's column.
type ColumnArgs<'py> = (String, String, String, Vec<usize>, Bound<'py, PyAny>, Option<Bound<'py, PyAny>>, String);

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
            let dtype = DType::parse(dtype).map_err(|error| Error::Config(format!("array `{name}`: {error}")))?;
            specs.push(FieldSpec::new(name, dtype, &shape[..]));
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

    /// Copies columns, given as (name, kind, dtype, shape, array, ends, column of the image).
    ///
    /// `kind` is `"images"`, `"masks"`, `"array"`, `"lists"` or, for lists of places, what they are, in JSON; all but
    /// arrays have ends, one `uint64` a row.
    #[staticmethod]
    fn table(py: Python<'_>, rows: u64, columns: Vec<ColumnArgs<'_>>) -> PyResult<Self> {
        let mut held = Vec::with_capacity(columns.len());
        for (name, _, _, _, array, ends, _) in &columns {
            let ends = ends.as_ref().map(PyUntypedBuffer::get).transpose()?;
            held.push((name, PyUntypedBuffer::get(array)?, ends));
        }
        let mut values = Vec::with_capacity(columns.len());
        for ((name, kind, dtype, shape, _, _, image), (_, array, ends)) in columns.iter().zip(&held) {
            let broken = || Error::Config(format!("column `{name}` is not C-contiguous"));
            let bytes = super::buffer::bytes_of(array).ok_or_else(broken)?;
            let ends = ends.as_ref().map_or(Some(&[][..]), super::buffer::bytes_of).ok_or_else(broken)?;
            // An empty slice may lie anywhere, also where no u64 can.
            let ends = if ends.is_empty() { &[] } else { bytemuck::try_cast_slice(ends).map_err(|_| broken())? };
            let runs = Runs { bytes, ends };
            let dtype = || DType::parse(dtype).map_err(|error| Error::Config(format!("column `{name}`: {error}")));
            let image = || image.clone();
            let (kind, value): (Kind, Values<'_>) = match kind.as_str() {
                "images" => (Image {}.into(), Values::Files(runs)),
                "masks" => (Mask { image: image() }.into(), Values::Files(runs)),
                "array" => {
                    let field = Field::from(FieldSpec::new(name.as_str(), dtype()?, &shape[..]));
                    (field.kind, Values::Rows(bytes))
                }
                "lists" => {
                    let list = List { dtype: dtype()?, shape: shape.clone(), capacity: 0 };
                    (list.into(), Values::Runs(runs))
                }
                "keypoints" => {
                    let points = KeyPoints { image: image(), shape: shape.clone(), capacity: 0 };
                    (points.into(), Values::Runs(runs))
                }
                format => {
                    let format = serde_json::from_str(format)
                        .map_err(|error| Error::Config(format!("column `{name}`: {error}")))?;
                    (BoundingBoxes { image: image(), format, capacity: 0 }.into(), Values::Runs(runs))
                }
            };
            values.push((Field::new(name.as_str(), kind), value));
        }
        Ok(Self(py.detach(|| SharedArrays::table(rows, values))?))
    }

    /// The number of rows.
    #[getter]
    fn rows(&self) -> u64 {
        self.0.rows()
    }
}
