//! Reading rows ahead of those that are decoded: on one thread while that is quick, and else many at a time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    fill::{Candidate, Filler, RowTask},
    in_flight::InFlight,
    report::RunReport,
    running::Running,
};
use crate::{
    error::{Error, Result},
    shm::RowMut,
    source::{Reader, Record},
};

/// The most reads that one worker waits for at a time.
const MOST_READS: usize = 64;

/// A read that takes so long waits for a device or a server, and is worth another thread's wake-up many times over.
const SLOW: Duration = Duration::from_millis(1);

/// How long reads take: a moving average.
#[derive(Debug, Default)]
struct Latency(AtomicU64);

impl Latency {
    fn add(&self, took: Duration) {
        let (before, took) = (self.0.load(Ordering::Relaxed), u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        // Each counts an eighth. Of two threads that add at once one may be lost, on which nothing depends.
        self.0.store(before - before / 8 + took / 8, Ordering::Relaxed);
    }

    fn is_slow(&self) -> bool {
        Duration::from_nanos(self.0.load(Ordering::Relaxed)) >= SLOW
    }
}

/// A row whose record is to be read.
pub(super) struct ToRead {
    pub(super) row: RowMut,
    pub(super) running: Arc<Running>,
}

/// A row whose record has been read.
pub(super) struct Fetched {
    pub(super) row: RowMut,
    pub(super) running: Arc<Running>,
    pub(super) record: Record,
    /// The record's length.
    pub(super) len: usize,
    pub(super) candidate: Candidate,
}

/// What every thread that reads has.
#[derive(Clone)]
struct Shared {
    filler: Filler,
    queued: flume::Receiver<ToRead>,
    /// Records to be used again.
    spare: flume::Receiver<Record>,
    in_flight: Arc<InFlight>,
    latency: Arc<Latency>,
}

impl Shared {
    fn read(&self, to_read: ToRead, reader: &mut dyn Reader) -> Fetched {
        let ToRead { mut row, running } = to_read;
        self.in_flight.wait();
        let mut record = self.spare.try_recv().unwrap_or_default();
        let mut run = RunReport::default();
        let fill = &running.fill;
        let row_task = RowTask { partition: &running.partition, batch: fill.batch, attempt: fill.attempt };
        let begun = Instant::now();
        let candidate = self.filler.fetch(row_task, &mut row, (reader, &mut record), &mut run);
        self.latency.add(begun.elapsed());
        running.merge(run);
        let len = record.len();
        self.in_flight.add(len);
        Fetched { row, running, record, len, candidate }
    }
}

/// Reads, and passes on what was read.
pub(super) struct Reads<F> {
    shared: Shared,
    queue: flume::Sender<ToRead>,
    pass_on: F,
    threads: Vec<JoinHandle<()>>,
}

impl<F: Fn(Fetched) -> Result<()> + Clone + Send + 'static> Reads<F> {
    /// Returns the reads of a worker, which are passed on so.
    pub(super) fn new(filler: Filler, spare: flume::Receiver<Record>, in_flight: Arc<InFlight>, pass_on: F) -> Self {
        let (queue, queued) = flume::unbounded();
        let shared = Shared { filler, queued, spare, in_flight, latency: Arc::default() };
        Self { shared, queue, pass_on, threads: Vec::new() }
    }

    /// Reads with this reader where reads are quick, and else on another thread.
    pub(super) fn read(&mut self, to_read: ToRead, reader: &mut dyn Reader) -> Result<()> {
        if !self.shared.latency.is_slow() {
            return (self.pass_on)(self.shared.read(to_read, reader));
        }
        // Nobody else takes one up while all wait for theirs.
        if self.threads.is_empty() || (!self.queue.is_empty() && self.threads.len() < MOST_READS) {
            self.start()?;
        }
        self.queue.send(to_read).map_err(|_| Error::Worker("the reading threads are gone".into()))
    }

    fn start(&mut self) -> Result<()> {
        let (shared, pass_on, number) = (self.shared.clone(), self.pass_on.clone(), self.threads.len());
        let started = thread::Builder::new().name(format!("read-{number}")).spawn(move || {
            let mut reader = shared.filler.pipeline().reader();
            for to_read in &shared.queued {
                // Those who decode are gone only where this process ends.
                if pass_on(shared.read(to_read, &mut *reader)).is_err() {
                    return;
                }
            }
        });
        match started {
            Ok(thread) => self.threads.push(thread),
            Err(error) if number == 0 => {
                return Err(Error::Worker(format!("cannot start a reading thread: {error}")));
            }
            // Those that there are do all of it.
            Err(_) => {}
        }
        Ok(())
    }

    /// Waits until all is read and passed on.
    pub(super) fn finish(self) {
        let Self { queue, threads, .. } = self;
        drop(queue);
        for thread in threads {
            // One that panicked has been reported.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_slow_after_some_that_were_and_quick_again_after_many() {
        let latency = Latency::default();
        assert!(!latency.is_slow());
        latency.add(Duration::from_micros(900));
        assert!(!latency.is_slow());
        latency.add(Duration::from_millis(20));
        assert!(latency.is_slow());
        let quick = (0..100).find(|_| {
            latency.add(Duration::from_micros(10));
            !latency.is_slow()
        });
        assert!(quick.is_some_and(|reads| (4..40).contains(&reads)), "{quick:?}");
        latency.add(Duration::MAX);
        assert!(latency.is_slow());
    }
}
