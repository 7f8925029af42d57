//! `DecodeImage`, whose arguments are the decoder's.

use super::super::op::{Operation, Role};
pub use crate::decode::DecodeImage;

impl Operation for DecodeImage {
    fn check(&self) -> Result<(), String> {
        self.check_options()
    }

    fn role(&self) -> Role {
        Role::Decoding(*self)
    }
}
