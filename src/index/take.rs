//! What is taken of a sample's members.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::numpy::{HEADER_BYTES, header};
use crate::{
    field::{Field, Kind, Label, List, Payload, Tensor, Text},
    spec::DType,
};

/// A field, and which member of a sample it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The field's name.
    pub name: String,
    /// The suffixes of the member, in lower case; the first one that a sample has is taken.
    pub suffixes: Vec<String>,
    /// What of it.
    pub take: Take,
}

/// What is taken of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Take {
    /// Its bytes, which are those of a field of this kind.
    Bytes(Kind),
    /// The number of a class, in digits.
    Class,
    /// An array in NumPy's format; all have the shape of the first one, or `varies` in their first axis.
    Numpy {
        /// Whether the first axis varies.
        varies: bool,
    },
    /// A value in JSON: a number, a list of numbers, or a text.
    Json {
        /// Where it is in the member, as a JSON pointer (RFC 6901).
        pointer: String,
        /// The dtype of numbers; none for a text.
        dtype: Option<DType>,
        /// Whether it is a list of numbers.
        is_list: bool,
    },
}

/// What a column gets of one sample.
#[derive(Debug)]
pub(super) enum Taken {
    /// This part of its member's bytes.
    Part(u64, u64),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// The most bytes of a member that are read for the index, where its bytes are no digits.
const JSON_BYTES: u64 = 64 << 20;

const DIGITS: u64 = 32;

impl Take {
    /// Returns what is taken of members with this suffix where nothing else is said.
    ///
    /// # Errors
    /// The reason, as a fragment, where such members are not read: pickles.
    pub fn by_suffix(suffix: &str) -> Result<Self, &'static str> {
        let last = suffix.rsplit('.').next().unwrap_or(suffix);
        Ok(match last {
            "jpg" | "jpeg" | "png" | "webp" | "gif" | "tif" | "tiff" | "ppm" | "pgm" | "pbm" | "bmp" => {
                Self::Bytes(Kind::Image(crate::field::Image::default()))
            }
            "cls" | "cls2" | "index" | "id" => Self::Class,
            "txt" | "text" | "transcript" | "json" | "jsonl" => Self::Bytes(Kind::Text(Text { capacity: 0 })),
            "npy" => Self::Numpy { varies: false },
            "pkl" | "pickle" | "pyd" | "pth" | "pt" => {
                return Err("is a pickle, which could run any code: store arrays as .npy, values as .json");
            }
            _ => Self::Bytes(Kind::Bytes(crate::field::Bytes { capacity: 0 })),
        })
    }

    /// Returns the field, as far as it is known before there are samples.
    pub(super) fn field(&self, name: &str) -> Field {
        let kind = match self {
            Self::Bytes(kind) => kind.clone(),
            Self::Class => Kind::Label(Label {}),
            // The first sample says it.
            Self::Numpy { .. } => Kind::Tensor(Tensor { dtype: DType::UInt8, shape: Vec::new() }),
            Self::Json { dtype: None, .. } => Kind::Text(Text { capacity: 0 }),
            Self::Json { dtype: Some(dtype), is_list: false, .. } => {
                Kind::Tensor(Tensor { dtype: *dtype, shape: Vec::new() })
            }
            Self::Json { dtype: Some(dtype), is_list: true, .. } => {
                Kind::List(List { dtype: *dtype, shape: Vec::new(), capacity: 0 })
            }
        };
        Field::new(name, kind)
    }

    /// Tells whether the column is parts of shards.
    pub(super) fn is_part(&self) -> bool {
        match self {
            Self::Bytes(_) | Self::Numpy { .. } => true,
            Self::Class | Self::Json { .. } => false,
        }
    }

    /// Takes what a column gets of a member of `size` bytes; `read` returns the first bytes of it, and `field` learns what its
    /// rows look like. What is wrong is said as a fragment.
    pub(super) fn of(
        &self,
        size: u64,
        field: &mut Option<Field>,
        name: &str,
        read: impl Fn(u64) -> Result<Vec<u8>, String>,
    ) -> Result<Taken, String> {
        match self {
            Self::Bytes(kind) => {
                let payload = Field::new(name, kind.clone()).payload().map_err(|error| error.to_string())?;
                match payload {
                    Payload::Row(row) if row as u64 != size => Err(format!("has {size} bytes, not {row}")),
                    Payload::Entries(entry) if !size.is_multiple_of(entry as u64) => {
                        Err(format!("has {size} bytes, which are no multiple of {entry}"))
                    }
                    Payload::Encoded if size == 0 => Err("is empty (0 bytes)".into()),
                    Payload::Row(_) | Payload::Entries(_) | Payload::Encoded => Ok(Taken::Part(0, size)),
                }
            }
            Self::Class => {
                if size > DIGITS {
                    return Err(format!("has {size} bytes, and is to be a number in digits"));
                }
                let bytes = read(size)?;
                let text = String::from_utf8_lossy(&bytes);
                let number: i64 =
                    text.trim().parse().map_err(|_| format!("is to be a number in digits, not {text:?}"))?;
                Ok(Taken::Bytes(number.to_ne_bytes().to_vec()))
            }
            Self::Numpy { varies } => take_numpy(*varies, size, field, name, &read(size.min(HEADER_BYTES))?),
            Self::Json { pointer, dtype, is_list } => {
                if size > JSON_BYTES {
                    return Err(format!("has {size} bytes, more than the {JSON_BYTES} that are read for an index"));
                }
                let value: Value =
                    serde_json::from_slice(&read(size)?).map_err(|error| format!("is no JSON: {error}"))?;
                let value = value.pointer(pointer).ok_or_else(|| format!("has no value at `{pointer}`"))?;
                take_json(value, pointer, *dtype, *is_list)
            }
        }
    }
}

fn take_numpy(varies: bool, size: u64, field: &mut Option<Field>, name: &str, bytes: &[u8]) -> Result<Taken, String> {
    let header = header(bytes)?;
    let dtype = header.dtype;
    let (shape, kind): (&[usize], Kind) = match (varies, &header.shape[..]) {
        (true, [_, rest @ ..]) => (rest, List { dtype, shape: rest.to_vec(), capacity: 0 }.into()),
        (true, []) => return Err("is a scalar, which has no first axis".into()),
        (false, all) => (all, Tensor { dtype, shape: all.to_vec() }.into()),
    };
    let found = Field::new(name, kind);
    let known = field.get_or_insert_with(|| found.clone());
    if *known != found {
        return Err(format!("is {dtype:?}{shape:?}, and that of the first sample is {known}"));
    }
    let numbers = header.shape.iter().try_fold(1_u64, |product, extent| product.checked_mul(*extent as u64));
    let needed = numbers.and_then(|numbers| numbers.checked_mul(dtype.size() as u64));
    let left = size.saturating_sub(header.start as u64);
    if needed != Some(left) {
        return Err(format!("is {dtype:?}{:?} of {left} bytes", header.shape));
    }
    Ok(Taken::Part(header.start as u64, left))
}

fn take_json(value: &Value, pointer: &str, dtype: Option<DType>, is_list: bool) -> Result<Taken, String> {
    let Some(dtype) = dtype else {
        let text = value.as_str().ok_or_else(|| format!("has {value} at `{pointer}`, which is no text"))?;
        return Ok(Taken::Bytes(text.as_bytes().to_vec()));
    };
    let number = |value: &Value| {
        number(value, dtype).ok_or_else(|| format!("has {value} at `{pointer}`, which {dtype:?} does not hold"))
    };
    if !is_list {
        return number(value).map(Taken::Bytes);
    }
    let list = value.as_array().ok_or_else(|| format!("has {value} at `{pointer}`, which is no list"))?;
    let numbers = list.iter().map(number).collect::<Result<Vec<_>, _>>()?;
    Ok(Taken::Bytes(numbers.concat()))
}

/// Returns a number as its bytes in a dtype that holds it.
fn number(value: &Value, dtype: DType) -> Option<Vec<u8>> {
    macro_rules! integer {
        ($type:ty) => {{
            let wide = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))?;
            <$type>::try_from(wide).ok()?.to_ne_bytes().to_vec()
        }};
    }
    Some(match dtype {
        DType::Bool => vec![u8::from(value.as_bool()?)],
        DType::UInt8 => integer!(u8),
        DType::Int8 => integer!(i8),
        DType::UInt16 => integer!(u16),
        DType::Int16 => integer!(i16),
        DType::UInt32 => integer!(u32),
        DType::Int32 => integer!(i32),
        DType::UInt64 => integer!(u64),
        DType::Int64 => integer!(i64),
        DType::Float32 => (value.as_f64()? as f32).to_ne_bytes().to_vec(),
        DType::Float64 => value.as_f64()?.to_ne_bytes().to_vec(),
        DType::Float16 | DType::BFloat16 => return None,
    })
}
