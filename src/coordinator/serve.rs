//! How a coordinator begins: its socket, the loader's description, the source.

#![expect(unsafe_code, reason = "reads shared bytes that the trainer has written")]

use std::{
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
};

use super::{
    begin::Begin,
    learn::{Asked, Found, find},
    received::{pieces, receive},
    run::Coordinator,
    wire::{PoolError, SourceFacts},
};
use crate::{
    error::{Error, Result},
    job::LoaderDescription,
    panics,
    protocol::{Channel, Incoming, Reply, Request},
    sampler::Table,
    shm::{Arena, Mailbox, SharedBytes},
    source::Bytes,
    sys::{
        process::{self, Parent},
        report,
        socket::Socket,
        stdio,
    },
};

/// Serves a trainer over this socket until it is gone, and returns the exit status.
///
/// `given` is what the coordinator has beside its description.
pub fn serve(socket: OwnedFd, given: &Begin<'_>) -> i32 {
    process::reset_signals();
    panics::report_with(report::report);
    // First of all: from here on, every other descriptor is one that was opened here or is the source's.
    let sources = match given {
        Begin::Forked(pipeline) => pipeline.source().descriptors(),
        Begin::Described | Begin::Code(_) => Vec::new(),
    };
    let own = [Some(socket.as_raw_fd()), report::descriptor()].into_iter().flatten().collect();
    let keeps_all = matches!(given, Begin::Code(code) if code.keeps_descriptors());
    if !keeps_all {
        process::close_others(&[own, sources].concat());
    }
    let channel = Channel::over(Socket::from(socket));
    match begin(&channel, given) {
        Ok(Some(coordinator)) => coordinator.run(channel),
        Ok(None) => 0,
        Err(error) => {
            report::report(&format!("coordinator ends: {error}"));
            1
        }
    }
}

/// Makes sure that this process has standard descriptors and ends with the trainer, and opens the source.
fn begin(channel: &Channel<Reply, Request>, given: &Begin<'_>) -> Result<Option<Coordinator>> {
    stdio::fill()?;
    process::set_name("stokehold-coord");
    let trainer = Parent::watch();
    // While this process is stopped, it sees neither the end of its socket nor that of the trainer.
    if process::die_with(trainer.pid()) { boot(channel, given, Arc::new(trainer)) } else { Ok(None) }
}

/// Receives the loader's description, opens the source and says what it is. None where the trainer is gone or there can
/// be no such loader.
fn boot(channel: &Channel<Reply, Request>, given: &Begin<'_>, trainer: Arc<Parent>) -> Result<Option<Coordinator>> {
    let (Incoming::Message(Request::Boot { len, by_main_thread }), Some(fd)) = channel.recv_with(true)? else {
        return Ok(None);
    };
    if !by_main_thread {
        process::outlive_parent();
    }
    let mailbox = Mailbox::open(fd, Mailbox::TRAINER_LANES)?;
    let text = mailbox.read(0, len);
    let opened = open(channel, &text, mailbox.clone(), given, trainer).and_then(|coordinator| {
        let facts = SourceFacts::of(coordinator.source());
        let text = serde_json::to_string(&facts).map_err(|error| Error::Protocol(error.to_string()))?;
        let (len, most) = (text.len(), mailbox.capacity());
        if len > most {
            let classes = facts.classes.len();
            return Err(Error::Config(format!(
                "the names of {classes} classes take {len} bytes, and with workers there is room for {most}: shorten the \
                 names, or take num_workers=0"
            )));
        }
        Ok((coordinator, text))
    });
    match opened {
        Ok((coordinator, text)) => {
            channel.send(&Reply::Up { len: mailbox.write(0, &text) })?;
            Ok(Some(coordinator))
        }
        Err(error) => {
            let text =
                serde_json::to_string(&PoolError::from(&error)).map_err(|error| Error::Protocol(error.to_string()))?;
            channel.send(&Reply::Over { len: mailbox.write(Mailbox::REASON, &text) })?;
            Ok(None)
        }
    }
}

/// Takes what goes with the description, opens the source and starts the workers.
fn open(
    channel: &Channel<Reply, Request>,
    description: &str,
    mailbox: Mailbox,
    given: &Begin<'_>,
    trainer: Arc<Parent>,
) -> Result<Coordinator> {
    let LoaderDescription { pipeline: spec, functions, options } = serde_json::from_str(description)
        .map_err(|error| Error::Protocol(format!("the description of the loader is not one: {error}")))?;
    // SAFETY: the trainer filled the memory before it sent the descriptors, and keeps no way to write to it.
    let bytes = |memory| unsafe { SharedBytes::new(memory) };
    let tables = pieces(channel, options.tables())?;
    let table = tables.first().cloned().map(bytes).map(Table::new);
    let mut posted = None;
    let pipeline = match (given, spec) {
        (Begin::Forked(pipeline), _) => Arc::clone(pipeline),
        (Begin::Code(code), Some(spec)) => {
            let asked = Asked::receive(channel, spec, (functions, tables), &options)?;
            let Found { pipeline, learned, posted: given } = find(*code, asked, options.spawns)?;
            posted = given;
            let learned = serde_json::to_string(&learned).map_err(|error| Error::Protocol(error.to_string()))?;
            channel.send(&Reply::Learned { len: mailbox.write(0, &learned) })?;
            Arc::new(pipeline)
        }
        (Begin::Described, Some(spec)) => {
            let memory = pieces(channel, spec.source.pieces())?;
            let memory: Vec<_> = memory.into_iter().map(|memory| Arc::new(bytes(memory)) as Bytes).collect();
            Arc::new(spec.open(&memory)?.with_sample_bytes(options.sample_bytes()))
        }
        (Begin::Described | Begin::Code(_), None) => {
            return Err(Error::Protocol("the description of the loader has no pipeline".into()));
        }
    };
    let mut arena = Arena::new(options.layout(&pipeline.specs())?);
    arena.share(Arc::new(receive(channel, Request::Segment)?));
    Coordinator::new(pipeline, options, (mailbox, arena), trainer, posted, table)
}
