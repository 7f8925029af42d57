//! NumPy arrays to the rows of one array: what collating many small samples costs most, in one call.

#![expect(unsafe_code, reason = "copies between NumPy's arrays")]

use std::ptr;

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods, npyffi::NPY_ARRAY_WRITEABLE};
use pyo3::{prelude::*, types::PySequence};

use crate::error::Error;

/// Copies arrays to the rows of `out`, and tells whether it could: all are C-contiguous, of a row's shape and dtype.
///
/// Where it could not, some rows may be written. Raises `ValueError` where `out` has not as many rows, or is not
/// C-contiguous and writable.
#[pyfunction]
pub(super) fn copy_rows(arrays: &Bound<'_, PySequence>, out: &Bound<'_, PyUntypedArray>) -> PyResult<bool> {
    let arrays = arrays.to_list()?;
    let shape = out.shape();
    // SAFETY: `out` is an array, whose struct NumPy lays out so.
    let (flags, start) = unsafe {
        let fields = &(*out.as_array_ptr()).fields;
        (fields.flags, fields.data)
    };
    if shape.first() != Some(&arrays.len()) || !out.is_c_contiguous() || flags & NPY_ARRAY_WRITEABLE == 0 {
        return Err(Error::Config(format!("no rows for {} arrays", arrays.len())).into());
    }
    let dtype = out.dtype();
    if dtype.has_object() {
        return Ok(false);
    }
    let size = shape[1..].iter().product::<usize>() * dtype.itemsize();
    for (row, item) in arrays.iter().enumerate() {
        let Ok(array) = item.cast::<PyUntypedArray>() else { return Ok(false) };
        let same = array.shape() == &shape[1..] && array.is_c_contiguous() && array.dtype().is_equiv_to(&dtype);
        if !same {
            return Ok(false);
        }
        // SAFETY: the array is C-contiguous and holds `size` bytes, as it has the shape and dtype of a row; `out` is
        // C-contiguous and has more than `row` rows of `size` bytes. The interpreter's lock is held, and the bytes of
        // either may overlap.
        unsafe {
            ptr::copy((*array.as_array_ptr()).fields.data.cast::<u8>(), start.cast::<u8>().add(row * size), size);
        }
    }
    Ok(true)
}
