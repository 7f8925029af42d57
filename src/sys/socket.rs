//! Message-preserving sockets between two processes.

#![expect(unsafe_code, reason = "a received descriptor must be adopted")]

use std::{
    io::IoSlice,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, ControlMessage, MsgFlags, Shutdown, SockFlag, SockType, recv, send, sendmsg, shutdown,
        socketpair,
    },
};

use super::retry;
use crate::{
    descriptor::beyond_stdio,
    error::{Error, Result},
};

/// One end of a `SOCK_SEQPACKET` pair: one send is one receive, in order, or the end of the stream.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
}

/// What a receive found.
#[derive(Debug)]
pub enum Received {
    /// A message of this many bytes.
    Message(usize),
    /// Nothing, and the receive was not to wait.
    Empty,
    /// The other end is gone.
    Closed,
}

impl Socket {
    /// Returns two connected ends.
    ///
    /// # Errors
    /// [`Error::Sys`] where the system has no descriptors left.
    pub fn pair() -> Result<(Self, Self)> {
        let pair = || socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
        let lowest = |(one, two): &(OwnedFd, OwnedFd)| one.as_raw_fd().min(two.as_raw_fd());
        let (one, two) = beyond_stdio(lowest, || retry("socketpair", pair))?;
        Ok((Self { fd: one }, Self { fd: two }))
    }

    /// Sends one message, waiting for room. Returns false if the other end is gone.
    ///
    /// # Errors
    /// [`Error::Sys`] for anything else that the system refuses.
    pub fn send(&self, message: &[u8]) -> Result<bool> {
        self.send_flags(message, MsgFlags::MSG_NOSIGNAL).map(|sent| sent != Sent::Gone)
    }

    /// Sends one message if there is room for it now.
    ///
    /// # Errors
    /// [`Error::Sys`] for anything that is not a full buffer or a lost peer.
    pub fn try_send(&self, message: &[u8]) -> Result<Sent> {
        self.send_flags(message, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT)
    }

    /// Ends the conversation for both sides, also while other values of this process keep the descriptor.
    pub fn shut_down(&self) {
        // A peer that is gone already makes this fail, which changes nothing.
        let _ = shutdown(self.fd.as_raw_fd(), Shutdown::Both);
    }

    /// Returns the descriptor.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    fn send_flags(&self, message: &[u8], flags: MsgFlags) -> Result<Sent> {
        classify("send", || send(self.fd.as_raw_fd(), message, flags).map(drop))
    }

    /// Sends one message along with a descriptor, waiting for room. Returns false if the other end is gone.
    ///
    /// # Errors
    /// [`Error::Sys`] for anything else that the system refuses.
    pub fn send_with(&self, message: &[u8], fd: BorrowedFd<'_>) -> Result<bool> {
        self.send_with_flags(message, fd, MsgFlags::MSG_NOSIGNAL).map(|sent| sent != Sent::Gone)
    }

    /// Sends one message along with a descriptor if there is room for it now.
    ///
    /// # Errors
    /// [`Error::Sys`] for anything that is not a full buffer or a lost peer.
    pub fn try_send_with(&self, message: &[u8], fd: BorrowedFd<'_>) -> Result<Sent> {
        self.send_with_flags(message, fd, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT)
    }

    fn send_with_flags(&self, message: &[u8], fd: BorrowedFd<'_>, flags: MsgFlags) -> Result<Sent> {
        let fds = [fd.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&fds)];
        classify("sendmsg", || {
            sendmsg::<()>(self.fd.as_raw_fd(), &[IoSlice::new(message)], &rights, flags, None).map(drop)
        })
    }

    /// Receives one message into `buffer`; one that is longer is cut.
    ///
    /// # Errors
    /// [`Error::Sys`] for anything that is neither a message nor the end.
    pub fn recv(&self, buffer: &mut [u8], wait: bool) -> Result<Received> {
        let flags = if wait { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
        received(|| recv(self.fd.as_raw_fd(), buffer, flags))
    }

    /// Sends one message, made of parts, along with descriptors if there is room for it now.
    ///
    /// # Errors
    /// [`Error::Sys`] for anything that is not a full buffer or a lost peer.
    pub fn try_send_parts(&self, parts: &[&[u8]], fds: &[BorrowedFd<'_>]) -> Result<Sent> {
        let fds: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let parts: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let rights = if fds.is_empty() { &[][..] } else { &rights[..] };
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        classify("sendmsg", || sendmsg::<()>(self.fd.as_raw_fd(), &parts, rights, flags, None).map(drop))
    }

    /// Receives one message that may carry descriptors.
    ///
    /// # Errors
    /// [`Error::Sys`] for anything that is neither a message nor the end, and with `EMFILE` where the message
    /// carried a descriptor that did not fit under this process's limit: the kernel drops it silently.
    pub fn recv_with(&self, buffer: &mut [u8], wait: bool) -> Result<(Received, Vec<OwnedFd>)> {
        match self.recv_rights(buffer, &mut rights_space(2), wait)? {
            (received, Some(fds)) => Ok((received, fds)),
            (_, None) => Err(Error::sys(CUT, Errno::EMFILE)),
        }
    }

    /// Receives one message that may carry many descriptors, into a [`rights_space`]; none of them if this process may not
    /// have them all, for which [`CUT`] has words.
    ///
    /// # Errors
    /// [`Error::Sys`] for anything that is neither a message nor the end.
    pub fn recv_rights(
        &self,
        buffer: &mut [u8],
        space: &mut [u64],
        wait: bool,
    ) -> Result<(Received, Option<Vec<OwnedFd>>)> {
        let flags = libc::MSG_CMSG_CLOEXEC | if wait { 0 } else { libc::MSG_DONTWAIT };
        let mut found = (Vec::new(), false);
        let received = received(|| {
            let (len, fds, cut) = recvmsg_rights(self.fd.as_raw_fd(), buffer, space, flags)?;
            found = (fds, cut);
            Ok(len)
        })?;
        let (fds, cut) = found;
        Ok((received, (!cut).then_some(fds)))
    }
}

/// Receives a message with its descriptors, of which there may be fewer than were sent: then it is cut.
///
/// nix reads no descriptors of a message that was cut, which then stay open for good.
fn recvmsg_rights(
    socket: RawFd,
    buffer: &mut [u8],
    space: &mut [u64],
    flags: libc::c_int,
) -> nix::Result<(usize, Vec<OwnedFd>, bool)> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut fds = Vec::new();
    // SAFETY: the header is plain data, for which zeros are a value. The kernel writes at most as many bytes to `buffer` and
    // to `space` as they have, and says how many. The macros step over the headers that it has written there, and each
    // descriptor among them was made for this process just now; nobody else owns it.
    let (len, cut) = unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = space.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(space);
        let len = Errno::result(libc::recvmsg(socket, &raw mut header, flags))?;
        let mut control = libc::CMSG_FIRSTHDR(&raw const header);
        while !control.is_null() {
            if ((*control).cmsg_level, (*control).cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let data = libc::CMSG_DATA(control);
                let bytes = (*control).cmsg_len - libc::CMSG_LEN(0) as usize;
                let raw = std::slice::from_raw_parts(data, bytes).as_chunks::<{ size_of::<RawFd>() }>().0;
                fds.extend(raw.iter().map(|fd| OwnedFd::from_raw_fd(RawFd::from_ne_bytes(*fd))));
            }
            control = libc::CMSG_NXTHDR(&raw const header, control);
        }
        (len as usize, header.msg_flags & libc::MSG_CTRUNC != 0)
    };
    Ok((len, fds, cut))
}

/// What is said where descriptors did not come.
pub const CUT: &str = "recvmsg: no descriptor left for shared memory; raise `ulimit -n`";

/// The most descriptors of one message; the kernel's limit.
pub const MOST_RIGHTS: usize = 253;

/// Returns room for so many descriptors of a message.
pub fn rights_space(count: usize) -> Vec<u64> {
    // SAFETY: the macro computes a number.
    let bytes = unsafe { libc::CMSG_SPACE((count * size_of::<RawFd>()) as libc::c_uint) } as usize;
    vec![0; bytes.div_ceil(size_of::<u64>())]
}

/// What became of a message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Yes,
    /// There is no room for it now.
    Full,
    /// The other end is gone.
    Gone,
}

fn classify(call: &str, mut run: impl FnMut() -> nix::Result<()>) -> Result<Sent> {
    loop {
        return match run() {
            Ok(()) => Ok(Sent::Yes),
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => Ok(Sent::Full),
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN) => Ok(Sent::Gone),
            Err(errno) => Err(Error::sys(call, errno)),
        };
    }
}

fn received(mut run: impl FnMut() -> nix::Result<usize>) -> Result<Received> {
    loop {
        return match run() {
            // A datagram of no bytes cannot be told from the end, so nobody sends one.
            Ok(0) => Ok(Received::Closed),
            Ok(len) => Ok(Received::Message(len)),
            // A peer that ends with messages unread resets the connection; what it has sent is still there.
            Err(Errno::EINTR | Errno::ECONNRESET) => continue,
            Err(Errno::EAGAIN) => Ok(Received::Empty),
            Err(errno) => Err(Error::sys("recv", errno)),
        };
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_boundaries_and_the_end_is_seen() {
        let (one, two) = Socket::pair().unwrap();
        assert!(one.send(b"first").unwrap());
        assert!(one.send(b"second").unwrap());
        drop(one);
        let mut buffer = [0; 16];
        assert!(matches!(two.recv(&mut buffer, true).unwrap(), Received::Message(5)));
        assert!(matches!(two.recv(&mut buffer, false).unwrap(), Received::Message(6)));
        assert!(matches!(two.recv(&mut buffer, true).unwrap(), Received::Closed));
        assert!(!two.send(b"late").unwrap());
    }

    #[test]
    fn messages_of_a_peer_that_ended_without_reading_are_kept() {
        let (one, two) = Socket::pair().unwrap();
        assert!(one.send(b"unread").unwrap());
        assert!(two.send(b"last words").unwrap());
        drop(two);
        let mut buffer = [0; 16];
        assert!(matches!(one.recv(&mut buffer, true).unwrap(), Received::Message(10)));
        assert!(matches!(one.recv(&mut buffer, true).unwrap(), Received::Closed));
    }

    #[test]
    fn an_empty_socket_does_not_wait_unless_told() {
        let (one, _two) = Socket::pair().unwrap();
        assert!(matches!(one.recv(&mut [0; 8], false).unwrap(), Received::Empty));
    }

    #[test]
    fn a_full_socket_says_so() {
        let (one, _two) = Socket::pair().unwrap();
        let sent = (0..100_000).map(|_| one.try_send(&[1; 64]).unwrap()).take_while(|&sent| sent == Sent::Yes).count();
        assert!((1..100_000).contains(&sent));
        assert_eq!(one.try_send(&[1; 64]).unwrap(), Sent::Full);
    }

    #[test]
    fn a_descriptor_travels() {
        let (one, two) = Socket::pair().unwrap();
        let (far, near) = Socket::pair().unwrap();
        assert!(one.send_with(b"x", far.as_fd()).unwrap());
        drop(far);
        let (received, mut fds) = two.recv_with(&mut [0; 8], true).unwrap();
        assert!(matches!(received, Received::Message(1)));
        let far = Socket::from(fds.pop().unwrap());
        assert!(far.send(b"hello").unwrap());
        assert!(matches!(near.recv(&mut [0; 8], true).unwrap(), Received::Message(5)));
    }

    #[test]
    fn parts_travel_with_many_descriptors() {
        let (one, two) = Socket::pair().unwrap();
        let far: Vec<Socket> = (0..20).map(|_| Socket::pair().unwrap().0).collect();
        let fds: Vec<BorrowedFd<'_>> = far.iter().map(AsFd::as_fd).collect();
        assert_eq!(one.try_send_parts(&[b"ab", b"", b"c"], &fds).unwrap(), Sent::Yes);
        let mut buffer = [0; 8];
        let (received, fds) = two.recv_rights(&mut buffer, &mut rights_space(MOST_RIGHTS), false).unwrap();
        assert!(matches!(received, Received::Message(3)));
        assert_eq!((&buffer[..3], fds.map(|fds| fds.len())), (&b"abc"[..], Some(20)));
    }

    #[test]
    fn a_message_that_is_cut_says_so_and_leaves_nothing_open() {
        let (one, two) = Socket::pair().unwrap();
        let (far, near) = Socket::pair().unwrap();
        let fds = [far.as_fd(), far.as_fd(), far.as_fd(), far.as_fd()];
        assert_eq!(one.try_send_parts(&[b"x"], &fds).unwrap(), Sent::Yes);
        let error = two.recv_with(&mut [0; 8], true).unwrap_err().to_string();
        assert!(error.contains("ulimit -n"), "{error}");
        drop(far);
        assert!(matches!(near.recv(&mut [0; 8], true).unwrap(), Received::Closed));
    }
}
