//! How the coordinator's process comes to be.

#![expect(unsafe_code, reason = "forks a trainer that has one thread")]

use std::{
    ffi::{CStr, CString, OsStr, OsString},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    sync::Arc,
    time::Duration,
};

use crate::{
    coordinator::{self, Begin},
    error::{Error, Result},
    pipeline::Pipeline,
    sys::{
        process::{self, Child, HeldSignals},
        report,
        socket::Socket,
        stdio,
    },
    worker::{self, OpenCode},
};

/// The first argument of this program where it is started as a coordinator.
const NAME: &str = "stokehold-coordinator";
/// The variable that marks the environment of a process that is started as a coordinator. It says what a program must
/// do to become one, for the case that it does not, and comes to build a loader as its first start did.
const MARK: &CStr = c"STOKEHOLD_COORDINATOR";
/// The exit status of a program that was started as a coordinator and came to build a loader.
const IS_NONE: i32 = 113;
/// What a Rust program must do to become a coordinator.
const CALL_INIT: &str = "a loader with workers starts this program again as their coordinator: call \
                         `stokehold::init()` at the top of `main`, before all else, or use `num_workers(0)`";

/// How to start the coordinator.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Launch {
    /// Start this program's file again; it must call [`init`] at the top of `main`. Works at any time, whatever
    /// threads the trainer has and however large it is.
    #[default]
    Reexec,
    /// Start another program; it must call [`serve_stdin`] or [`init`].
    Program {
        /// The program's file.
        program: CString,
        /// Its arguments, its name included.
        args: Vec<CString>,
        /// What to tell where the program ends, or comes to build a loader, instead of becoming a coordinator.
        advice: String,
    },
    /// Fork the trainer as it is, whatever threads it has: what they have locked stays locked in the workers. For code of
    /// the user, by what opens it.
    ForkWith(Arc<dyn OpenCode + Send + Sync>),
    /// Fork the trainer, which must have one thread. The only way for a source that cannot be described as data.
    Fork,
}

/// Makes this process a coordinator if it was started to be one; else returns at once.
///
/// A Rust program that builds loaders with workers calls this first in `main`. It is then free to start threads.
pub fn init() {
    if mark().is_some() && process::stdin_is_socket() {
        process::exit_now(serve_stdin(&Begin::Described));
    }
}

/// Serves the trainer at the other end of standard input, and returns the exit status. Standard output and error are to
/// be a pipe that does not make a writer wait, as [`Launch`] makes it. `given` is what the coordinator has beside its
/// description.
pub fn serve_stdin(given: &Begin<'_>) -> i32 {
    match report::report_to_stderr().and_then(|()| stdio::take_stdin()) {
        Ok(socket) => coordinator::serve(socket, given),
        Err(_) => 2,
    }
}

/// Serves the coordinator at the other end of standard input, as a worker that was not forked, and returns the exit status.
pub fn serve_posted_stdin(code: &dyn OpenCode) -> i32 {
    match report::report_to_stderr().and_then(|()| stdio::take_stdin()) {
        Ok(socket) => worker::serve_posted(socket, code),
        Err(_) => 2,
    }
}

/// Returns the mark of a process that was started as a coordinator, or below one that never became one.
fn mark() -> Option<OsString> {
    std::env::var_os(OsStr::from_bytes(MARK.to_bytes()))
}

/// Stops a program that was started as a coordinator and comes to build a loader with workers: it would be started
/// again for that one, and so on without end.
///
/// The process itself has nothing to do but to be a coordinator, and ends. What it has started has perhaps: an error.
///
/// # Errors
/// [`Error::Usage`] that says what to add to the program.
fn refuse_second_start() -> Result<()> {
    let Some(advice) = mark() else { return Ok(()) };
    let what = format!("a program that was started as a coordinator builds a loader: {}", advice.display());
    if process::stdin_is_socket() {
        report::report(&what);
        process::exit_now(IS_NONE);
    }
    Err(Error::Usage(what))
}

impl Launch {
    /// Starts the coordinator at the other end of `socket`, which is handed over, as is the pipe for its reports.
    pub(super) fn start(&self, socket: Socket, reports: OwnedFd, pipeline: Option<Arc<Pipeline>>) -> Result<Child> {
        match self {
            Self::Reexec => {
                refuse_second_start()?;
                let path = std::env::current_exe().map_err(|error| Error::sys("find this program's file", error))?;
                let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::config("a path has no NUL"))?;
                let name = CString::new(NAME).map_err(|_| Error::config("a name has no NUL"))?;
                process::spawn(&path, &[name], (MARK, &self.mark()?), socket.as_fd(), reports.as_fd())
            }
            Self::Program { program, args, .. } => {
                refuse_second_start()?;
                process::spawn(program, args, (MARK, &self.mark()?), socket.as_fd(), reports.as_fd())
            }
            Self::ForkWith(code) => {
                let (fd, code) = (socket.into_fd(), Arc::clone(code));
                let _held = HeldSignals::hold();
                // SAFETY: other threads may hold locks; the interpreter takes care of its own, and of the others whoever
                // chose this has been told.
                unsafe {
                    process::fork_child(move || {
                        report::report_to(reports);
                        coordinator::serve(fd, &Begin::Code(&*code))
                    })
                }
            }
            Self::Fork => {
                let threads = process::thread_count();
                if threads != 1 {
                    return Err(Error::Usage(format!(
                        "a coordinator cannot be forked from a process of {threads} threads; build the loader before \
                         any thread is started, or use a source that can be described as data"
                    )));
                }
                let fd = socket.into_fd();
                let _held = HeldSignals::hold();
                // SAFETY: this process has one thread, as was just seen.
                unsafe {
                    process::fork_child(move || {
                        report::report_to(reports);
                        coordinator::serve(fd, &pipeline.map_or(Begin::Described, Begin::Forked))
                    })
                }
            }
        }
    }
}

impl Launch {
    /// Returns what the program must do to become a coordinator, where it is started.
    pub(super) fn advice(&self) -> Option<&str> {
        match self {
            Self::Reexec => Some(CALL_INIT),
            Self::Program { advice, .. } => Some(advice),
            Self::Fork | Self::ForkWith(_) => None,
        }
    }

    fn mark(&self) -> Result<CString> {
        CString::new(self.advice().unwrap_or_default()).map_err(|_| Error::config("an advice has no NUL"))
    }
}

/// How long a coordinator may take to end by itself, and then to be killed.
pub(super) const END_GRACE: Duration = Duration::from_secs(1);
