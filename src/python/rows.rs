//! NumPy arrays to the rows of one array: what collating many small samples costs most, in one call.

#![expect(unsafe_code, reason = "copies between NumPy's arrays")]

use std::ptr;

use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods, npyffi::NPY_ARRAY_WRITEABLE};
use pyo3::{prelude::*, types::PySequence};

use crate::error::Error;

/// The array whose rows others are copied to.
struct Rows<'py> {
    start: *mut u8,
    count: usize,
    /// The bytes of a row.
    size: usize,
    shape: Vec<usize>,
    dtype: Bound<'py, PyArrayDescr>,
}

impl<'py> Rows<'py> {
    /// Returns the rows of `out`, and none where they hold objects.
    ///
    /// # Errors
    /// `out` is not C-contiguous and writable.
    fn of(out: &Bound<'py, PyUntypedArray>) -> PyResult<Option<Self>> {
        // SAFETY: `out` is an array, whose struct NumPy lays out so.
        let (flags, start) = unsafe {
            let fields = &(*out.as_array_ptr()).fields;
            (fields.flags, fields.data)
        };
        let [count, ref shape @ ..] = *out.shape() else {
            return Err(Error::Config("an array without rows".into()).into());
        };
        if !out.is_c_contiguous() || flags & NPY_ARRAY_WRITEABLE == 0 {
            return Err(Error::Config("rows that are not C-contiguous and writable".into()).into());
        }
        let dtype = out.dtype();
        let size = shape.iter().product::<usize>() * dtype.itemsize();
        let rows = Self { start: start.cast(), count, size, shape: shape.to_vec(), dtype };
        Ok((!rows.dtype.has_object()).then_some(rows))
    }

    /// Copies an array to a row, and tells whether it could: the array is C-contiguous, of a row's shape and dtype.
    fn put(&self, array: &Bound<'_, PyUntypedArray>, row: usize) -> bool {
        let same = array.shape() == self.shape && array.is_c_contiguous() && array.dtype().is_equiv_to(&self.dtype);
        if !same || row >= self.count {
            return false;
        }
        // SAFETY: the array is C-contiguous and holds `size` bytes, as it has the shape and dtype of a row; there are
        // more than `row` rows of `size` bytes. The interpreter's lock is held, so that `out`, which the caller has, is
        // as it was, and the bytes of either may overlap.
        unsafe {
            ptr::copy((*array.as_array_ptr()).fields.data.cast::<u8>(), self.start.add(row * self.size), self.size);
        }
        true
    }
}

/// Copies arrays to the rows of `out`, and tells whether it could: all are C-contiguous, of a row's shape and dtype.
///
/// Where it could not, some rows may be written. Raises `ValueError` where `out` has not as many rows, or is not
/// C-contiguous and writable.
#[pyfunction]
pub(super) fn copy_rows(arrays: &Bound<'_, PySequence>, out: &Bound<'_, PyUntypedArray>) -> PyResult<bool> {
    let arrays = arrays.to_list()?;
    let Some(rows) = Rows::of(out)? else { return Ok(false) };
    if rows.count != arrays.len() {
        return Err(Error::Config(format!("no rows for {} arrays", arrays.len())).into());
    }
    Ok(arrays.iter().enumerate().all(|(row, item)| item.cast().is_ok_and(|array| rows.put(array, row))))
}

/// Copies an array, and no instance of a subclass, to a row of `out`, and tells whether it could.
///
/// Raises `ValueError` where `out` is not C-contiguous and writable.
#[pyfunction]
pub(super) fn copy_row(array: &Bound<'_, PyAny>, out: &Bound<'_, PyUntypedArray>, row: usize) -> PyResult<bool> {
    let Ok(array) = array.cast_exact::<PyUntypedArray>() else { return Ok(false) };
    Ok(Rows::of(out)?.is_some_and(|rows| rows.put(array, row)))
}
