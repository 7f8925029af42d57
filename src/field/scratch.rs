//! Memory of one thread that is used again from sample to sample.

use std::{
    any::{Any, TypeId},
    fmt,
};

/// The buffers of one thread, by their type: each kind of field has its own. What they hold never shows in a result.
#[derive(Default)]
pub struct Scratch {
    buffers: Vec<(TypeId, Box<dyn Any>)>,
    /// The most bytes that a sample has taken since the buffers were new: what they may hold.
    held: u64,
    /// What samples take, in bytes: a mean in which the last ones weigh most.
    usual: u64,
}

/// Up to so many bytes, buffers are kept whatever else there is.
const KEPT_BYTES: u64 = 64 << 20;
/// How many times as much as usual buffers may hold.
const KEPT_TIMES: u64 = 4;
/// The part of the mean that one sample is: a sixteenth.
const MEAN_SHIFT: u32 = 4;

impl Scratch {
    /// Takes the buffers of a type, or new ones where they are not there.
    #[expect(clippy::unnecessary_box_returns, reason = "they are put back in the box that they come in")]
    pub(super) fn take<T: Default + 'static>(&mut self) -> Box<T> {
        let at = self.buffers.iter().position(|(id, _)| *id == TypeId::of::<T>());
        let found = at.and_then(|at| self.buffers.swap_remove(at).1.downcast().ok());
        found.unwrap_or_default()
    }

    /// Puts buffers back, for the next sample.
    pub(super) fn put<T: 'static>(&mut self, buffers: Box<T>) {
        self.buffers.push((TypeId::of::<T>(), buffers));
    }

    /// Notes what a sample has taken, now that it is done, and gives the buffers back where that was far more than usual:
    /// one large image among small ones must not be paid for until the end.
    pub fn settle(&mut self, taken: u64) {
        self.held = self.held.max(taken);
        self.usual = self.usual - (self.usual >> MEAN_SHIFT) + (taken >> MEAN_SHIFT);
        if self.held > KEPT_BYTES.max(self.usual.saturating_mul(KEPT_TIMES)) {
            self.buffers = Vec::new();
            self.held = 0;
        }
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_is_taken_again() {
        let mut scratch = Scratch::default();
        let mut list = scratch.take::<Vec<u8>>();
        list.push(7);
        assert!(scratch.take::<Vec<u8>>().is_empty());
        scratch.put(list);
        assert_eq!(*scratch.take::<String>(), "");
        assert_eq!(*scratch.take::<Vec<u8>>(), [7]);
    }

    const LARGE: u64 = 200 << 20;

    fn kept_after(scratch: &mut Scratch, taken: u64) -> bool {
        scratch.put(Box::new(7_u8));
        scratch.settle(taken);
        *scratch.take::<u8>() == 7
    }

    #[test]
    fn buffers_are_given_back_after_an_outlier() {
        let mut scratch = Scratch::default();
        for _ in 0..100 {
            assert!(kept_after(&mut scratch, 1 << 20));
        }
        assert!(!kept_after(&mut scratch, LARGE));
        assert!(kept_after(&mut scratch, 1 << 20));
    }

    #[test]
    fn buffers_are_kept_where_all_samples_are_large() {
        let mut scratch = Scratch::default();
        let kept = (0..100).filter(|_| kept_after(&mut scratch, LARGE)).count();
        assert!(kept >= 94, "{kept}");
        // And given back when they are no longer.
        assert!((0..100).any(|_| !kept_after(&mut scratch, 1 << 20)));
    }

    #[test]
    fn no_number_is_too_large() {
        let mut scratch = Scratch::default();
        (0..1000).for_each(|_| scratch.settle(u64::MAX));
        (0..1000).for_each(|_| scratch.settle(0));
    }
}
