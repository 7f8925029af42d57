//! How one row gets its sample, and what happens when the sample is bad.

use std::{sync::Arc, time::Instant};

use super::{
    report::{RowFailure, RunReport},
    spanned::{SpanRows, leave_out},
};
use crate::{
    error::{Failure, Result},
    job::{CutFields, MAX_ATTEMPTS, OnError, Options},
    pipeline::{Pipeline, Scratch},
    rng::Key,
    sampler::Partition,
    shm::{Progress, RowMut, SlotMut},
    source::{Reader, Record},
    spec::FieldSpec,
    transform::{Rows, slot_row},
};

/// A row and what belongs there.
#[derive(Clone, Copy, Debug)]
pub struct RowTask<'a> {
    /// What this rank reads of the epoch.
    pub partition: &'a Partition,
    /// The batch.
    pub batch: u64,
    /// How many candidates for the row have been given up before.
    pub attempt: u32,
}

impl RowTask<'_> {
    /// Returns the key of what is drawn for a sample in a row.
    pub(super) fn key(&self, row: u32, index: u64) -> Key {
        Key { seed: self.partition.seed_of(self.batch, row), epoch: self.partition.epoch(), index }
    }
}

/// A row's first candidate, and whether its record has been read.
#[derive(Debug)]
pub struct Candidate {
    key: Key,
    read: Result<(), Failure>,
}

/// The fields of a row of a slot.
pub(super) struct RowFields<'a>(pub(super) &'a mut RowMut);

impl Rows for RowFields<'_> {
    fn begin(&mut self, at: usize, spec: &FieldSpec, shape: &[usize]) -> Result<&mut [u8], Failure> {
        slot_row(self.0.field(at), spec, shape)
    }
}

/// Makes samples and writes them into rows.
#[derive(Clone, Debug)]
pub struct Filler {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) on_error: OnError,
    pub(super) worker: Option<u32>,
    /// Where samples are put together.
    cut: Option<Arc<CutFields>>,
}

impl Filler {
    /// Returns a filler; `worker` is the number that its errors name.
    ///
    /// # Errors
    /// Those of [`Options::cut_fields`].
    pub fn new(pipeline: Arc<Pipeline>, options: &Options, worker: Option<u32>) -> Result<Self> {
        let cut = options.cut_fields(pipeline.fields())?.map(Arc::new);
        Ok(Self { pipeline, on_error: options.on_error, worker, cut })
    }

    /// Returns the same filler over another pipeline.
    #[must_use]
    pub fn with_pipeline(&self, pipeline: Arc<Pipeline>) -> Self {
        Self { pipeline, ..self.clone() }
    }

    /// Returns the pipeline.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    fn candidate(&self, task: RowTask<'_>, row: u32, attempt: u32) -> u64 {
        self.on_error.candidate(task.partition, task.batch, row, attempt)
    }

    /// Makes the samples of a run's rows and writes them, on this thread.
    pub fn fill_rows(
        &self,
        task: RowTask<'_>,
        rows: impl Iterator<Item = RowMut>,
        (reader, record): (&mut dyn Reader, &mut Record),
        scratch: &mut Scratch,
        report: &mut RunReport,
    ) {
        let begun = Instant::now();
        reader.begin();
        if self.pipeline.source().is_stream() {
            self.fill_from_stream(task, rows, (&mut *reader, record), scratch, report);
        } else if reader.takes_runs() {
            let mut rows: Vec<RowMut> = rows.collect();
            // All of them are in hand: each is done again alone if this ends the worker.
            let keys = rows.iter_mut().map(|row| self.take_in_hand(task, row));
            let keys: Vec<Key> = keys.filter(|key| key.index != Partition::NO_SAMPLE).collect();
            reader.expect(&keys);
            self.fill_each(task, rows.into_iter(), (&mut *reader, record), scratch, report);
        } else {
            self.fill_each(task, rows, (&mut *reader, record), scratch, report);
        }
        reader.end();
        report.rest_is_writing(begun);
    }

    fn fill_each(
        &self,
        task: RowTask<'_>,
        rows: impl Iterator<Item = RowMut>,
        (reader, record): (&mut dyn Reader, &mut Record),
        scratch: &mut Scratch,
        report: &mut RunReport,
    ) {
        for mut row in rows {
            let candidate = self.fetch(task, &mut row, (&mut *reader, record), report);
            self.fill(task, &mut row, (&mut *reader, record), candidate, scratch, report);
        }
    }

    /// Notes that a row is being made, and of which sample.
    fn take_in_hand(&self, task: RowTask<'_>, row: &mut RowMut) -> Key {
        let number = row.row() as u32;
        let index = self.candidate(task, number, task.attempt);
        row.set_index(index);
        row.mark(Progress::InHand);
        task.key(number, index)
    }

    /// Tells the source which samples come some time after that of a row, where it wants to know: as far ahead as it says, and
    /// nearer ones, of which nobody has told it where an epoch begins.
    fn look_ahead(&self, task: RowTask<'_>, row: &RowMut) {
        let source = self.pipeline.source();
        let mut by = source.looks_ahead();
        while by > 0 {
            if let Some(index) = task.partition.ahead(task.batch, row.row() as u32, by) {
                source.soon(index);
            }
            by /= 2;
        }
    }

    /// Reads the record of a row's first candidate. A failure to read it is dealt with by [`fill`](Self::fill).
    pub fn fetch(
        &self,
        task: RowTask<'_>,
        row: &mut RowMut,
        (reader, record): (&mut dyn Reader, &mut Record),
        report: &mut RunReport,
    ) -> Candidate {
        let key = self.take_in_hand(task, row);
        self.look_ahead(task, row);
        Candidate { key, read: self.read(key, reader, record, report) }
    }

    /// Writes a row, which is in hand, from its first candidate, which has been fetched, or from the next ones by policy. What
    /// the record holds afterwards is arbitrary.
    pub fn fill(
        &self,
        task: RowTask<'_>,
        row: &mut RowMut,
        (reader, record): (&mut dyn Reader, &mut Record),
        candidate: Candidate,
        scratch: &mut Scratch,
        report: &mut RunReport,
    ) {
        let number = row.row() as u32;
        let mut attempt = task.attempt;
        let Candidate { mut key, mut read } = candidate;
        loop {
            let made = read.and_then(|()| self.write(task, key, row, record, scratch, report));
            let Err(failure) = made else { break };
            attempt += 1;
            // Such a sample is no bad one: it is made again where there is room.
            let lacks_room = failure.room.as_ref().is_some_and(|room| self.pipeline.grows(&room.field));
            let fatal = lacks_room || self.on_error == OnError::Raise || attempt >= MAX_ATTEMPTS;
            let mut error = failure.of(key.index, self.pipeline.source().key(key.index));
            error.worker = self.worker;
            report.failures.push(RowFailure { row: number, fatal, error });
            if fatal {
                break;
            }
            key.index = self.candidate(task, number, attempt);
            row.set_index(key.index);
            read = self.read(key, reader, record, report);
        }
        record.settle();
        row.mark(Progress::Done);
    }

    /// Makes a sample of a record, in a row; or leaves the row out, where no sample belongs there.
    fn write(
        &self,
        task: RowTask<'_>,
        key: Key,
        row: &mut RowMut,
        record: &Record,
        scratch: &mut Scratch,
        report: &mut RunReport,
    ) -> Result<(), Failure> {
        let (number, times) = (row.row() as u32, &mut report.times);
        let drawn = (task.partition.variant(task.batch), key);
        let span = self.cut.as_ref().and_then(|cut| Some((cut, task.partition.span(task.batch, number)?)));
        let Some((cut, span)) = span else {
            return self.pipeline.make(drawn, record, scratch, &mut RowFields(row), times).map(drop);
        };
        let mut fields = row.fields();
        if key.index == Partition::NO_SAMPLE {
            leave_out(&mut fields, cut, span);
            return Ok(());
        }
        let mut spanned = SpanRows::new(&mut fields, cut, span);
        self.pipeline.make(drawn, record, scratch, &mut spanned, times)?;
        spanned.finish();
        Ok(())
    }

    /// Applies the transforms of whole batches to a batch whose rows are filled.
    pub fn finish(&self, partition: &Partition, batch: u64, mut rows: SlotMut, report: &mut RunReport) {
        let len = rows.len();
        rows.mark(Progress::InHand);
        let begun = Instant::now();
        let key = Key { seed: partition.seed(), epoch: partition.epoch(), index: partition.unit(batch, 0) };
        if let Err(failure) = self.pipeline.finish((partition.variant(batch), key), &mut rows.fields(), len) {
            let index = partition.index(batch, 0, 0);
            let mut error = failure.of(index, self.pipeline.source().key(index));
            error.worker = self.worker;
            report.failures.push(RowFailure { row: 0, fatal: true, error });
        }
        report.times.transform += begun.elapsed();
        rows.mark(Progress::Done);
    }

    pub(super) fn read(
        &self,
        key: Key,
        reader: &mut dyn Reader,
        record: &mut Record,
        report: &mut RunReport,
    ) -> Result<(), Failure> {
        if key.index == Partition::NO_SAMPLE {
            return Ok(());
        }
        let most = self.pipeline.sample_bytes();
        if !self.pipeline.source().does_io() {
            return reader.read(key, record, most);
        }
        let begun = Instant::now();
        let read = reader.read(key, record, most);
        report.read += begun.elapsed();
        read
    }
}
