//! Code of the user in a coordinator: opened by the language that it is written in.

use std::{fmt::Debug, sync::Arc};

use crate::{error::Result, pipeline::Pipeline, source::Source, sys::memory::SharedMemory};

/// Opens a source that is code of the user.
pub trait OpenCode: Debug {
    /// Returns the source that lies in these pieces of shared memory, with all that it learns of its samples. Called
    /// once, while this process has one thread.
    ///
    /// # Errors
    /// [`Raised`](crate::Error::Raised) where the code raises an exception, [`Config`](crate::Error::Config) where its
    /// samples cannot be rows of fields.
    fn open(&self, memory: &[SharedMemory]) -> Result<Arc<dyn Source>>;

    /// Tells whether code uses descriptors that this process has had from the start.
    fn keeps_descriptors(&self) -> bool;
}

/// What a coordinator has from the start, beside what is described to it.
#[derive(Debug)]
pub enum Begin<'a> {
    /// Nothing.
    Described,
    /// The pipeline: it is a fork of the trainer.
    Forked(Arc<Pipeline>),
    /// What opens code of the user.
    Code(&'a dyn OpenCode),
}
