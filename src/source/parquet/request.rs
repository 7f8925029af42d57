//! What a user asks for, before the files are read.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::layout::Element;
use crate::{field::Audio, source::path, spec::DType};

/// Parquet files, and what is to be read of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParquetRequest {
    /// The files, in the order of their samples.
    pub files: Vec<RequestedFile>,
    /// The names of partition columns, for which the files have values.
    pub partitions: Vec<String>,
    /// The fields, and the columns that they are read from; none for all columns under their own names. A column within a
    /// struct is `struct.column`.
    pub columns: Option<Vec<(String, String)>>,
    /// Fields that are the files of images.
    pub images: Vec<String>,
    /// Fields that are audio files, and what each becomes.
    pub audio: BTreeMap<String, Audio>,
    /// For fields that are lists, their extents; none for a first axis that varies.
    pub shapes: BTreeMap<String, Vec<Option<usize>>>,
    /// What becomes of nulls.
    pub nulls: Nulls,
    /// For fields, what stands for a null element, which is then no bad sample.
    pub fill: BTreeMap<String, Value>,
    /// The most bytes of decoded row groups that a process keeps.
    pub cache_bytes: u64,
}

/// A file that is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestedFile {
    /// Its path.
    #[serde(with = "path")]
    pub path: PathBuf,
    /// Its values of the partition columns: whole numbers or texts, null where there is none.
    #[serde(default)]
    pub partitions: Vec<Value>,
}

/// What becomes of nulls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nulls {
    /// A row with a null is a bad sample.
    #[default]
    Error,
    /// A value stands for them: zero, an empty list, or what `fill` says.
    Fill,
    /// As with [`Fill`](Self::Fill), and a field `NAME_valid` tells where there was a value.
    Mask,
}

/// Returns the bytes of a value as an element, or why it is none; a fragment.
pub(super) fn element_bytes(value: &Value, element: Element) -> Result<Vec<u8>, String> {
    let refused = |what: &str| format!("fill is {value}, which is no {what}");
    let Some(dtype) = element.dtype() else {
        return value.as_str().map(|text| text.as_bytes().to_vec()).ok_or_else(|| refused("text"));
    };
    let bytes = match dtype {
        DType::Bool => value.as_bool().map(|value| vec![u8::from(value)]),
        DType::UInt8 => whole::<u8, 1>(value, u8::to_ne_bytes),
        DType::Int8 => whole::<i8, 1>(value, i8::to_ne_bytes),
        DType::UInt16 => whole::<u16, 2>(value, u16::to_ne_bytes),
        DType::Int16 => whole::<i16, 2>(value, i16::to_ne_bytes),
        DType::UInt32 => whole::<u32, 4>(value, u32::to_ne_bytes),
        DType::Int32 => whole::<i32, 4>(value, i32::to_ne_bytes),
        DType::UInt64 => whole::<u64, 8>(value, u64::to_ne_bytes),
        DType::Int64 => whole::<i64, 8>(value, i64::to_ne_bytes),
        DType::Float16 => float(value).map(|value| half::f16::from_f64(value).to_ne_bytes().to_vec()),
        DType::BFloat16 => float(value).map(|value| half::bf16::from_f64(value).to_ne_bytes().to_vec()),
        DType::Float32 => float(value).map(|value| (value as f32).to_ne_bytes().to_vec()),
        DType::Float64 => float(value).map(|value| value.to_ne_bytes().to_vec()),
    };
    bytes.ok_or_else(|| refused(dtype.name()))
}

fn whole<T: TryFrom<i128>, const N: usize>(value: &Value, to_bytes: fn(T) -> [u8; N]) -> Option<Vec<u8>> {
    let number = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))?;
    T::try_from(number).ok().map(|number| to_bytes(number).to_vec())
}

/// JSON has no number for what is none or infinite: these are texts.
fn float(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| match value.as_str()? {
        "nan" => Some(f64::NAN),
        "inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_dtype_does_not_hold_is_refused() {
        let bytes = |value, dtype| element_bytes(&value, Element::Number(dtype));
        assert_eq!(bytes(json!(-1), DType::Int16), Ok((-1_i16).to_ne_bytes().to_vec()));
        assert_eq!(bytes(json!(u64::MAX), DType::UInt64), Ok(vec![255; 8]));
        assert_eq!(bytes(json!("nan"), DType::Float32).map(|bytes| bytes.len()), Ok(4));
        assert_eq!(bytes(json!(300), DType::UInt8), Err("fill is 300, which is no uint8".into()));
        assert_eq!(bytes(json!(0.5), DType::Int64), Err("fill is 0.5, which is no int64".into()));
        assert_eq!(element_bytes(&json!("none"), Element::Text), Ok(b"none".to_vec()));
        assert!(element_bytes(&json!(1), Element::Text).is_err());
    }
}
