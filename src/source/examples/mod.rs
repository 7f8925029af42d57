//! Records that are `tf.train.Example`s: a sample is one of them, and its fields are features of it.
//!
//! The records lie in shards, as the only column of a [`Table`]; each is read as a whole, and parsed by whoever reads it. Byte
//! strings stay where they lie in the record, and numbers are put behind it as a batch has them.

mod checksum;
mod feature;
mod spec;
mod wire;

use std::{collections::BTreeMap, path::Path};

pub(crate) use self::{checksum::masked_crc, feature::FeatureFound};
pub use self::{
    feature::Holds,
    spec::{ExamplesSpec, Feature},
};
use self::{
    feature::{Values, entries},
    wire::Fault,
};
use super::{
    access::{Bytes, Source},
    reader::Reader,
    record::Record,
    table::Table,
};
use crate::{
    error::{Error, Failure, Result, Stage},
    field::{Field, Kind, Payload},
    rng::Key,
    spec::DType,
};

/// The bytes of the checksum behind a record.
pub(crate) const CRC_BYTES: usize = 4;

/// The bytes of a record's length and of the checksum of that, which stand before it.
pub(crate) const HEAD_BYTES: u64 = 12;

/// A source of examples.
#[derive(Debug)]
pub struct Examples {
    records: Table,
    features: Vec<Feature>,
    fields: Vec<Field>,
    /// For each feature, what a sample gives, and the dtype of its numbers.
    payloads: Vec<(Payload, Option<DType>)>,
    check_crc: bool,
}

impl Examples {
    /// Opens records that lie in shards, whose index is in `bytes`.
    ///
    /// # Errors
    /// Those of [`Table::open`]; [`Config`](Error::Config) where there is no feature, or one whose field is of another type.
    pub fn open(spec: ExamplesSpec, bytes: Bytes) -> Result<Self> {
        let ExamplesSpec { records, features, check_crc } = spec;
        let is_records = matches!(&records.columns[..], [column] if matches!(column.field.kind, Kind::Bytes(_)));
        if !is_records || features.is_empty() {
            return Err(Error::config("examples need one column of records, and at least one feature"));
        }
        let payloads =
            features.iter().map(|each| Ok((each.field.payload()?, each.numbers()?))).collect::<Result<_>>()?;
        let fields = features.iter().map(|feature| feature.field.clone()).collect();
        Ok(Self { records: Table::open(records, bytes)?, features, fields, payloads, check_crc })
    }

    /// Parses the example that was read into `record`, and puts its numbers behind it, and then where everything is. The record
    /// becomes no longer than `most`.
    fn parse(&self, index: u64, record: &mut Record, parts: &mut Parts, most: u64) -> Result<(), Failure> {
        let example = checked(self.records.field(0, index, record), self.check_crc);
        let example = example.map_err(|fault| Failure::new(Stage::Read, fault))?;
        let mut found = vec![None; self.features.len()];
        let seen = entries(example, |name, feature| {
            for (number, wanted) in self.features.iter().enumerate() {
                if wanted.feature.as_bytes() == name {
                    found[number] = Some(feature);
                }
            }
        });
        seen.map_err(|fault| Failure::new(Stage::Decode, format!("is no tf.train.Example: {fault}")))?;
        parts.at.clear();
        parts.numbers.clear();
        let room = most.saturating_sub((record.bytes.len() + self.features.len() * AT_BYTES) as u64);
        let base = record.bytes.len();
        for (number, feature) in found.into_iter().enumerate() {
            let wanted = &self.features[number];
            // Byte strings are in the example, and numbers behind it in the record.
            let before = if wanted.holds == Holds::Bytes { 0 } else { base };
            let taken = match feature {
                None => Err("is not there".to_owned()),
                Some(feature) => self.take(number, (example, feature), &mut parts.numbers, room),
            };
            let at = taken.map_err(|reason| {
                let (feature, name) = (&wanted.feature, &wanted.field.name);
                Failure::new(Stage::Decode, format!("feature `{feature}` {reason} (field `{name}`)"))
            })?;
            parts.at.extend(at.map(|at| ((before + at) as u64).to_ne_bytes()).as_flattened());
        }
        record.bytes.extend_from_slice(&parts.numbers);
        record.bytes.extend_from_slice(&parts.at);
        Ok(())
    }

    /// Takes what a field gets of its feature, and returns where that starts and ends: a byte string in the example, or
    /// among the `numbers`. What is wrong is said as a fragment.
    fn take(
        &self,
        number: usize,
        (example, feature): (&[u8], &[u8]),
        numbers: &mut Vec<u8>,
        room: u64,
    ) -> Result<[usize; 2], String> {
        let (wanted, (payload, dtype)) = (&self.features[number], self.payloads[number]);
        let values = Values::of(feature)?;
        // A list of nothing is one of any type: some who write examples choose it by the first value.
        if let Some(holds) = values.holds
            && holds != wanted.holds
            && values.count()? > 0
        {
            return Err(format!("has a {}, and the field is made of a {}", holds.name(), wanted.holds.name()));
        }
        let Some(dtype) = dtype else {
            let Some(bytes) = values.only()? else {
                return Err(format!("has {} byte strings, and a field is one", values.count()?));
            };
            fits(payload, bytes.len(), 1, "bytes")?;
            let start = bytes.as_ptr().addr() - example.as_ptr().addr();
            return Ok([start, start + bytes.len()]);
        };
        let (start, count) = (numbers.len(), values.count()?);
        let size = count.checked_mul(dtype.size()).ok_or_else(|| format!("has {count} values"))?;
        fits(payload, count, dtype.size(), "values")?;
        if (start + size) as u64 > room {
            return Err(format!("has {count} numbers, which do not fit max_sample_bytes"));
        }
        numbers.reserve(size);
        match wanted.holds {
            Holds::Floats => values.floats(numbers)?,
            Holds::Bytes | Holds::Integers => values.integers(dtype, numbers)?,
        }
        // A list that was counted otherwise than it was read would be one of the next field's numbers.
        if numbers.len() == start + size { Ok([start, numbers.len()]) } else { Err("has a damaged list".into()) }
    }
}

/// Returns an example's bytes, without their checksum, which is right if that is asked.
fn checked(record: &[u8], check_crc: bool) -> Result<&[u8], Fault> {
    let (example, crc) = record.split_last_chunk::<CRC_BYTES>().ok_or("the record ends before its checksum")?;
    if check_crc && masked_crc(example) != u32::from_le_bytes(*crc) {
        return Err(
            "the record's bytes do not have the checksum that stands behind them (check_crc=False reads it all the \
                    same)",
        );
    }
    Ok(example)
}

/// Returns the features of a record, by name. What is wrong is said as a fragment.
pub(crate) fn features_of(record: &[u8], check_crc: bool) -> Result<BTreeMap<String, FeatureFound<'_>>, String> {
    let mut features = BTreeMap::new();
    entries(checked(record, check_crc)?, |name, feature| {
        features.insert(String::from_utf8_lossy(name).into_owned(), feature);
    })
    .map_err(|fault| format!("is no tf.train.Example: {fault}"))?;
    let mut all = BTreeMap::new();
    for (name, feature) in features {
        let found =
            Values::of(feature).and_then(Values::found).map_err(|fault| format!("feature `{name}`: {fault}"))?;
        all.insert(name, found);
    }
    Ok(all)
}

/// Checks that so many units of so many bytes each are what a sample gives for a field.
fn fits(payload: Payload, count: usize, size: usize, unit: &str) -> Result<(), String> {
    match payload {
        Payload::Row(row) if row / size != count || row % size != 0 => Err(format!(
            "has {count} {unit}, and a row has {}; shape=(None, ...) is for features that vary",
            row / size
        )),
        Payload::Entries(entry) if !(count * size).is_multiple_of(entry) => {
            Err(format!("has {count} {unit}, which is no multiple of {}", entry.div_ceil(size)))
        }
        Payload::Encoded if count == 0 => Err("is empty (0 bytes)".into()),
        Payload::Row(_) | Payload::Entries(_) | Payload::Encoded => Ok(()),
    }
}

/// What a record has behind its example for each feature: where it starts and where it ends.
const AT_BYTES: usize = 16;

/// What is put behind an example.
#[derive(Debug, Default)]
struct Parts {
    numbers: Vec<u8>,
    at: Vec<u8>,
}

struct ExampleReader<'a> {
    source: &'a Examples,
    records: Box<dyn Reader + 'a>,
    parts: Parts,
}

impl Reader for ExampleReader<'_> {
    fn read(&mut self, key: Key, record: &mut Record, most: u64) -> Result<(), Failure> {
        self.records.read(key, record, most)?;
        self.source.parse(key.index, record, &mut self.parts, most)
    }
}

impl Source for Examples {
    fn len(&self) -> u64 {
        self.records.len()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        let part = self.records.part_of(0, index);
        let named = |(path, start): (&Path, u64)| {
            format!("{}: record at byte {}", path.display(), start.saturating_sub(HEAD_BYTES))
        };
        part.map_or_else(|| format!("record {index}"), named)
    }

    fn does_io(&self) -> bool {
        self.records.does_io()
    }

    fn enter(&self, seat: u32) -> Result<()> {
        self.records.enter(seat)
    }

    fn needs_record(&self, _field: usize) -> bool {
        true
    }

    fn guesses_room(&self) -> bool {
        true
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(ExampleReader { source: self, records: self.records.reader(), parts: Parts::default() })
    }

    fn field<'a>(&'a self, field: usize, index: u64, record: &'a Record) -> &'a [u8] {
        let behind = record.bytes.len() - self.features.len() * AT_BYTES;
        let at = &record.bytes[behind + field * AT_BYTES..][..AT_BYTES];
        let [start, end] =
            [0, 8].map(|half| u64::from_ne_bytes(at[half..half + 8].try_into().unwrap_or_default()) as usize);
        if self.features[field].holds == Holds::Bytes {
            return &self.records.field(0, index, record)[start..end];
        }
        &record.bytes[start..end]
    }
}
