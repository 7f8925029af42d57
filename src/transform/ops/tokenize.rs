//! `Tokenize`.

use std::sync::Arc;

use super::super::op::{Operation, Role};
pub use super::super::tokenize::Tokenize;

impl Operation for Tokenize {
    fn check(&self) -> Result<(), String> {
        Self::check(self)
    }

    fn role(&self) -> Role {
        Role::Text(Arc::new(self.clone()))
    }
}
