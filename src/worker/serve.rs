//! The worker's life: commands in, rows written, reports out.

#![expect(unsafe_code, reason = "takes the rows that the coordinator assigned")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Instant,
};

use crate::{
    error::{Error, Result},
    pipeline::Scratch,
    protocol::{Channel, Command, Fill, Incoming, Report},
    sampler::{EpochPlan, Sampler},
    shm::{Arena, Mailbox, RowMut, SlotMut},
    sys::memory::SharedMemory,
    worker::{Candidate, Filler, RowJob, RunText, Tally},
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
    /// This worker's seat, which decides where it begins to populate the arena.
    pub seat: u32,
}

/// Serves until the coordinator is gone; returns the exit status.
pub fn run(worker: Worker) -> i32 {
    populate(&worker.arena, worker.seat);
    let reads_ahead = worker.filler.pipeline().source().does_io() || worker.threads > 1;
    let served = if reads_ahead { serve_ahead(worker) } else { serve_inline(worker) };
    match served {
        Ok(()) => 0,
        Err(error) => {
            crate::sys::process::report(&format!("worker ends: {error}"));
            1
        }
    }
}

/// Maps the arena's pages on a thread of its own, so that no batch waits for page faults.
fn populate(arena: &Arena, seat: u32) {
    let segments = arena.segments().to_vec();
    let slot = arena.layout().bytes();
    let _ = thread::Builder::new().name("populate".into()).stack_size(64 << 10).spawn(move || {
        for segment in segments {
            populate_segment(&segment, slot, seat as usize);
        }
    });
}

/// Workers begin at different slots, so that each page is allocated by one and only mapped by the others.
fn populate_segment(segment: &SharedMemory, slot: usize, seat: usize) {
    const STEP: usize = 4 << 20;
    let slots = segment.len() / slot;
    for place in (0..slots).map(|number| (number + seat) % slots * slot) {
        for start in (place..place + slot).step_by(STEP) {
            if !segment.populate(start..(start + STEP).min(place + slot)) {
                return;
            }
        }
    }
}

/// The plans of the epochs that fills speak of: at most the current one and the next.
#[derive(Debug)]
struct Plans {
    sampler: Sampler,
    known: HashMap<(u64, u64), Arc<EpochPlan>>,
}

impl Plans {
    fn get(&mut self, fill: &Fill) -> Arc<EpochPlan> {
        let key = (fill.epoch, fill.cursor);
        if self.known.len() > 2 && !self.known.contains_key(&key) {
            self.known.clear();
        }
        let plan = self.known.entry(key).or_insert_with(|| Arc::new(self.sampler.plan(fill.epoch, fill.cursor)));
        Arc::clone(plan)
    }
}

/// Waits for the next run; none when the coordinator is gone.
fn next_fill(channel: &Channel<Report, Command>, arena: &mut Arena) -> Result<Option<Fill>> {
    loop {
        match channel.recv_with(true)? {
            (Incoming::Message(Command::Fill(fill)), _) => return Ok(Some(fill)),
            (Incoming::Message(Command::Segment), Some(fd)) => drop(arena.adopt(fd)?),
            (Incoming::Message(Command::Segment), None) => {
                return Err(Error::Protocol("a segment came without its descriptor".into()));
            }
            (Incoming::Closed, _) => return Ok(None),
            (Incoming::Empty, _) => {}
        }
    }
}

fn rows_of(arena: &Arena, fill: &Fill) -> Result<SlotMut> {
    let run = fill.run;
    let first = run.first_row as usize;
    let end = first.checked_add(run.rows as usize).ok_or_else(|| Error::Protocol("a run's rows overflow".into()))?;
    // SAFETY: the coordinator has assigned these rows to this worker, by this very message.
    unsafe { arena.rows_mut(run.slot, first..end) }
}

/// Returns the text of a report, as JSON that fits: fatal failures first, since they decide the batch, and of the
/// others as many as there is room for.
fn text_of(tally: &Tally, room: usize) -> Result<String> {
    let mut text = RunText { failures: tally.failures.clone(), counters: tally.times.counters.clone() };
    text.failures.sort_by_key(|failure| (!failure.fatal, failure.row));
    loop {
        let json = serde_json::to_string(&text).map_err(|error| Error::Protocol(error.to_string()))?;
        if json.len() <= room || text.failures.len() <= 1 {
            return Ok(json);
        }
        text.failures.truncate(text.failures.len() / 2);
    }
}

/// Writes the report's text where the coordinator finds it, if there is any, and reports the run as done.
fn report(channel: &Channel<Report, Command>, mailbox: &Mailbox, tag: u32, tally: &Tally) -> Result<()> {
    let is_plain = tally.failures.is_empty() && tally.times.counters.is_empty();
    let len = if is_plain { 0 } else { mailbox.write(tag as usize, &text_of(tally, mailbox.capacity())?) };
    let nanos = |time: std::time::Duration| time.as_nanos() as u64;
    channel.send(&Report::Done {
        tag,
        len,
        read: nanos(tally.read),
        decode: nanos(tally.times.decode),
        transform: nanos(tally.times.transform),
    })?;
    Ok(())
}

/// One thread does everything: for records that lie in memory.
fn serve_inline(worker: Worker) -> Result<()> {
    let Worker { channel, mut arena, mailbox, filler, sampler, .. } = worker;
    let mut plans = Plans { sampler, known: HashMap::new() };
    let (mut scratch, mut record) = (filler.pipeline().scratch(), Vec::new());
    channel.send(&Report::Up)?;
    while let Some(fill) = next_fill(&channel, &mut arena)? {
        let plan = plans.get(&fill);
        let job = RowJob { plan: &plan, batch: fill.batch, attempt: fill.attempt };
        let (mut tally, begun) = (Tally::default(), Instant::now());
        let rows = rows_of(&arena, &fill)?;
        if fill.finish {
            filler.finish(&plan, fill.batch, rows, &mut tally);
        } else {
            for mut row in rows.into_rows() {
                let candidate = filler.fetch(job, &mut row, &mut record, &mut tally);
                filler.fill(job, &mut row, &mut record, candidate, &mut scratch, &mut tally);
            }
            tally.rest_is_writing(begun);
        }
        report(&channel, &mailbox, fill.tag, &tally)?;
    }
    Ok(())
}

/// A run in work on several threads: the last row reports it.
struct Running {
    fill: Fill,
    plan: Arc<EpochPlan>,
    left: Mutex<(u32, Tally)>,
}

/// A row whose record has been read.
struct Fetched {
    row: RowMut,
    running: Arc<Running>,
    record: Vec<u8>,
    candidate: Candidate,
}

/// What a decoding thread takes up.
enum Task {
    Row(Fetched),
    /// A batch to finish.
    Batch(Fill, Arc<EpochPlan>, SlotMut),
}

/// Records read ahead, beyond those that are being decoded.
const READ_AHEAD: usize = 3;

/// This thread reads, a pool of threads decodes.
fn serve_ahead(worker: Worker) -> Result<()> {
    let Worker { channel, mut arena, mailbox, filler, sampler, threads, .. } = worker;
    let threads = threads as usize;
    // Built here, after the fork: a pool does not survive one.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|number| format!("decode-{number}"))
        .build()
        .map_err(|error| Error::Worker(format!("cannot start {threads} decoding threads: {error}")))?;
    let (to_decode, tasks) = flume::bounded::<Task>(READ_AHEAD);
    let (used, spare) = flume::unbounded::<Vec<u8>>();
    let channel = Arc::new(channel);
    for _ in 0..threads {
        let (tasks, used, filler) = (tasks.clone(), used.clone(), filler.clone());
        let (channel, mailbox) = (Arc::clone(&channel), mailbox.clone());
        pool.spawn(move || {
            let mut scratch = filler.pipeline().scratch();
            for task in tasks {
                match task {
                    Task::Row(fetched) => decode(fetched, &filler, &mut scratch, &used, &channel, &mailbox),
                    Task::Batch(fill, plan, rows) => {
                        let mut tally = Tally::default();
                        filler.finish(&plan, fill.batch, rows, &mut tally);
                        // See decode() for a report that fails.
                        let _ = report(&channel, &mailbox, fill.tag, &tally);
                    }
                }
            }
        });
    }
    drop(tasks);
    let mut plans = Plans { sampler, known: HashMap::new() };
    channel.send(&Report::Up)?;
    while let Some(fill) = next_fill(&channel, &mut arena)? {
        let (plan, rows) = (plans.get(&fill), rows_of(&arena, &fill)?);
        let gone = |_| Error::Worker("the decoding threads are gone".into());
        if fill.finish {
            to_decode.send(Task::Batch(fill, plan, rows)).map_err(gone)?;
            continue;
        }
        let running = Arc::new(Running { fill, plan, left: Mutex::new((fill.run.rows, Tally::default())) });
        for mut row in rows.into_rows() {
            let mut record = spare.try_recv().unwrap_or_default();
            let mut tally = Tally::default();
            let job = RowJob { plan: &running.plan, batch: fill.batch, attempt: fill.attempt };
            let candidate = filler.fetch(job, &mut row, &mut record, &mut tally);
            running.left.lock().unwrap_or_else(PoisonError::into_inner).1.merge(tally);
            let fetched = Fetched { row, running: Arc::clone(&running), record, candidate };
            to_decode.send(Task::Row(fetched)).map_err(gone)?;
        }
    }
    Ok(())
}

fn decode(
    fetched: Fetched,
    filler: &Filler,
    scratch: &mut Scratch,
    used: &flume::Sender<Vec<u8>>,
    channel: &Channel<Report, Command>,
    mailbox: &Mailbox,
) {
    let Fetched { mut row, running, mut record, candidate } = fetched;
    let job = RowJob { plan: &running.plan, batch: running.fill.batch, attempt: running.fill.attempt };
    let mut tally = Tally::default();
    filler.fill(job, &mut row, &mut record, candidate, scratch, &mut tally);
    // The right to the row ends before anybody is told that the run is finished.
    drop(row);
    let _ = used.send(record);
    let mut left = running.left.lock().unwrap_or_else(PoisonError::into_inner);
    left.0 -= 1;
    left.1.merge(tally);
    if left.0 == 0 {
        // A failed report means that the coordinator is gone; the reading thread sees that by itself.
        let _ = report(channel, mailbox, running.fill.tag, &left.1);
    }
}
