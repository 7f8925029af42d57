//! How a batch is filled from a stream, whose samples come one after the other.
//!
//! A batch is so many calls for a next sample, bad ones included: so it is known from a batch's number where in its stream it
//! begins, whoever makes it and whatever has become of those before.

use super::{
    fill::{Filler, RowFields, RowTask},
    report::{Made, RowFailure, RunReport},
};
use crate::{
    error::{Failure, Stage},
    job::OnError,
    pipeline::Scratch,
    shm::{Progress, RowMut},
    source::{Reader, Record, StreamEnd},
    sys::report,
};

/// Why a stream's end is an error where bad samples are to be left out.
const BROKEN: &str = "the dataset is iterated by a generator, which its exception for the sample before has ended: what its \
                      worker had left of the epoch is lost; catch the exception in the dataset";

impl Filler {
    /// Fills rows of a batch from the stream that it is of, as many as that has samples.
    pub(super) fn fill_from_stream(
        &self,
        task: RowTask<'_>,
        mut rows: impl Iterator<Item = RowMut>,
        (reader, record): (&mut dyn Reader, &mut Record),
        scratch: &mut Scratch,
        report: &mut RunReport,
    ) {
        let calls = task.partition.rows(task.batch);
        let (mut filled, mut end) = (0, None);
        let mut row = rows.next();
        for call in 0..calls {
            let Some(to_fill) = &mut row else { break };
            let index = task.partition.index(task.batch, call, 0);
            let made = self.fill_next(task, index, to_fill, (&mut *reader, record), scratch, report);
            if let Err(failure) = made {
                end = reader.ended();
                let is_broken = end == Some(StreamEnd::Broken) && self.on_error != OnError::Raise;
                if end.is_some() && !is_broken {
                    break;
                }
                let failure = if is_broken { Failure::new(Stage::Read, BROKEN) } else { failure };
                let is_last = call + 1 == calls && filled == 0;
                if !self.note(failure, index, (to_fill.row() as u32, is_broken || is_last), report) {
                    continue;
                }
            }
            filled += 1;
            row = rows.next();
            if end.is_some() {
                break;
            }
        }
        let has_failed = report.failures.iter().any(|failure| failure.fatal);
        if end.is_some() && filled < calls && task.partition.drops_last() && !has_failed {
            filled = 0;
        }
        report.made = (filled < calls || end.is_some()).then_some(Made { rows: filled, ended: end.is_some() });
    }

    /// Writes the sample that is next to a row, once its stream has come there.
    fn fill_next(
        &self,
        task: RowTask<'_>,
        index: u64,
        row: &mut RowMut,
        (reader, record): (&mut dyn Reader, &mut Record),
        scratch: &mut Scratch,
        report: &mut RunReport,
    ) -> Result<(), Failure> {
        row.mark(Progress::InHand);
        let key = task.key(row.row() as u32, index);
        // A stream that begins anew: what became of these samples is told already.
        let mut is_told = false;
        while let Some(earlier) = reader.behind(key) {
            if !std::mem::replace(&mut is_told, true) && self.worker.is_some() {
                let (from, to) = (self.pipeline.source().key(earlier.index), self.pipeline.source().key(index));
                report::report(&format!("a worker makes {from} to {to} again, to get where its stream was"));
            }
            row.set_index(earlier.index);
            self.read(earlier, reader, record, report).ok();
        }
        row.set_index(index);
        let read = self.read(key, reader, record, report);
        let made =
            read.and_then(|()| self.pipeline.make((0, key), record, scratch, &mut RowFields(row), &mut report.times));
        record.settle();
        row.mark(Progress::Done);
        made.map(drop)
    }

    /// Takes down that a sample has failed. Returns whether that leaves its row, and so its batch, without one.
    fn note(&self, failure: Failure, index: u64, (row, is_fatal): (u32, bool), report: &mut RunReport) -> bool {
        let lacks_room = failure.room.as_ref().is_some_and(|room| self.pipeline.grows(&room.field));
        let fatal = is_fatal || lacks_room || self.on_error == OnError::Raise;
        let mut error = failure.of(index, self.pipeline.source().key(index));
        error.worker = self.worker;
        report.failures.push(RowFailure { row, fatal, error });
        fatal
    }
}
