//! Shared memory as Python code takes it: the buffer protocol, and a descriptor to send to another process.

#![expect(unsafe_code, reason = "hands the mapping's address to C, with the reference that keeps it valid")]

use std::{
    ffi::c_int,
    ops::Range,
    os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd},
    sync::Arc,
};

use pyo3::{exceptions::PyBufferError, ffi, prelude::*};

use crate::{
    error::{Error, Result},
    sys::{
        limits,
        memory::{self, SharedMemory},
    },
};

/// Memory that several processes map, writable, for as long as this object or a view of it lives.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct Memory(pub(super) Arc<SharedMemory>);

#[pymethods]
impl Memory {
    /// Creates `size` zeroed bytes, once they are known to fit under the limits of this process.
    #[new]
    fn new(py: Python<'_>, size: usize) -> Result<Self> {
        py.detach(|| {
            let advice = "lower batch_size or prefetch_factor, or raise the limit";
            limits::check_memory(size as u64, "the memory of a batch", advice)?;
            SharedMemory::create("stokehold-batch", size.max(1)).map(|memory| Self(Arc::new(memory)))
        })
    }

    /// Gives the pages of a part back to the system; they read as zeros from then on.
    fn discard(&self, py: Python<'_>, offset: usize, size: usize) -> bool {
        let end = offset.saturating_add(size);
        end <= self.0.len() && py.detach(|| self.0.discard(offset..end))
    }

    /// Puts `new` into a word if `old` is there; tells whether it was. Of several processes that try, one succeeds.
    ///
    /// The word has eight bytes, and begins at `offset`, a multiple of eight. Raises `ValueError` if there is none.
    fn exchange(&self, offset: usize, old: u64, new: u64) -> Result<bool> {
        if !offset.is_multiple_of(8) || offset.saturating_add(8) > self.0.len() {
            return Err(Error::Config(format!("no word at {offset} of {} bytes", self.0.len())));
        }
        Ok(self.0.exchange(offset, old, new))
    }

    /// Maps the memory behind a descriptor, which is taken over.
    #[staticmethod]
    fn open(descriptor: c_int) -> Result<Self> {
        // SAFETY: the caller received the descriptor and gives it away: nobody else closes it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        SharedMemory::open(descriptor).map(|memory| Self(Arc::new(memory)))
    }

    /// Returns the descriptor, which stays this object's.
    fn fileno(&self) -> c_int {
        self.0.as_fd().as_raw_fd()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let this = slf.get();
        // SAFETY: passed on from the interpreter; the object keeps the mapping.
        unsafe { fill_view(slf.as_any(), &this.0, 0..this.0.len(), view, flags) }
    }
}

/// Fills a view of a part of some memory, which `owner` keeps.
///
/// # Safety
/// The interpreter has passed `view` to be filled, and `owner` keeps the memory for as long as it lives.
pub(super) unsafe fn fill_view(
    owner: &Bound<'_, PyAny>,
    memory: &SharedMemory,
    part: Range<usize>,
    view: *mut ffi::Py_buffer,
    flags: c_int,
) -> PyResult<()> {
    if view.is_null() {
        return Err(PyBufferError::new_err("no view to fill"));
    }
    assert!(part.start <= part.end && part.end <= memory.len(), "a view outside of its memory");
    // SAFETY: the address lies in the mapping, as does the part; the view takes a reference to the owner, which the caller
    // says keeps both.
    let filled = unsafe {
        let start = memory.as_mut_ptr().add(part.start);
        ffi::PyBuffer_FillInfo(view, owner.as_ptr(), start.cast(), part.len() as isize, 0, flags)
    };
    if filled == 0 { Ok(()) } else { Err(PyErr::fetch(owner.py())) }
}

/// Returns the descriptor of an empty file that has no name and may grow. It is the caller's.
#[pyfunction]
pub(super) fn nameless_file() -> Result<c_int> {
    memory::nameless_file("stokehold-text").map(IntoRawFd::into_raw_fd)
}
