//! Class numbers.

use serde::{Deserialize, Serialize};

use super::{
    fill::{Fill, Sample},
    kind::{FieldKind, Payload, Request, Role},
    tensor::compile_tensor,
};
use crate::{
    error::{Failure, Result},
    spec::{DType, FieldSpec},
    transform::OneHot,
};

/// The number of a class, an `int64` scalar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {}

fn spec(name: &str) -> FieldSpec {
    FieldSpec::new(name, DType::Int64, [])
}

/// What may be counted while rows are filled.
pub(super) const COUNTERS: &[&str] = &[];

impl FieldKind for Label {
    fn payload(&self, name: &str) -> Result<Payload> {
        spec(name).row_bytes().map(Payload::Row)
    }

    fn image(&self) -> Option<&str> {
        None
    }

    fn make_room(&mut self, _longest: usize) {}

    fn capacity_mut(&mut self) -> Option<&mut usize> {
        None
    }

    fn compile(&self, request: Request<'_>) -> Result<(FieldSpec, Role)> {
        compile_tensor(spec(request.name), request)
    }

    fn describe(&self, name: &str) -> String {
        spec(name).to_string()
    }
}

/// Writes class numbers as probabilities, because they are mixed later on.
#[derive(Debug)]
pub(super) struct OneHotFill {
    pub(super) at: usize,
    pub(super) one_hot: OneHot,
    pub(super) spec: FieldSpec,
}

impl Fill for OneHotFill {
    fn fill(&self, sample: &mut Sample<'_>) -> Result<(), Failure> {
        let data = sample.payload(self.at);
        let row = sample.begin(self.at, &self.spec, &self.spec.shape)?;
        self.one_hot.write(data, row)
    }
}
