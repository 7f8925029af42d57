//! By fresh shared memory: a memfd for each batch, whose descriptor is sent.

use std::{
    io::{IoSlice, IoSliceMut},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use memmap2::{Mmap, MmapMut};
use nix::{
    sys::{
        memfd::{MFdFlags, memfd_create},
        socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockType, recv, recvmsg, send, sendmsg},
    },
    unistd::ftruncate,
};

use crate::{AHEAD, Result, Source, Transport, producer::Producer};

pub(crate) struct Fresh {
    producer: Producer,
    batches: usize,
}

impl Fresh {
    pub(crate) fn start(source: Source) -> Result<Self> {
        let batches = source.batches().len();
        let producer = Producer::start(SockType::SeqPacket, move |socket| produce(&source, &socket))?;
        Ok(Self { producer, batches })
    }
}

fn produce(source: &Source, socket: &OwnedFd) -> Result<()> {
    loop {
        // A byte from the consumer allows one more batch; it sends one for each batch that it is done with.
        for batch in source.batches() {
            if recv(socket.as_raw_fd(), &mut [0], MsgFlags::empty())? == 0 {
                return Ok(());
            }
            let memory = memfd_create("batch", MFdFlags::MFD_CLOEXEC)?;
            ftruncate(&memory, i64::try_from(batch.len())?)?;
            // SAFETY: nobody else maps the memory yet, and nobody ever truncates it.
            unsafe { MmapMut::map_mut(&memory) }?.copy_from_slice(batch);
            let rights = [memory.as_raw_fd()];
            let control = [ControlMessage::ScmRights(&rights)];
            sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&[1])], &control, MsgFlags::empty(), None)?;
        }
    }
}

impl Transport for Fresh {
    fn name(&self) -> &'static str {
        "fresh"
    }

    fn pass(&mut self, consume: &mut dyn FnMut(&[u8])) -> Result<()> {
        let socket = self.producer.socket.as_raw_fd();
        for _ in 0..AHEAD.min(self.batches) {
            send(socket, &[1], MsgFlags::empty())?;
        }
        for at in 0..self.batches {
            let memory = receive(socket)?;
            // SAFETY: the producer has unmapped the memory before it sent the descriptor, and never truncates it.
            let batch = unsafe { Mmap::map(&memory) }?;
            consume(&batch);
            drop(batch);
            if at + AHEAD < self.batches {
                send(socket, &[1], MsgFlags::empty())?;
            }
        }
        Ok(())
    }
}

/// Receives one descriptor.
fn receive(socket: i32) -> Result<OwnedFd> {
    let mut space = nix::cmsg_space!([i32; 1]);
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let message = recvmsg::<()>(socket, &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = control {
            let &[descriptor] = &descriptors[..] else { return Err("more than one descriptor".into()) };
            // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows its number.
            return Ok(unsafe { OwnedFd::from_raw_fd(descriptor) });
        }
    }
    Err("the producer has ended".into())
}
