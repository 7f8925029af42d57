//! Borrowed images.

use crate::{
    decode::Image,
    geometry::{Rect, Size},
    pixel::PixelType,
};

/// A borrowed image, (height, width, channels), whose rows may be those of a larger one.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    bytes: &'a [u8],
    /// The bytes from one row to the next.
    stride: usize,
    size: Size,
    pixel: PixelType,
    /// Whether the last row comes first.
    turned_over: bool,
}

impl<'a> Pixels<'a> {
    /// Returns the image of these bytes.
    pub(crate) const fn new(bytes: &'a [u8], size: Size, pixel: PixelType) -> Self {
        Self { bytes, stride: size.width as usize * pixel.size(), size, pixel, turned_over: false }
    }

    /// Returns the image of these bytes, 8-bit RGB.
    pub const fn rgb8(bytes: &'a [u8], width: u32, height: u32) -> Self {
        Self::new(bytes, Size { height, width }, PixelType::RGB8)
    }

    /// Returns a decoded image.
    pub fn of(image: &'a Image) -> Self {
        Self::new(image.pixels(), image.size(), image.pixel())
    }

    pub(super) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) const fn size(&self) -> Size {
        self.size
    }

    pub(super) const fn pixel(&self) -> PixelType {
        self.pixel
    }

    pub(super) const fn row_bytes(&self) -> usize {
        self.size.width as usize * self.pixel.size()
    }

    /// Returns a box of the image, which must lie inside.
    pub(super) fn part(self, part: Rect) -> Self {
        let start = part.top as usize * self.stride + part.left as usize * self.pixel.size();
        Self { bytes: &self.bytes[start..], size: part.size, ..self }
    }

    /// Returns the image upside down, if so asked.
    pub(super) const fn turned_over(self, over: bool) -> Self {
        Self { turned_over: self.turned_over != over, ..self }
    }

    pub(super) fn row(&self, at: usize) -> &'a [u8] {
        let at = if self.turned_over { self.size.height as usize - 1 - at } else { at };
        let start = at * self.stride;
        &self.bytes[start..start + self.row_bytes()]
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.size.height as usize).map(|at| self.row(at))
    }
}
