//! What the trainer does while it waits.

use std::time::Duration;

use crate::error::Result;

/// What the trainer does while it waits: looks at its signals, say. An error ends the wait.
pub type Tick<'a> = &'a mut dyn FnMut() -> Result<()>;

/// How often a wait calls it, at least.
pub(super) const TICK: Duration = Duration::from_millis(100);
