//! Shared memory as Python code takes it: the buffer protocol, and a descriptor to send to another process.

#![expect(unsafe_code, reason = "hands the mapping's address to C, with the reference that keeps it valid")]

use std::{
    ffi::c_int,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
};

use pyo3::{exceptions::PyBufferError, ffi, prelude::*};

use crate::{
    error::Result,
    sys::{limits, memory::SharedMemory},
};

/// Memory that several processes map, writable, for as long as this object or a view of it lives.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct Memory(SharedMemory);

#[pymethods]
impl Memory {
    /// Creates `size` zeroed bytes, once they are known to fit under the limits of this process.
    #[new]
    fn new(py: Python<'_>, size: usize) -> Result<Self> {
        py.detach(|| {
            limits::check_memory(size as u64, "the memory of a batch")?;
            SharedMemory::create("stokehold-batch", size.max(1)).map(Self)
        })
    }

    /// Maps the memory behind a descriptor, which is taken over.
    #[staticmethod]
    fn open(descriptor: c_int) -> Result<Self> {
        // SAFETY: the caller received the descriptor from a socket and gives it away: nobody else closes it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        SharedMemory::open(descriptor).map(Self)
    }

    /// Returns the descriptor, which stays this object's.
    fn fileno(&self) -> c_int {
        self.0.as_fd().as_raw_fd()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        let this = slf.get();
        // SAFETY: the interpreter passes a view to be filled, which takes a reference to this object, which keeps the
        // mapping of these many bytes.
        let filled = unsafe {
            let len = this.0.len() as isize;
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), this.0.as_mut_ptr().cast(), len, 0, flags)
        };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
