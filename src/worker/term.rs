//! How long a worker serves before another one takes its seat: code that leaks memory must not take all there is.

use crate::{job::Options, sys::limits};

/// The exit status of a worker that has served long enough.
pub const TERM_OVER: i32 = 77;

/// What limits a worker's term, and how much of it is over.
#[derive(Clone, Debug)]
pub struct Term {
    /// The rows to be made, at least.
    rows: Option<u64>,
    memory: Option<u64>,
    made: u64,
}

impl Term {
    /// Returns the term that a worker of such a loader begins, whose batches have so many rows.
    pub fn of(options: &Options, batch_rows: u32) -> Self {
        let rows = options.worker_batches.map(|batches| u64::from(batches) * u64::from(batch_rows));
        Self { rows, memory: options.worker_memory_limit, made: 0 }
    }

    /// Counts rows that are made and reported, and tells whether the term is over. What was handed out to this worker
    /// since is done by another one.
    pub(super) fn is_over(&mut self, rows: u32) -> bool {
        self.made += u64::from(rows);
        self.rows.is_some_and(|most| self.made >= most) || self.memory.is_some_and(|most| limits::own_memory() > most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_ends_with_its_rows_or_its_memory() {
        let options = Options::default();
        assert!(!Term::of(&options, 4).is_over(u32::MAX));
        let mut term = Term::of(&Options { worker_batches: Some(2), ..options.clone() }, 4);
        assert_eq!([4, 3, 1].map(|rows| term.is_over(rows)), [false, false, true]);
        assert!(Term::of(&Options { worker_memory_limit: Some(1), ..options.clone() }, 4).is_over(1));
        assert!(!Term::of(&Options { worker_memory_limit: Some(1 << 50), ..options }, 4).is_over(1));
    }
}
