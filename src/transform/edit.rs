//! A change of pixels that needs them: a packed image to another.

use std::fmt::Debug;

use super::canvas::Canvas;
use crate::geometry::Size;

/// A change of pixels, drawn.
pub(crate) trait Edit: Debug + Send {
    /// Returns the size of what becomes of an image.
    fn output(&self, image: Size) -> Size;

    /// Tells whether the image may as well be mirrored after it.
    fn is_symmetric(&self) -> bool;

    /// Changes the image.
    fn apply(&self, image: &mut Canvas, spare: &mut Spare);
}

/// Memory for what an edit needs beside the image.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    /// For a second image, which the edit may swap with the first.
    pub(super) canvas: Canvas,
    pub(super) floats: Vec<f32>,
}
