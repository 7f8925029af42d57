//! Rights to the bytes of a slot.

#![expect(
    unsafe_code,
    reason = "turns addresses in shared memory into slices; the ownership rule makes them exclusive"
)]

use std::{fmt, ops::Range, slice, sync::Arc};

use super::layout::{BatchLayout, FieldLayout, Progress, Region, SlotLayout};
use crate::sys::memory::SharedMemory;

/// Where a slot lies in memory. It gives no right to its bytes.
#[derive(Clone, Debug)]
pub(super) struct SlotMemory {
    pub(super) segment: Arc<SharedMemory>,
    pub(super) layout: Arc<SlotLayout>,
    pub(super) offset: usize,
    /// The variant of the batch in it.
    pub(super) variant: usize,
}

impl SlotMemory {
    /// Returns the address of the byte at `at` in this slot.
    fn at(&self, at: usize) -> *mut u8 {
        assert!(at <= self.layout.bytes() && self.offset + self.layout.bytes() <= self.segment.len());
        // SAFETY: the assertion keeps the sum inside the mapping.
        unsafe { self.segment.as_mut_ptr().add(self.offset + at) }
    }

    fn batch(&self) -> &BatchLayout {
        &self.layout.variants()[self.variant]
    }

    fn read_progress(&self, row: usize) -> Progress {
        // SAFETY: the address is inside the mapping. A worker may be writing the byte: any value is a valid u8,
        // and the read is volatile, so the compiler assumes nothing of it.
        unsafe { self.at(self.layout.progress(row)).read_volatile() }.into()
    }

    pub(super) fn index(&self, row: usize) -> u64 {
        // SAFETY: the 8 bytes lie inside the mapping.
        u64::from_ne_bytes(unsafe { self.at(self.layout.index(row)).cast::<[u8; 8]>().read_volatile() })
    }
}

/// Reads how far each row of a run is. A hint: the worker that owns the rows may be writing.
pub(super) fn progress(memory: &SlotMemory, rows: Range<usize>) -> Vec<Progress> {
    rows.map(|row| memory.read_progress(row)).collect()
}

/// Marks rows as not begun.
///
/// # Safety
/// The caller owns these rows.
pub(super) unsafe fn reset(memory: &SlotMemory, rows: Range<usize>) {
    for row in rows {
        // SAFETY: the address is inside the mapping, and the row is the caller's. Volatile, as it is read so.
        unsafe { memory.at(memory.layout.progress(row)).write_volatile(Progress::Waiting as u8) };
    }
}

/// The right to write some rows of a slot.
#[derive(Debug)]
pub struct SlotMut {
    memory: SlotMemory,
    rows: Range<usize>,
    /// The values of each row, of the fields whose rows have spans; none where no field is such.
    spans: Vec<Range<usize>>,
}

impl SlotMut {
    /// # Safety
    /// Until the value, and every row made of it, is gone, nobody else may touch these rows: the coordinator
    /// assigned them to this process alone, and this process made no other right to them.
    pub(super) unsafe fn new(memory: SlotMemory, rows: Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= memory.batch().rows());
        Self { memory, rows, spans: Vec::new() }
    }

    /// Returns the right to the values at these spans too, one for each row, of the fields whose rows have spans.
    ///
    /// # Safety
    /// They are the rows' spans in their batch, no two of which have a value in common.
    #[must_use]
    pub unsafe fn with_spans(self, spans: Vec<Range<usize>>) -> Self {
        Self { spans, ..self }
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Tells whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes down how far a run is that is worked on as a whole: at its first row, as [`RowMut::mark`] does.
    pub fn mark(&mut self, progress: Progress) {
        if !self.rows.is_empty() {
            // SAFETY: the address is inside the mapping, and this value is the only right to the row. Volatile as there.
            unsafe { self.memory.at(self.memory.layout.progress(self.rows.start)).write_volatile(progress as u8) };
        }
    }

    fn reset(&mut self) {
        // SAFETY: this value is the only right to the rows.
        unsafe { reset(&self.memory, self.rows.clone()) };
    }

    /// Returns the rows' bytes in each field, one row after the other; none of a field whose rows have spans.
    pub fn fields(&mut self) -> Vec<&mut [u8]> {
        let Self { memory, rows, .. } = self;
        let field = |field: &FieldLayout| {
            let row_bytes = match field.region {
                Region::Rows { row_bytes } => row_bytes,
                Region::Values { .. } => 0,
            };
            let start = memory.at(field.offset + rows.start * row_bytes);
            // SAFETY: the rows lie inside their field's region, which lies inside the mapping; regions do not overlap
            // (a property test of the layout); and this value, borrowed mutably, is the only right to the rows.
            unsafe { slice::from_raw_parts_mut(start, rows.len() * row_bytes) }
        };
        memory.batch().fields().iter().map(field).collect()
    }

    /// Splits the right into one for each row, marked as not begun.
    pub fn into_rows(mut self) -> impl Iterator<Item = RowMut> {
        self.reset();
        let Self { memory, rows, spans } = self;
        let memory = Arc::new(memory);
        let spans = spans.into_iter().chain(std::iter::repeat(0..0));
        rows.zip(spans).map(move |(row, span)| RowMut { memory: Arc::clone(&memory), row, span })
    }
}

/// The right to write one row of a slot: one sample.
#[derive(Debug)]
pub struct RowMut {
    memory: Arc<SlotMemory>,
    row: usize,
    /// Its values of the fields whose rows have spans.
    span: Range<usize>,
}

impl RowMut {
    /// Returns which row of the slot this is.
    pub fn row(&self) -> usize {
        self.row
    }

    /// Writes down how far the row is, for whoever has to clean up after this process.
    pub fn mark(&mut self, progress: Progress) {
        // SAFETY: the address is inside the mapping, and this value is the only right to the row. Volatile, so
        // that the byte is written before the work that it announces may kill this process.
        unsafe { self.memory.at(self.memory.layout.progress(self.row)).write_volatile(progress as u8) };
    }

    /// Writes down which sample the row holds.
    pub fn set_index(&mut self, index: u64) {
        let bytes = index.to_ne_bytes();
        // SAFETY: the 8 bytes lie inside the mapping, and this value is the only right to the row.
        unsafe { self.memory.at(self.memory.layout.index(self.row)).cast::<[u8; 8]>().write_volatile(bytes) };
    }

    /// Returns the row's bytes in the field of this number; of one whose rows have spans, those of its span.
    pub fn field(&mut self, number: usize) -> &mut [u8] {
        let (start, len) = self.place(&self.memory.batch().fields()[number]);
        // SAFETY: the place lies inside its field's region, which lies inside the mapping; and this value, borrowed mutably, is
        // the only right to the row and to its span.
        unsafe { slice::from_raw_parts_mut(start, len) }
    }

    /// Returns the row's bytes in each field, as [`field`](Self::field) does.
    pub fn fields(&mut self) -> Vec<&mut [u8]> {
        let bytes = |field| {
            let (start, len) = self.place(field);
            // SAFETY: as above; regions do not overlap (a property test of the layout).
            unsafe { slice::from_raw_parts_mut(start, len) }
        };
        self.memory.batch().fields().iter().map(bytes).collect()
    }

    /// Returns where the row, or its span, lies in a field, and how many bytes it has there.
    fn place(&self, field: &FieldLayout) -> (*mut u8, usize) {
        let Self { memory, row, span } = self;
        let (from, len) = match field.region {
            Region::Rows { row_bytes } => (*row * row_bytes, row_bytes),
            Region::Values { value_bytes, values } => {
                assert!(span.start <= span.end && span.end <= values, "values {span:?} of {values}");
                (span.start * value_bytes, span.len() * value_bytes)
            }
        };
        (memory.at(field.offset + from), len)
    }
}

/// Takes slots back from their last holder.
pub trait GiveBack: Send + Sync {
    /// Called once, from any thread, when the last view of the slot is gone.
    fn give_back(&self, slot: u32);
}

/// A finished batch. Its holder has it alone, and gives the slot back by dropping it.
///
/// The memory stays mapped for as long as the value lives, also after its loader is gone.
pub struct SlotRef {
    memory: SlotMemory,
    slot: u32,
    rows: usize,
    owner: Arc<dyn GiveBack>,
}

impl SlotRef {
    /// # Safety
    /// The slot's writers have committed it, and until the value is dropped no other right to the slot exists.
    pub(super) unsafe fn new(memory: SlotMemory, slot: u32, rows: usize, owner: Arc<dyn GiveBack>) -> Self {
        assert!(rows <= memory.batch().rows());
        Self { memory, slot, rows, owner }
    }

    /// Returns the number of rows of the batch, at most the slot's.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns where the fields of the batch lie.
    pub fn layout(&self) -> &BatchLayout {
        self.memory.batch()
    }

    /// Returns the sample index of each row.
    pub fn indices(&self) -> Vec<u64> {
        (0..self.rows).map(|row| self.memory.index(row)).collect()
    }

    /// Returns the bytes of a field, all rows of the batch one after the other; of one whose rows have spans, all its values.
    pub fn field(&self, field: usize) -> &[u8] {
        let (start, len) = self.field_parts(field);
        // SAFETY: the region lies inside the mapping, which self keeps; the slot is committed, so no process writes.
        unsafe { slice::from_raw_parts(start, len) }
    }

    /// Returns where a field's first row begins and how many bytes its rows have (or all its values, where rows have spans),
    /// for views that outlive a borrow.
    ///
    /// Such a view must keep the `SlotRef`. It may be written to: the batch belongs to its holder alone.
    pub fn field_parts(&self, field: usize) -> (*mut u8, usize) {
        let layout = &self.layout().fields()[field];
        let bytes = match layout.region {
            Region::Rows { row_bytes } => self.rows * row_bytes,
            Region::Values { value_bytes, values } => value_bytes * values,
        };
        (self.memory.at(layout.offset), bytes)
    }

    /// Returns the text that the coordinator left in the slot instead of a batch.
    pub fn text(&self, len: usize) -> String {
        let len = len.min(self.memory.layout.bytes());
        // SAFETY: inside the mapping; the coordinator wrote the text before it handed the slot over.
        let bytes = unsafe { slice::from_raw_parts(self.memory.at(0), len) };
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// Writes a text into a slot instead of a batch, cut to the slot's size, and returns its length.
///
/// # Safety
/// The caller owns the whole slot.
pub(super) unsafe fn write_text(memory: &SlotMemory, text: &str) -> usize {
    let len = text.floor_char_boundary(memory.layout.bytes());
    // SAFETY: len bytes fit the slot, which lies inside the mapping and is the caller's alone.
    unsafe { memory.at(0).copy_from_nonoverlapping(text.as_ptr(), len) };
    len
}

impl Drop for SlotRef {
    fn drop(&mut self) {
        self.owner.give_back(self.slot);
    }
}

impl fmt::Debug for SlotRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotRef").field("slot", &self.slot).field("rows", &self.rows).finish_non_exhaustive()
    }
}
