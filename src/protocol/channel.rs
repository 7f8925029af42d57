//! A socket that carries one type of message each way.

use std::{
    marker::PhantomData,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use super::message::{Frame, MESSAGE_BYTES, Wire};
use crate::{
    error::{Error, Result},
    sys::socket::{Received, Sent, Socket},
};

/// One end of a conversation: sends `S`, receives `R`. Sending the wrong direction does not compile.
#[derive(Debug)]
pub struct Channel<S, R> {
    socket: Socket,
    types: PhantomData<fn(S) -> R>,
}

/// What came in.
#[derive(Debug)]
pub enum Incoming<R> {
    /// A message.
    Message(R),
    /// Nothing yet.
    Empty,
    /// The other end is gone.
    Closed,
}

impl<S: Wire, R: Wire> Channel<S, R> {
    /// Returns both ends of a new conversation.
    ///
    /// # Errors
    /// [`Error::Sys`] where the system has no descriptors left.
    pub fn pair() -> Result<(Self, Channel<R, S>)> {
        let (one, two) = Socket::pair()?;
        Ok((Self::over(one), Channel::over(two)))
    }

    /// Returns an end of a conversation over this socket.
    pub fn over(socket: Socket) -> Self {
        Self { socket, types: PhantomData }
    }

    /// Sends a message, waiting for room. Returns false if the other end is gone.
    ///
    /// # Errors
    /// [`Error::Sys`] for what the system refuses.
    pub fn send(&self, message: &S) -> Result<bool> {
        self.socket.send(&message.frame().encode())
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    /// [`Error::Sys`] for what the system refuses.
    pub fn try_send(&self, message: &S) -> Result<Sent> {
        self.socket.try_send(&message.frame().encode())
    }

    /// Sends a message with a descriptor, waiting for room. Returns false if the other end is gone.
    ///
    /// # Errors
    /// [`Error::Sys`] for what the system refuses.
    pub fn send_with(&self, message: &S, fd: BorrowedFd<'_>) -> Result<bool> {
        self.socket.send_with(&message.frame().encode(), fd)
    }

    /// Sends a message with a descriptor if there is room for it now.
    ///
    /// # Errors
    /// [`Error::Sys`] for what the system refuses.
    pub fn try_send_with(&self, message: &S, fd: BorrowedFd<'_>) -> Result<Sent> {
        self.socket.try_send_with(&message.frame().encode(), fd)
    }

    /// Ends the conversation for both sides, also while other values of this process keep the descriptor.
    pub fn shut_down(&self) {
        self.socket.shut_down();
    }

    /// Receives a message, if `wait` is set waiting for it.
    ///
    /// # Errors
    /// [`Error::Protocol`] for bytes that are no message of this direction, [`Error::Sys`] for a failed call.
    pub fn recv(&self, wait: bool) -> Result<Incoming<R>> {
        let mut bytes = [0; MESSAGE_BYTES + 1];
        parse(&self.socket.recv(&mut bytes, wait)?, &bytes)
    }

    /// Receives a message that may carry a descriptor, if `wait` is set waiting for it.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and `EMFILE` where a descriptor got lost because this process may have no more.
    pub fn recv_with(&self, wait: bool) -> Result<(Incoming<R>, Option<OwnedFd>)> {
        let mut bytes = [0; MESSAGE_BYTES + 1];
        let (received, mut fds) = self.socket.recv_with(&mut bytes, wait)?;
        Ok((parse(&received, &bytes)?, fds.pop()))
    }
}

fn parse<R: Wire>(received: &Received, bytes: &[u8]) -> Result<Incoming<R>> {
    match *received {
        Received::Empty => Ok(Incoming::Empty),
        Received::Closed => Ok(Incoming::Closed),
        Received::Message(len) => Frame::decode(&bytes[..len])
            .and_then(|frame| R::from_frame(&frame))
            .map(Incoming::Message)
            .ok_or_else(|| Error::Protocol(format!("a message of {len} bytes that this version does not know"))),
    }
}

impl<S, R> AsFd for Channel<S, R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Command, Report};

    #[test]
    fn messages_arrive_in_order_and_typed() {
        let (coordinator, worker) = Channel::<Command, Report>::pair().unwrap();
        assert!(worker.send(&Report::Up).unwrap());
        assert!(coordinator.send(&Command::Segment).unwrap());
        assert!(matches!(coordinator.recv(true).unwrap(), Incoming::Message(Report::Up)));
        assert!(matches!(worker.recv_with(true).unwrap(), (Incoming::Message(Command::Segment), None)));
        assert!(matches!(worker.recv(false).unwrap(), Incoming::Empty));
        drop(coordinator);
        assert!(matches!(worker.recv(true).unwrap(), Incoming::Closed));
    }

    #[test]
    fn foreign_bytes_are_an_error() {
        let (one, two) = Socket::pair().unwrap();
        let channel = Channel::<Command, Report>::over(one);
        for bytes in [&[0; 64][..], &[1; 3], &[2; 200]] {
            assert!(two.send(bytes).unwrap());
            assert!(matches!(channel.recv(true), Err(Error::Protocol(_))));
        }
    }
}
