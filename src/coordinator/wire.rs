//! What the coordinator tells the trainer that is too long for a message: it crosses as JSON.

use std::{ffi::OsString, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Raised},
    field::{Field, Recipe},
    sampler::Blocks,
    source::Source,
};

/// What the trainer learns of the source once it is open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceFacts {
    /// The number of samples.
    pub len: u64,
    /// The names of the classes, where there are any.
    pub classes: Vec<OsString>,
    /// The blocks that it is best read in, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Blocks>,
    /// What tells it from another one with as many samples and the same classes; see [`Source::identity`].
    pub identity: u64,
}

impl SourceFacts {
    /// Returns the facts of a source.
    pub fn of(source: &dyn Source) -> Self {
        Self {
            len: source.len(),
            classes: source.classes().to_vec(),
            blocks: source.blocks().map(Arc::unwrap_or_clone),
            identity: source.identity(),
        }
    }
}

/// What a coordinator has learned of code of the user, before there are slots.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Learned {
    /// The fields of every sample.
    pub fields: Vec<Field>,
    /// What is made of them, with what functions give.
    pub recipe: Recipe,
}

/// Why a pool is over, or never came up, in a form that crosses processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolError {
    /// The kind of error, so that the trainer raises the right one.
    pub kind: ErrorKind,
    /// The message.
    pub message: String,
    /// The exception, where code of the user raised one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised: Option<Box<Raised>>,
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
    /// [`Error::Raised`]; the message is what was being done.
    Raised,
    /// [`Error::Worker`], and all that have no kind of their own.
    Worker,
}

impl From<&Error> for PoolError {
    fn from(error: &Error) -> Self {
        let kind = match error {
            Error::Config(_) => ErrorKind::Config,
            Error::Memory(_) => ErrorKind::Memory,
            Error::Sys { source, .. } => source.raw_os_error().map_or(ErrorKind::Worker, ErrorKind::Sys),
            Error::Raised { .. } => ErrorKind::Raised,
            Error::Worker(_) | Error::Sample(_) | Error::SlotsExhausted(_) | Error::Usage(_) | Error::Protocol(_) => {
                ErrorKind::Worker
            }
        };
        let message = match (error, kind) {
            // The words for the number are added again on the other side.
            (Error::Sys { call: what, .. }, ErrorKind::Sys(_)) | (Error::Raised { what, .. }, _) => what.clone(),
            _ => error.to_string(),
        };
        let raised = if let Error::Raised { raised, .. } = error { Some(raised.clone()) } else { None };
        Self { kind, message, raised }
    }
}

impl From<PoolError> for Error {
    fn from(PoolError { kind, message, raised }: PoolError) -> Self {
        match (kind, raised) {
            (ErrorKind::Raised, Some(raised)) => Self::Raised { what: message, raised },
            (ErrorKind::Config, _) => Self::Config(message),
            (ErrorKind::Memory, _) => Self::Memory(message),
            (ErrorKind::Sys(errno), _) => Self::sys(message, std::io::Error::from_raw_os_error(errno)),
            (ErrorKind::Worker | ErrorKind::Raised, _) => Self::Worker(message),
        }
    }
}
