//! How a coordinator begins: its socket, the loader's description, the source.

#![expect(unsafe_code, reason = "reads shared bytes that the trainer has written")]

use std::{
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
};

use super::{
    run::Coordinator,
    wire::{PoolError, SourceFacts},
};
use crate::{
    error::{Error, Result},
    job::LoaderDescription,
    panics,
    pipeline::Pipeline,
    protocol::{Channel, Incoming, Reply, Request},
    shm::{Arena, Mailbox, SharedBytes, SlotLayout},
    source::Bytes,
    sys::{
        memory::SharedMemory,
        process::{self, Parent},
        report,
        socket::Socket,
        stdio,
    },
};

/// Serves a trainer over this socket until it is gone, and returns the exit status.
///
/// `pipeline` is the pipeline of a coordinator that was forked with it; a spawned one opens its own.
pub fn serve(socket: OwnedFd, pipeline: Option<Arc<Pipeline>>) -> i32 {
    process::reset_signals();
    panics::report_with(report::report);
    // First of all: from here on, every other descriptor is one that was opened here or is the source's.
    let sources = pipeline.as_ref().map(|pipeline| pipeline.source().descriptors()).unwrap_or_default();
    let own = [Some(socket.as_raw_fd()), report::descriptor()].into_iter().flatten().collect();
    process::close_others(&[own, sources].concat());
    let channel = Channel::over(Socket::from(socket));
    match begin(&channel, pipeline) {
        Ok(Some(coordinator)) => coordinator.run(channel),
        Ok(None) => 0,
        Err(error) => {
            report::report(&format!("coordinator ends: {error}"));
            1
        }
    }
}

/// Makes sure that this process has standard descriptors and ends with the trainer, and opens the source.
fn begin(channel: &Channel<Reply, Request>, pipeline: Option<Arc<Pipeline>>) -> Result<Option<Coordinator>> {
    stdio::fill()?;
    process::set_name("stokehold-coord");
    let trainer = Parent::watch();
    // While this process is stopped, it sees neither the end of its socket nor that of the trainer.
    if process::die_with(trainer.pid()) { boot(channel, pipeline, Arc::new(trainer)) } else { Ok(None) }
}

/// Receives the loader's description, opens the source and says what it is. None where the trainer is gone or there can
/// be no such loader.
fn boot(
    channel: &Channel<Reply, Request>,
    pipeline: Option<Arc<Pipeline>>,
    trainer: Arc<Parent>,
) -> Result<Option<Coordinator>> {
    let (Incoming::Message(Request::Boot { len, by_main_thread }), Some(fd)) = channel.recv_with(true)? else {
        return Ok(None);
    };
    if !by_main_thread {
        process::outlive_parent();
    }
    let mailbox = Mailbox::open(fd)?;
    let text = mailbox.read(0, len);
    match open(channel, &text, mailbox.clone(), pipeline, trainer) {
        Ok(coordinator) => {
            let text = serde_json::to_string(&SourceFacts::of(coordinator.source()))
                .map_err(|error| Error::Protocol(error.to_string()))?;
            channel.send(&Reply::Up { len: mailbox.write(0, &text) })?;
            Ok(Some(coordinator))
        }
        Err(error) => {
            let text =
                serde_json::to_string(&PoolError::from(&error)).map_err(|error| Error::Protocol(error.to_string()))?;
            channel.send(&Reply::Over { len: mailbox.write(0, &text) })?;
            Ok(None)
        }
    }
}

/// Takes what goes with the description, opens the source and starts the workers.
fn open(
    channel: &Channel<Reply, Request>,
    description: &str,
    mailbox: Mailbox,
    pipeline: Option<Arc<Pipeline>>,
    trainer: Arc<Parent>,
) -> Result<Coordinator> {
    let LoaderDescription { pipeline: spec, options } = serde_json::from_str(description)
        .map_err(|error| Error::Protocol(format!("the description of the loader is not one: {error}")))?;
    let (mut bytes, mut segment) = (None, None);
    while segment.is_none() {
        match channel.recv_with(true)? {
            (Incoming::Message(Request::Bytes), Some(fd)) => {
                let memory = Arc::new(SharedMemory::open(fd)?);
                // SAFETY: the trainer filled the memory before it sent the descriptor, and keeps no way to write to it.
                bytes = Some(Arc::new(unsafe { SharedBytes::new(memory) }) as Bytes);
            }
            (Incoming::Message(Request::Segment), Some(fd)) => segment = Some(fd),
            other => return Err(Error::Protocol(format!("unexpected while booting: {other:?}"))),
        }
    }
    let pipeline = match (pipeline, spec) {
        (Some(pipeline), _) => pipeline,
        (None, Some(spec)) => Arc::new(spec.open(bytes)?.with_sample_bytes(options.sample_bytes())),
        (None, None) => return Err(Error::Protocol("the description of the loader has no pipeline".into())),
    };
    let mut arena = Arena::new(SlotLayout::new(options.batch_size as usize, pipeline.fields())?);
    if let Some(fd) = segment {
        arena.adopt(fd)?;
    }
    Coordinator::new(pipeline, options, (mailbox, arena), trainer)
}
