//! Shared memory that nobody writes to any more, as plain bytes.

#![expect(unsafe_code, reason = "a slice over memory that other processes have too")]

use std::sync::Arc;

use crate::sys::memory::SharedMemory;

/// Bytes that several processes read.
#[derive(Clone, Debug)]
pub struct SharedBytes(Arc<SharedMemory>);

impl SharedBytes {
    /// Returns the bytes of this memory.
    ///
    /// # Safety
    /// No process writes to the memory any more.
    pub unsafe fn new(memory: Arc<SharedMemory>) -> Self {
        Self(memory)
    }
}

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: whoever made this value has promised that nobody writes.
        unsafe { self.0.as_slice() }
    }
}
