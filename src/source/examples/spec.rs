//! Examples as data.

use serde::{Deserialize, Serialize};

use super::feature::Holds;
use crate::{
    error::{Error, Result},
    field::{Field, Kind},
    source::TableSpec,
    spec::DType,
};

/// Examples as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExamplesSpec {
    /// Where the records lie: parts of shards, in the only column. Each is followed by its checksum, which is part of it.
    pub records: TableSpec,
    /// The fields, and the features that they are.
    pub features: Vec<Feature>,
    /// Whether the checksum of each record is compared when it is read.
    pub check_crc: bool,
}

/// A field, and the feature that it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// The field.
    #[serde(flatten)]
    pub field: Field,
    /// The name of the feature.
    pub feature: String,
    /// The type of its values.
    pub holds: Holds,
}

impl Feature {
    /// Returns the dtype of its numbers; none for byte strings.
    pub(super) fn numbers(&self) -> Result<Option<DType>> {
        let dtype = match (&self.field.kind, self.holds) {
            (_, Holds::Bytes) => return Ok(None),
            (Kind::Tensor(tensor), _) => tensor.dtype,
            (Kind::List(list), _) => list.dtype,
            (Kind::Label(_), _) => DType::Int64,
            (
                Kind::Image(_)
                | Kind::Mask(_)
                | Kind::Segmentation(_)
                | Kind::BoundingBoxes(_)
                | Kind::KeyPoints(_)
                | Kind::Varying(_)
                | Kind::Text(_)
                | Kind::Bytes(_)
                | Kind::Audio(_)
                | Kind::Object(_),
                Holds::Floats | Holds::Integers,
            ) => {
                let (name, holds) = (&self.field.name, self.holds.name());
                return Err(Error::Config(format!("field `{name}` is made of bytes, and its feature has a {holds}")));
            }
        };
        match self.holds {
            Holds::Floats if dtype == DType::Float32 => Ok(Some(dtype)),
            Holds::Integers if !dtype.is_float() => Ok(Some(dtype)),
            Holds::Bytes | Holds::Floats | Holds::Integers => {
                let (name, holds, dtype) = (&self.field.name, self.holds.name(), dtype.name());
                let allowed = if self.holds == Holds::Floats { "float32" } else { "an integer type or bool" };
                Err(Error::Config(format!(
                    "field `{name}` is to be {dtype}, and its feature has a {holds}, which can be {allowed}"
                )))
            }
        }
    }
}
