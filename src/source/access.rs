//! What every source can do: records by index.

use std::{ffi::OsString, fmt::Debug, os::fd::RawFd, sync::Arc};

use super::{reader::Reader, record::Record};
use crate::{error::Result, field::Field, sampler::Blocks};

/// Bytes that several processes may share: a mapping, or memory of our own.
pub type Bytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Records by index.
///
/// Getting a sample takes two steps, so that a worker can read ahead: a [`Reader`] of the thread that reads does all of
/// the sample's I/O and leaves what it got in a [`Record`], [`field`](Self::field) finds a field in that.
#[expect(clippy::len_without_is_empty, reason = "an empty source is refused when it is opened")]
pub trait Source: Debug + Send + Sync {
    /// Returns the number of samples, at least one.
    fn len(&self) -> u64;

    /// Tells whether samples come one after the other, a stream in each worker: then the length is
    /// [`ENDLESS`](crate::sampler::ENDLESS).
    fn is_stream(&self) -> bool {
        false
    }

    /// Returns the fields of every sample, in the order in which [`field`](Self::field) counts them.
    fn fields(&self) -> &[Field];

    /// Returns what to call sample `index` in an error: its path, or its row.
    fn key(&self, index: u64) -> String;

    /// Returns the path of the file that field `field` of sample `index` is, where it is one of several.
    fn file(&self, field: usize, index: u64) -> Option<String> {
        let _ = (field, index);
        None
    }

    /// Returns the names of the classes that the labels count, where there are any; they are names of files, of any bytes.
    fn classes(&self) -> &[OsString] {
        &[]
    }

    /// Returns the blocks that the source is best read in, where a sample costs much less beside others of its block.
    fn blocks(&self) -> Option<Arc<Blocks>> {
        None
    }

    /// Returns what tells the first `samples` samples, one or more, from those of another source with as many and the same
    /// classes; 0 where nothing is known. It stays the same when samples come behind them.
    fn identity(&self, samples: u64) -> u64 {
        let _ = samples;
        0
    }

    /// Returns the descriptors that the source keeps open. A coordinator that is forked with it closes all others.
    fn descriptors(&self) -> Vec<RawFd> {
        Vec::new()
    }

    /// Tells whether a reader may wait for a device, so that reading ahead pays.
    fn does_io(&self) -> bool;

    /// Tells whether a sample must be read before its field `field` is asked for.
    fn needs_record(&self, field: usize) -> bool {
        let _ = field;
        self.does_io()
    }

    /// Tells whether a read waits, for a device or a server, rather than computes: then several at a time pay.
    fn waits(&self) -> bool {
        self.does_io()
    }

    /// Tells how many samples ahead it pays to say which one [comes](Self::soon), where the order is the source's own or by its
    /// blocks; 0 where it does not.
    fn looks_ahead(&self) -> u64 {
        0
    }

    /// Tells that a sample will be read by this process, so that what it lies in can be got ready.
    fn soon(&self, index: u64) {
        let _ = index;
    }

    /// Tells whether a sample takes so little that a run of a few would not be worth its message.
    fn is_quick(&self) -> bool {
        !self.does_io()
    }

    /// Tells whether samples are made by code of the user, which runs on one thread at a time.
    fn runs_code(&self) -> bool {
        false
    }

    /// Returns the signal at which a worker reports what its code is doing, from whatever that is.
    fn stack_signal(&self) -> Option<i32> {
        None
    }

    /// Tells whether the room that its fields have for samples that vary is a guess: then a sample that needs more is no bad
    /// one, and there is more room from then on.
    fn guesses_room(&self) -> bool {
        false
    }

    /// Begins a worker's process, before it reads its first sample; `seat` is its number.
    ///
    /// # Errors
    /// [`Raised`](crate::Error::Raised) where code of the user refuses.
    fn enter(&self, seat: u32) -> Result<()> {
        let _ = seat;
        Ok(())
    }

    /// Returns what a thread reads samples with.
    fn reader(&self) -> Box<dyn Reader + '_>;

    /// Returns the bytes of field `field` of sample `index`, whose record has been read.
    fn field<'a>(&'a self, field: usize, index: u64, record: &'a Record) -> &'a [u8];
}
