//! Workers that are programs of their own: where the process that would fork them has threads, or its user wants none forked.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    code::OpenCode,
    fill::Filler,
    learning::{Learning, Question, shared_bytes},
    serve::Worker,
    term::Term,
};
use crate::{
    error::{Error, Result},
    field::Recipe,
    job::Options,
    panics,
    pipeline::Pipeline,
    protocol::{Channel, Command, Incoming, Report},
    sampler::Table,
    shm::{Arena, Mailbox},
    sys::{
        memory::SharedMemory,
        process::{self, Parent},
        report,
        socket::Socket,
        stdio,
    },
};

/// All that a worker needs to know which does not know it from its fork.
#[derive(Debug, Serialize, Deserialize)]
pub struct Posting {
    /// How many pieces of memory the code lies in.
    pub pieces: usize,
    /// How many pieces of memory follow them in which the source lies.
    pub data: usize,
    /// What there is to be learned.
    pub question: Question,
    /// What is known of the source; none for a process that is to learn it, and to end.
    pub place: Option<Place>,
}

/// A worker's place in a pool.
#[derive(Debug, Serialize, Deserialize)]
pub struct Place {
    /// What is known of the source.
    pub facts: String,
    /// What is made of the samples.
    pub recipe: Recipe,
    /// The fields whose room is a guess.
    pub growing: Vec<String>,
    /// How samples become batches.
    pub options: Options,
    /// The worker's seat.
    pub seat: u32,
    /// The segments of the arena.
    pub segments: usize,
    /// The trainer's process.
    pub trainer: i32,
}

/// Serves the coordinator over this socket, as a worker that was not forked, and returns the exit status.
pub fn serve_posted(socket: OwnedFd, code: &dyn OpenCode) -> i32 {
    process::reset_signals();
    panics::report_with(report::report);
    let own: Vec<_> = [Some(socket.as_raw_fd()), report::descriptor()].into_iter().flatten().collect();
    process::close_others(&own);
    match post(Channel::over(Socket::from(socket)), code) {
        Ok(Some(worker)) => worker.run(),
        Ok(None) => 0,
        Err(error) => {
            report::report(&format!("worker cannot begin: {error}"));
            1
        }
    }
}

/// Takes what the coordinator sends and becomes its worker; none where there is nothing more to do.
fn post(channel: Channel<Report, Command>, code: &dyn OpenCode) -> Result<Option<Worker>> {
    stdio::fill()?;
    process::set_name("stokehold-work");
    let coordinator = Parent::watch().pid();
    if !process::die_with(coordinator) {
        return Ok(None);
    }
    let (Incoming::Message(Command::Post { len }), Some(fd)) = channel.recv_with(true)? else { return Ok(None) };
    let told = Mailbox::open(fd, 1)?;
    let Posting { pieces, data, question, place } = serde_json::from_str(&told.read(0, len))
        .map_err(|error| Error::Protocol(format!("a worker's posting: {error}")))?;
    let received =
        |count| (0..count).map(|_| receive(&channel, Command::Memory).map(Arc::new)).collect::<Result<Vec<_>>>();
    let opened = code.open(&received(pieces)?);
    let native = question.open(&received(data)?);
    let Some(place) = place else {
        let answer = opened.and_then(|opened| question.answer(&*opened, native?));
        let learning = Learning::of(answer);
        let text = serde_json::to_string(&learning).map_err(|error| Error::Protocol(error.to_string()))?;
        channel.send(&Report::Learned { len: told.write(0, &text) })?;
        return Ok(None);
    };
    let Place { facts, recipe, growing, options, seat, segments, trainer } = place;
    let opened = opened?;
    let source = native?.map_or_else(|| opened.source(&facts), Ok)?;
    let pipeline = Pipeline::grown(source, &recipe, growing)?.with_functions(opened.functions()?);
    let pipeline = pipeline.with_sample_bytes(options.sample_bytes());
    let mailbox = Mailbox::over(receive(&channel, Command::Memory)?, super::MOST_LANES);
    let mut arena = Arena::new(options.layout(&pipeline.specs())?);
    for _ in 0..segments {
        arena.share(Arc::new(receive(&channel, Command::Segment)?));
    }
    let tables = received(options.tables())?;
    let table = tables.first().map(shared_bytes).map(Table::new);
    process::be_expendable();
    let sampler = options.sampler(pipeline.source().len(), pipeline.source().blocks(), table)?;
    Ok(Some(Worker {
        channel,
        arena,
        mailbox,
        filler: Filler::new(Arc::new(pipeline), &options, Some(seat))?,
        term: Term::of(&options, sampler.usual_rows()),
        sampler,
        threads: options.threads_per_worker,
        seat,
        trainer: Arc::new(Parent::of(trainer)),
        coordinator,
    }))
}

/// Receives the memory that comes with this message.
fn receive(channel: &Channel<Report, Command>, wanted: Command) -> Result<SharedMemory> {
    match channel.recv_with(true)? {
        (Incoming::Message(message), Some(fd)) if message == wanted => SharedMemory::open(fd),
        other => Err(Error::Protocol(format!("unexpected while beginning: {other:?}"))),
    }
}
