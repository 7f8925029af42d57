//! The table of an order: numbers in bytes that all processes share.

use std::{fmt, sync::Arc};

/// Bytes that somebody else keeps and nobody changes, read as numbers in native byte order.
#[derive(Clone)]
pub struct Table(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl Table {
    const WORD: usize = size_of::<u64>();

    /// Returns the table that lies in these bytes.
    pub fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Arc::new(bytes))
    }

    /// Returns the table that lies in bytes which others have too.
    pub fn over(bytes: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        (*self.0).as_ref()
    }

    /// Returns the `u64` that begins at a byte, or 0 behind the end.
    pub(super) fn word_at(&self, byte: usize) -> u64 {
        let word = self.bytes().get(byte..).and_then(<[u8]>::first_chunk);
        word.map_or(0, |word| u64::from_ne_bytes(*word))
    }

    /// Returns the `u32` that begins at a byte, or 0 behind the end.
    pub(super) fn half_at(&self, byte: usize) -> u32 {
        let half = self.bytes().get(byte..).and_then(<[u8]>::first_chunk);
        half.map_or(0, |half| u32::from_ne_bytes(*half))
    }

    /// Returns the `u64` of this number, or 0 behind the end.
    pub(super) fn word(&self, number: u64) -> u64 {
        self.word_at(number as usize * Self::WORD)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.bytes().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lie_one_after_the_other() {
        let table = Table::new([1_u64, u64::MAX, 3].map(u64::to_ne_bytes).concat());
        assert_eq!([0, 1, 2, 3].map(|at| table.word(at)), [1, u64::MAX, 3, 0]);
        assert_eq!((table.word_at(16), table.word_at(17)), (3, 0));
    }
}
