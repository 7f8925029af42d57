//! By message passing only: the batch's bytes through a stream socket.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

use nix::sys::socket::SockType;

use crate::{Result, Source, Transport, producer::Producer};

pub(crate) struct Socket {
    /// Ends the producer when dropped.
    _producer: Producer,
    stream: UnixStream,
    batches: usize,
    buffer: Vec<u8>,
}

impl Socket {
    pub(crate) fn start(source: Source) -> Result<Self> {
        let (batches, buffer) = (source.batches().len(), vec![0; source.batch]);
        let producer = Producer::start(SockType::Stream, move |socket| produce(&source, socket.into()))?;
        let stream = producer.socket.try_clone()?.into();
        Ok(Self { _producer: producer, stream, batches, buffer })
    }
}

fn produce(source: &Source, mut stream: UnixStream) -> Result<()> {
    loop {
        stream.read_exact(&mut [0])?;
        for batch in source.batches() {
            stream.write_all(batch)?;
        }
    }
}

impl Transport for Socket {
    fn name(&self) -> &'static str {
        "socket"
    }

    fn pass(&mut self, consume: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.stream.write_all(&[1])?;
        for _ in 0..self.batches {
            self.stream.read_exact(&mut self.buffer)?;
            consume(&self.buffer);
        }
        Ok(())
    }
}
