//! Memory for a text that is too long for a message: written by one side, read by the other once a message says so.

#![expect(unsafe_code, reason = "copies bytes in and out of shared memory")]

use std::{os::fd::OwnedFd, sync::Arc};

use crate::{error::Result, sys::memory::SharedMemory};

/// A text area in shared memory, cut into equal lanes that are used independently of each other.
#[derive(Clone, Debug)]
pub struct Mailbox {
    memory: Arc<SharedMemory>,
    lanes: usize,
}

impl Mailbox {
    /// The lanes of a trainer's mailbox: one for its description and what answers it, and one for the reason why the pool
    /// is over, which may come before an answer has been read.
    pub const TRAINER_LANES: usize = 2;
    /// The lane for the reason why the pool is over.
    pub const REASON: usize = 1;

    /// Makes a mailbox of `lanes` lanes of `bytes` each. Pages that are never written cost nothing.
    ///
    /// # Errors
    /// [`Sys`](crate::Error::Sys) where the system refuses the memory.
    pub fn create(lanes: usize, bytes: usize) -> Result<Self> {
        Ok(Self { memory: Arc::new(SharedMemory::create("stokehold-mailbox", lanes * bytes)?), lanes })
    }

    /// Opens a mailbox of so many lanes that another process made.
    ///
    /// # Errors
    /// [`Sys`](crate::Error::Sys) where it cannot be mapped.
    pub fn open(fd: OwnedFd, lanes: usize) -> Result<Self> {
        Ok(Self { memory: Arc::new(SharedMemory::open(fd)?), lanes })
    }

    /// Returns the mailbox of so many lanes that lies in this memory.
    pub fn over(memory: SharedMemory, lanes: usize) -> Self {
        Self { memory: Arc::new(memory), lanes }
    }

    /// Returns the memory, to be sent to another process.
    pub fn memory(&self) -> &SharedMemory {
        &self.memory
    }

    /// Returns the number of lanes.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Returns how many bytes fit a lane.
    pub fn capacity(&self) -> usize {
        self.memory.len() / self.lanes
    }

    /// Writes a text into a lane, cut to its size, and returns its length. The lane must be this side's to write:
    /// the other side has read what was in it.
    ///
    /// # Panics
    /// Where there is no such lane.
    pub fn write(&self, lane: usize, text: &str) -> u32 {
        assert!(lane < self.lanes);
        let len = text.floor_char_boundary(self.capacity());
        // SAFETY: len bytes fit the lane, which lies inside the mapping; both sides only copy, through raw pointers,
        // so a peer that breaks the protocol can garble the text and nothing else.
        unsafe {
            let start = self.memory.as_mut_ptr().add(lane * self.capacity());
            start.copy_from_nonoverlapping(text.as_ptr(), len);
        }
        len as u32
    }

    /// Reads the text of this length from a lane. A length beyond the lane is cut.
    ///
    /// # Panics
    /// Where there is no such lane.
    pub fn read(&self, lane: usize, len: u32) -> String {
        assert!(lane < self.lanes);
        let len = (len as usize).min(self.capacity());
        let mut bytes = vec![0; len];
        // SAFETY: len bytes lie inside the lane, which lies inside the mapping; see write().
        unsafe {
            let start = self.memory.as_mut_ptr().add(lane * self.capacity());
            bytes.as_mut_ptr().copy_from_nonoverlapping(start, len);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn lanes_are_independent_and_texts_are_cut_to_them() {
        let ours = Mailbox::create(2, 4096).unwrap();
        assert_eq!(ours.write(0, "one"), 3);
        assert_eq!(ours.write(1, &"é".repeat(3000)), 4096);
        assert_eq!(ours.read(0, 3), "one");
        assert_eq!(ours.read(1, u32::MAX).chars().count(), 2048);
    }

    #[test]
    fn the_other_side_reads_what_was_written() {
        let ours = Mailbox::create(1, 4096).unwrap();
        let theirs = Mailbox::open(ours.memory().as_fd().try_clone_to_owned().unwrap(), 1).unwrap();
        let len = theirs.write(0, "hello");
        assert_eq!(ours.read(0, len), "hello");
    }
}
