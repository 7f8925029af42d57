//! What is known of a dataset.

use serde::Deserialize;

use super::{
    leaf::{ContainerSpec, LeafSpec},
    streams::Turns,
};
use crate::{field::Field, sampler::ENDLESS, sys::process};

/// Up to so many seconds, a sample takes about as long as a message.
const QUICK_SECONDS: f64 = 20e-6;

/// What samples say about a dataset.
#[derive(Deserialize)]
pub(super) struct Facts {
    /// None for a dataset that is iterated.
    samples: Option<u64>,
    /// How the samples of such a one are counted.
    pub(super) turns: Option<Turns>,
    pub(super) fields: Vec<Field>,
    pub(super) leaves: Vec<LeafSpec>,
    pub(super) containers: Vec<ContainerSpec>,
    /// Seconds that a sample took.
    seconds: f64,
}

impl Facts {
    /// Returns the number of samples.
    pub(super) fn len(&self) -> u64 {
        self.samples.unwrap_or(ENDLESS)
    }

    /// Tells whether a sample takes about as long as a message.
    pub(super) fn is_quick(&self) -> bool {
        self.seconds < QUICK_SECONDS
    }
}

/// Returns what to call a sample in an error.
pub(super) fn key(turns: Option<Turns>, index: u64) -> String {
    turns.map_or_else(|| format!("dataset[{index}]"), |turns| turns.name(index))
}

/// Returns the signal at which a worker reports what its code is doing.
#[expect(clippy::unnecessary_wraps, reason = "what a source answers")]
pub(super) fn stack_signal() -> Option<i32> {
    Some(process::stack_signal())
}
