//! Waiting for several descriptors at once.

#![expect(unsafe_code, reason = "poll over a reused array of raw descriptors")]

use std::{
    os::fd::{AsRawFd, BorrowedFd},
    time::Duration,
};

use nix::errno::Errno;

use super::retry;
use crate::error::Result;

/// Names a descriptor of a [`Watch`], until that is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchKey(usize);

/// A set of descriptors to wait for, refilled for each wait.
#[derive(Debug, Default)]
pub struct Watch {
    fds: Vec<libc::pollfd>,
}

impl Watch {
    /// Forgets every descriptor.
    pub fn clear(&mut self) {
        self.fds.clear();
    }

    /// Adds a descriptor, to be waited for until it can be read (or, if `write`, written), and returns its key.
    pub fn add(&mut self, fd: BorrowedFd<'_>, write: bool) -> WatchKey {
        let events = if write { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN };
        self.fds.push(libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 });
        WatchKey(self.fds.len() - 1)
    }

    /// Waits until a descriptor is ready or the time is up. Returns how many are ready.
    ///
    /// An interruption by a signal ends the wait early with none ready, so that the caller may look at its flags.
    ///
    /// # Errors
    /// [`Sys`](crate::Error::Sys) where poll itself fails.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<usize> {
        // Rounded up: a wait of 0.4 ms must not become a busy loop.
        let millis = timeout.map_or(-1, |time| i32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
        let mut run = || {
            // SAFETY: the array holds len() initialised entries and is not touched by anyone else meanwhile.
            let ready = unsafe { libc::poll(self.fds.as_mut_ptr(), self.fds.len() as libc::nfds_t, millis) };
            match Errno::result(ready) {
                Err(Errno::EINTR) => Ok(0),
                other => other,
            }
        };
        retry("poll", &mut run).map(|ready| ready as usize)
    }

    /// Tells whether the descriptor of this key can be read, or has ended.
    pub fn readable(&self, WatchKey(entry): WatchKey) -> bool {
        self.fds[entry].revents & (libc::POLLIN | libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0
    }

    /// Tells whether the descriptor of this key can be written, and somebody may read it.
    pub fn writable(&self, WatchKey(entry): WatchKey) -> bool {
        let is = |event| self.fds[entry].revents & event != 0;
        is(libc::POLLOUT) && !is(libc::POLLERR | libc::POLLNVAL)
    }
}

/// Waits until `fd` can be read or the time is up; returns whether it can.
///
/// # Errors
/// [`Sys`](crate::Error::Sys) where poll itself fails.
pub fn readable(fd: BorrowedFd<'_>, timeout: Duration) -> Result<bool> {
    let mut watch = Watch::default();
    watch.add(fd, false);
    Ok(watch.wait(Some(timeout))? > 0)
}

/// Waits until `fd` can be written or the time is up; returns whether it can, or has ended.
///
/// # Errors
/// [`Sys`](crate::Error::Sys) where poll itself fails.
pub fn writable(fd: BorrowedFd<'_>, timeout: Duration) -> Result<bool> {
    let mut watch = Watch::default();
    watch.fds.push(libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 });
    Ok(watch.wait(Some(timeout))? > 0)
}
