//! What is known of a dataset.

use serde::Deserialize;

use super::leaf::{ContainerSpec, LeafSpec};
use crate::{field::Field, sys::process};

/// Up to so many seconds, a sample takes about as long as a message.
const QUICK_SECONDS: f64 = 20e-6;

/// What samples say about a dataset.
#[derive(Deserialize)]
pub(super) struct Facts {
    pub(super) samples: u64,
    pub(super) fields: Vec<Field>,
    pub(super) leaves: Vec<LeafSpec>,
    pub(super) containers: Vec<ContainerSpec>,
    /// Seconds that a sample took.
    seconds: f64,
}

impl Facts {
    /// Tells whether a sample takes about as long as a message.
    pub(super) fn is_quick(&self) -> bool {
        self.seconds < QUICK_SECONDS
    }
}

/// Returns what to call a sample in an error.
pub(super) fn key(index: u64) -> String {
    format!("dataset[{index}]")
}

/// Returns the signal at which a worker reports what its code is doing.
#[expect(clippy::unnecessary_wraps, reason = "what a source answers")]
pub(super) fn stack_signal() -> Option<i32> {
    Some(process::stack_signal())
}
