//! `Call`.

use std::sync::Arc;

use super::super::op::{Operation, Role};
pub use super::super::call::Call;

impl Operation for Call {
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn role(&self) -> Role {
        Role::Call(Arc::new(self.clone()))
    }
}
