//! What the features of a `tf.train.Example` hold.
//!
//! The messages are those of TensorFlow's `example.proto` and `feature.proto`: an example has a map of features by name, and
//! a feature is a list of byte strings, of `float`, or of `int64`.

use std::fmt::Display;

use bytemuck::NoUninit;
use serde::{Deserialize, Serialize};

use super::wire::{Fault, Message, Value, number};
use crate::spec::DType;

/// Of what type a feature's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// Byte strings.
    Bytes,
    /// Numbers of 32 bits with a fraction.
    Floats,
    /// Integers of 64 bits.
    Integers,
}

impl Holds {
    /// Returns what values of this type are called where they are lists of them.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes_list",
            Self::Floats => "float_list",
            Self::Integers => "int64_list",
        }
    }
}

/// What a feature of one example has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeatureFound<'a> {
    /// The type of its values; none where none was ever set.
    pub(crate) holds: Option<Holds>,
    /// How many there are.
    pub(crate) count: usize,
    /// The byte string, where there is one and no more.
    pub(crate) only: Option<&'a [u8]>,
}

/// A feature, and what its values are of; of nothing where none was ever set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    feature: &'a [u8],
    pub(super) holds: Option<Holds>,
}

/// Calls `found` with the name and the feature of each entry of an example. Where one name comes twice, the last one
/// counts, as for every map of Protocol Buffers.
pub(super) fn entries<'a>(example: &'a [u8], mut found: impl FnMut(&'a [u8], &'a [u8])) -> Result<(), Fault> {
    for field in Message(example) {
        match field? {
            (1, Value::Bytes(features)) => {
                for entry in Message(features) {
                    if let (1, Value::Bytes(entry)) = entry? {
                        let (key, feature) = entry_of(entry)?;
                        found(key, feature);
                    }
                }
            }
            (2, Value::Bytes(_)) => {
                return Err("it is a tf.train.SequenceExample, whose lists of features are not read");
            }
            (1, Value::Number(_) | Value::Four(_) | Value::Eight) => return Err("its features are no message"),
            _ => {}
        }
    }
    Ok(())
}

fn entry_of(entry: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let (mut key, mut feature) = (None, None);
    for field in Message(entry) {
        let (number, value) = field?;
        let part = match number {
            1 => &mut key,
            2 => &mut feature,
            _ => continue,
        };
        let Value::Bytes(bytes) = value else { return Err("a name or a feature is of another type") };
        if part.replace(bytes).is_some() {
            return Err("an entry has two names or two features");
        }
    }
    Ok((key.unwrap_or_default(), feature.unwrap_or_default()))
}

impl<'a> Values<'a> {
    pub(super) fn of(feature: &'a [u8]) -> Result<Self, Fault> {
        let mut holds = None;
        for field in Message(feature) {
            let found = match field? {
                (1, Value::Bytes(_)) => Holds::Bytes,
                (2, Value::Bytes(_)) => Holds::Floats,
                (3, Value::Bytes(_)) => Holds::Integers,
                (1..=3, Value::Number(_) | Value::Four(_) | Value::Eight) => return Err("a list is of another type"),
                _ => continue,
            };
            if holds.replace(found).is_some_and(|before| before != found) {
                return Err("a feature has lists of two types");
            }
        }
        Ok(Self { feature, holds })
    }

    pub(super) fn found(self) -> Result<FeatureFound<'a>, Fault> {
        let only = if self.holds == Some(Holds::Bytes) { self.only()? } else { None };
        Ok(FeatureFound { holds: self.holds, count: self.count()?, only })
    }

    /// Returns the fields of its lists that hold values: one of them, or several.
    fn fields(self) -> impl Iterator<Item = Result<Value<'a>, Fault>> {
        let lists = Message(self.feature).filter_map(|field| match field {
            Ok((1..=3, Value::Bytes(list))) => Some(list),
            // It has been gone through before.
            Ok(_) | Err(_) => None,
        });
        lists.flat_map(Message).filter_map(|field| match field {
            Ok((1, value)) => Some(Ok(value)),
            Ok(_) => None,
            Err(fault) => Some(Err(fault)),
        })
    }

    /// Returns how many values there are.
    pub(super) fn count(self) -> Result<usize, Fault> {
        self.fields().try_fold(0, |count, field| {
            Ok(count
                + match (self.holds, field?) {
                    (Some(Holds::Integers), Value::Bytes(packed)) => numbers_in(packed),
                    (Some(Holds::Floats), Value::Bytes(packed)) => packed.len() / 4,
                    (_, Value::Bytes(_) | Value::Number(_) | Value::Four(_) | Value::Eight) => 1,
                })
        })
    }

    /// Returns the byte string, where there is one and no more.
    pub(super) fn only(self) -> Result<Option<&'a [u8]>, Fault> {
        let mut fields = self.fields();
        match (fields.next().transpose()?, fields.next()) {
            (Some(Value::Bytes(bytes)), None) => Ok(Some(bytes)),
            (Some(Value::Number(_) | Value::Four(_) | Value::Eight), _) => Err("a byte string is of another type"),
            (None, _) | (Some(Value::Bytes(_)), Some(_)) => Ok(None),
        }
    }

    /// Adds floats to `out`, as `float32`.
    pub(super) fn floats(self, out: &mut Vec<u8>) -> Result<(), Fault> {
        for field in self.fields() {
            match field? {
                Value::Bytes(packed) => {
                    let (each, rest) = packed.as_chunks::<4>();
                    if !rest.is_empty() {
                        return Err("a list of floats ends within one");
                    }
                    out.extend(each.iter().flat_map(|bytes| f32::from_le_bytes(*bytes).to_ne_bytes()));
                }
                Value::Four(bytes) => out.extend(f32::from_le_bytes(bytes).to_ne_bytes()),
                Value::Number(_) | Value::Eight => return Err("a float is of another type"),
            }
        }
        Ok(())
    }

    /// Adds integers to `out`, in this dtype; an integer that it does not hold is told, as is everything else.
    pub(super) fn integers(self, dtype: DType, out: &mut Vec<u8>) -> Result<(), String> {
        match dtype {
            DType::Int64 => self.narrow::<i64>(dtype, out),
            DType::UInt8 => self.narrow::<u8>(dtype, out),
            DType::Int8 => self.narrow::<i8>(dtype, out),
            DType::UInt16 => self.narrow::<u16>(dtype, out),
            DType::Int16 => self.narrow::<i16>(dtype, out),
            DType::UInt32 => self.narrow::<u32>(dtype, out),
            DType::Int32 => self.narrow::<i32>(dtype, out),
            DType::UInt64 => self.narrow::<u64>(dtype, out),
            DType::Bool => {
                let start = out.len();
                self.narrow::<u8>(dtype, out)?;
                out[start..].iter().find(|byte| **byte > 1).map_or(Ok(()), |byte| Err(outside(*byte, dtype)))
            }
            DType::Float16 | DType::BFloat16 | DType::Float32 | DType::Float64 => {
                Err(format!("has integers, and is to be {}", dtype.name()))
            }
        }
    }

    fn narrow<T: TryFrom<i64> + NoUninit>(self, dtype: DType, out: &mut Vec<u8>) -> Result<(), String> {
        let mut push = |number: u64| -> Result<(), String> {
            let value = T::try_from(number as i64).map_err(|_| outside(number as i64, dtype))?;
            out.extend_from_slice(bytemuck::bytes_of(&value));
            Ok(())
        };
        for field in self.fields() {
            match field? {
                Value::Bytes(mut packed) => {
                    while !packed.is_empty() {
                        push(number(&mut packed)?)?;
                    }
                }
                Value::Number(number) => push(number)?,
                Value::Four(_) | Value::Eight => return Err("an integer is of another type".into()),
            }
        }
        Ok(())
    }
}

/// Returns how many numbers end in these bytes.
fn numbers_in(packed: &[u8]) -> usize {
    packed.iter().filter(|byte| **byte < 0x80).count()
}

#[cold]
fn outside(value: impl Display, dtype: DType) -> String {
    format!("{value} is no {}", dtype.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(field: u8, content: &[u8]) -> Vec<u8> {
        [&[field << 3 | 2, content.len() as u8], content].concat()
    }

    fn integers(feature: &[u8], dtype: DType) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        Values::of(feature)?.integers(dtype, &mut out)?;
        Ok(out)
    }

    #[test]
    fn entries_are_found_in_any_order_and_in_pieces() {
        let entry = |key: &[u8], feature: &[u8]| message(1, &[message(1, key), message(2, feature)].concat());
        let (one, two) = (entry(b"a", b"x"), message(1, &[message(2, b"y"), message(1, b"b")].concat()));
        let example = [message(1, &one), vec![9 << 3, 7], message(1, &[two, entry(b"", b"")].concat())].concat();
        let mut found = Vec::new();
        entries(&example, |key, feature| found.push((key, feature))).unwrap();
        assert_eq!(found, [(&b"a"[..], &b"x"[..]), (b"b", b"y"), (b"", b"")]);
        for hostile in [
            message(2, b""),
            vec![1 << 3, 1],
            message(1, &message(1, &[1 << 3, 1])),
            message(1, &message(1, &[message(1, b"a"), message(1, b"b")].concat())),
            message(1, b"\x0a\x7f"),
        ] {
            assert!(entries(&hostile, |_, _| {}).is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn numbers_are_read_packed_and_one_by_one() {
        let packed = message(3, &message(1, b"\x01\x96\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
        let single = message(3, b"\x08\x01\x08\x96\x01\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
        let split =
            [message(3, b"\x08\x01"), message(3, b"\x0a\x02\x96\x01\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")];
        let expected = [1_i64, 150, -1].map(i64::to_ne_bytes).concat();
        for feature in [packed, single, split.concat()] {
            let values = Values::of(&feature).unwrap();
            assert_eq!((values.holds, values.count()), (Some(Holds::Integers), Ok(3)));
            assert_eq!(integers(&feature, DType::Int64).unwrap(), expected);
            assert_eq!(integers(&feature, DType::Int16).unwrap(), [1_i16, 150, -1].map(i16::to_ne_bytes).concat());
            assert_eq!(integers(&feature, DType::UInt32).unwrap_err(), "-1 is no uint32");
            assert_eq!(integers(&feature, DType::Int8).unwrap_err(), "150 is no int8");
        }
        assert_eq!(integers(&message(3, b"\x08\x02"), DType::Bool).unwrap_err(), "2 is no bool");

        let mut out = Vec::new();
        let floats = [message(2, &message(1, &1.5_f32.to_le_bytes())), message(2, b"\x0d\0\0\0\x3f")].concat();
        let values = Values::of(&floats).unwrap();
        values.floats(&mut out).unwrap();
        assert_eq!((values.count(), &out[..]), (Ok(2), &[1.5_f32, 0.5].map(f32::to_ne_bytes).concat()[..]));
    }

    #[test]
    fn only_one_byte_string_is_taken() {
        let strings = |each: &[&[u8]]| message(1, &each.iter().flat_map(|one| message(1, one)).collect::<Vec<_>>());
        assert_eq!(Values::of(&strings(&[b"abc"])).unwrap().only(), Ok(Some(&b"abc"[..])));
        assert_eq!(Values::of(&strings(&[b""])).unwrap().only(), Ok(Some(&b""[..])));
        for none in [strings(&[b"a", b"b"]), strings(&[]), Vec::new()] {
            assert_eq!(Values::of(&none).unwrap().only(), Ok(None));
        }
    }

    #[test]
    fn what_no_feature_is_is_refused() {
        assert!(Values::of(&[message(1, b""), message(3, b"")].concat()).is_err());
        assert!(Values::of(&[1 << 3, 0]).is_err());
        let cut = message(2, &message(1, b"abc"));
        assert!(Values::of(&cut).unwrap().floats(&mut Vec::new()).is_err());
        assert!(integers(&message(3, &message(1, b"\x80")), DType::Int64).is_err());
        assert!(integers(&message(3, b"\x0d\0\0\0\0"), DType::Int64).is_err());
        assert!(Values::of(&message(1, b"\x08\x01")).unwrap().only().is_err());
    }
}
