//! Failures of transforms.

use crate::error::{Failure, Stage};

/// Returns a failure of the transform stage.
pub(crate) fn failure(reason: String) -> Failure {
    Failure::new(Stage::Transform, reason)
}
