//! What fields are, as the first `tf.train.Example` has their features.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    decode::is_image,
    field::{Bytes, Field, Image, Kind, Label, List, Tensor},
    source::{Feature, FeatureFound, Holds},
    spec::DType,
};

/// A field, and which feature it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The field's name.
    pub name: String,
    /// The feature's name.
    pub feature: String,
    /// What of it.
    pub take: TakeFeature,
}

/// What is taken of a feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakeFeature {
    /// What the first record says: numbers; a byte string that is an image file; or any bytes.
    First,
    /// Its only byte string, which is that of a field of this kind.
    Bytes(Kind),
    /// The number of a class.
    Class,
    /// Its numbers.
    Numbers {
        /// Their dtype; none for `float32` or `int64`, as the file has them.
        dtype: Option<DType>,
        /// Their shape, whose first extent is none where it varies; none for that of the first record: a scalar where that
        /// has one number.
        shape: Option<Vec<Option<usize>>>,
    },
}

impl Wanted {
    /// Returns the field of a feature as the first record has it.
    pub(super) fn first(name: &str) -> Self {
        Self { name: name.into(), feature: name.into(), take: TakeFeature::First }
    }

    /// Returns the field, of what the first record has.
    pub(super) fn of(&self, found: &BTreeMap<String, FeatureFound<'_>>) -> Result<Feature, String> {
        let (name, feature) = (&self.name, &self.feature);
        let Some(first) = found.get(feature) else {
            let names = found.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(format!("there is no feature `{feature}` for field `{name}`; there are {names}"));
        };
        let told = |reason: &str| format!("feature `{feature}` {reason} (field `{name}`)");
        let holds = self.holds(first).ok_or_else(|| {
            told("has no values, so that nothing tells their type; say it by `dtype`, or leave the feature out")
        })?;
        let kind = match (&self.take, holds) {
            (TakeFeature::Bytes(kind), Holds::Bytes) => kind.clone(),
            (TakeFeature::First, Holds::Bytes) => match first.only {
                Some(bytes) if is_image(bytes) => Image::default().into(),
                Some(_) => Bytes { capacity: 0 }.into(),
                None => {
                    let count = first.count;
                    return Err(told(&format!(
                        "has {count} byte strings, and a field is one; leave it out with `fields`"
                    )));
                }
            },
            (TakeFeature::Class, Holds::Integers) => Label {}.into(),
            (TakeFeature::First, Holds::Floats | Holds::Integers) => numbers(first, holds, None, None),
            (TakeFeature::Numbers { dtype, shape }, Holds::Floats | Holds::Integers) => {
                numbers(first, holds, *dtype, shape.as_deref())
            }
            (TakeFeature::Bytes(_), Holds::Floats | Holds::Integers) => {
                return Err(told(&format!("has a {}, and is to be bytes", holds.name())));
            }
            (TakeFeature::Class, Holds::Floats | Holds::Bytes) => {
                return Err(told(&format!("has a {}, and is to be a class's number", holds.name())));
            }
            (TakeFeature::Numbers { .. }, Holds::Bytes) => {
                return Err(told("has a bytes_list, and is to be numbers; \"raw\" are numbers in a byte string"));
            }
        };
        Ok(Feature { field: Field::new(name, kind), feature: feature.clone(), holds })
    }
}

impl Wanted {
    /// Returns the type of a feature's values: where the first record has none, the one that the field needs.
    fn holds(&self, first: &FeatureFound<'_>) -> Option<Holds> {
        let needed = match &self.take {
            TakeFeature::Bytes(_) => Some(Holds::Bytes),
            TakeFeature::Numbers { dtype: Some(dtype), .. } if dtype.is_float() => Some(Holds::Floats),
            TakeFeature::Class | TakeFeature::Numbers { dtype: Some(_), .. } => Some(Holds::Integers),
            TakeFeature::First | TakeFeature::Numbers { dtype: None, .. } => None,
        };
        if first.count == 0 { needed.or(first.holds) } else { first.holds }
    }
}

/// Returns the kind of a field of numbers.
fn numbers(first: &FeatureFound<'_>, holds: Holds, dtype: Option<DType>, shape: Option<&[Option<usize>]>) -> Kind {
    let own = if holds == Holds::Floats { DType::Float32 } else { DType::Int64 };
    let dtype = dtype.unwrap_or(own);
    match (shape, first.count) {
        (None, 0) => List { dtype, shape: Vec::new(), capacity: 0 }.into(),
        (None, 1) => Tensor { dtype, shape: Vec::new() }.into(),
        (None, count) => Tensor { dtype, shape: vec![count] }.into(),
        (Some([None, rest @ ..]), _) => {
            List { dtype, shape: rest.iter().copied().flatten().collect(), capacity: 0 }.into()
        }
        (Some(shape), _) => Tensor { dtype, shape: shape.iter().copied().flatten().collect() }.into(),
    }
}
