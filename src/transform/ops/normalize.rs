//! `Normalize`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    elements::RowSteps,
    op::{Operation, Role, RowOp},
};

/// Subtracts `mean` and divides by `std`, by channel. A `uint8` image is first scaled to [0, 1] `float32`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Normalize {
    /// One value, or one per channel.
    pub mean: Vec<f32>,
    /// One value, or one per channel.
    pub std: Vec<f32>,
}

impl Operation for Normalize {
    fn check(&self) -> Result<(), String> {
        let Self { mean, std } = self;
        if mean.is_empty() || mean.len() != std.len() {
            return Err(format!(
                "mean has {} values and std {}: give one each, or one per channel",
                mean.len(),
                std.len()
            ));
        }
        if !mean.iter().chain(std).all(|value| value.is_finite()) {
            return Err("mean and std must be finite".into());
        }
        if std.contains(&0.0) {
            return Err("std must not be zero".into());
        }
        Ok(())
    }

    fn role(&self) -> Role {
        Role::Row(Arc::new(self.clone()))
    }
}

impl RowOp for Normalize {
    fn add(&self, row: &mut RowSteps, _op: u64) -> Result<(), String> {
        row.normalize(&self.mean, &self.std)
    }
}
