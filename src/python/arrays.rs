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
    npyffi::{NPY_ARRAY_CARRAY, PyArrayObject, npy_intp},
};
use pyo3::{PyTypeInfo, exceptions::PyTypeError, ffi, prelude::*, types::PyList};

use crate::{
    function::Array,
    spec::{DType, FieldSpec},
};

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
        let start = owner.data().cast::<u8>();
        // SAFETY: the owner has at least as many bytes, whose start NumPy aligns for every dtype.
        let array = unsafe { over(owner.into_any(), dtype, shape, start) }?;
        Ok(Values { array: array.unbind(), dtype, shape: shape.to_vec(), start, len })
    }

    /// Returns memory over which there is no array.
    fn piece<'py>(&self, py: Python<'py>, len: usize) -> Bound<'py, PyArray1<u8>> {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = |owner: &Py<PyArray1<u8>>| references(owner.bind(py)) == 1;
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

/// What keeps memory of a batch for as long as there are arrays over it, so that it is seen whether some are left.
pub(super) struct Lease<'py>(Bound<'py, PyList>);

impl<'py> Lease<'py> {
    /// Returns a lease of no arrays.
    pub(super) fn new(py: Python<'py>) -> Self {
        Self(PyList::empty(py))
    }

    /// Returns the rows of a field as one array; or as a list of one for each row, where rows vary.
    pub(super) fn field(&self, spec: &FieldSpec, rows: usize, bytes: &mut [u8]) -> PyResult<Bound<'py, PyAny>> {
        if spec.ragged.is_none() {
            return self.array(spec.dtype, &[&[rows], &spec.shape[..]].concat(), bytes);
        }
        let row_bytes = bytes.len() / rows.max(1);
        let arrays = bytes.chunks_exact_mut(row_bytes.max(1)).map(|row| {
            let (shape, values) = spec.read_row(row);
            self.array(spec.dtype, &shape, &mut row[values])
        });
        PyList::new(self.0.py(), arrays.collect::<PyResult<Vec<_>>>()?).map(Bound::into_any)
    }

    fn array(&self, dtype: DType, shape: &[usize], bytes: &mut [u8]) -> PyResult<Bound<'py, PyAny>> {
        if dtype == DType::BFloat16 {
            return Err(PyTypeError::new_err("NumPy has no bfloat16: a function cannot get this batch"));
        }
        if shape.iter().product::<usize>() * dtype.size() != bytes.len() {
            return Err(PyTypeError::new_err(format!("{} bytes are no array of shape {shape:?}", bytes.len())));
        }
        // SAFETY: there are as many bytes, in C order, and they are written by nobody else while the function runs. That
        // no array is left afterwards is checked; one that is all the same lies in memory that stays mapped.
        unsafe { over(self.0.clone().into_any(), dtype, shape, bytes.as_mut_ptr()) }.map(Bound::into_any)
    }

    /// Tells whether there are arrays left.
    pub(super) fn is_kept(&self) -> bool {
        references(&self.0) > 1
    }
}

/// Returns an array over memory of an owner, which it keeps.
///
/// # Safety
/// The owner keeps memory for the array's values from `start` on, aligned for them.
unsafe fn over<'py>(
    owner: Bound<'py, PyAny>,
    dtype: DType,
    shape: &[usize],
    start: *mut u8,
) -> PyResult<Bound<'py, PyUntypedArray>> {
    let py = owner.py();
    let mut dims: Vec<npy_intp> = shape.iter().map(|&extent| extent as npy_intp).collect();
    // SAFETY: the caller promises what there is in memory. Both calls take over a reference.
    unsafe {
        let array = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            PyUntypedArray::type_object_raw(py),
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
        Ok(array.cast_into_unchecked::<PyUntypedArray>())
    }
}

/// Returns how many references to an object there are.
fn references(object: &Bound<'_, PyAny>) -> isize {
    // SAFETY: the object is alive, and the interpreter's lock is held.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
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

    /// Returns the array alone.
    pub(super) fn into_object(self) -> Py<PyAny> {
        self.array.into_any()
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
