//! Which tokens of a window are of one document.

use super::widen::Widening;
use crate::source::table::u64_at;

/// The bytes of a number of a segment, and of a position: `int32`.
pub(super) const BYTES: usize = 4;

/// The bytes of the number that says where a document starts.
pub(super) const START_BYTES: usize = 8;

/// Numbers of segments from 1 on, and positions in them from 0 on: the window's own, so that a document that begins before it
/// counts from there.
pub(super) struct Segments<'a> {
    ids: &'a mut [[u8; BYTES]],
    positions: &'a mut [[u8; BYTES]],
    id: i32,
    /// How many tokens have been numbered.
    done: usize,
}

impl<'a> Segments<'a> {
    pub(super) fn new(ids: &'a mut [u8], positions: &'a mut [u8]) -> Self {
        Self { ids: ids.as_chunks_mut().0, positions: positions.as_chunks_mut().0, id: 0, done: 0 }
    }

    /// Ends a segment before this token of the window, and begins another one.
    fn cut(&mut self, at: usize) {
        let at = at.min(self.ids.len());
        if at == self.done {
            return;
        }
        self.id += 1;
        self.ids[self.done..at].fill(self.id.to_ne_bytes());
        for (position, number) in self.positions[self.done..at].iter_mut().zip(0_i32..) {
            *position = number.to_ne_bytes();
        }
        self.done = at;
    }

    /// Ends the last segment.
    pub(super) fn end(&mut self) {
        self.cut(self.ids.len());
    }

    /// Cuts where documents start, which is said in bytes of the file, as the window's start is.
    pub(super) fn by_starts(&mut self, starts: &[u8], window: u64, token: usize) {
        let (mut low, mut high) = (0, starts.len() / START_BYTES);
        while low < high {
            let middle = low.midpoint(high);
            if u64_at(starts, middle * START_BYTES) <= window { low = middle + 1 } else { high = middle }
        }
        for number in low..starts.len() / START_BYTES {
            let at = (u64_at(starts, number * START_BYTES) - window) as usize / token;
            if at >= self.ids.len() {
                break;
            }
            self.cut(at);
        }
    }

    /// Cuts behind each token that ends a document.
    pub(super) fn by_separator(&mut self, window: &[u8], widening: Widening, separator: u32) {
        for at in 0..self.ids.len() {
            if widening.token(window, at) == u64::from(separator) {
                self.cut(at + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::DType;

    fn numbered(len: usize, cut: impl Fn(&mut Segments<'_>)) -> (Vec<i32>, Vec<i32>) {
        let (mut ids, mut positions) = (vec![9; len * BYTES], vec![9; len * BYTES]);
        let mut segments = Segments::new(&mut ids, &mut positions);
        cut(&mut segments);
        segments.end();
        let numbers = |bytes: &[u8]| bytes.as_chunks().0.iter().map(|each| i32::from_ne_bytes(*each)).collect();
        (numbers(&ids), numbers(&positions))
    }

    #[test]
    fn starts_cut_a_window() {
        // A document of no tokens begins nothing.
        let starts = [0_u64, 4, 20, 26, 26, 28, 40].map(u64::to_ne_bytes).concat();
        let found = numbered(5, |segments| segments.by_starts(&starts, 20, 2));
        assert_eq!(found, (vec![1, 1, 1, 2, 3], vec![0, 1, 2, 0, 0]));
        let found = numbered(3, |segments| segments.by_starts(&starts, 28, 2));
        assert_eq!(found, (vec![1, 1, 1], vec![0, 1, 2]));
    }

    #[test]
    fn separators_belong_to_the_document_that_they_end() {
        let widening = Widening::of(DType::UInt8, DType::Int64, 256).unwrap();
        let found = numbered(6, |segments| segments.by_separator(&[0, 5, 6, 0, 7, 0, 8], widening, 0));
        assert_eq!(found, (vec![1, 2, 2, 2, 3, 3], vec![0, 0, 1, 2, 0, 1]));
    }
}
