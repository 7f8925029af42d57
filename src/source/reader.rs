//! Reading records, by one thread.

use super::record::Record;
use crate::{error::Failure, rng::Key};

/// How a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// There are no more samples.
    Clean,
    /// A sample that has failed has ended it.
    Broken,
}

/// What one thread reads the samples of a source with: it may keep what the next sample needs too.
pub trait Reader {
    /// Begins a run of samples, all to be read by this thread before the run [ends](Self::end), with no wait in between. A
    /// sample may also be read outside of a run, which may take longer.
    fn begin(&mut self) {}

    /// Tells whether this reader makes the samples of a run together: then it is to be told of them.
    fn takes_runs(&self) -> bool {
        false
    }

    /// Tells which samples will be read next, in this order, before the run ends.
    fn expect(&mut self, keys: &[Key]) {
        let _ = keys;
    }

    /// Reads sample `key.index` into `record`, in place of what that holds, and which is to become no longer than `most`
    /// bytes. Where the sample is made by code that draws at random, `key` is whose randomness it has.
    ///
    /// # Errors
    /// A [`Failure`] of the read stage, with the errno where there is one. A sample that is longer is one, told before
    /// memory is taken for it.
    fn read(&mut self, key: Key, record: &mut Record, most: u64) -> Result<(), Failure>;

    /// Of a stream, returns the sample that has to be read before this one can be; none where this one is next.
    fn behind(&mut self, key: Key) -> Option<Key> {
        let _ = key;
        None
    }

    /// Of a stream, tells how it has ended, where the last read has failed for no other reason.
    fn ended(&self) -> Option<StreamEnd> {
        None
    }

    /// Ends a run: nothing that others may want is held any more.
    fn end(&mut self) {}
}

/// Reads bytes by index, with nothing to keep.
#[derive(Debug)]
pub struct BytesReader<F>(F);

impl<F: FnMut(u64, &mut Vec<u8>, u64) -> Result<(), Failure>> BytesReader<F> {
    /// Returns a reader that calls `read` with a sample's index, the bytes to be filled and the most that there may be of
    /// them.
    pub fn new(read: F) -> Self {
        Self(read)
    }
}

impl<F: FnMut(u64, &mut Vec<u8>, u64) -> Result<(), Failure>> Reader for BytesReader<F> {
    fn read(&mut self, key: Key, record: &mut Record, most: u64) -> Result<(), Failure> {
        (self.0)(key.index, &mut record.bytes, most)
    }
}
