//! What a sample is before it is decoded.

use std::{
    any::Any,
    fmt::{self, Debug},
};

/// The largest record whose memory is kept for the next one.
const KEPT_BYTES: usize = 8 << 20;

/// What a sample is before it is decoded: bytes that were read, or payloads that somebody else has made and that it keeps.
///
/// It belongs to one thread at a time and is used again, so that a sample of a few bytes costs no allocation.
#[derive(Default)]
pub struct Record {
    /// The bytes that were read; a source says with [`field`](super::Source::field) what lies where.
    pub bytes: Vec<u8>,
    payloads: Option<Box<dyn Payloads>>,
    /// Where the sample is made of those of several sources, the record of each.
    parts: Vec<Self>,
}

/// A record of nothing.
static EMPTY: Record = Record { bytes: Vec::new(), payloads: None, parts: Vec::new() };

/// Payloads of one sample that lie in memory of somebody else, which they keep.
pub trait Payloads: Any + Debug + Send + Sync {
    /// Returns what the sample has for a field.
    fn payload(&self, field: usize) -> &[u8];

    /// Returns how many bytes the sample takes.
    fn bytes(&self) -> usize;
}

impl From<Vec<u8>> for Record {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }
}

impl Record {
    /// Returns how many bytes the sample takes.
    pub fn len(&self) -> usize {
        let parts: usize = self.parts.iter().map(Self::len).sum();
        self.bytes.len() + self.payloads.as_ref().map_or(0, |payloads| payloads.bytes()) + parts
    }

    /// Tells whether the sample takes no memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the payloads of this type to be filled anew; those of the last sample, if there was one.
    pub fn payloads_mut<T: Payloads + Default>(&mut self) -> &mut T {
        let is_other = |payloads: &dyn Payloads| !(payloads as &dyn Any).is::<T>();
        if self.payloads.as_deref().is_none_or(is_other) {
            self.payloads = None;
        }
        let payloads: &mut dyn Any = &mut **self.payloads.get_or_insert_with(|| Box::<T>::default());
        let Some(found) = payloads.downcast_mut() else {
            unreachable!("it was just seen to be of this type, or made so")
        };
        found
    }

    /// Returns what the payloads have for a field; nothing where there are none.
    pub fn payload(&self, field: usize) -> &[u8] {
        self.payloads.as_ref().map_or(&[], |payloads| payloads.payload(field))
    }

    /// Returns the records of so many sources, of which the sample is made.
    pub fn parts_mut(&mut self, count: usize) -> &mut [Self] {
        self.parts.resize_with(count, Self::default);
        &mut self.parts
    }

    /// Returns the record of one of the sources of which the sample is made; one of nothing where it was not read.
    pub fn part(&self, number: usize) -> &Self {
        self.parts.get(number).unwrap_or(&EMPTY)
    }

    /// Gives memory back that is more than most samples take.
    pub fn settle(&mut self) {
        if self.bytes.capacity() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
        self.parts.iter_mut().for_each(Self::settle);
    }
}

impl Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Two(Vec<u8>);

    impl Payloads for Two {
        fn payload(&self, field: usize) -> &[u8] {
            &self.0[field..=field]
        }

        fn bytes(&self) -> usize {
            self.0.len()
        }
    }

    #[test]
    fn payloads_are_used_again() {
        let mut record = Record::from(vec![1]);
        assert!(record.payload(0).is_empty());
        record.payloads_mut::<Two>().0.extend([7, 8]);
        assert_eq!((record.payload(1), record.len()), (&[8][..], 3));
        assert_eq!(record.payloads_mut::<Two>().0, [7, 8]);
    }

    #[test]
    fn parts_count_and_are_given_back() {
        let mut record = Record::default();
        assert!(record.part(1).is_empty());
        record.parts_mut(2)[1].bytes.resize(KEPT_BYTES + 1, 0);
        assert_eq!((record.len(), record.part(1).len()), (KEPT_BYTES + 1, KEPT_BYTES + 1));
        record.settle();
        assert_eq!(record.part(1).bytes.capacity(), 0);
    }

    #[test]
    fn memory_of_a_large_record_is_given_back() {
        let mut record = Record::from(vec![0; KEPT_BYTES + 1]);
        record.settle();
        assert_eq!(record.bytes.capacity(), 0);
        record.bytes.reserve(100);
        record.settle();
        assert!(record.bytes.capacity() >= 100);
    }
}
