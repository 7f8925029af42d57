//! `ToLayout`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::Layout,
    elements::RowSteps,
    op::{Operation, Role, RowOp},
};

/// Moves the channel axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ToLayout {
    /// Where to.
    pub layout: Layout,
}

impl Operation for ToLayout {
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn role(&self) -> Role {
        Role::Row(Arc::new(self.clone()))
    }
}

impl RowOp for ToLayout {
    fn add(&self, row: &mut RowSteps, _op: u64) -> Result<(), String> {
        row.set_layout(self.layout)
    }
}
