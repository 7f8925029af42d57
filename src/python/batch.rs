//! A batch, as Python holds it.

use pyo3::prelude::*;

use super::buffer::Field;
use crate::loader;

/// One batch. Its slot goes back when it and every field taken from it are gone.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct Batch(pub(super) loader::Batch);

#[pymethods]
impl Batch {
    /// The number of rows.
    #[getter]
    fn rows(&self) -> usize {
        self.0.rows()
    }

    /// The epoch that the batch belongs to.
    #[getter]
    fn epoch(&self) -> u64 {
        self.0.epoch()
    }

    /// The index of each row's sample in the source.
    #[getter]
    fn indices(&self) -> Vec<i64> {
        // Where there is no sample, -1.
        self.0.indices().into_iter().map(u64::cast_signed).collect()
    }

    /// The rows that even out the ranks, or have the sample of another row in place of a bad one.
    #[getter]
    fn repeats(&self) -> Vec<usize> {
        self.0.repeats()
    }

    /// Returns the field at this place among the loader's fields.
    fn field(&self, position: usize) -> PyResult<Field> {
        Field::new(&self.0, position)
    }

    /// Returns one row of the ragged field at this place.
    fn row(&self, position: usize, row: usize) -> PyResult<Field> {
        Field::of_row(&self.0, position, row)
    }

    /// Where the rows lie among the values of the fields that are cut: of each, its first value, how many it has, and its
    /// number in its row; None where there is no cut.
    #[getter]
    fn spans(&self) -> Option<Vec<(u64, u32, u32)>> {
        let spans = self.0.spans()?;
        Some(spans.iter().map(|span| (span.start, span.len, span.segment)).collect())
    }

    /// How many values, padding included, a field that is cut has; 0 where there is no cut.
    #[getter]
    fn values(&self) -> usize {
        self.0.values()
    }

    /// Which variant the batch has; None where there are none.
    #[getter]
    fn variant(&self) -> Option<u32> {
        self.0.variant()
    }

    /// Tells whether each row of the field at this place is an array of its own.
    fn is_ragged(&self, position: usize) -> bool {
        self.0.is_ragged(position)
    }

    /// Returns the shape of each row of the ragged field at this place.
    fn shapes(&self, position: usize) -> PyResult<Vec<Vec<usize>>> {
        let shapes = (0..self.0.rows()).map(|row| Ok(self.0.ragged_row(position, row)?.0));
        shapes.collect()
    }
}
