//! Packed 8-bit images in memory that is used again.

use crate::geometry::Size;

/// Returns `buffer` with at least `len` bytes, cut to that. What it holds is arbitrary.
pub(super) fn grown(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        // The old content is of no use, so it need not move along.
        *buffer = Vec::new();
        *buffer = vec![0; len];
    }
    &mut buffer[..len]
}

/// A packed 8-bit image, (height, width, channels), in memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct Canvas {
    bytes: Vec<u8>,
    pub(super) size: Size,
    pub(super) channels: usize,
}

impl Canvas {
    /// Returns the pixels.
    pub(super) fn pixels(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    /// Returns the pixels.
    pub(super) fn pixels_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        &mut self.bytes[..len]
    }

    /// Makes this an image of another size and returns its pixels, of arbitrary content.
    pub(super) fn reset(&mut self, size: Size, channels: usize) -> &mut [u8] {
        (self.size, self.channels) = (size, channels);
        let len = self.len();
        grown(&mut self.bytes, len)
    }

    /// Leaves out a fourth channel, which means nothing.
    pub(super) fn pack(&mut self) {
        if self.channels == 4 {
            for at in 0..self.size.area() as usize {
                self.bytes.copy_within(at * 4..at * 4 + 3, at * 3);
            }
            self.channels = 3;
        }
    }

    const fn len(&self) -> usize {
        self.size.area() as usize * self.channels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again() {
        let mut canvas = Canvas::default();
        canvas.reset(Size { height: 4, width: 4 }, 3).fill(7);
        let start = canvas.pixels().as_ptr();
        assert_eq!(canvas.reset(Size { height: 2, width: 1 }, 1).len(), 2);
        assert_eq!(canvas.pixels().as_ptr(), start);
    }
}
