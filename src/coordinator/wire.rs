//! What the coordinator tells the trainer that is too long for a message: it crosses as JSON.

use std::{ffi::OsString, sync::Arc};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    error::{Error, Raised},
    field::{Field, Recipe},
    pipeline::Pipeline,
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
    /// What tells it from another one with as many samples and the same classes.
    pub identity: Identity,
}

/// What tells the first samples of a source from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// How many samples.
    pub samples: u64,
    /// What the source says; see [`Source::identity`].
    pub known: u64,
    /// A hash of what some of them are called: the names of their files, without the folders that these lie in, or their keys.
    pub names: u64,
}

/// What there is to know of the first samples of a source before a state of them is gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// What tells them from others.
    pub identity: Identity,
    /// Whether what becomes of them depends on those behind them, which are drawn to be put together with them.
    pub draws_others: bool,
}

impl First {
    /// Returns what there is to know of so many samples of a pipeline.
    pub fn of(pipeline: &Pipeline, samples: u64) -> Self {
        Self { identity: Identity::of(pipeline.source(), samples), draws_others: pipeline.draws_others() }
    }
}

impl Identity {
    /// Of how many samples names are looked at, the last one among them: when a file comes between others, those behind it have
    /// other indices.
    const NAMES: u64 = 16;

    /// Returns what tells the first samples of a source, one or more, from others.
    pub fn of(source: &dyn Source, samples: u64) -> Self {
        let samples = samples.clamp(1, source.len());
        let mut hash = Xxh3::new();
        let count = if source.is_stream() { 0 } else { Self::NAMES.min(samples) };
        for number in 1..=count {
            let index = (u128::from(samples) * u128::from(number) / u128::from(count)) as u64 - 1;
            let key = source.key(index);
            let name = key.rsplit('/').next().unwrap_or(&key);
            hash.update(&(name.len() as u64).to_le_bytes());
            hash.update(name.as_bytes());
        }
        Self { samples, known: source.identity(samples), names: hash.digest() }
    }
}

impl SourceFacts {
    /// Returns the facts of a source.
    pub fn of(source: &dyn Source) -> Self {
        Self {
            len: source.len(),
            classes: source.classes().to_vec(),
            blocks: source.blocks().map(Arc::unwrap_or_clone),
            identity: Identity::of(source, source.len()),
        }
    }

    /// Returns the facts of the first samples alone, which are told from others by this.
    #[must_use]
    pub fn of_first(&self, identity: Identity) -> Self {
        let blocks = self.blocks.as_ref().map(|blocks| blocks.of_first(identity.samples));
        Self { len: identity.samples, blocks, identity, ..self.clone() }
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
