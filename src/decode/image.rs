//! Decoded pixels in memory that is used again.

use crate::{
    buffer::Buffer,
    geometry::{Rect, Size},
    pixel::PixelType,
};

/// An image, (height, width, channels), C-contiguous, in memory that is used again.
#[derive(Clone, Debug, Default)]
pub struct Image {
    size: Size,
    pixel: PixelType,
    is_damaged: bool,
    buffer: Buffer,
}

impl Image {
    /// Returns the size in pixels.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Returns what its pixels are.
    pub const fn pixel(&self) -> PixelType {
        self.pixel
    }

    /// Returns the bytes of the pixels; they are aligned for their values.
    pub fn pixels(&self) -> &[u8] {
        self.buffer.bytes(self.len())
    }

    /// Tells whether the file was damaged, so that pixels may be others than they were meant to be.
    pub const fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// Says whether the file was damaged.
    pub(super) const fn set_damaged(&mut self, is_damaged: bool) {
        self.is_damaged = is_damaged;
    }

    /// Makes this an image of the given size, of a sound file, and returns the bytes of its pixels, of arbitrary content
    /// and aligned for their values.
    pub fn reset(&mut self, size: Size, pixel: PixelType) -> &mut [u8] {
        (self.size, self.pixel, self.is_damaged) = (size, pixel, false);
        let len = self.len();
        self.buffer.grown(len)
    }

    /// Makes this `from`, turned as an EXIF orientation from 1 to 8 says.
    pub(super) fn turned(&mut self, from: &Self, orientation: u8) {
        let (width, bytes, pixels) = (from.size.width, from.pixel.size(), from.pixels());
        let Turn { is_transposed, flips_x, flips_y } = Turn::of(orientation);
        let size = turned_size(from.size, orientation);
        let (last_row, last_column) = (size.height as usize - 1, size.width as usize - 1);
        let to = self.reset(size, from.pixel);
        for (y, row) in to.chunks_exact_mut(size.width as usize * bytes).enumerate() {
            let y = if flips_y { last_row - y } else { y };
            for (x, to) in row.chunks_exact_mut(bytes).enumerate() {
                let x = if flips_x { last_column - x } else { x };
                let (from_x, from_y) = if is_transposed { (y, x) } else { (x, y) };
                let start = (from_y * width as usize + from_x) * bytes;
                to.copy_from_slice(&pixels[start..start + bytes]);
            }
        }
        self.is_damaged = from.is_damaged;
    }

    const fn len(&self) -> usize {
        self.size.area() as usize * self.pixel.size()
    }
}

/// What makes a turned image of one as it is stored.
struct Turn {
    /// Whether rows become columns, before either of the flips.
    is_transposed: bool,
    flips_x: bool,
    flips_y: bool,
}

impl Turn {
    const fn of(orientation: u8) -> Self {
        Self {
            is_transposed: orientation >= 5,
            flips_x: matches!(orientation, 2 | 3 | 6 | 7),
            flips_y: matches!(orientation, 3 | 4 | 7 | 8),
        }
    }
}

/// Returns the size that becomes `size` when an image is turned as an EXIF orientation says, or the other way round.
pub(super) const fn turned_size(size: Size, orientation: u8) -> Size {
    if Turn::of(orientation).is_transposed { Size { height: size.width, width: size.height } } else { size }
}

/// Returns the part of an image as it is stored that becomes `region` of the turned image, whose size is `turned`.
pub(super) fn stored_region(region: Rect, turned: Size, orientation: u8) -> Rect {
    let Turn { is_transposed, flips_x, flips_y } = Turn::of(orientation);
    let top = if flips_y { i64::from(turned.height) - region.bottom() } else { region.top };
    let left = if flips_x { i64::from(turned.width) - region.right() } else { region.left };
    let size = turned_size(region.size, orientation);
    if is_transposed { Rect { top: left, left: top, size } } else { Rect { top, left, size } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again() {
        let mut image = Image::default();
        image.reset(Size { height: 4, width: 4 }, PixelType::RGB8).fill(7);
        let memory = image.pixels().as_ptr();
        let small = Size { height: 1, width: 2 };
        assert_eq!(image.reset(small, PixelType::RGBX8).len(), 8);
        assert_eq!((image.size(), image.pixels().len()), (small, 8));
        assert_eq!(image.pixels().as_ptr(), memory);
    }

    #[test]
    fn images_are_turned_as_pillow_turns_them() {
        // What `ImageOps.exif_transpose` of Pillow 13.0 makes of [[0, 1, 2], [3, 4, 5]].
        for (orientation, width, expected) in [
            (1, 3, [0, 1, 2, 3, 4, 5]),
            (2, 3, [2, 1, 0, 5, 4, 3]),
            (3, 3, [5, 4, 3, 2, 1, 0]),
            (4, 3, [3, 4, 5, 0, 1, 2]),
            (5, 2, [0, 3, 1, 4, 2, 5]),
            (6, 2, [3, 0, 4, 1, 5, 2]),
            (7, 2, [5, 2, 4, 1, 3, 0]),
            (8, 2, [2, 5, 1, 4, 0, 3]),
        ] {
            let (mut from, mut to) = (Image::default(), Image::default());
            from.reset(Size { height: 2, width: 3 }, PixelType::RGB8)
                .copy_from_slice(&[0, 1, 2, 3, 4, 5].map(|value| [value; 3]).concat());
            to.turned(&from, orientation);
            assert_eq!(
                (to.size().width, to.pixels()),
                (width, &expected.map(|value| [value; 3]).concat()[..]),
                "{orientation}"
            );
        }
    }
}
