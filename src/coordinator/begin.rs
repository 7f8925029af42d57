//! What a coordinator begins with.

use std::sync::Arc;

use crate::{pipeline::Pipeline, worker::OpenCode};

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
