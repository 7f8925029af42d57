//! A change of pixels that needs them: a packed image to another.

use std::fmt::Debug;

use super::{canvas::Canvas, render::Renderer};
use crate::{geometry::Size, pixel::Channels};

/// A change of pixels, drawn.
pub(crate) trait Edit: Debug + Send {
    /// Returns the size of what becomes of an image.
    fn output(&self, image: Size) -> Size;

    /// Tells whether the image may as well be mirrored after it.
    fn is_symmetric(&self) -> bool;

    /// Changes the image.
    fn apply(&self, image: &mut Canvas, spare: &mut Spare);
}

/// Changes the colours of an image, or its grey, and leaves alpha as it is. The change leaves size and pixels.
pub(super) fn change_colours(image: &mut Canvas, spare: &mut Spare, change: impl FnOnce(&mut Canvas, &mut Spare)) {
    let whole = image.pixel;
    if !whole.channels.has_alpha() {
        change(image, spare);
        return;
    }
    let (bytes, depth) = (whole.size(), whole.depth.size());
    spare.alpha.clear();
    spare.alpha.extend(image.pixels().chunks_exact(bytes).flat_map(|pixel| &pixel[bytes - depth..]));
    image.keep(if whole.channels.is_colour() { Channels::Rgb } else { Channels::Grey });
    change(image, spare);
    let Spare { canvas, alpha, .. } = spare;
    let pixels = canvas.reset(image.size, whole).chunks_exact_mut(bytes);
    for ((to, colours), alpha) in pixels.zip(image.pixels().chunks_exact(bytes - depth)).zip(alpha.chunks_exact(depth))
    {
        let (to_colours, to_alpha) = to.split_at_mut(bytes - depth);
        to_colours.copy_from_slice(colours);
        to_alpha.copy_from_slice(alpha);
    }
    std::mem::swap(image, canvas);
}

/// Memory for what an edit needs beside the image.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    /// For a second image, which the edit may swap with the first.
    pub(super) canvas: Canvas,
    pub(super) floats: Vec<f32>,
    alpha: Vec<u8>,
    /// For other images that are made of the same one, where there are any.
    pub(super) beside: Option<Box<Beside>>,
}

/// Memory for an image that is made beside the one in hand.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub(super) renderer: Renderer,
    pub(super) canvas: Canvas,
    pub(super) spare: Spare,
    /// What the last view shows.
    pub(super) shown: Canvas,
}
