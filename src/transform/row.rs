//! Where the rows of a sample go.

use crate::{error::Failure, spec::FieldSpec};

/// The rows of a sample, one for each field.
pub trait Rows {
    /// Returns the place for the values of the field `at`, of this shape, which are to be written whole. The part of the
    /// shape that does not vary is that of `spec`.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage, where there is no room for as many.
    fn begin(&mut self, at: usize, spec: &FieldSpec, shape: &[usize]) -> Result<&mut [u8], Failure>;
}

/// Rows of slots, each exactly as long as its spec says.
#[derive(Debug)]
pub struct SlotRows<'a, 'r>(pub &'a mut [&'r mut [u8]]);

impl Rows for SlotRows<'_, '_> {
    fn begin(&mut self, at: usize, spec: &FieldSpec, shape: &[usize]) -> Result<&mut [u8], Failure> {
        slot_row(&mut *self.0[at], spec, shape)
    }
}

/// Returns the place for the values of a field in a row of a slot, as [`Rows::begin`] does.
///
/// # Errors
/// As there.
pub fn slot_row<'a>(row: &'a mut [u8], spec: &FieldSpec, shape: &[usize]) -> Result<&'a mut [u8], Failure> {
    match spec.ragged {
        None => Ok(row),
        Some(ragged) => spec.begin_row(row, shape.get(..ragged.axes).unwrap_or(shape)),
    }
}
