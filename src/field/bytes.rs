//! Bytes as they are.

use serde::{Deserialize, Serialize};

use super::{
    kind::{FieldKind, Payload, Request, Role},
    list::{compile_lists, spec},
};
use crate::{
    error::Result,
    spec::{DType, FieldSpec},
};

/// Any bytes for each sample, a list of `uint8`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// The most bytes that a sample has.
    #[serde(default)]
    pub capacity: usize,
}

/// What may be counted while rows are filled.
pub(super) const COUNTERS: &[&str] = &[];

impl FieldKind for Bytes {
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
        let are = "bytes: where these are image files, give the column as Images(...)";
        compile_lists(spec(request.name, DType::UInt8, &[], self.capacity), request, are)
    }

    fn describe(&self, name: &str) -> String {
        spec(name, DType::UInt8, &[], self.capacity).to_string()
    }
}
