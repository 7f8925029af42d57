//! NumPy arrays that functions of the user get and give.

#![expect(unsafe_code, reason = "makes and reads NumPy's arrays")]

use std::{
    any::Any,
    ffi::c_int,
    fmt, ptr, slice,
    sync::{Mutex, PoisonError},
};

use numpy::{
    PY_ARRAY_API, PyArray1, PyArrayDescr, PyArrayDescrMethods, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods,
    dtype,
    npyffi::{NPY_ARRAY_CARRAY, NpyTypes, PyArrayObject, npy_intp},
};
use pyo3::prelude::*;

use crate::{function::Array, spec::DType};

/// Memory for arrays, which is used again as soon as no array over it is left: whoever keeps one keeps the memory.
#[derive(Default)]
pub(super) struct Memory(Mutex<Vec<Py<PyArray1<u8>>>>);

/// How many pieces of memory are kept for use.
const MOST_KEPT: usize = 32;
/// Up to so many bytes, memory is used again for an array of any size; above that, for one of at least an eighth.
const KEPT_BYTES: usize = 16 << 20;
const KEPT_TIMES: usize = 8;

impl Memory {
    /// Returns an array of arbitrary content.
    pub(super) fn array(&self, py: Python<'_>, dtype: DType, shape: &[usize]) -> PyResult<Values> {
        let len = shape.iter().product::<usize>() * dtype.size();
        let owner = self.piece(py, len);
        let mut dims: Vec<npy_intp> = shape.iter().map(|&extent| extent as npy_intp).collect();
        let start = owner.data();
        // SAFETY: the array is C-contiguous and as long as its owner or shorter, whose memory NumPy aligns for every
        // dtype; it becomes the owner's, which so outlives it. Both calls take over a reference.
        let array = unsafe {
            let array = PY_ARRAY_API.PyArray_NewFromDescr(
                py,
                PY_ARRAY_API.get_type_object(py, NpyTypes::PyArray_Type),
                descr(py, dtype)?.into_dtype_ptr(),
                dims.len() as c_int,
                dims.as_mut_ptr(),
                ptr::null_mut(),
                start.cast(),
                NPY_ARRAY_CARRAY,
                ptr::null_mut(),
            );
            let array = Bound::<PyAny>::from_owned_ptr_or_err(py, array)?;
            if PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast::<PyArrayObject>(), owner.into_ptr()) != 0 {
                return Err(PyErr::fetch(py));
            }
            array.cast_into_unchecked::<PyUntypedArray>()
        };
        Ok(Values { array: array.unbind(), dtype, shape: shape.to_vec(), start, len })
    }

    /// Returns memory over which there is no array.
    fn piece<'py>(&self, py: Python<'py>, len: usize) -> Bound<'py, PyArray1<u8>> {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = |owner: &Py<PyArray1<u8>>| owner.get_refcnt(py) == 1;
        let suits = |owner: &Py<PyArray1<u8>>| {
            let has = owner.bind(py).len();
            has >= len && (has <= KEPT_BYTES || has / KEPT_TIMES <= len)
        };
        if let Some(found) = owners.iter().find(|owner| is_free(owner) && suits(owner)) {
            return found.bind(py).clone();
        }
        // SAFETY: bytes may hold anything; nobody reads what was not written but the function that gets it.
        let made = unsafe { PyArray1::<u8>::new(py, [len], false) };
        // What is free and does not suit has had its day.
        owners.retain(|owner| !is_free(owner));
        if owners.len() < MOST_KEPT {
            owners.push(made.clone().unbind());
        }
        made
    }
}

fn descr(py: Python<'_>, of: DType) -> PyResult<Bound<'_, PyArrayDescr>> {
    Ok(match of {
        DType::Bool => dtype::<bool>(py),
        DType::UInt8 => dtype::<u8>(py),
        DType::Int8 => dtype::<i8>(py),
        DType::UInt16 => dtype::<u16>(py),
        DType::Int16 => dtype::<i16>(py),
        DType::UInt32 => dtype::<u32>(py),
        DType::Int32 => dtype::<i32>(py),
        DType::UInt64 => dtype::<u64>(py),
        DType::Int64 => dtype::<i64>(py),
        DType::Float32 => dtype::<f32>(py),
        DType::Float64 => dtype::<f64>(py),
        DType::Float16 | DType::BFloat16 => return PyArrayDescr::new(py, of.name()),
    })
}

/// Returns what NumPy's dtype is here.
fn dtype_of(descr: &Bound<'_, PyArrayDescr>) -> Option<DType> {
    /// The number of the first dtype that is not NumPy's own.
    const OTHERS: c_int = 24;
    if descr.num() >= OTHERS || descr.is_native_byteorder() == Some(false) {
        return None;
    }
    Some(match (descr.kind(), descr.itemsize()) {
        (b'b', 1) => DType::Bool,
        (b'u', 1) => DType::UInt8,
        (b'i', 1) => DType::Int8,
        (b'u', 2) => DType::UInt16,
        (b'i', 2) => DType::Int16,
        (b'u', 4) => DType::UInt32,
        (b'i', 4) => DType::Int32,
        (b'u', 8) => DType::UInt64,
        (b'i', 8) => DType::Int64,
        (b'f', 2) => DType::Float16,
        (b'f', 4) => DType::Float32,
        (b'f', 8) => DType::Float64,
        _ => return None,
    })
}

/// The values of an array.
pub(super) struct Values {
    array: Py<PyUntypedArray>,
    dtype: DType,
    shape: Vec<usize>,
    start: *mut u8,
    len: usize,
}

impl Values {
    /// Returns the values of an array that a function gave; none where it is no array, or they do not lie in C order, or
    /// are of a dtype that a batch does not hold.
    pub(super) fn of(given: &Bound<'_, PyAny>) -> Option<Self> {
        let array = given.cast::<PyUntypedArray>().ok().filter(|array| array.is_c_contiguous())?;
        let dtype = dtype_of(&array.dtype())?;
        let shape = array.shape().to_vec();
        // SAFETY: it is an array, whose struct NumPy lays out so.
        let start = unsafe { (*array.as_array_ptr()).fields.data.cast::<u8>() };
        let len = shape.iter().product::<usize>() * dtype.size();
        Some(Self { array: array.clone().unbind(), dtype, shape, start, len })
    }

    /// Returns the array.
    pub(super) fn array<'py>(&self, py: Python<'py>) -> Bound<'py, PyUntypedArray> {
        self.array.bind(py).clone()
    }
}

impl Array for Values {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn bytes(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: the array has so many bytes in one piece, and is kept. Python code that changes them meanwhile, from
        // another thread, garbles the row, as it would garble any copy.
        unsafe { slice::from_raw_parts(self.start, self.len) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        if self.len == 0 {
            return &mut [];
        }
        // SAFETY: as in `bytes`; those who write have the array from `Memory`, and nobody else has it yet.
        unsafe { slice::from_raw_parts_mut(self.start, self.len) }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("dtype", &self.dtype).field("shape", &self.shape).finish_non_exhaustive()
    }
}
