//! The objects of one sample, and where the payloads lie in their memory.

#![expect(unsafe_code, reason = "borrows memory of objects that it keeps")]

use std::{fmt, ops::Range, slice};

use pyo3::prelude::*;

use crate::source::Payloads;

/// Where a payload lies.
enum Found {
    /// In memory of one of the objects.
    There(*const u8, usize),
    /// Among bytes that were made for it.
    Here(Range<usize>),
}

/// The payloads of one sample, with the objects that they lie in.
#[derive(Default)]
pub(super) struct Objects {
    kept: Vec<Py<PyAny>>,
    found: Vec<Found>,
    made: Vec<u8>,
    bytes: usize,
}

// SAFETY: what is pointed to is memory of objects that `kept` keeps, which may be read from any thread; `Py` may be sent
// and shared as well.
unsafe impl Send for Objects {}
// SAFETY: as above.
unsafe impl Sync for Objects {}

/// The most bytes that are kept for the next sample.
const KEPT_BYTES: usize = 8 << 20;

impl Objects {
    /// Lets the objects of the last sample go.
    pub(super) fn clear(&mut self, py: Python<'_>) {
        self.kept.drain(..).for_each(|object| object.drop_ref(py));
        self.found.clear();
        self.made.clear();
        self.bytes = 0;
        if self.made.capacity() > KEPT_BYTES {
            self.made = Vec::new();
        }
    }

    /// Adds the payload of the next field, which lies in memory of an object.
    ///
    /// # Safety
    /// There are `len` bytes from `start` on, for as long as the object lives.
    pub(super) unsafe fn add_memory(&mut self, object: Bound<'_, PyAny>, start: *const u8, len: usize) {
        self.kept.push(object.unbind());
        self.found.push(Found::There(start, len));
        self.bytes += len;
    }

    /// Adds the payload of the next field: bytes that `write` appends.
    pub(super) fn add_made(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.made.len();
        write(&mut self.made);
        self.found.push(Found::Here(start..self.made.len()));
        self.bytes += self.made.len() - start;
    }
}

impl Payloads for Objects {
    fn payload(&self, field: usize) -> &[u8] {
        match &self.found[field] {
            // SAFETY: whoever added it has promised that the bytes are there while the object lives, which `kept` keeps.
            // Python code that changes them meanwhile garbles the row, as it would garble any copy.
            Found::There(start, len) if *len > 0 => unsafe { slice::from_raw_parts(*start, *len) },
            Found::There(..) => &[],
            Found::Here(range) => &self.made[range.clone()],
        }
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("payloads", &self.found.len()).finish_non_exhaustive()
    }
}
