//! What a worker tells of a run: a message of fixed size and, where there is more to say, a text in the run's lane.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{
    counters::Counters,
    error::{Error, Result, Room, SampleError},
    pipeline::{Pipeline, Times},
    protocol::Done,
    shm::Mailbox,
};

/// A sample that failed in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowFailure {
    /// The row of the slot.
    pub row: u32,
    /// Whether the row is left without a sample, so that its batch fails.
    pub fatal: bool,
    /// What happened.
    pub error: SampleError,
}

impl RowFailure {
    /// Returns the room that the sample lacks, if that is all that is wrong.
    pub fn lacks_room<'a>(&'a self, pipeline: &Pipeline) -> Option<&'a Room> {
        self.error.room.as_deref().filter(|room| pipeline.grows(&room.field))
    }
}

/// The samples that have failed: how many, and the first of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Quarantine {
    /// How many samples failed, each time they were tried.
    pub count: u64,
    /// The first [`Quarantine::LISTED`] of them.
    pub first: Vec<SampleError>,
}

impl Quarantine {
    /// How many failures are listed; all are counted.
    pub const LISTED: usize = 100;

    /// Counts a failure.
    pub fn add(&mut self, error: SampleError) {
        self.count += 1;
        if self.first.len() < Self::LISTED {
            self.first.push(error);
        }
    }
}

/// What became of the run of a stream that has not filled its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// How many rows were filled, from the first one on.
    pub rows: u32,
    /// Whether the stream has ended; else samples were left out.
    pub ended: bool,
}

/// What making some rows took, and which samples failed.
#[derive(Debug, Default)]
pub struct RunReport {
    /// Time spent reading.
    pub read: Duration,
    /// Time spent decoding and transforming, and what was counted meanwhile.
    pub times: Times,
    /// The failures, in the order in which they happened.
    pub failures: Vec<RowFailure>,
    /// What became of the run, where it is one of a stream and has not filled its batch.
    pub made: Option<Made>,
}

/// The part of a report that is too long for its message.
#[derive(Default, Serialize, Deserialize)]
struct Text {
    failures: Vec<RowFailure>,
    counters: Counters,
    made: Option<Made>,
}

impl RunReport {
    /// Counts what no stage has counted of the time since `begun` as writing, which is all that is left.
    pub fn rest_is_writing(&mut self, begun: Instant) {
        let counted = self.read + self.times.decode + self.times.transform;
        self.times.transform += begun.elapsed().saturating_sub(counted);
    }

    /// Adds the report of other rows.
    pub fn merge(&mut self, other: Self) {
        self.read += other.read;
        self.times.decode += other.times.decode;
        self.times.transform += other.times.transform;
        self.times.counters.merge(other.times.counters);
        self.failures.extend(other.failures);
        self.made = self.made.or(other.made);
    }

    /// Writes the text, if there is any, into the run's lane, and returns the message that goes with it.
    pub(super) fn write(&self, tag: u32, mailbox: &Mailbox) -> Result<Done> {
        let Self { read, times: Times { decode, transform, counters }, failures, made } = self;
        let is_plain = failures.is_empty() && counters.is_empty() && made.is_none();
        let len = if is_plain { 0 } else { mailbox.write(tag as usize, &self.text(mailbox.capacity())?) };
        Ok(Done { tag, len, read: *read, decode: *decode, transform: *transform })
    }

    /// Returns the text, as JSON that fits: fatal failures first, since they decide the batch, and of the others as many
    /// as there is room for.
    fn text(&self, room: usize) -> Result<String> {
        let mut text = Text { failures: self.failures.clone(), counters: self.times.counters.clone(), made: self.made };
        text.failures.sort_by_key(|failure| (!failure.fatal, failure.row));
        loop {
            let json = serde_json::to_string(&text).map_err(|error| Error::Protocol(error.to_string()))?;
            if json.len() <= room || text.failures.len() <= 1 {
                return Ok(json);
            }
            text.failures.truncate(text.failures.len() / 2);
        }
    }

    /// Returns the report that a worker has sent; none where its lane or its text is none.
    pub fn received(done: &Done, mailbox: &Mailbox) -> Option<Self> {
        let &Done { tag, len, read, decode, transform } = done;
        let text = match len {
            0 => Text::default(),
            _ if tag as usize >= mailbox.lanes() => return None,
            _ => serde_json::from_str(&mailbox.read(tag as usize, len)).ok()?,
        };
        let Text { failures, counters, made } = text;
        Some(Self { read, times: Times { decode, transform, counters }, failures, made })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Stage;

    fn failure(row: u32, fatal: bool) -> RowFailure {
        let error = SampleError {
            index: 7,
            key: "x".repeat(500),
            stage: Stage::Decode,
            reason: "bad".into(),
            errno: None,
            raised: None,
            room: None,
            offset: None,
            worker: Some(1),
        };
        RowFailure { row, fatal, error }
    }

    #[test]
    fn a_report_arrives_as_it_was_sent() {
        let mailbox = Mailbox::create(2, 4096).unwrap();
        let mut report = RunReport { read: Duration::from_nanos(5), ..RunReport::default() };
        report.times.transform = Duration::from_secs(2);
        let plain = report.write(0, &mailbox).unwrap();
        assert_eq!(plain.len, 0, "nothing to write");
        report.failures.push(failure(3, true));
        report.times.counters.add("seen", 4);
        let full = report.write(1, &mailbox).unwrap();
        let read = RunReport::received(&full, &mailbox).unwrap();
        assert_eq!((read.read, read.times.transform), (report.read, report.times.transform));
        assert_eq!((read.failures, read.times.counters), (report.failures, report.times.counters));
        assert!(RunReport::received(&plain, &mailbox).unwrap().failures.is_empty());
        assert!(RunReport::received(&Done { tag: 2, ..full }, &mailbox).is_none(), "no such lane");
        assert!(RunReport::received(&Done { len: full.len - 1, ..full }, &mailbox).is_none(), "no JSON");
    }

    #[test]
    fn of_too_many_failures_the_fatal_ones_are_kept() {
        let mailbox = Mailbox::create(1, 4096).unwrap();
        let failures = (0..40).map(|row| failure(row, row == 30)).collect();
        let report = RunReport { failures, ..RunReport::default() };
        let read = RunReport::received(&report.write(0, &mailbox).unwrap(), &mailbox).unwrap();
        assert_eq!(read.failures[0], failure(30, true));
        assert!((2..8).contains(&read.failures.len()), "{}", read.failures.len());
    }
}
