//! The only module that speaks to the kernel.
//!
//! What this layer promises to those above it:
//! - an interrupted call is tried again;
//! - every descriptor is close-on-exec and none of the standard ones, and nothing has a name: no path, no `shm_open`;
//! - nothing waits for whoever reads standard output or error;
//! - an error names the call;
//! - where a kernel or a sandbox refuses a newer call, an older one does the work.
//!
//! It knows nothing of slots, samples or messages.

pub mod limits;
pub mod memory;
pub mod poll;
pub mod process;
pub mod report;
pub mod socket;
pub mod stdio;
pub mod waiting;

use nix::errno::Errno;

use crate::error::{Error, Result};

/// Runs a system call until it is not interrupted, and names it if it fails.
fn retry<T>(call: &str, mut run: impl FnMut() -> nix::Result<T>) -> Result<T> {
    loop {
        match run() {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::sys(call, errno)),
            Ok(value) => return Ok(value),
        }
    }
}
