//! How many runs a worker has at once.

use crate::worker::{LANES, MOST_LANES, RunReport, SLOW_READ};

/// What reading and making a row take: moving averages, in seconds.
#[derive(Debug)]
pub(super) struct Depth {
    /// The threads that make rows; none where reads do not overlap.
    threads: Option<u32>,
    read: f64,
    made: f64,
}

/// What a report of one row weighs.
const WEIGHT: f64 = 1.0 / 16.0;

impl Depth {
    pub(super) fn new(threads: Option<u32>) -> Self {
        Self { threads, read: 0.0, made: 0.0 }
    }

    /// Takes in what a run of so many rows took.
    pub(super) fn add(&mut self, report: &RunReport, rows: u32) {
        let rows = f64::from(rows.max(1));
        let weight = (rows * WEIGHT).min(1.0);
        self.read += (report.read.as_secs_f64() / rows - self.read) * weight;
        self.made += ((report.times.decode + report.times.transform).as_secs_f64() / rows - self.made) * weight;
    }

    /// Returns how many runs of so many rows a worker should have: one in work and one waiting, and those that are made in
    /// the time that a read takes.
    pub(super) fn lanes(&self, run_rows: u32) -> usize {
        let (Some(threads), true) = (self.threads, self.read >= SLOW_READ.as_secs_f64()) else { return LANES };
        let rows = self.read / self.made.max(1e-9) * f64::from(threads);
        LANES.saturating_add((rows / f64::from(run_rows.max(1))) as usize).min(MOST_LANES)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pipeline::Times;

    fn report(read: u64, made: u64) -> RunReport {
        let times = Times { decode: Duration::from_micros(made), ..Times::default() };
        RunReport { read: Duration::from_micros(read), times, ..RunReport::default() }
    }

    #[test]
    fn runs_that_are_made_while_one_is_read_are_handed_out() {
        let mut depth = Depth::new(Some(1));
        assert_eq!(depth.lanes(2), LANES);
        for _ in 0..100 {
            depth.add(&report(100, 1400), 2);
        }
        assert_eq!(depth.lanes(2), LANES);
        // Twenty milliseconds a row, of which 0.7 are made in each.
        for _ in 0..100 {
            depth.add(&report(40_000, 1400), 2);
        }
        assert_eq!((depth.lanes(2), depth.lanes(28)), (LANES + 14, LANES + 1));
        depth.threads = Some(8);
        assert_eq!(depth.lanes(2), MOST_LANES);
        depth.threads = None;
        assert_eq!(depth.lanes(2), LANES);
        // Quick reads are no reason for more, however little is made of them.
        let mut depth = Depth::new(Some(1));
        for _ in 0..100 {
            depth.add(&report(100, 1), 2);
        }
        assert_eq!(depth.lanes(2), LANES);
    }
}
