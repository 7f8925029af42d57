//! Decoded pixels in memory that is used again.

/// An 8-bit RGB image, (height, width, 3), C-contiguous.
///
/// Its memory grows to the largest image seen and stays, so that a worker soon stops allocating.
#[derive(Clone, Debug, Default)]
pub struct Image {
    width: u32,
    height: u32,
    buffer: Vec<u8>,
}

impl Image {
    /// Returns the width in pixels.
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Returns the height in pixels.
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// Returns the pixels.
    pub fn pixels(&self) -> &[u8] {
        &self.buffer[..self.len()]
    }

    /// Makes this an image of the given size and returns its pixels, of arbitrary content.
    pub fn reset(&mut self, width: u32, height: u32) -> &mut [u8] {
        (self.width, self.height) = (width, height);
        let len = self.len();
        if self.buffer.len() < len {
            // The old content is of no use, so it need not move along.
            self.buffer = Vec::new();
            self.buffer = vec![0; len];
        }
        &mut self.buffer[..len]
    }

    const fn len(&self) -> usize {
        self.width as usize * self.height as usize * 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again() {
        let mut image = Image::default();
        image.reset(4, 4).fill(7);
        let place = image.pixels().as_ptr();
        assert_eq!(image.reset(2, 1).len(), 6);
        assert_eq!((image.width(), image.height(), image.pixels().len()), (2, 1, 6));
        assert_eq!(image.pixels().as_ptr(), place);
    }
}
