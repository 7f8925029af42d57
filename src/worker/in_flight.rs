//! How much may be read ahead.

use std::sync::{Condvar, Mutex, PoisonError};

/// From so many bytes on that wait to be decoded, nothing more is read: many large records would take memory for nothing.
const READ_AHEAD_BYTES: usize = 64 << 20;

/// The bytes of records that are being read, or have been and are not yet decoded.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    bytes: Mutex<usize>,
    fewer: Condvar,
}

impl InFlight {
    /// Waits until another record may be read, and counts it, as one that is as long as most are.
    pub(super) fn begin(&self, usual: usize) {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.fewer.wait_while(bytes, |bytes| *bytes > READ_AHEAD_BYTES);
        *waited.unwrap_or_else(PoisonError::into_inner) += usual;
    }

    /// Notes that a record which was counted as one of `usual` bytes has been read, and has `len`.
    pub(super) fn read(&self, usual: usize, len: usize) {
        self.change(|bytes| bytes - usual + len);
    }

    /// Notes that a record that had this length when it was read is decoded.
    pub(super) fn remove(&self, len: usize) {
        self.change(|bytes| bytes - len);
    }

    fn change(&self, change: impl FnOnce(usize) -> usize) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *bytes;
        *bytes = change(before);
        if before > READ_AHEAD_BYTES && *bytes <= READ_AHEAD_BYTES {
            // All of them: each looks again whether there is room left.
            self.fewer.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    #[test]
    fn reading_waits_for_large_records_alone() {
        let in_flight = InFlight::default();
        in_flight.begin(5);
        in_flight.read(5, READ_AHEAD_BYTES);
        // As long as nobody knows how long records are, one more may be read.
        in_flight.begin(1);
        let (told, tell) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                in_flight.begin(0);
                told.send(()).unwrap();
            });
            assert!(tell.recv_timeout(Duration::from_millis(20)).is_err());
            in_flight.remove(1);
            tell.recv().unwrap();
        });
    }
}
