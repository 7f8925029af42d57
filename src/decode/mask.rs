//! Class indices in memory that is used again.

use crate::geometry::Size;

/// A class index for each pixel, (height, width), C-contiguous, in memory that is used again.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    size: Size,
    buffer: Vec<u8>,
}

impl Mask {
    /// Returns the size in pixels.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Returns the class indices.
    pub fn indices(&self) -> &[u8] {
        &self.buffer
    }

    /// Makes this a mask of the given size and returns its indices, of arbitrary content.
    pub(super) fn reset(&mut self, size: Size) -> &mut [u8] {
        self.size = size;
        self.buffer.resize(size.area() as usize, 0);
        &mut self.buffer
    }
}

/// Returns the reason for which pixels are no mask.
pub(super) fn no_indices(what: &str) -> String {
    format!("has {what}, which are no class indices; a mask is a palette image or an 8-bit grey one")
}
