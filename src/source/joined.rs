//! Fields of two sources beside each other.

use std::{collections::HashSet, ffi::OsString, os::fd::RawFd, sync::Arc};

use xxhash_rust::xxh3::Xxh3;

use super::{access::Source, concat::least, reader::Reader, record::Record};
use crate::{
    error::{Error, Failure, Result},
    field::Field,
    rng::Key,
    sampler::Blocks,
};

/// Two sources of equal length: a sample has the fields of both.
#[derive(Debug)]
pub struct Joined {
    sources: [Arc<dyn Source>; 2],
    fields: Vec<Field>,
}

impl Joined {
    /// Returns the fields of both.
    ///
    /// # Errors
    /// [`Config`](Error::Config) where both have a field of one name.
    pub fn both(one: &[Field], other: &[Field]) -> Result<Vec<Field>> {
        let names: HashSet<&str> = one.iter().map(|field| &*field.name).collect();
        match other.iter().find(|field| names.contains(&*field.name)) {
            Some(field) => Err(Error::Config(format!("there is a field `{}` already: names must differ", field.name))),
            None => Ok([one, other].concat()),
        }
    }

    /// Puts the fields of two sources beside each other.
    ///
    /// # Errors
    /// [`Config`](Error::Config) where their lengths differ, and as for [`both`](Self::both).
    pub fn open(one: Arc<dyn Source>, other: Arc<dyn Source>) -> Result<Self> {
        if one.len() != other.len() {
            return Err(Error::Config(format!(
                "a source of {} samples cannot have columns of {} rows",
                one.len(),
                other.len()
            )));
        }
        let fields = Self::both(one.fields(), other.fields())?;
        Ok(Self { sources: [one, other], fields })
    }

    /// Returns the number of the source that a field is of, and the field's number there.
    fn locate(&self, field: usize) -> (usize, usize) {
        field.checked_sub(self.sources[0].fields().len()).map_or((0, field), |field| (1, field))
    }
}

/// Reads samples of both sources.
struct JoinedReader<'a> {
    joined: &'a Joined,
    readers: [Box<dyn Reader + 'a>; 2],
}

impl Reader for JoinedReader<'_> {
    fn begin(&mut self) {
        self.readers.iter_mut().for_each(|reader| reader.begin());
    }

    fn read(&mut self, key: Key, record: &mut Record, most: u64) -> Result<(), Failure> {
        let mut left = most;
        let parts = record.parts_mut(self.readers.len());
        for (number, (reader, part)) in self.readers.iter_mut().zip(parts).enumerate() {
            reader.read(key, part, left).map_err(|mut failure| {
                let source = &self.joined.sources[number];
                if number > 0 && source.does_io() {
                    // The sample goes by the name that the first source has for it.
                    failure.reason = format!("`{}`: {}", source.key(key.index), failure.reason);
                }
                failure
            })?;
            left = left.saturating_sub(part.len() as u64);
        }
        Ok(())
    }

    fn end(&mut self) {
        self.readers.iter_mut().for_each(|reader| reader.end());
    }
}

#[deny(clippy::missing_trait_methods)]
impl Source for Joined {
    fn len(&self) -> u64 {
        self.sources[0].len()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        self.sources[0].key(index)
    }

    fn file(&self, field: usize, index: u64) -> Option<String> {
        let (number, field) = self.locate(field);
        self.sources[number].file(field, index)
    }

    fn classes(&self) -> &[OsString] {
        let [one, other] = &self.sources;
        if one.classes().is_empty() { other.classes() } else { one.classes() }
    }

    fn identity(&self, samples: u64) -> u64 {
        let [one, other] = self.sources.each_ref().map(|source| source.identity(samples));
        if other == 0 {
            return one;
        }
        let mut hash = Xxh3::new();
        hash.update(&one.to_le_bytes());
        hash.update(&other.to_le_bytes());
        hash.digest()
    }

    fn descriptors(&self) -> Vec<RawFd> {
        self.sources.iter().flat_map(|source| source.descriptors()).collect()
    }

    fn is_stream(&self) -> bool {
        false
    }

    fn does_io(&self) -> bool {
        self.sources.iter().any(|source| source.does_io())
    }

    fn blocks(&self) -> Option<Arc<Blocks>> {
        self.sources.iter().find_map(|source| source.blocks())
    }

    fn needs_record(&self, field: usize) -> bool {
        let (number, field) = self.locate(field);
        self.sources[number].needs_record(field)
    }

    fn waits(&self) -> bool {
        self.sources.iter().any(|source| source.waits())
    }

    fn looks_ahead(&self) -> u64 {
        least(self.sources.iter().map(|source| source.looks_ahead()))
    }

    fn soon(&self, index: u64) {
        self.sources.iter().for_each(|source| source.soon(index));
    }

    fn is_quick(&self) -> bool {
        self.sources.iter().all(|source| source.is_quick())
    }

    fn runs_code(&self) -> bool {
        self.sources.iter().any(|source| source.runs_code())
    }

    fn stack_signal(&self) -> Option<i32> {
        self.sources.iter().find_map(|source| source.stack_signal())
    }

    fn guesses_room(&self) -> bool {
        self.sources.iter().any(|source| source.guesses_room())
    }

    fn enter(&self, seat: u32) -> Result<()> {
        self.sources.iter().try_for_each(|source| source.enter(seat))
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(JoinedReader { joined: self, readers: self.sources.each_ref().map(|source| source.reader()) })
    }

    fn field<'a>(&'a self, field: usize, index: u64, record: &'a Record) -> &'a [u8] {
        let (number, field) = self.locate(field);
        self.sources[number].field(field, index, record.part(number))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source::combined_tests::{files, named, numbers};

    #[test]
    fn a_sample_has_the_fields_of_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        for (name, text) in [("a", "image a"), ("b", "image b"), ("m", "mask")] {
            fs::write(path(name), text).unwrap();
        }
        let images = files("image", &[&path("a"), &path("b")]);
        let masks = files("mask", &[&path("m"), &path("gone")]);
        let two = Joined::open(images, named("x", &[7, 8])).unwrap();
        let joined = Joined::open(Arc::new(two), masks).unwrap();
        let mut record = Record::default();
        let mut reader = joined.reader();
        let mut read = |index, most, record: &mut Record| reader.read(Key { seed: 0, epoch: 0, index }, record, most);

        read(0, 100, &mut record).unwrap();
        let fields: Vec<&[u8]> = (0..3).map(|field| joined.field(field, 0, &record)).collect();
        assert_eq!(fields, [b"image a", &[7][..], b"mask"]);
        assert_eq!((joined.needs_record(0), joined.needs_record(1), joined.needs_record(2)), (true, false, true));
        let failure = read(1, 100, &mut record).unwrap_err();
        assert!(failure.reason.starts_with(&format!("`{}`: ", path("gone"))), "{}", failure.reason);
        assert_eq!(joined.key(1), path("b"));
        assert!(read(0, 20, &mut record).unwrap_err().reason.contains("max_sample_bytes"));
    }

    #[test]
    fn sources_that_do_not_go_together_are_refused() {
        let message = |other| Joined::open(numbers(&[1, 2]), other).unwrap_err().to_string();
        assert_eq!(message(named("y", &[1])), "a source of 2 samples cannot have columns of 1 rows");
        assert_eq!(message(numbers(&[1, 2])), "there is a field `x` already: names must differ");
    }
}
