//! `Mosaic`.

use std::sync::Arc;

pub use super::super::mosaic::Mosaic;
use super::super::{
    args::{check_fill, check_probability, check_size},
    op::{Operation, Role},
};

/// The largest edge of an image: twice that is still one that can be decoded.
const MOST: u32 = 16_384;

impl Operation for Mosaic {
    fn check(&self) -> Result<(), String> {
        check_size(&self.size)?;
        if let Some(size) = self.size.iter().find(|size| **size > MOST) {
            return Err(format!("size {size} must be at most {MOST}"));
        }
        check_fill(Some(&self.fill))?;
        if !(self.min_size >= 0.0 && self.min_size.is_finite()) {
            return Err(format!("min_size = {} must not be negative", self.min_size));
        }
        if !(0.0..=1.0).contains(&self.min_visible) {
            return Err(format!("min_visible = {} must lie between 0 and 1", self.min_visible));
        }
        check_probability(self.p)
    }

    fn role(&self) -> Role {
        Role::Samples(Arc::new(self.clone()))
    }
}
