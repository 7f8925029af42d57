//! Memory that a trainer sends while its coordinator begins.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    protocol::{Channel, Incoming, Reply, Request},
    sys::memory::SharedMemory,
};

/// Receives the memory that comes with this message.
pub(super) fn receive(channel: &Channel<Reply, Request>, wanted: Request) -> Result<SharedMemory> {
    match channel.recv_with(true)? {
        (Incoming::Message(message), Some(fd)) if message == wanted => SharedMemory::open(fd),
        other => Err(Error::Protocol(format!("unexpected while booting: {other:?}"))),
    }
}

/// Receives so many pieces of memory, of a source or of code.
pub(super) fn pieces(channel: &Channel<Reply, Request>, count: usize) -> Result<Vec<Arc<SharedMemory>>> {
    (0..count).map(|_| receive(channel, Request::Bytes).map(Arc::new)).collect()
}
