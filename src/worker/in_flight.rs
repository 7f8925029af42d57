//! How much may be read ahead.

use std::sync::{Condvar, Mutex, PoisonError};

/// From so many bytes on that wait to be decoded, nothing more is read: many large records would take memory for nothing.
const READ_AHEAD_BYTES: usize = 64 << 20;

/// The bytes of records that have been read and are not yet decoded.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    bytes: Mutex<usize>,
    fewer: Condvar,
}

impl InFlight {
    /// Waits until another record may be read.
    pub(super) fn wait(&self) {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.fewer.wait_while(bytes, |bytes| *bytes > READ_AHEAD_BYTES);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Notes that a record of this length has been read.
    pub(super) fn add(&self, len: usize) {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) += len;
    }

    /// Notes that a record that had this length when it was read is decoded.
    pub(super) fn remove(&self, len: usize) {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) -= len;
        self.fewer.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    #[test]
    fn reading_waits_for_large_records_alone() {
        let in_flight = InFlight::default();
        in_flight.wait();
        in_flight.add(READ_AHEAD_BYTES);
        in_flight.wait();
        in_flight.add(1);
        let (told, tell) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                in_flight.wait();
                told.send(()).unwrap();
            });
            assert!(tell.recv_timeout(Duration::from_millis(20)).is_err());
            in_flight.remove(1);
            tell.recv().unwrap();
        });
    }
}
