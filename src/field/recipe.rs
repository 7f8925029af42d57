//! What is asked of the fields of a source.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::transform::{BatchTransform, Transform};

/// What is asked of the fields of a source, by their names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// The transforms of each field that has any. An empty list says that a field is to stay as it is.
    pub transforms: BTreeMap<String, Vec<Transform>>,
    /// The transforms of whole batches.
    pub batch_transforms: Vec<BatchTransform>,
    /// For ragged fields, the positions that a row has room for: entries of a list, pixels of an image. Without it, a
    /// list has room for the source's longest one.
    pub capacity: BTreeMap<String, usize>,
    /// For fields whose transforms draw as those of another field, that field.
    pub draws: BTreeMap<String, String>,
}
