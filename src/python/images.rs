//! Single images.

use numpy::{
    PyArray3, PyArrayDescrMethods, PyArrayMethods, PyReadwriteArray3, PyUntypedArray, PyUntypedArrayMethods, dtype,
};
use pyo3::{exceptions::PyTypeError, prelude::*, pybacked::PyBackedBytes, types::PyByteArray};

use super::error::decode_error;
use crate::{
    decode::Cutout,
    error::Error,
    geometry::{Rect, Size},
};

/// Returns height, width and the pixels of a JPEG, or of a region (top, left, height, width) of it. The pixels go to
/// `out`, where it is given, an array of (height, width, 3) bytes.
#[pyfunction]
#[pyo3(signature = (data, region, scale, out=None))]
pub(super) fn decode_jpeg<'py>(
    py: Python<'py>,
    data: PyBackedBytes,
    region: Option<(i64, i64, u32, u32)>,
    scale: u32,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<(u32, u32, Bound<'py, PyAny>)> {
    let region = region.map(|(top, left, height, width)| Rect { top, left, size: Size { height, width } });
    let cutout = Cutout::open(&data, region, scale).map_err(|failure| decode_error(&failure))?;
    let size = cutout.size();
    let Size { height, width } = size;
    if let Some(out) = out {
        let mut array = writable(out, size)?;
        let pixels = array.as_slice_mut().map_err(|_| refused("it must be C-contiguous"))?;
        py.detach(|| cutout.decode(pixels)).map_err(|failure| decode_error(&failure))?;
        return Ok((height, width, out.clone()));
    }
    let pixels = PyByteArray::new_with(py, height as usize * width as usize * 3, |pixels| {
        py.detach(|| cutout.decode(pixels)).map_err(|failure| decode_error(&failure))
    })?;
    Ok((height, width, pixels.into_any()))
}

/// Returns an array that the pixels of an image of this size may be written to.
fn writable<'py>(out: &Bound<'py, PyAny>, size: Size) -> PyResult<PyReadwriteArray3<'py, u8>> {
    let any = out.cast::<PyUntypedArray>().map_err(|_| {
        PyTypeError::new_err(format!("decode_jpeg: out: it must be a NumPy array, not {}", out.get_type()))
    })?;
    let Size { height, width } = size;
    let shape = [height as usize, width as usize, 3];
    if any.shape() != shape {
        return Err(refused(&format!("its shape is {:?}, and must be {shape:?}", any.shape())));
    }
    if !any.dtype().is_equiv_to(&dtype::<u8>(out.py())) {
        return Err(refused(&format!("its dtype is {}, and must be uint8", any.dtype())));
    }
    if !any.is_c_contiguous() {
        return Err(refused("it must be C-contiguous"));
    }
    let array = out.cast::<PyArray3<u8>>()?;
    array.try_readwrite().map_err(|_| refused("it must be writable, and in use by no other call"))
}

fn refused(reason: &str) -> PyErr {
    Error::Config(format!("decode_jpeg: out: {reason}")).into()
}
