//! Text.

use serde::{Deserialize, Serialize};

use super::{
    kind::{FieldKind, Payload, Request, Role},
    list::{compile_lists, spec},
};
use crate::{
    error::Result,
    spec::{DType, FieldSpec},
};

/// A text for each sample: its UTF-8 bytes, a list of `uint8`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The most bytes that a sample has.
    #[serde(default)]
    pub capacity: usize,
}

/// What may be counted while rows are filled.
pub(super) const COUNTERS: &[&str] = &[];

impl FieldKind for Text {
    fn payload(&self, _name: &str) -> Result<Payload> {
        Ok(Payload::Entries(1))
    }

    fn image(&self) -> Option<&str> {
        None
    }

    fn make_room(&mut self, longest: usize) {
        self.capacity = longest;
    }

    fn capacity_mut(&mut self) -> Option<&mut usize> {
        Some(&mut self.capacity)
    }

    fn compile(&self, request: Request<'_>) -> Result<(FieldSpec, Role)> {
        let are = "texts: where these are paths of image files, give the column as Images(...)";
        compile_lists(spec(request.name, DType::UInt8, &[], self.capacity), request, are)
    }

    fn describe(&self, name: &str) -> String {
        spec(name, DType::UInt8, &[], self.capacity).to_string()
    }
}
