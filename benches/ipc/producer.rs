//! A forked producer process that ends with its handle.

use std::os::fd::OwnedFd;

use nix::{
    sys::{
        prctl,
        signal::{Signal, kill},
        socket::{AddressFamily, SockFlag, SockType, socketpair},
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork},
};

use crate::Result;

/// The consumer's handle of a producer; dropping it ends the process.
pub(crate) struct Producer {
    pid: Pid,
    /// The consumer's end of the socket pair.
    pub(crate) socket: OwnedFd,
}

impl Producer {
    /// Forks a process that runs `produce` with its end of a socket pair, until the handle is dropped.
    pub(crate) fn start(kind: SockType, produce: impl FnOnce(OwnedFd) -> Result<()>) -> Result<Self> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)?;
        // SAFETY: this program has a single thread, so the child may do whatever the parent may.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self { pid: child, socket: ours }),
            ForkResult::Child => {
                drop(ours);
                let ended = prctl::set_pdeathsig(Signal::SIGKILL).map_err(Into::into).and_then(|()| produce(theirs));
                // SAFETY: ends this process at once; nothing of the parent's is run or flushed twice.
                unsafe { libc::_exit(i32::from(ended.is_err())) }
            }
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // Both fail only where the process has ended by itself.
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}
