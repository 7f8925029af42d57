//! The one public error type, with variants by who must act on it.
//!
//! Messages are lower-case fragments without a final stop. Whatever goes wrong with a sample names the
//! sample: its index, its key (a path where there is one), the stage and the worker.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    io,
};

use serde::{Deserialize, Serialize};

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller passed something that cannot work. Python: `ValueError`.
    #[error("{0}")]
    Config(String),
    /// The memory asked for does not fit under a limit. Python: `MemoryError`.
    #[error("{0}")]
    Memory(String),
    /// One sample could not be read, decoded or transformed. Python: an `OSError` for a failed read,
    /// `DecodeError` for bad bytes, `WorkerError` for a sample that kills its workers.
    #[error(transparent)]
    Sample(#[from] Box<SampleError>),
    /// The pool itself ended, or could not start. Python: `WorkerError`, a `RuntimeError`.
    #[error("{0}")]
    Worker(String),
    /// The consumer holds so many batches that none can be filled. Python: `SlotsExhaustedError`, a `RuntimeError`.
    #[error("{0}")]
    SlotsExhausted(String),
    /// Code that the user has given raised an exception outside of any sample. Python: that exception.
    #[error("{what}: {}", raised.line)]
    Raised {
        /// What was being done.
        what: String,
        /// The exception.
        raised: Box<Raised>,
    },
    /// A system call failed. Python: `OSError` with its errno.
    #[error("{call}: {source}")]
    Sys {
        /// The call, with what it was asked for.
        call: String,
        /// What the system answered.
        source: io::Error,
    },
    /// The loader was used in a way that cannot work: closed, from a fork, or through an old iterator.
    /// Python: `RuntimeError`.
    #[error("{0}")]
    Usage(String),
    /// A message or a state that a correct peer cannot send. Python: `RuntimeError`.
    #[error("{0}")]
    Protocol(String),
}

impl Error {
    /// Returns a [`Error::Config`] with this message.
    pub fn config(message: impl Into<String>) -> Self {
        Self::Config(message.into())
    }

    /// Returns a [`Error::Sys`] for a failed system call.
    pub fn sys(call: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Sys { call: call.into(), source: source.into() }
    }
}

/// An exception that code of the user has raised, as it crosses processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    /// Its type and its message, in one line.
    pub line: String,
    /// Where it was raised, as the interpreter tells it.
    pub trace: String,
    /// What the exception is made of again, where that is possible; hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<String>,
}

/// Returns a text with escapes, as Python writes them, for what does not print: no name can command a terminal, or make a
/// line of its own in a log.
pub fn printable(text: &str) -> Cow<'_, str> {
    let prints = |c: char| matches!(c, ' '..='~') || (!c.is_ascii() && is_printable(c));
    if text.chars().all(prints) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        let code = u32::from(c);
        let _ = match c {
            _ if prints(c) => escaped.write_char(c),
            '\n' => escaped.write_str("\\n"),
            '\r' => escaped.write_str("\\r"),
            '\t' => escaped.write_str("\\t"),
            _ if code <= 0xff => write!(escaped, "\\x{code:02x}"),
            _ if code <= 0xffff => write!(escaped, "\\u{code:04x}"),
            _ => write!(escaped, "\\U{code:08x}"),
        };
    }
    Cow::Owned(escaped)
}

/// Tells whether a character prints by Unicode's categories, behind another one, with which it may combine.
fn is_printable(c: char) -> bool {
    let pair: String = ['x', c].iter().collect();
    pair.escape_debug().nth(1) == Some(c)
}

/// The stage of the pipeline at which a sample failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Stage {
    /// Getting the record's bytes from the source.
    Read,
    /// Turning the record into a tensor.
    Decode,
    /// Changing the tensor.
    Transform,
    /// The worker that had the sample in hand died or stalled.
    Worker,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Decode => "decode",
            Self::Transform => "transform",
            Self::Worker => "finish",
        })
    }
}

/// One failed sample: which, where, and why. It crosses processes as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleError {
    /// The sample's index in its source.
    pub index: u64,
    /// What the source calls the sample: a path, or a field and a row.
    pub key: String,
    /// The stage that failed.
    pub stage: Stage,
    /// The reason, a fragment.
    pub reason: String,
    /// The system's error number, where a system call failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// Where in the record the bytes are bad, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The worker that met the error; none with `num_workers=0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<u32>,
    /// The exception, where code of the user raised one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised: Option<Box<Raised>>,
    /// The room that there would have to be, where there is too little.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<Box<Room>>,
}

impl fmt::Display for SampleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, reason) = (printable(&self.key), printable(&self.reason));
        write!(f, "cannot {} sample {} (`{key}`): {reason}", self.stage, self.index)?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        if let Some(worker) = self.worker {
            write!(f, " [worker {worker}]")?;
        }
        Ok(())
    }
}

impl std::error::Error for SampleError {}

impl SampleError {
    /// Returns the error as JSON of at most so many bytes: the beginning of a traceback goes first, then what an exception is
    /// made of again.
    pub fn json(&self, room: usize) -> String {
        let json = |error: &Self| serde_json::to_string(error).unwrap_or_default();
        let (mut error, mut text) = (self.clone(), json(self));
        while text.len() > room {
            let Some(raised) = &mut error.raised else { break };
            if raised.trace.is_empty() && raised.whole.take().is_none() {
                error.raised = None;
            } else if !raised.trace.is_empty() {
                let excess = (text.len() - room).div_ceil(2).max(64).min(raised.trace.len());
                raised.trace.drain(..raised.trace.ceil_char_boundary(excess));
            }
            text = json(&error);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_print_is_escaped() {
        assert!(matches!(printable("/a/na\u{ef}ve e\u{301} \u{65e5}`\"\\.png"), Cow::Borrowed(_)));
        let raw = "\u{1b}]0;t\u{7}\n\r\t\u{9b}\u{202e}\u{e0001}\u{7f}";
        assert_eq!(printable(raw), "\\x1b]0;t\\x07\\n\\r\\t\\x9b\\u202e\\U000e0001\\x7f");
        let error = Failure::new(Stage::Decode, "of\nwhat").of(3, "a\u{1b}b".into());
        assert_eq!(error.to_string(), "cannot decode sample 3 (`a\\x1bb`): of\\nwhat");
        assert_eq!(error.key, "a\u{1b}b");
    }

    #[test]
    fn an_error_loses_its_traceback_before_its_exception() {
        let raised = Raised { line: "E: x".into(), trace: "né\n".repeat(1000), whole: Some("00".repeat(500)) };
        let error = Failure::raised(Stage::Read, raised).of(7, "key".into());
        let read = |room| serde_json::from_str::<SampleError>(&error.json(room)).unwrap();
        assert_eq!(read(1 << 20), error);
        let cut = read(3000).raised.unwrap();
        assert!(error.json(3000).len() <= 3000);
        assert!(cut.whole.is_some() && error.raised.as_ref().unwrap().trace.ends_with(&cut.trace));
        assert!(!cut.trace.is_empty());
        assert_eq!(read(500).raised.unwrap().whole, None);
        assert_eq!(read(10).raised, None);
    }
}

/// A failure inside a stage, before it is known which sample it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The stage that failed.
    pub stage: Stage,
    /// The reason, a fragment.
    pub reason: String,
    /// The system's error number, where a system call failed.
    pub errno: Option<i32>,
    /// Where in the record the bytes are bad, where that is known.
    pub offset: Option<u64>,
    /// The exception, where code of the user raised one.
    pub raised: Option<Box<Raised>>,
    /// The room that there would have to be, where there is too little.
    pub room: Option<Box<Room>>,
    /// The index of the field that failed, where it is not the one that the sample goes by.
    pub field: Option<usize>,
}

/// How much room a row of a field would have to have for a sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// The field.
    pub field: String,
    /// The positions along its varying axes.
    pub places: usize,
}

/// The longest reason, and the longest key, that an error keeps.
const MAX_TEXT: usize = 1000;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.stage, printable(&self.reason))?;
        self.offset.map_or(Ok(()), |offset| write!(f, " at byte {offset}"))
    }
}

impl Failure {
    /// Returns a failure of `stage` for this reason.
    pub fn new(stage: Stage, reason: impl Into<String>) -> Self {
        Self { stage, reason: reason.into(), errno: None, offset: None, raised: None, room: None, field: None }
    }

    /// Returns the read failure that `error` means, with its errno.
    pub fn io(context: &str, error: &io::Error) -> Self {
        let reason = if context.is_empty() { error.to_string() } else { format!("{context}: {error}") };
        Self { errno: error.raw_os_error(), ..Self::new(Stage::Read, reason) }
    }

    /// Returns the failure of a stage in which code of the user raised an exception.
    pub fn raised(stage: Stage, raised: Raised) -> Self {
        Self { raised: Some(Box::new(raised.clone())), ..Self::new(stage, raised.line) }
    }

    /// Says that another sample failed, which a mosaic puts beside the one that is made.
    #[must_use]
    pub(crate) fn in_mosaic(self, index: u64) -> Self {
        Self { reason: format!("in its mosaic, sample {index}: {}", self.reason), ..self }
    }

    /// Returns a failure of the field with this index.
    #[must_use]
    pub fn in_field(self, field: usize) -> Self {
        Self { field: Some(field), ..self }
    }

    /// Names the sample that failed.
    #[must_use]
    pub fn of(self, index: u64, key: String) -> SampleError {
        let Self { stage, mut reason, errno, offset, raised, room, field: _ } = self;
        // Errors cross processes in buffers of a fixed size; the end of a path says more than its beginning.
        if reason.len() > MAX_TEXT {
            reason.truncate(reason.floor_char_boundary(MAX_TEXT));
            reason.push_str(" ...");
        }
        let key = if key.len() > MAX_TEXT {
            format!("... {}", &key[key.ceil_char_boundary(key.len() - MAX_TEXT)..])
        } else {
            key
        };
        SampleError { index, key, stage, reason, errno, offset, worker: None, raised, room }
    }
}
