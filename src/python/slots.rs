//! Slots of the drop-in, as Python code has them: leases by reference.

#![expect(unsafe_code, reason = "hands a slot's address to C, with the reference that keeps it")]

use std::{
    ffi::c_int,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use pyo3::{exceptions::PyBufferError, ffi, prelude::*};

use super::memory::{Memory, fill_view};
use crate::{
    error::Result,
    shm::{Blocks, FreeSlot},
    sys::memory::SharedMemory,
};

/// The slots of a trainer. Their size is learned from the batches, and memory that is not needed any more goes.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct Slots(Arc<Blocks>);

#[pymethods]
impl Slots {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    /// Returns a slot for a batch that a worker of this number makes; none as long as nobody knows how large batches are.
    pub(super) fn take(&self, worker: usize) -> Result<Option<Slot>> {
        self.0.take(worker).map(|slot| slot.map(Slot::of))
    }

    /// Returns all slots that are free.
    fn take_free(&self) -> Vec<Slot> {
        self.0.take_free().into_iter().map(Slot::of).collect()
    }

    /// Takes in how many bytes a batch took.
    fn learn(&self, py: Python<'_>, used: usize) {
        py.detach(|| self.0.learn(used));
    }

    /// Gives all memory back that no batch lies in.
    fn clear(&self, py: Python<'_>) {
        py.detach(|| self.0.clear());
    }

    /// The number of the oldest block that there is.
    #[getter]
    pub(super) fn oldest(&self) -> u64 {
        self.0.oldest()
    }

    /// Returns how many slots there are, and how many of them are free.
    fn count(&self) -> (usize, usize) {
        self.0.count()
    }

    /// The bytes of all slots.
    #[getter]
    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// A slot, and a view of its bytes. It is free again when this and all views are gone; unless a worker has it then, which
/// may write to it as long as it lives: such a slot is lost.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct Slot {
    slot: OnceLock<FreeSlot>,
    lent: AtomicBool,
}

impl Slot {
    fn of(slot: FreeSlot) -> Self {
        Self { slot: OnceLock::from(slot), lent: AtomicBool::new(false) }
    }

    /// It is there until this is dropped.
    pub(super) fn slot(&self) -> PyResult<&FreeSlot> {
        self.slot.get().ok_or_else(|| PyBufferError::new_err("a slot that is lost"))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.lent.load(Ordering::Relaxed)
            && let Some(slot) = self.slot.take()
        {
            slot.lose();
        }
    }
}

#[pymethods]
impl Slot {
    /// A worker has it from now on.
    pub(super) fn lend(&self) {
        self.lent.store(true, Ordering::Relaxed);
    }

    /// No worker has it any more: it has answered, or it has ended.
    fn returned(&self) {
        self.lent.store(false, Ordering::Relaxed);
    }

    /// The number of its block.
    #[getter]
    fn block(&self) -> PyResult<u64> {
        self.slot().map(FreeSlot::block)
    }

    /// Where it begins in its block.
    #[getter]
    fn offset(&self) -> PyResult<usize> {
        self.slot().map(FreeSlot::offset)
    }

    /// The memory of its block.
    #[getter]
    fn memory(&self) -> PyResult<Memory> {
        self.slot().map(|slot| Memory(Arc::clone(slot.memory())))
    }

    fn __len__(&self) -> PyResult<usize> {
        self.slot().map(FreeSlot::size)
    }

    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if slf.get().lent.load(Ordering::Relaxed) {
            return Err(PyBufferError::new_err("a worker has this slot"));
        }
        let slot = slf.get().slot()?;
        let memory: &SharedMemory = slot.memory();
        // SAFETY: passed on from the interpreter; the object keeps the slot, and that the memory.
        unsafe { fill_view(slf.as_any(), memory, slot.offset()..slot.offset() + slot.size(), view, flags) }
    }
}
