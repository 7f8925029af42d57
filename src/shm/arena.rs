//! All slots of a loader, in one segment or, after it has grown, in several.

#![expect(unsafe_code, reason = "passes on the promise that a slot has one owner")]

use std::{ops::Range, os::fd::OwnedFd, sync::Arc};

use super::{
    layout::{Progress, SlotLayout},
    slot::{self, GiveBack, SlotMemory, SlotMut, SlotRef},
};
use crate::{
    error::{Error, Result},
    sys::{limits, memory::SharedMemory},
};

/// Shared memory cut into slots that are numbered from 0, over all segments.
#[derive(Debug)]
pub struct Arena {
    layout: Arc<SlotLayout>,
    segments: Vec<Arc<SharedMemory>>,
    /// For each slot, its segment and its first byte there.
    slots: Vec<(usize, usize)>,
}

impl Arena {
    /// Returns an arena without slots.
    pub fn new(layout: SlotLayout) -> Self {
        Self { layout: Arc::new(layout), segments: Vec::new(), slots: Vec::new() }
    }

    /// Makes a segment of `slots` more slots and returns it, so that other processes can [`adopt`](Self::adopt) it.
    ///
    /// # Errors
    /// [`Error::Memory`] where the memory does not fit under a limit of this process, looked up before anything
    /// is allocated; [`Error::Sys`] where the system refuses it.
    pub fn grow(&mut self, slots: usize) -> Result<Arc<SharedMemory>> {
        let bytes =
            self.layout.bytes().checked_mul(slots).ok_or_else(|| Error::Memory("the arena's size overflows".into()))?;
        let what = format!("an arena of {slots} slots of {}", limits::ByteSize(self.layout.bytes() as u64));
        let lower = if self.layout.rows() > 1 { "batch_size or prefetch" } else { "prefetch" };
        limits::check_memory(bytes as u64, &what, &format!("lower {lower}, or raise the limit"))?;
        let segment = Arc::new(SharedMemory::create("stokehold-arena", bytes)?);
        self.push(Arc::clone(&segment));
        Ok(segment)
    }

    /// Adds a segment that another process made with [`grow`](Self::grow).
    ///
    /// # Errors
    /// [`Error::Sys`] where it cannot be mapped, [`Error::Protocol`] where its size is not one of whole slots.
    pub fn adopt(&mut self, fd: OwnedFd) -> Result<usize> {
        let segment = SharedMemory::open(fd)?;
        if segment.len() % self.layout.bytes() != 0 {
            return Err(Error::Protocol(format!("a segment of {} bytes is not made of whole slots", segment.len())));
        }
        Ok(self.push(Arc::new(segment)))
    }

    /// Adds a segment that this process has mapped already.
    pub fn share(&mut self, segment: Arc<SharedMemory>) {
        self.push(segment);
    }

    fn push(&mut self, segment: Arc<SharedMemory>) -> usize {
        let count = segment.len() / self.layout.bytes();
        let number = self.segments.len();
        self.slots.extend((0..count).map(|slot| (number, slot * self.layout.bytes())));
        self.segments.push(segment);
        count
    }

    /// Returns the number of slots.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Returns the size of all segments in bytes.
    pub fn bytes(&self) -> usize {
        self.slots.len() * self.layout.bytes()
    }

    /// Returns the layout of every slot.
    pub fn layout(&self) -> &SlotLayout {
        &self.layout
    }

    /// Returns the segments, oldest first.
    pub fn segments(&self) -> &[Arc<SharedMemory>] {
        &self.segments
    }

    /// Returns where a slot lies, for what does not look at its fields.
    fn slot_memory(&self, slot: u32) -> Result<SlotMemory> {
        self.batch_memory(slot, 0, 0)
    }

    /// Returns where a slot lies that has so many rows of a batch of this variant.
    fn batch_memory(&self, slot: u32, variant: u32, rows: usize) -> Result<SlotMemory> {
        let variant = variant as usize;
        let batch = self.layout.variants().get(variant);
        let batch = batch.ok_or_else(|| Error::Protocol(format!("there is no variant {variant} of batches")))?;
        if rows > batch.rows() {
            return Err(Error::Protocol(format!("{rows} rows of a slot of {} rows", batch.rows())));
        }
        let &(segment, offset) = self
            .slots
            .get(slot as usize)
            .ok_or_else(|| Error::Protocol(format!("slot {slot} of an arena of {} slots", self.slots.len())))?;
        Ok(SlotMemory {
            segment: Arc::clone(&self.segments[segment]),
            layout: Arc::clone(&self.layout),
            offset,
            variant,
        })
    }

    /// Returns the right to write some rows of a slot, of a batch of this variant: 0 where there is one alone.
    ///
    /// # Safety
    /// The coordinator has assigned these rows to the caller, who makes no second right to them.
    ///
    /// # Errors
    /// [`Error::Protocol`] for a slot, a variant or rows that do not exist.
    pub unsafe fn rows_mut(&self, slot: u32, variant: u32, rows: Range<usize>) -> Result<SlotMut> {
        let memory = self.batch_memory(slot, variant, rows.end)?;
        if rows.start > rows.end {
            return Err(Error::Protocol(format!("rows {rows:?} of a slot end before they begin")));
        }
        // SAFETY: passed on from the caller.
        Ok(unsafe { SlotMut::new(memory, rows) })
    }

    /// Returns a finished slot, with a batch of this variant, to be given back to `owner` when it is dropped.
    ///
    /// # Safety
    /// The coordinator has handed the slot over to the caller, who makes no second right to it.
    ///
    /// # Errors
    /// [`Error::Protocol`] for a slot or a variant that does not exist, or more rows than it has.
    pub unsafe fn take(&self, slot: u32, variant: u32, rows: usize, owner: Arc<dyn GiveBack>) -> Result<SlotRef> {
        let memory = self.batch_memory(slot, variant, rows)?;
        // SAFETY: passed on from the caller.
        Ok(unsafe { SlotRef::new(memory, slot, rows, owner) })
    }

    /// Marks some rows as not begun, so that nothing is read into what an earlier owner wrote down.
    ///
    /// # Safety
    /// The caller owns these rows.
    ///
    /// # Errors
    /// [`Error::Protocol`] for a slot or rows that do not exist.
    pub unsafe fn reset(&self, slot: u32, rows: Range<usize>) -> Result<()> {
        let memory = self.slot_memory(slot)?;
        if rows.end > self.layout.rows() {
            return Err(Error::Protocol(format!("rows {rows:?} of a slot of {} rows", self.layout.rows())));
        }
        // SAFETY: passed on from the caller.
        unsafe { slot::reset(&memory, rows) };
        Ok(())
    }

    /// Reads how far some rows are; a hint while a worker owns them.
    ///
    /// # Errors
    /// [`Error::Protocol`] for a slot that does not exist.
    pub fn progress(&self, slot: u32, rows: Range<usize>) -> Result<Vec<Progress>> {
        Ok(slot::progress(&self.slot_memory(slot)?, rows.start..rows.end.min(self.layout.rows())))
    }

    /// Reads which sample a worker wrote down for a row; a hint while it owns the row.
    ///
    /// # Errors
    /// [`Error::Protocol`] for a slot or a row that does not exist.
    pub fn index(&self, slot: u32, row: u32) -> Result<u64> {
        let memory = self.slot_memory(slot)?;
        if row as usize >= self.layout.rows() {
            return Err(Error::Protocol(format!("row {row} of a slot of {} rows", self.layout.rows())));
        }
        Ok(memory.index(row as usize))
    }

    /// Writes a text into a slot instead of a batch, and returns its length.
    ///
    /// # Safety
    /// The caller owns the whole slot.
    ///
    /// # Errors
    /// [`Error::Protocol`] for a slot that does not exist.
    pub unsafe fn write_text(&self, slot: u32, text: &str) -> Result<usize> {
        // SAFETY: passed on from the caller.
        Ok(unsafe { slot::write_text(&self.slot_memory(slot)?, text) })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::fd::AsFd,
        sync::{Mutex, PoisonError},
    };

    use super::*;
    use crate::spec::{DType, FieldSpec};

    #[derive(Default)]
    struct Returned(Mutex<Vec<u32>>);

    impl GiveBack for Returned {
        fn give_back(&self, slot: u32) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
        }
    }

    fn arena() -> Arena {
        let specs = [FieldSpec::new("x", DType::UInt8, [3]), FieldSpec::new("y", DType::Int64, [])];
        Arena::new(SlotLayout::new(4, &specs).unwrap())
    }

    #[test]
    fn rows_written_in_one_mapping_are_read_in_another() {
        let mut ours = arena();
        let segment = ours.grow(2).unwrap();
        let mut theirs = arena();
        theirs.adopt(segment.as_fd().try_clone_to_owned().unwrap()).unwrap();
        // SAFETY: this test assigns the rows to nobody else.
        for mut row in unsafe { theirs.rows_mut(1, 0, 0..3) }.unwrap().into_rows() {
            let number = row.row() as u8;
            row.set_index(u64::from(number) + 100);
            row.fields()[0].fill(number);
            row.fields()[1].copy_from_slice(&i64::from(number).to_ne_bytes());
            row.mark(Progress::Done);
        }
        assert_eq!(
            ours.progress(1, 0..4).unwrap(),
            [Progress::Done, Progress::Done, Progress::Done, Progress::Waiting]
        );
        let returned = Arc::new(Returned::default());
        // SAFETY: the rows above are gone.
        let batch = unsafe { ours.take(1, 0, 3, returned.clone()) }.unwrap();
        assert_eq!(batch.indices(), [100, 101, 102]);
        assert_eq!(batch.field(0), [0, 0, 0, 1, 1, 1, 2, 2, 2]);
        drop(batch);
        assert_eq!(*returned.0.lock().unwrap(), [1]);
    }

    #[test]
    fn a_batch_outlives_its_arena() {
        let mut arena = arena();
        arena.grow(1).unwrap();
        // SAFETY: nobody else has a right to the slot.
        let batch = unsafe { arena.take(0, 0, 4, Arc::new(Returned::default())) }.unwrap();
        drop(arena);
        assert_eq!(batch.field(0), [0; 12]);
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let mut arena = arena();
        arena.grow(2).unwrap();
        // SAFETY: none of these gives a right.
        unsafe {
            assert!(arena.rows_mut(2, 0, 0..1).is_err());
            assert!(arena.rows_mut(0, 0, 3..5).is_err());
            assert!(arena.take(0, 0, 5, Arc::new(Returned::default())).is_err());
        }
        assert!(arena.grow(usize::MAX).is_err());
    }

    #[test]
    fn a_text_is_written_instead_of_a_batch() {
        let mut arena = arena();
        arena.grow(1).unwrap();
        // SAFETY: this test owns the slot throughout.
        unsafe {
            let len = arena.write_text(0, "what went wrong").unwrap();
            let slot = arena.take(0, 0, 0, Arc::new(Returned::default())).unwrap();
            assert_eq!(slot.text(len), "what went wrong");
        }
    }
}
