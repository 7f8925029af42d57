//! One field of a batch, as other libraries take it: DLPack, the array interface, the buffer protocol.
//!
//! DLPack's structures are those of its specification, `dlpack.h`, version 1.0; both kinds of capsule are made.

#![expect(unsafe_code, reason = "hands addresses to C, each with the reference that keeps it valid")]

use std::{
    ffi::{CStr, CString, c_int, c_void},
    ops::Range,
    ptr, slice,
    sync::Arc,
};

use pyo3::{
    buffer::PyUntypedBuffer,
    exceptions::{PyBufferError, PyIndexError, PyTypeError},
    ffi,
    prelude::*,
    types::PyDict,
};

use crate::{
    loader::Batch,
    shm::SlotRef,
    spec::{DType, FieldSpec},
};

/// One field of a batch: a view of its slot, which it keeps.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct Field {
    slot: Arc<SlotRef>,
    place: usize,
    /// Where the view lies among the bytes of the field's rows.
    part: Range<usize>,
    dtype: DType,
    shape: Vec<isize>,
    strides: Vec<isize>,
    format: CString,
}

/// Returns a buffer's bytes; none if they do not lie in one piece, in C order.
pub(super) fn bytes_of(buffer: &PyUntypedBuffer) -> Option<&[u8]> {
    if buffer.len_bytes() == 0 {
        return Some(&[]);
    }
    // SAFETY: a C-contiguous buffer has len_bytes() bytes at its start, and the exporter keeps them for as long as
    // the buffer is held. Python code that changes them meanwhile garbles the copy, as it would for NumPy.
    buffer.is_c_contiguous().then(|| unsafe { slice::from_raw_parts(buffer.buf_ptr().cast(), buffer.len_bytes()) })
}

/// How the array interface and the buffer protocol spell a dtype, and DLPack's code for its kind.
fn spellings(dtype: DType) -> (&'static str, &'static str, u8) {
    match dtype {
        DType::Bool => ("|b1", "?", 6),
        DType::UInt8 => ("|u1", "B", 1),
        DType::Int8 => ("|i1", "b", 0),
        DType::UInt16 => ("<u2", "H", 1),
        DType::Int16 => ("<i2", "h", 0),
        DType::UInt32 => ("<u4", "I", 1),
        DType::Int32 => ("<i4", "i", 0),
        DType::UInt64 => ("<u8", "Q", 1),
        DType::Int64 => ("<i8", "q", 0),
        DType::Float16 => ("<f2", "e", 2),
        // Neither has a spelling: two opaque bytes, which `ml_dtypes` can view.
        DType::BFloat16 => ("|V2", "2x", 4),
        DType::Float32 => ("<f4", "f", 2),
        DType::Float64 => ("<f8", "d", 2),
    }
}

impl Field {
    pub(super) fn new(batch: &Batch, place: usize) -> PyResult<Self> {
        let spec = spec_of(batch, place)?;
        if batch.is_ragged(place) {
            return Err(PyTypeError::new_err(format!(
                "field `{}` is ragged: its rows are arrays of their own",
                spec.name
            )));
        }
        Ok(Self::view(batch, place, spec.dtype, batch.shape(place), 0..batch.field_bytes(place)))
    }

    /// Returns one row of a ragged field.
    pub(super) fn of_row(batch: &Batch, place: usize, row: usize) -> PyResult<Self> {
        let dtype = spec_of(batch, place)?.dtype;
        let (shape, part) = batch.ragged_row(place, row)?;
        Ok(Self::view(batch, place, dtype, shape, part))
    }

    fn view(batch: &Batch, place: usize, dtype: DType, shape: Vec<usize>, part: Range<usize>) -> Self {
        let shape: Vec<isize> = shape.into_iter().map(|extent| extent as isize).collect();
        let mut strides = vec![dtype.size() as isize; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis].max(1);
        }
        let format = CString::new(spellings(dtype).1).unwrap_or_default();
        Self { slot: Arc::clone(batch.slot()), place, part, dtype, shape, strides, format }
    }

    /// Returns the first byte's address and the number of bytes.
    fn parts(&self) -> (*mut u8, usize) {
        let (start, len) = self.slot.field_parts(self.place);
        assert!(self.part.start <= self.part.end && self.part.end <= len, "a view outside of its field");
        (start.wrapping_add(self.part.start), self.part.len())
    }
}

fn spec_of(batch: &Batch, place: usize) -> PyResult<&FieldSpec> {
    batch.fields().get(place).ok_or_else(|| PyIndexError::new_err(format!("no field {place}")))
}

#[pymethods]
impl Field {
    /// The array's shape.
    #[getter]
    fn shape(&self) -> Vec<isize> {
        self.shape.clone()
    }

    /// The dtype's name.
    #[getter]
    fn dtype(&self) -> &'static str {
        self.dtype.name()
    }

    /// NumPy's array interface, version 3.
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (start, _) = self.parts();
        let dict = PyDict::new(py);
        dict.set_item("version", 3)?;
        dict.set_item("shape", pyo3::types::PyTuple::new(py, &self.shape)?)?;
        dict.set_item("typestr", spellings(self.dtype).0)?;
        dict.set_item("data", (start as usize, false))?;
        Ok(dict)
    }

    /// DLPack's device: the CPU.
    #[expect(clippy::unused_self, reason = "a method by protocol")]
    fn __dlpack_device__(&self) -> (i32, i32) {
        (1, 0)
    }

    /// Returns a DLPack capsule: versioned if `max_version` is 1.0 or more, else of the old kind.
    #[pyo3(signature = (*, stream=None, max_version=None, dl_device=None, copy=None))]
    fn __dlpack__<'py>(
        &self,
        py: Python<'py>,
        stream: Option<&Bound<'py, PyAny>>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if stream.is_some() {
            return Err(PyBufferError::new_err("a field lies in CPU memory and takes no stream"));
        }
        if dl_device.is_some_and(|device| device != (1, 0)) {
            return Err(PyBufferError::new_err("a field lies in CPU memory, device (1, 0), and goes to no other"));
        }
        if copy == Some(true) {
            return Err(PyBufferError::new_err("a field makes no copies of itself; copy the array that you get"));
        }
        if max_version.is_some_and(|(major, _)| major >= 1) {
            dlpack::export::<dlpack::Versioned>(py, self)
        } else {
            dlpack::export::<dlpack::Unversioned>(py, self)
        }
    }

    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        let this = slf.get();
        if this.dtype == DType::BFloat16 {
            return Err(PyBufferError::new_err("bfloat16 has no buffer format; use DLPack, or NumPy with ml_dtypes"));
        }
        let wants = |flag: c_int| flags & flag == flag;
        let other_order = wants(ffi::PyBUF_F_CONTIGUOUS) && !wants(ffi::PyBUF_ANY_CONTIGUOUS);
        if other_order && this.shape.len() > 1 {
            return Err(PyBufferError::new_err("a field is C-contiguous, and was asked for in Fortran's order"));
        }
        let (start, len) = this.parts();
        // SAFETY: the interpreter passes a view to be filled. Every pointer put there lies in the slot or in this
        // object, and the view keeps this object, which keeps the slot; C only reads shape, strides and format.
        unsafe {
            *view = ffi::Py_buffer {
                buf: start.cast::<c_void>(),
                len: len as isize,
                itemsize: this.dtype.size() as isize,
                readonly: 0,
                ndim: this.shape.len() as c_int,
                format: if wants(ffi::PyBUF_FORMAT) { this.format.as_ptr().cast_mut() } else { ptr::null_mut() },
                shape: if wants(ffi::PyBUF_ND) { this.shape.as_ptr().cast_mut() } else { ptr::null_mut() },
                strides: if wants(ffi::PyBUF_STRIDES) { this.strides.as_ptr().cast_mut() } else { ptr::null_mut() },
                suboffsets: ptr::null_mut(),
                internal: ptr::null_mut(),
                obj: slf.into_ptr(),
            };
        }
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "a method by protocol")]
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {}
}

mod dlpack {
    use super::{Arc, Bound, CStr, Field, PyAny, PyResult, Python, SlotRef, c_void, ffi, spellings};

    #[repr(C)]
    pub(super) struct Tensor {
        data: *mut c_void,
        device: (i32, i32),
        ndim: i32,
        code: u8,
        bits: u8,
        lanes: u16,
        shape: *mut i64,
        strides: *mut i64,
        byte_offset: u64,
    }

    pub(super) type Deleter = unsafe extern "C" fn(*mut c_void);

    /// `DLManagedTensor`.
    #[repr(C)]
    pub(super) struct Unversioned {
        tensor: Tensor,
        context: *mut c_void,
        deleter: Option<Deleter>,
    }

    /// `DLManagedTensorVersioned`.
    #[repr(C)]
    pub(super) struct Versioned {
        major: u32,
        minor: u32,
        context: *mut c_void,
        deleter: Option<Deleter>,
        flags: u64,
        tensor: Tensor,
    }

    /// A kind of capsule.
    pub(super) trait Managed: Sized {
        const NAME: &'static CStr;
        fn new(tensor: Tensor, deleter: Deleter) -> Self;
    }

    impl Managed for Unversioned {
        const NAME: &'static CStr = c"dltensor";

        fn new(tensor: Tensor, deleter: Deleter) -> Self {
            Self { tensor, context: std::ptr::null_mut(), deleter: Some(deleter) }
        }
    }

    impl Managed for Versioned {
        const NAME: &'static CStr = c"dltensor_versioned";

        fn new(tensor: Tensor, deleter: Deleter) -> Self {
            Self { major: 1, minor: 0, context: std::ptr::null_mut(), deleter: Some(deleter), flags: 0, tensor }
        }
    }

    /// What a capsule points to, with all that must live as long. The managed tensor comes first, so that its address
    /// is that of the whole.
    #[repr(C)]
    struct Exported<M> {
        managed: M,
        shape: Box<[i64]>,
        strides: Box<[i64]>,
        slot: Arc<SlotRef>,
    }

    /// Called by whoever took the tensor, from any thread, with or without the interpreter.
    unsafe extern "C" fn delete<M>(managed: *mut c_void) {
        // SAFETY: the consumer passes the pointer that it got, once; it is that of a Box<Exported<M>>.
        drop(unsafe { Box::from_raw(managed.cast::<Exported<M>>()) });
    }

    /// Called when the capsule dies. Whoever took the tensor has renamed the capsule, and deletes it later.
    unsafe extern "C" fn destroy<M: Managed>(capsule: *mut ffi::PyObject) {
        // SAFETY: the interpreter passes the capsule that export() made; under its first name, nobody took the tensor.
        unsafe {
            if ffi::PyCapsule_IsValid(capsule, M::NAME.as_ptr()) == 1 {
                delete::<M>(ffi::PyCapsule_GetPointer(capsule, M::NAME.as_ptr()));
            }
        }
    }

    pub(super) fn export<'py, M: Managed>(py: Python<'py>, field: &Field) -> PyResult<Bound<'py, PyAny>> {
        let (start, _) = field.parts();
        let size = field.dtype.size() as isize;
        let mut shape: Box<[i64]> = field.shape.iter().map(|&extent| extent as i64).collect();
        // DLPack counts strides in elements.
        let mut strides: Box<[i64]> = field.strides.iter().map(|&stride| (stride / size) as i64).collect();
        let tensor = Tensor {
            data: start.cast::<c_void>(),
            device: (1, 0),
            ndim: shape.len() as i32,
            code: spellings(field.dtype).2,
            bits: size as u8 * 8,
            lanes: 1,
            shape: shape.as_mut_ptr(),
            strides: strides.as_mut_ptr(),
            byte_offset: 0,
        };
        let slot = Arc::clone(&field.slot);
        let exported = Box::into_raw(Box::new(Exported { managed: M::new(tensor, delete::<M>), shape, strides, slot }));
        // SAFETY: the pointer is not null, the name is static, and destroy() frees what nobody took. Where the capsule
        // cannot be made, nothing else has the pointer.
        unsafe {
            let capsule = ffi::PyCapsule_New(exported.cast(), M::NAME.as_ptr(), Some(destroy::<M>));
            if capsule.is_null() {
                drop(Box::from_raw(exported));
            }
            Bound::from_owned_ptr_or_err(py, capsule)
        }
    }
}
