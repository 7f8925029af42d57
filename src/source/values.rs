//! What one field is of all samples.

use super::{access::Source, record::Record};
use crate::{
    error::{Error, Failure, Result, SampleError},
    field::Payload,
    rng::Key,
};

/// The most bytes that a record may have which is read for the values of a field.
const MOST_BYTES: u64 = 1 << 30;

/// What a field is of all samples, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where each sample's end.
    pub ends: Vec<u64>,
}

/// Returns what the field `name` is of all samples. Records are read only where the field is not known without.
///
/// # Errors
/// [`Config`](Error::Config) where there is no such field, or it is one of files, which are not decoded;
/// [`Sample`](Error::Sample) for a sample that cannot be read.
pub fn values(source: &dyn Source, name: &str) -> Result<Values> {
    let fields = source.fields();
    let Some(at) = fields.iter().position(|field| field.name == name) else {
        let names: Vec<String> = fields.iter().map(|field| format!("`{}`", field.name)).collect();
        return Err(Error::Config(format!("there is no field `{name}`; there are {}", names.join(", "))));
    };
    if matches!(fields[at].payload()?, Payload::Encoded) {
        return Err(Error::Config(format!("the field {} has no values before it is decoded", fields[at])));
    }
    let mut found = Values::default();
    let (mut record, mut reader) = (Record::default(), source.reader());
    for index in 0..source.len() {
        if source.needs_record(at) {
            let key = Key { seed: 0, epoch: 0, index };
            reader.read(key, &mut record, MOST_BYTES).map_err(|failure| {
                let Failure { stage, reason, errno, offset, raised, room, field: _ } = failure;
                let (key, worker) = (source.key(index), None);
                Box::new(SampleError { index, key, stage, reason, errno, offset, worker, raised, room })
            })?;
        }
        found.bytes.extend_from_slice(source.field(at, index, &record));
        found.ends.push(found.bytes.len() as u64);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::combined_tests::{files, numbers};

    #[test]
    fn values_are_those_of_all_samples() {
        let expected = Values { bytes: vec![5, 6, 7], ends: vec![1, 2, 3] };
        assert_eq!(values(&*numbers(&[5, 6, 7]), "x").unwrap(), expected);
    }

    #[test]
    fn fields_without_values_are_named() {
        let message = |name| values(&*files("image", &["/a"]), name).unwrap_err().to_string();
        assert_eq!(message("x"), "there is no field `x`; there are `image`");
        assert!(message("image").contains("has no values before it is decoded"));
    }
}
