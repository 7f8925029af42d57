//! How the coordinator's process comes to be.

#![expect(unsafe_code, reason = "forks a trainer that has one thread")]

use std::{
    ffi::CString,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    sync::Arc,
    time::Duration,
};

use crate::{
    coordinator,
    error::{Error, Result},
    pipeline::Pipeline,
    sys::{
        process::{self, Child},
        report,
        socket::Socket,
        stdio,
    },
};

/// The first argument of a program that is started as a coordinator.
const MARK: &str = "stokehold-coordinator";

/// How to start the coordinator.
#[derive(Clone, Debug, Default)]
pub enum Launch {
    /// Start this program's file again; it must call [`init`] at the top of `main`. Works at any time, whatever
    /// threads the trainer has and however large it is.
    #[default]
    Reexec,
    /// Start this program with these arguments; it must call [`serve_stdin`].
    Program(CString, Vec<CString>),
    /// Fork the trainer, which must have one thread. The only way for a source that cannot be described as data.
    Fork,
}

/// Makes this process a coordinator if it was started to be one; else returns at once.
///
/// A Rust program that builds loaders with workers calls this first in `main`. It is then free to start threads.
pub fn init() {
    if std::env::args_os().next().is_some_and(|name| name == MARK) {
        process::exit_now(serve_stdin());
    }
}

/// Serves the trainer at the other end of standard input, and returns the exit status. Standard output and error are to
/// be a pipe that does not make a writer wait, as [`Launch`] makes it.
pub fn serve_stdin() -> i32 {
    match report::report_to_stderr().and_then(|()| stdio::take_stdin()) {
        Ok(socket) => coordinator::serve(socket, None),
        Err(_) => 2,
    }
}

impl Launch {
    /// Starts the coordinator at the other end of `socket`, which is handed over, as is the pipe for its reports.
    pub(super) fn start(&self, socket: Socket, reports: OwnedFd, pipeline: Option<Arc<Pipeline>>) -> Result<Child> {
        match self {
            Self::Reexec => {
                let path = std::env::current_exe().map_err(|error| Error::sys("find this program's file", error))?;
                let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::config("a path has no NUL"))?;
                let mark = CString::new(MARK).map_err(|_| Error::config("a name has no NUL"))?;
                process::spawn(&path, &[mark], socket.as_fd(), reports.as_fd())
            }
            Self::Program(program, args) => process::spawn(program, args, socket.as_fd(), reports.as_fd()),
            Self::Fork => {
                let threads = process::thread_count();
                if threads != 1 {
                    return Err(Error::Usage(format!(
                        "a coordinator cannot be forked from a process of {threads} threads; build the loader before \
                         any thread is started, or use a source that can be described as data"
                    )));
                }
                let fd = socket.into_fd();
                // SAFETY: this process has one thread, as was just seen.
                unsafe {
                    process::fork_child(move || {
                        report::report_to(reports);
                        coordinator::serve(fd, pipeline)
                    })
                }
            }
        }
    }
}

/// How long a coordinator may take to end by itself, and then to be killed.
pub(super) const END_GRACE: Duration = Duration::from_secs(1);
