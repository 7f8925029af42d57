//! Memory that a trainer sends while its coordinator begins.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    protocol::{Channel, Incoming, Reply, Request},
    source::SourceSpec,
    sys::memory::SharedMemory,
};

/// Receives the memory that comes with this message.
pub(super) fn receive(channel: &Channel<Reply, Request>, wanted: Request) -> Result<SharedMemory> {
    match channel.recv_with(true)? {
        (Incoming::Message(message), Some(fd)) if message == wanted => SharedMemory::open(fd),
        other => Err(Error::Protocol(format!("unexpected while booting: {other:?}"))),
    }
}

/// Receives the memory of a table; none for other sources.
pub(super) fn table(channel: &Channel<Reply, Request>, source: &SourceSpec) -> Result<Option<Arc<SharedMemory>>> {
    let is_table = matches!(source, SourceSpec::Table { .. });
    is_table.then(|| receive(channel, Request::Bytes).map(Arc::new)).transpose()
}
