//! Some samples of another source, in an order of their own.

use std::{ffi::OsString, fmt, os::fd::RawFd, sync::Arc};

use xxhash_rust::xxh3::Xxh3;

use super::{
    access::{Bytes, Source},
    reader::Reader,
    record::Record,
};
use crate::{
    error::{Error, Failure, Result},
    field::Field,
    rng::Key,
    sampler::Blocks,
};

/// The bytes of an index.
const INDEX: usize = 8;

/// Samples of another source by their indices, which lie in shared bytes. One may come several times.
pub struct Select {
    source: Arc<dyn Source>,
    len: u64,
    indices: Bytes,
}

impl Select {
    /// Selects `len` samples of a source that had `of` of them. `indices` has one `u64` for each, in native byte order.
    ///
    /// # Errors
    /// [`Config`](Error::Config) where nothing is selected, the source has another number of samples now, an index is not
    /// below that, or there are fewer indices.
    pub fn open(source: Arc<dyn Source>, of: u64, len: u64, indices: Bytes) -> Result<Self> {
        if source.len() != of {
            let now = source.len();
            return Err(Error::Config(format!(
                "samples were selected of a source of {of} samples, which has {now} now: select again"
            )));
        }
        let size = usize::try_from(len).ok().and_then(|len| len.checked_mul(INDEX));
        let Some(given) = size.and_then(|size| (*indices).as_ref().get(..size)) else {
            return Err(Error::Config(format!("the indices of {len} samples are not all there")));
        };
        if len == 0 {
            return Err(Error::config("a selection needs at least one sample"));
        }
        if let Some(beyond) = given.chunks_exact(INDEX).map(index_of).find(|index| *index >= of) {
            return Err(Error::Config(format!("index {beyond} is selected of a source of {of} samples")));
        }
        Ok(Self { source, len, indices })
    }

    /// Returns the indices, as bytes.
    fn bytes(&self) -> &[u8] {
        &(*self.indices).as_ref()[..self.len as usize * INDEX]
    }

    /// Returns the index that a sample has in the other source.
    fn inner(&self, index: u64) -> u64 {
        let at = index as usize * INDEX;
        index_of(&self.bytes()[at..at + INDEX])
    }
}

fn index_of(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_ne_bytes)
}

impl fmt::Debug for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("len", &self.len).field("source", &self.source).finish_non_exhaustive()
    }
}

/// Reads samples of the other source.
struct SelectReader<'a> {
    select: &'a Select,
    reader: Box<dyn Reader + 'a>,
}

impl Reader for SelectReader<'_> {
    fn begin(&mut self) {
        self.reader.begin();
    }

    fn read(&mut self, key: Key, record: &mut Record, most: u64) -> Result<(), Failure> {
        self.reader.read(Key { index: self.select.inner(key.index), ..key }, record, most)
    }

    fn end(&mut self) {
        self.reader.end();
    }
}

#[deny(clippy::missing_trait_methods)]
impl Source for Select {
    fn len(&self) -> u64 {
        self.len
    }

    fn fields(&self) -> &[Field] {
        self.source.fields()
    }

    fn key(&self, index: u64) -> String {
        self.source.key(self.inner(index))
    }

    fn file(&self, field: usize, index: u64) -> Option<String> {
        self.source.file(field, self.inner(index))
    }

    fn classes(&self) -> &[OsString] {
        self.source.classes()
    }

    fn identity(&self, samples: u64) -> u64 {
        let (mut hash, of) = (Xxh3::new(), self.source.len());
        hash.update(&self.source.identity(of).to_le_bytes());
        hash.update(&of.to_le_bytes());
        for index in self.bytes().chunks_exact(INDEX).take(samples as usize) {
            hash.update(&index_of(index).to_le_bytes());
        }
        hash.digest()
    }

    fn descriptors(&self) -> Vec<RawFd> {
        self.source.descriptors()
    }

    fn is_stream(&self) -> bool {
        false
    }

    fn does_io(&self) -> bool {
        self.source.does_io()
    }

    fn blocks(&self) -> Option<Arc<Blocks>> {
        // Samples of a block need not lie beside each other any more.
        None
    }

    fn needs_record(&self, field: usize) -> bool {
        self.source.needs_record(field)
    }

    fn waits(&self) -> bool {
        self.source.waits()
    }

    /// What comes next has nothing to do with where it lies.
    fn looks_ahead(&self) -> u64 {
        0
    }

    fn soon(&self, index: u64) {
        self.source.soon(self.inner(index));
    }

    fn is_quick(&self) -> bool {
        self.source.is_quick()
    }

    fn runs_code(&self) -> bool {
        self.source.runs_code()
    }

    fn stack_signal(&self) -> Option<i32> {
        self.source.stack_signal()
    }

    fn guesses_room(&self) -> bool {
        self.source.guesses_room()
    }

    fn enter(&self, seat: u32) -> Result<()> {
        self.source.enter(seat)
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(SelectReader { select: self, reader: self.source.reader() })
    }

    fn field<'a>(&'a self, field: usize, index: u64, record: &'a Record) -> &'a [u8] {
        self.source.field(field, self.inner(index), record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::combined_tests::numbers;

    fn indices(indices: &[u64]) -> Bytes {
        Arc::new(indices.iter().flat_map(|index| index.to_ne_bytes()).collect::<Vec<u8>>())
    }

    fn message(result: Result<Select>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn samples_are_those_of_their_indices() {
        let select = Select::open(numbers(&[10, 11, 12]), 3, 4, indices(&[2, 0, 2, 1])).unwrap();
        let values: Vec<u8> = (0..4).flat_map(|index| select.field(0, index, &Record::default()).to_vec()).collect();
        assert_eq!((select.len(), values), (4, vec![12, 10, 12, 11]));
        assert_eq!(select.key(1), "row 0");
        let mut record = Record::default();
        select.reader().read(Key { seed: 0, epoch: 0, index: 3 }, &mut record, 10).unwrap();
        assert!(!select.needs_record(0));
    }

    #[test]
    fn selections_that_differ_have_other_identities() {
        let identity = |of: &[u64], samples| {
            Select::open(numbers(&[10, 11, 12]), 3, of.len() as u64, indices(of)).unwrap().identity(samples)
        };
        assert_eq!(identity(&[0, 1], 2), identity(&[0, 1], 2));
        assert_eq!(identity(&[0, 1, 2], 2), identity(&[0, 1], 2));
        assert_ne!(identity(&[0, 1, 2], 3), identity(&[0, 1], 2));
        assert_ne!(identity(&[0, 1], 2), identity(&[1, 0], 2));
        assert_ne!(identity(&[0, 1], 2), numbers(&[1, 2]).identity(2));
    }

    #[test]
    fn indices_that_do_not_fit_are_refused() {
        let open = |of, len, given: &[u64]| message(Select::open(numbers(&[10, 11, 12]), of, len, indices(given)));
        assert!(open(4, 1, &[0]).contains("of a source of 4 samples, which has 3 now"));
        assert!(open(3, 2, &[0]).contains("the indices of 2 samples are not all there"));
        assert!(open(3, u64::MAX, &[0]).contains("are not all there"));
        assert!(open(3, 0, &[]).contains("at least one sample"));
        assert!(open(3, 2, &[0, 3]).contains("index 3 is selected of a source of 3 samples"));
    }
}
