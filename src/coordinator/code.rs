//! Code of the user in a coordinator: opened by the language that it is written in.

use std::{fmt::Debug, sync::Arc};

use crate::{
    error::Result, field::Recipe, function::Functions, pipeline::Pipeline, rng::Key, source::Source,
    sys::memory::SharedMemory,
};

/// Opens code of the user.
pub trait OpenCode: Debug {
    /// Returns the code that lies in these pieces of shared memory, with all that it learns of its samples. Called once,
    /// while this process has one thread.
    ///
    /// # Errors
    /// [`Raised`](crate::Error::Raised) where the code raises an exception, [`Config`](crate::Error::Config) where its
    /// samples cannot be rows of fields.
    fn open(&self, memory: &[SharedMemory]) -> Result<OpenedCode>;

    /// Completes a recipe by what functions give, where that is not declared; in a process that then ends.
    ///
    /// # Errors
    /// Those of [`learn`](crate::learn::learn).
    fn learn(
        &self,
        source: &Arc<dyn Source>,
        recipe: Recipe,
        functions: &Arc<dyn Functions>,
        key: Key,
    ) -> Result<Recipe>;

    /// Tells whether code uses descriptors that this process has had from the start.
    fn keeps_descriptors(&self) -> bool;
}

/// Code of the user.
#[derive(Debug)]
pub struct OpenedCode {
    /// What samples are taken from, where that is such code.
    pub source: Option<Arc<dyn Source>>,
    /// What transforms call.
    pub functions: Arc<dyn Functions>,
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
