//! Operations that need pixels: a packed image to another.

use super::{
    blur,
    color::{self, Color},
    warp::Warp,
};
use crate::geometry::Size;

/// An operation on pixels, drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Edit {
    Color(Color),
    /// To one channel.
    GrayChannel,
    Blur {
        /// The taps: width, height.
        kernel: [u32; 2],
        sigma: f32,
    },
    Sharpness(f64),
    Warp(Warp),
}

/// A packed 8-bit image, (height, width, channels), in memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Canvas {
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
        if self.bytes.len() < len {
            // The old content is of no use, so it need not move along.
            self.bytes = Vec::new();
            self.bytes = vec![0; len];
        }
        &mut self.bytes[..len]
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

impl Edit {
    /// Returns the size of what becomes of an image.
    pub(super) const fn output(&self, image: Size) -> Size {
        match self {
            Self::Warp(warp) => warp.size,
            _ => image,
        }
    }

    /// Tells whether the image may as well be mirrored after it.
    pub(super) const fn is_symmetric(&self) -> bool {
        !matches!(self, Self::Warp(_))
    }

    /// Changes the image; `spare` and `scratch` are for what it needs beside.
    pub(super) fn apply(&self, image: &mut Canvas, spare: &mut Canvas, scratch: &mut Vec<f32>) {
        let (size, channels) = (image.size, image.channels);
        match self {
            Self::Color(color) => return color.apply(image.pixels_mut(), channels),
            Self::GrayChannel => {
                if channels == 3 {
                    color::gray_channel(image.pixels_mut());
                    image.channels = 1;
                }
                return;
            }
            Self::Blur { kernel, sigma } => {
                blur::gaussian(image.pixels(), size, channels, *kernel, *sigma, scratch, spare.reset(size, channels));
            }
            Self::Sharpness(factor) => {
                blur::smooth(image.pixels(), size, channels, (1.0 - factor) as f32, spare.reset(size, channels));
            }
            Self::Warp(warp) => warp.apply(image.pixels(), size, channels, spare.reset(warp.size, channels)),
        }
        std::mem::swap(image, spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again() {
        let mut canvas = Canvas::default();
        canvas.reset(Size { height: 4, width: 4 }, 3).fill(7);
        let place = canvas.pixels().as_ptr();
        assert_eq!(canvas.reset(Size { height: 2, width: 1 }, 1).len(), 2);
        assert_eq!(canvas.pixels().as_ptr(), place);
    }

    #[test]
    fn one_channel_is_left_of_three() {
        let (mut image, mut spare, mut scratch) = (Canvas::default(), Canvas::default(), Vec::new());
        image.reset(Size { height: 1, width: 2 }, 3).copy_from_slice(&[10, 100, 200, 255, 0, 51]);
        Edit::GrayChannel.apply(&mut image, &mut spare, &mut scratch);
        assert_eq!((image.pixels(), image.channels), (&[84, 82][..], 1));
    }
}
