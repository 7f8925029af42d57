//! Standard input, output and error, where they are closed.

#![expect(unsafe_code, reason = "asks for descriptors that may be closed, and adopts one that it has just made")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl, open},
    sys::stat::Mode,
};

use super::retry;
use crate::error::Result;

const STANDARD: std::ops::Range<RawFd> = 0..3;

/// Keeps the standard descriptors that are closed in use, by `/dev/null`, until it is dropped.
///
/// What is opened meanwhile gets another number; programs that are started meanwhile have them open.
#[derive(Debug)]
pub struct StdioTaken(#[expect(dead_code, reason = "it is there to be dropped")] Vec<OwnedFd>);

impl StdioTaken {
    /// Takes those that are closed; nearly always there are none.
    ///
    /// # Errors
    /// [`Sys`](crate::Error::Sys) where there are some, and `/dev/null` cannot be opened.
    pub fn take() -> Result<Self> {
        null_for_closed().map(Self)
    }
}

/// Opens `/dev/null` in place of the standard descriptors that are closed, for good: this process is one of ours.
///
/// # Errors
/// As [`StdioTaken::take`].
pub fn fill() -> Result<()> {
    for fd in null_for_closed()? {
        let _ = fd.into_raw_fd();
    }
    Ok(())
}

fn null_for_closed() -> Result<Vec<OwnedFd>> {
    let mut taken = Vec::new();
    if all_open() {
        return Ok(taken);
    }
    // A free number is the lowest one, so that so many are opened as are free.
    for _ in STANDARD.filter(|&number| is_closed(number)) {
        let fd = open_null(OFlag::O_RDWR)?;
        if STANDARD.contains(&fd.as_raw_fd()) {
            taken.push(fd);
        }
    }
    Ok(taken)
}

/// Tells by one call whether there are all three, as nearly always; it is asked before each message that is received.
fn all_open() -> bool {
    let mut fds = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: the array holds 3 initialised entries, and the call waits for nothing.
    let answered = unsafe { libc::poll(fds.as_mut_ptr(), 3, 0) } >= 0;
    answered && fds.iter().all(|entry| entry.revents & libc::POLLNVAL == 0)
}

fn is_closed(number: RawFd) -> bool {
    // SAFETY: the call looks up a number, whatever it stands for, and keeps nothing of it.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(fd, FcntlArg::F_GETFD) == Err(Errno::EBADF)
}

fn open_null(flags: OFlag) -> Result<OwnedFd> {
    retry("open /dev/null", || open("/dev/null", flags, Mode::empty()))
}

/// Returns another descriptor of the same thing that is none of the standard ones.
///
/// # Errors
/// [`Sys`](crate::Error::Sys) where this process may have no more descriptors.
pub(super) fn beyond(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    let raw = retry("fcntl(F_DUPFD_CLOEXEC)", || fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(STANDARD.end)))?;
    // SAFETY: the call above has just made this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Takes the socket that [`spawn`](super::process::spawn) passed as standard input, and puts `/dev/null` there.
///
/// # Errors
/// [`Sys`](crate::Error::Sys) where the descriptors cannot be moved.
pub fn take_stdin() -> Result<OwnedFd> {
    let fd = beyond(std::io::stdin().as_fd())?;
    fill()?;
    let null = open_null(OFlag::O_RDWR | OFlag::O_CLOEXEC)?;
    retry("dup2", || nix::unistd::dup2_stdin(&null))?;
    Ok(fd)
}
