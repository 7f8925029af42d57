//! The body of a marker segment, which the end of the file may cut off.

use super::error::{Problem, Result};

/// What is left of a segment's body.
///
/// What is wrong before the file ends counts, not that it ends: so libjpeg, which reads byte by byte, sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body<'a> {
    /// Where it starts in the file.
    pub(super) start: usize,
    /// The bytes that the file has of it.
    bytes: &'a [u8],
    /// How many bytes it has by its length.
    length: usize,
}

impl<'a> Body<'a> {
    /// Returns the body of `length` bytes that starts at `start`.
    pub(super) fn new(data: &'a [u8], start: usize, length: usize) -> Self {
        let rest = data.get(start..).unwrap_or_default();
        Self { start, bytes: &rest[..length.min(rest.len())], length }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Returns the length by which the segment says that it is so long.
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    /// Takes the next `count` bytes; `reason` is what is wrong with a segment that is too short for them.
    pub(super) fn take(&mut self, count: usize, reason: &'static str) -> Result<&'a [u8]> {
        if count > self.length {
            return Err(Problem::corrupt(self.start, reason));
        }
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Problem::Ended(self.start + self.bytes.len()))?;
        (self.bytes, self.start, self.length) = (rest, self.start + count, self.length - count);
        Ok(taken)
    }

    /// Takes all bytes.
    pub(super) fn take_all(mut self) -> Result<&'a [u8]> {
        self.take(self.length, "")
    }
}
