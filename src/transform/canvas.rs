//! Packed images in memory that is used again.

use super::pixels::Pixels;
use crate::{
    buffer::Buffer,
    geometry::Size,
    pixel::{Channels, PixelType},
};

/// A packed image, (height, width, channels), in memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct Canvas {
    bytes: Buffer,
    pub(super) size: Size,
    pub(super) pixel: PixelType,
}

impl Canvas {
    /// Returns the pixels.
    pub(super) fn pixels(&self) -> &[u8] {
        self.bytes.bytes(self.len())
    }

    /// Returns the image, borrowed.
    pub(super) fn as_pixels(&self) -> Pixels<'_> {
        Pixels::new(self.pixels(), self.size, self.pixel)
    }

    /// Returns the pixels.
    pub(super) fn pixels_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        self.bytes.bytes_mut(len)
    }

    /// Makes this an image of another size and returns its pixels, of arbitrary content.
    pub(super) fn reset(&mut self, size: Size, pixel: PixelType) -> &mut [u8] {
        (self.size, self.pixel) = (size, pixel);
        let len = self.len();
        self.bytes.grown(len)
    }

    /// Leaves out a fourth channel that means nothing.
    pub(super) fn pack(&mut self) {
        if self.pixel.channels == Channels::Rgbx {
            self.keep(Channels::Rgb);
        }
    }

    /// Keeps the first channels of each pixel, which are these.
    pub(super) fn keep(&mut self, channels: Channels) {
        let kept = PixelType { channels, ..self.pixel };
        let (from, to) = (self.pixel.size(), kept.size());
        let pixels = self.pixels_mut();
        for at in 0..pixels.len() / from {
            pixels.copy_within(at * from..at * from + to, at * to);
        }
        self.pixel = kept;
    }

    const fn len(&self) -> usize {
        self.size.area() as usize * self.pixel.size()
    }
}
