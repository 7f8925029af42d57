//! What the coordinator tells the trainer that is too long for a message: it crosses as JSON.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use crate::{error::Error, source::Source};

/// What the trainer learns of the source once it is open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceFacts {
    /// The number of samples.
    pub len: u64,
    /// The names of the classes, where there are any.
    pub classes: Vec<OsString>,
}

impl SourceFacts {
    /// Returns the facts of a source.
    pub fn of(source: &dyn Source) -> Self {
        Self { len: source.len(), classes: source.classes().to_vec() }
    }
}

/// Why a pool is over, or never came up, in a form that crosses processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolError {
    /// The kind of error, so that the trainer raises the right one.
    pub kind: ErrorKind,
    /// The message.
    pub message: String,
}

/// The errors that a coordinator can end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// [`Error::Config`].
    Config,
    /// [`Error::Memory`].
    Memory,
    /// [`Error::Sys`], with the system's number; the message is the call.
    Sys(i32),
    /// [`Error::Worker`], and all that have no kind of their own.
    Worker,
}

impl From<&Error> for PoolError {
    fn from(error: &Error) -> Self {
        let kind = match error {
            Error::Config(_) => ErrorKind::Config,
            Error::Memory(_) => ErrorKind::Memory,
            Error::Sys { source, .. } => source.raw_os_error().map_or(ErrorKind::Worker, ErrorKind::Sys),
            Error::Worker(_) | Error::Sample(_) | Error::SlotsExhausted(_) | Error::Usage(_) | Error::Protocol(_) => {
                ErrorKind::Worker
            }
        };
        let message = match (error, kind) {
            // The words for the number are added again on the other side.
            (Error::Sys { call, .. }, ErrorKind::Sys(_)) => call.clone(),
            _ => error.to_string(),
        };
        Self { kind, message }
    }
}

impl From<PoolError> for Error {
    fn from(PoolError { kind, message }: PoolError) -> Self {
        match kind {
            ErrorKind::Config => Self::Config(message),
            ErrorKind::Memory => Self::Memory(message),
            ErrorKind::Sys(errno) => Self::sys(message, std::io::Error::from_raw_os_error(errno)),
            ErrorKind::Worker => Self::Worker(message),
        }
    }
}
