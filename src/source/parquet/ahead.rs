//! Decoding row groups before a row of them is asked for, where reading them takes long.

use std::{
    sync::{Arc, OnceLock},
    thread,
};

use super::{cache::Kept, groups::Groups};

/// How many row groups are read at a time, at most.
const MOST_THREADS: u64 = 8;

/// Threads that read and decode row groups, from the first time that one is wanted.
#[derive(Debug)]
pub(super) struct Ahead {
    threads: u64,
    rows: u64,
    queue: OnceLock<flume::Sender<(usize, Kept)>>,
}

impl Ahead {
    /// Returns threads for windows of so many groups, that have so many rows.
    pub(super) fn new(window: u64, rows: u64) -> Self {
        // A window that is not over and most of the next one are kept.
        Self { threads: window.min(MOST_THREADS), rows: (rows / 4 * 3).max(1), queue: OnceLock::new() }
    }

    /// Returns how many rows ahead row groups are decoded.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Has a row group decoded, unless it is kept.
    pub(super) fn decode(&self, groups: &Arc<Groups>, number: usize) {
        if let Some(kept) = groups.begin(number) {
            // One that nobody takes up is decoded by whoever asks for a row of it.
            let _ = self.queue.get_or_init(|| self.start(groups)).send((number, kept));
        }
    }

    fn start(&self, groups: &Arc<Groups>) -> flume::Sender<(usize, Kept)> {
        let (queue, queued) = flume::unbounded::<(usize, Kept)>();
        for number in 0..self.threads {
            let (groups, queued) = (Arc::clone(groups), queued.clone());
            let _ = thread::Builder::new().name(format!("groups-{number}")).spawn(move || {
                for (number, kept) in queued {
                    // What is wrong with it is told where a row of it is read.
                    let _ = groups.decoded(number, &kept);
                }
            });
        }
        queue
    }
}
