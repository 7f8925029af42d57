//! The worker's life: commands in, rows written, reports out.

#![expect(unsafe_code, reason = "takes the rows that the coordinator assigned")]

use std::{collections::HashMap, sync::Arc, thread, time::Duration};

use super::{
    fill::{Filler, RowTask},
    in_flight::InFlight,
    learning::shared_bytes,
    reads::{Fetched, Reads, ToRead},
    report::RunReport,
    running::Running,
    term::{TERM_OVER, Term},
};
use crate::{
    error::{Error, Result},
    pipeline::Scratch,
    protocol::{Channel, Command, Fill, Incoming, Report, TableOf, Work},
    sampler::{Partition, Sampler, Table},
    shm::{Arena, Mailbox, Progress, SlotMut},
    source::{Reader, Record},
    sys::{
        memory::SharedMemory,
        process::{self, Parent},
        report,
    },
};

/// Everything a worker needs.
#[derive(Debug)]
pub struct Worker {
    /// Where commands come from and reports go.
    pub channel: Channel<Report, Command>,
    /// The slots.
    pub arena: Arena,
    /// Where the texts of reports go, one lane for each run in flight.
    pub mailbox: Mailbox,
    /// What makes rows.
    pub filler: Filler,
    /// Which sample belongs in which row.
    pub sampler: Sampler,
    /// Decoding threads.
    pub threads: u32,
    /// How long this worker serves.
    pub term: Term,
    /// This worker's seat, which decides where it begins to populate the arena.
    pub seat: u32,
    /// The trainer, and the coordinator that is to end when it does.
    pub trainer: Arc<Parent>,
    /// The coordinator's process id.
    pub coordinator: i32,
}

impl Worker {
    /// Serves until the coordinator is gone; returns the exit status.
    pub fn run(self) -> i32 {
        if let Err(error) = self.filler.pipeline().enter(self.seat) {
            report::report(&format!("worker {} cannot begin: {error}", self.seat));
            return 1;
        }
        stand_by(&self);
        // Functions of the user run on the main thread of a worker, as they would in a program of its own.
        let pipeline = self.filler.pipeline();
        let reads_ahead = pipeline.reads_ahead() || self.threads > 1;
        let served = if reads_ahead { serve_ahead(self) } else { serve_inline(self) };
        match served {
            Ok(status) => status,
            Err(error) => {
                report::report(&format!("worker ends: {error}"));
                1
            }
        }
    }
}

/// How long a coordinator may take to end its workers once the trainer has ended.
const END_GRACE: Duration = Duration::from_millis(500);

/// Does on a thread of its own what nobody waits for: maps the arena's pages, so that no batch waits for page faults, and
/// ends a coordinator that is left behind.
fn stand_by(worker: &Worker) {
    let segments = worker.arena.segments().to_vec();
    let (slot, seat) = (worker.arena.layout().bytes(), worker.seat as usize);
    let (trainer, coordinator) = (Arc::clone(&worker.trainer), worker.coordinator);
    let _ = thread::Builder::new().name("stand-by".into()).stack_size(64 << 10).spawn(move || {
        for segment in segments {
            populate_segment(&segment, slot, seat);
        }
        if trainer.wait() {
            // Nearly always the coordinator ends this process now; one that is stopped does nothing, for ever.
            thread::sleep(END_GRACE);
            process::kill_parent(coordinator);
        }
    });
}

/// Workers begin at different slots, so that each page is allocated by one and only mapped by the others.
fn populate_segment(segment: &SharedMemory, slot: usize, seat: usize) {
    const STEP: usize = 4 << 20;
    let slots = segment.len() / slot;
    for offset in (0..slots).map(|number| (number + seat) % slots * slot) {
        for start in (offset..offset + slot).step_by(STEP) {
            if !segment.populate(start..(start + STEP).min(offset + slot)) {
                return;
            }
        }
    }
}

/// The partitions of the epochs that fills speak of: at most the current one and the next.
#[derive(Debug)]
struct Partitions {
    sampler: Sampler,
    known: HashMap<(u64, u64), Arc<Partition>>,
}

impl Partitions {
    fn get(&mut self, fill: &Fill) -> Result<Arc<Partition>> {
        let key = (fill.epoch, fill.cursor);
        if !self.sampler.is_known(fill.epoch) {
            return Err(Error::Protocol(format!("nobody has given the indices of epoch {}", fill.epoch)));
        }
        if self.known.len() > 2 && !self.known.contains_key(&key) {
            self.known.clear();
        }
        let new = || Arc::new(self.sampler.partition(fill.epoch, fill.cursor));
        Ok(Arc::clone(self.known.entry(key).or_insert_with(new)))
    }

    /// Takes a table of an epoch, instead of one that it had.
    fn give(&mut self, epoch: u64, of: TableOf, memory: SharedMemory) -> Result<()> {
        self.known.retain(|(known, _), _| *known != epoch && of != TableOf::Grown);
        take_in(&self.sampler, (epoch, of), Table::new(shared_bytes(&Arc::new(memory))))
    }
}

/// Waits for the next run; none when the coordinator is gone.
fn next_fill(
    channel: &Channel<Report, Command>,
    arena: &mut Arena,
    partitions: &mut Partitions,
) -> Result<Option<Fill>> {
    loop {
        match channel.recv_with(true)? {
            (Incoming::Message(Command::Fill(fill)), _) => return Ok(Some(fill)),
            (Incoming::Message(Command::Segment), Some(fd)) => drop(arena.adopt(fd)?),
            (Incoming::Message(Command::Table { epoch, of }), Some(fd)) => {
                partitions.give(epoch, of, SharedMemory::open(fd)?)?;
            }
            (Incoming::Message(Command::Segment | Command::Table { .. }), None) => {
                return Err(Error::Protocol("memory came without its descriptor".into()));
            }
            (Incoming::Message(Command::Post { .. } | Command::Memory), _) => {
                return Err(Error::Protocol("a worker is posted once".into()));
            }
            (Incoming::Closed, _) => return Ok(None),
            (Incoming::Empty, _) => {}
        }
    }
}

/// Gives a sampler what a table says of an epoch.
///
/// # Errors
/// [`Error::Config`] where the sampler has no use for such a table.
pub fn take_in(sampler: &Sampler, (epoch, of): (u64, TableOf), table: Table) -> Result<()> {
    match of {
        TableOf::Order => sampler.give(epoch, table),
        TableOf::Cut => sampler.give_groups(epoch, table),
        TableOf::Grown => {
            sampler.give_grown(table);
            Ok(())
        }
    }
}

fn rows_of(arena: &Arena, fill: &Fill, partition: &Partition) -> Result<SlotMut> {
    let run = fill.run;
    let first = run.first_row as usize;
    let end = first.checked_add(run.rows as usize).ok_or_else(|| Error::Protocol("a run's rows overflow".into()))?;
    // SAFETY: the coordinator has assigned these rows to this worker, by this very message.
    let rows = unsafe { arena.rows_mut(run.slot, partition.variant(fill.batch), first..end) }?;
    match partition.ranges(fill.batch, run.first_row..run.first_row.saturating_add(run.rows)) {
        // SAFETY: they are the spans of these rows in their batch, which have nothing in common (a property test).
        Some(spans) => Ok(unsafe { rows.with_spans(spans) }),
        None => Ok(rows),
    }
}

/// Reports a run as done.
fn report(channel: &Channel<Report, Command>, mailbox: &Mailbox, tag: u32, run: &RunReport) -> Result<()> {
    channel.send(&Report::Done(run.write(tag, mailbox)?))?;
    Ok(())
}

/// One thread does everything: for records that lie in memory.
fn serve_inline(worker: Worker) -> Result<i32> {
    let Worker { channel, mut arena, mailbox, filler, sampler, mut term, .. } = worker;
    let mut partitions = Partitions { sampler, known: HashMap::new() };
    let (mut reader, mut record) = (filler.pipeline().reader(), Record::default());
    let mut scratch = filler.pipeline().scratch();
    channel.send(&Report::Up)?;
    while let Some(fill) = next_fill(&channel, &mut arena, &mut partitions)? {
        let partition = partitions.get(&fill)?;
        let row_task = RowTask { partition: &partition, batch: fill.batch, attempt: fill.attempt };
        let mut run = RunReport::default();
        let rows = rows_of(&arena, &fill, &partition)?;
        match fill.work {
            Work::Finish => filler.finish(&partition, fill.batch, rows, &mut run),
            Work::Fill => {
                filler.fill_rows(row_task, rows.into_rows(), (&mut *reader, &mut record), &mut scratch, &mut run);
            }
        }
        report(&channel, &mailbox, fill.tag, &run)?;
        if term.is_over(fill.run.rows) {
            return Ok(TERM_OVER);
        }
    }
    Ok(0)
}

/// What a decoding thread takes up.
enum Task {
    Row(Fetched),
    /// A batch to finish.
    Batch(Fill, Arc<Partition>, SlotMut),
}

/// Records read ahead, beyond those that are being decoded.
const READ_AHEAD: usize = 3;

/// This thread reads, and others do where that takes long; a pool of threads decodes. Where there is nothing to decode, this
/// thread makes the rows as long as reads are quick: to hand them on would take longer.
fn serve_ahead(worker: Worker) -> Result<i32> {
    let Worker { channel, mut arena, mailbox, filler, sampler, threads, mut term, .. } = worker;
    let threads = threads as usize;
    // Built here, after the fork: a pool does not survive one.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|number| format!("decode-{number}"))
        .build()
        .map_err(|error| Error::Worker(format!("cannot start {threads} decoding threads: {error}")))?;
    let (to_decode, tasks) = flume::bounded::<Task>(READ_AHEAD);
    let (used, spare) = flume::unbounded::<Record>();
    let (channel, in_flight) = (Arc::new(channel), Arc::new(InFlight::default()));
    for _ in 0..threads {
        let (tasks, used, filler, in_flight) = (tasks.clone(), used.clone(), filler.clone(), Arc::clone(&in_flight));
        let (channel, mailbox) = (Arc::clone(&channel), mailbox.clone());
        pool.spawn(move || {
            let (mut reader, mut scratch) = (filler.pipeline().reader(), filler.pipeline().scratch());
            for task in tasks {
                match task {
                    Task::Row(fetched) => {
                        let len = fetched.len;
                        decode(fetched, &filler, (&mut *reader, &mut scratch), &used, &channel, &mailbox);
                        in_flight.remove(len);
                    }
                    Task::Batch(fill, partition, rows) => {
                        let mut run = RunReport::default();
                        filler.finish(&partition, fill.batch, rows, &mut run);
                        // See decode() for a report that fails.
                        let _ = report(&channel, &mailbox, fill.tag, &run);
                    }
                }
            }
        });
    }
    drop(tasks);
    let gone = |_| Error::Worker("the decoding threads are gone".into());
    let pass_on = {
        let to_decode = to_decode.clone();
        move |fetched| to_decode.send(Task::Row(fetched)).map_err(gone)
    };
    let (mut reader, mut record) = (filler.pipeline().reader(), Record::default());
    let mut scratch = filler.pipeline().scratch();
    let makes_rows = threads == 1 && filler.pipeline().copies_memory();
    let mut reads = Reads::new(filler.clone(), (spare, in_flight), pass_on);
    let mut partitions = Partitions { sampler, known: HashMap::new() };
    channel.send(&Report::Up)?;
    while let Some(fill) = next_fill(&channel, &mut arena, &mut partitions)? {
        let partition = partitions.get(&fill)?;
        let rows = rows_of(&arena, &fill, &partition)?;
        if fill.work == Work::Finish {
            to_decode.send(Task::Batch(fill, partition, rows)).map_err(gone)?;
            continue;
        }
        let (mut rows, mut left, mut run) = (rows.into_rows(), fill.run.rows, RunReport::default());
        if makes_rows {
            let row_task = RowTask { partition: &partition, batch: fill.batch, attempt: fill.attempt };
            let quick = reads.quick_rows(&mut rows).inspect(|_| left -= 1);
            filler.fill_rows(row_task, quick, (&mut *reader, &mut record), &mut scratch, &mut run);
        }
        if left == 0 {
            report(&channel, &mailbox, fill.tag, &run)?;
        } else {
            let running = Arc::new(Running::new(fill, partition, left, run));
            for row in rows {
                reads.read(ToRead { row, running: Arc::clone(&running) }, &mut *reader)?;
            }
        }
        if term.is_over(fill.run.rows) {
            // What is still being read and decoded is reported first.
            reads.finish();
            drop(to_decode);
            drop(pool);
            return Ok(TERM_OVER);
        }
    }
    Ok(0)
}

fn decode(
    fetched: Fetched,
    filler: &Filler,
    (reader, scratch): (&mut dyn Reader, &mut Scratch),
    used: &flume::Sender<Record>,
    channel: &Channel<Report, Command>,
    mailbox: &Mailbox,
) {
    let Fetched { mut row, running, mut record, candidate, .. } = fetched;
    let row_task = RowTask { partition: &running.partition, batch: running.fill.batch, attempt: running.fill.attempt };
    let mut run = RunReport::default();
    row.mark(Progress::InHand);
    filler.fill(row_task, &mut row, (reader, &mut record), candidate, scratch, &mut run);
    // The right to the row ends before anybody is told that the run is done.
    drop(row);
    let _ = used.send(record);
    // A failed report means that the coordinator is gone; the reading thread sees that by itself.
    running.row_done(run, |run| drop(report(channel, mailbox, running.fill.tag, run)));
}
