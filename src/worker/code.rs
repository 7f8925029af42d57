//! Code of the user, opened by the language that it is written in.

use std::{fmt::Debug, sync::Arc};

use crate::{error::Result, function::Functions, source::Source, sys::memory::SharedMemory};

/// Opens a source that is code of the user.
pub trait OpenCode: Debug {
    /// Runs the code that lies in these pieces of shared memory as far as samples can be made.
    ///
    /// # Errors
    /// [`Raised`](crate::Error::Raised) where the code raises an exception.
    fn open(&self, memory: &[Arc<SharedMemory>]) -> Result<Box<dyn OpenedCode>>;

    /// Returns a source of which this much is known, and that cannot be read in this process.
    ///
    /// # Errors
    /// [`Protocol`](crate::Error::Protocol) for facts that are none.
    fn known(&self, facts: &str) -> Result<Arc<dyn Source>>;

    /// Tells whether code uses descriptors that this process has had from the start.
    fn keeps_descriptors(&self) -> bool;
}

/// Code of the user that is ready to make samples.
pub trait OpenedCode: Debug {
    /// Learns from samples what the source is, in this process, and returns that as text.
    ///
    /// # Errors
    /// [`Raised`](crate::Error::Raised) where no sample can be made, or samples cannot be rows of fields.
    fn learn(&self) -> Result<String>;

    /// Returns the source of which this much is known.
    ///
    /// # Errors
    /// [`Protocol`](crate::Error::Protocol) for facts that are none.
    fn source(&self, facts: &str) -> Result<Arc<dyn Source>>;

    /// Returns the functions that transforms call.
    ///
    /// # Errors
    /// [`Raised`](crate::Error::Raised) where they are none.
    fn functions(&self) -> Result<Arc<dyn Functions>>;
}
