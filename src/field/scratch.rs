//! Memory of one thread that is used again from sample to sample.

use std::{
    any::{Any, TypeId},
    fmt,
};

/// The buffers of one thread, by their type: each kind of field has its own. What they hold never shows in a result.
#[derive(Default)]
pub struct Scratch {
    buffers: Vec<(TypeId, Box<dyn Any>)>,
}

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
}
