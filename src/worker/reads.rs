//! Reading rows ahead of those that are decoded: on one thread while that is quick, and else many at a time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    fill::{Candidate, Filler, RowTask},
    in_flight::InFlight,
    report::RunReport,
    running::Running,
};
use crate::{
    error::{Error, Result},
    shm::{Progress, RowMut},
    source::{Reader, Record},
    sys::waiting::Waiting,
};

/// The most reads that one worker waits for at a time.
const MOST_READS: usize = 64;

/// A read that takes so long waits for a device or a server, and is worth another thread's wake-up many times over.
pub const SLOW_READ: Duration = Duration::from_millis(1);

/// What reads take: moving averages.
#[derive(Debug, Default)]
struct Usual {
    nanos: AtomicU64,
    bytes: AtomicU64,
}

/// What a byte may take beside the wait: 200 MB/s, as from a slow disk, which many reads at a time do not make faster.
const NANOS_OF_BYTE: u64 = 5;

/// Each counts an eighth, and the first one for all. Of two threads that add at once one may be lost, on which nothing
/// depends.
fn add(average: &AtomicU64, value: u64) {
    let before = average.load(Ordering::Relaxed);
    let after = if before == 0 { value } else { before - before / 8 + value / 8 };
    average.store(after, Ordering::Relaxed);
}

impl Usual {
    fn add(&self, took: Duration, len: usize) {
        let (took, len) = (u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), len as u64);
        // A long record takes its time however it is read.
        add(&self.nanos, took.saturating_sub(len.saturating_mul(NANOS_OF_BYTE)));
        add(&self.bytes, len);
    }

    /// Adds how long a row took that was read and made by one thread.
    fn add_row(&self, took: Duration) {
        add(&self.nanos, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    fn is_slow(&self) -> bool {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed)) >= SLOW_READ
    }

    fn len(&self) -> usize {
        self.bytes.load(Ordering::Relaxed) as usize
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
    usual: Arc<Usual>,
}

impl Shared {
    fn read(&self, to_read: ToRead, reader: &mut dyn Reader) -> Fetched {
        let ToRead { mut row, running } = to_read;
        let usual = self.usual.len();
        self.in_flight.begin(usual);
        let mut record = self.spare.try_recv().unwrap_or_default();
        let mut run = RunReport::default();
        let fill = &running.fill;
        let row_task = RowTask { partition: &running.partition, batch: fill.batch, attempt: fill.attempt };
        let mut waiting = Waiting::begin();
        let candidate = self.filler.fetch(row_task, &mut row, (reader, &mut record), &mut run);
        row.mark(Progress::Fetched);
        let (took, len) = (waiting.next(SLOW_READ), record.len());
        self.usual.add(took, len);
        self.in_flight.read(usual, len);
        running.merge(run);
        Fetched { row, running, record, len, candidate }
    }
}

/// Reads, and passes on what was read.
pub(super) struct Reads<F> {
    shared: Shared,
    queue: flume::Sender<ToRead>,
    pass_on: F,
    /// Whether several reads at a time pay, where they take long.
    overlaps: bool,
    threads: Vec<JoinHandle<()>>,
}

impl<F: Fn(Fetched) -> Result<()> + Clone + Send + 'static> Reads<F> {
    /// Returns the reads of a worker, which are passed on so.
    pub(super) fn new(
        filler: Filler,
        (spare, in_flight): (flume::Receiver<Record>, Arc<InFlight>),
        pass_on: F,
    ) -> Self {
        let overlaps = filler.pipeline().overlaps();
        let (queue, queued) = flume::unbounded();
        let shared = Shared { filler, queued, spare, in_flight, usual: Arc::default() };
        Self { shared, queue, pass_on, overlaps, threads: Vec::new() }
    }

    /// Returns the rows that are as quickly made as read, as long as reads are quick: then the thread that reads makes them too.
    pub(super) fn quick_rows(&self, mut rows: impl Iterator<Item = RowMut>) -> impl Iterator<Item = RowMut> {
        let mut waiting: Option<Waiting> = None;
        std::iter::from_fn(move || {
            match &mut waiting {
                Some(waiting) => self.shared.usual.add_row(waiting.next(SLOW_READ)),
                None => waiting = Some(Waiting::begin()),
            }
            if self.overlaps && self.shared.usual.is_slow() { None } else { rows.next() }
        })
    }

    /// Reads with this reader where reads are quick, and else on another thread.
    pub(super) fn read(&mut self, to_read: ToRead, reader: &mut dyn Reader) -> Result<()> {
        if !self.overlaps || !self.shared.usual.is_slow() {
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
        let usual = Usual::default();
        assert!(!usual.is_slow());
        usual.add(Duration::from_micros(900), 100);
        assert!(!usual.is_slow());
        usual.add(Duration::from_millis(20), 100);
        assert!(usual.is_slow());
        let quick = (0..100).find(|_| {
            usual.add(Duration::from_micros(10), 100);
            !usual.is_slow()
        });
        assert!(quick.is_some_and(|reads| (4..40).contains(&reads)), "{quick:?}");
        assert!((90..=100).contains(&usual.len()), "{}", usual.len());
        usual.add(Duration::MAX, 0);
        assert!(usual.is_slow());
        let usual = Usual::default();
        usual.add_row(Duration::from_micros(2));
        assert!(!usual.is_slow());
        usual.add_row(Duration::from_millis(20));
        assert!(usual.is_slow());
    }

    #[test]
    fn a_long_record_is_not_slow_for_its_length() {
        let usual = Usual::default();
        for _ in 0..10 {
            usual.add(Duration::from_millis(60), 128 << 20);
        }
        assert!(!usual.is_slow());
        assert_eq!(usual.len(), 128 << 20);
    }
}
