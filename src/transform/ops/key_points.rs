//! `ClampKeyPoints`.

use serde::{Deserialize, Serialize};

use super::super::op::{KeyPointOp, Operation, Role};

/// Moves keypoints outside of their image to its nearest pixel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ClampKeyPoints {}

impl Operation for ClampKeyPoints {
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn role(&self) -> Role {
        Role::KeyPoints(KeyPointOp::Clamp)
    }
}
