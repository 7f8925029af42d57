//! `ToDtype`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    elements::RowSteps,
    op::{Operation, Role, RowOp},
};
use crate::spec::DType;

/// Converts the elements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ToDtype {
    /// The dtype to convert to.
    pub dtype: DType,
    /// Whether `uint8` is scaled to [0, 1]; for floating-point dtypes only.
    #[serde(default)]
    pub scale: bool,
}

impl Operation for ToDtype {
    fn check(&self) -> Result<(), String> {
        if self.scale && !self.dtype.is_float() {
            return Err(format!("scale=True goes with a floating-point dtype, not with {}", self.dtype));
        }
        Ok(())
    }

    fn role(&self) -> Role {
        Role::Row(Arc::new(self.clone()))
    }
}

impl RowOp for ToDtype {
    fn add(&self, row: &mut RowSteps, _op: u64) -> Result<(), String> {
        row.cast(self.dtype, self.scale)
    }
}
