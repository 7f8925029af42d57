//! Which pixels of an image end up where, before any is touched.

use super::{
    args::{Interpolation, PaddingMode},
    fill::Fill,
};
use crate::geometry::{Rect, Size};

/// The part of an image that a plan needs: a box inside the image, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The box, of at least one pixel.
    pub part: Rect,
    /// The size to which the box is resized before anything else; `None` where its pixels are needed as they are.
    pub resized: Option<Size>,
}

/// What is shown outside of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outside {
    /// One colour.
    Fill(Fill),
    /// The nearest pixel of the image.
    Edge,
    /// The image mirrored, without its edge.
    Reflect,
    /// The image mirrored, with its edge.
    Symmetric,
}

impl Default for Outside {
    fn default() -> Self {
        Self::Fill(Fill::default())
    }
}

impl PaddingMode {
    /// Returns what lies outside of an image that is padded in this way.
    pub(super) const fn outside(self, fill: Fill) -> Outside {
        match self {
            Self::Constant => Outside::Fill(fill),
            Self::Edge => Outside::Edge,
            Self::Reflect => Outside::Reflect,
            Self::Symmetric => Outside::Symmetric,
        }
    }
}

impl Outside {
    /// Returns which of `len` pixels of an edge position `at`, outside of it, shows; `None` for a colour.
    pub(super) fn source(self, at: i64, len: u32) -> Option<usize> {
        let len = i64::from(len);
        let shown = match self {
            Self::Fill(_) => return (0..len).contains(&at).then_some(at as usize),
            Self::Edge => at.clamp(0, len - 1),
            Self::Reflect if len == 1 => 0,
            Self::Reflect => {
                let at = at.rem_euclid(2 * (len - 1));
                at.min(2 * (len - 1) - at)
            }
            Self::Symmetric => {
                let at = at.rem_euclid(2 * len);
                at.min(2 * len - 1 - at)
            }
        };
        Some(shown as usize)
    }
}

/// A crop of an image, then perhaps a resize, then a window of that, then perhaps flips.
///
/// Every chain of crops, flips and one resize is one view. So crops and flips cost no pass of their own, and the
/// decoder can be told which part of the image is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct View {
    /// The part of the input that is read; it lies inside the input.
    pub(super) crop: Rect,
    /// What the crop is resized to.
    pub(super) scale: Option<(Size, Interpolation)>,
    /// The part of the crop, or of the resized crop, that is shown.
    pub(super) window: Rect,
    /// What the window shows outside of that.
    pub(super) outside: Outside,
    /// Whether the window is shown mirrored, left to right.
    pub(super) flip: bool,
    /// Whether the window is shown upside down.
    pub(super) flop: bool,
}

impl View {
    /// Returns the view of a whole image.
    pub(super) const fn whole(image: Size) -> Self {
        let whole = Rect::whole(image);
        Self {
            crop: whole,
            scale: None,
            window: whole,
            outside: Outside::Fill(Fill([0.0; 4])),
            flip: false,
            flop: false,
        }
    }

    /// Returns the size of what the view shows.
    pub(super) const fn size(&self) -> Size {
        self.window.size
    }

    /// Returns the size of what the window lies in.
    pub(super) fn content(&self) -> Size {
        self.scale.map_or(self.crop.size, |(size, _)| size)
    }

    /// Shows only a box of what is shown, or more than there is. Where that takes a second pass over the pixels, returns
    /// the view of the first pass's result, and leaves that pass in `self`.
    pub(super) fn crop(&mut self, part: Rect, outside: Outside) -> Option<Self> {
        if !part.is_inside(self.size()) {
            if self.scale.is_none() && self.window.is_inside(self.crop.size) {
                self.crop = self.inner_crop();
                self.window = Rect::whole(self.crop.size);
            } else if !self.can_grow(outside) {
                let mut next = Self::whole(self.size());
                std::mem::swap(&mut next.flip, &mut self.flip);
                std::mem::swap(&mut next.flop, &mut self.flop);
                let none = next.crop(part, outside);
                debug_assert!(none.is_none(), "the whole of an image can grow");
                return Some(next);
            }
            self.outside = outside;
        }
        let Size { height, width } = self.window.size;
        let left = if self.flip { i64::from(width) - part.right() } else { part.left };
        let top = if self.flop { i64::from(height) - part.bottom() } else { part.top };
        self.window = Rect { top: self.window.top + top, left: self.window.left + left, size: part.size };
        None
    }

    /// Tells whether the window shows the whole, and more of the same colour if anything.
    fn can_grow(&self, outside: Outside) -> bool {
        let content = self.content();
        self.window == Rect::whole(content)
            || (matches!(outside, Outside::Fill(_))
                && outside == self.outside
                && self.window.intersection(content) == Some(Rect::whole(content)))
    }

    /// Resizes what is shown. Where that takes a second pass over the pixels, returns the view of the first
    /// pass's result, and leaves that pass in `self`.
    pub(super) fn resize(&mut self, size: Size, interpolation: Interpolation) -> Option<Self> {
        if size == self.size() {
            return None;
        }
        // Nearest picks another neighbour in the mirror, so it must see the flipped pixels.
        let mirrored = (self.flip || self.flop) && interpolation == Interpolation::Nearest;
        if self.scale.is_none() && self.window.is_inside(self.crop.size) && !mirrored {
            self.crop = self.inner_crop();
            self.scale = Some((size, interpolation));
            self.window = Rect::whole(size);
            return None;
        }
        let mut next = Self::whole(self.size());
        if !mirrored {
            std::mem::swap(&mut next.flip, &mut self.flip);
            std::mem::swap(&mut next.flop, &mut self.flop);
        }
        next.scale = Some((size, interpolation));
        next.window = Rect::whole(size);
        Some(next)
    }

    /// Returns the part of the input that is needed.
    pub(super) fn region(&self) -> Region {
        Region { part: self.needed(), resized: self.scale.map(|(size, _)| size) }
    }

    /// Makes the view one of [`region`](Self::region) instead of the whole input; `size` is that of the pixels.
    pub(super) fn take_region(&mut self, size: Size) -> Result<(), String> {
        let needed = self.needed();
        if self.scale.is_some() {
            self.crop = Rect::whole(size);
        } else if size == needed.size {
            self.crop.top -= needed.top;
            self.crop.left -= needed.left;
        } else {
            return Err(format!("{size:?} is the size of neither the image nor its region, {:?}", needed.size));
        }
        Ok(())
    }

    /// Returns the box of the input that is read: all of a crop that is resized or mirrored at its edges, and what the
    /// window shows of another.
    fn needed(&self) -> Rect {
        let part = self.scale.is_none() && (matches!(self.outside, Outside::Fill(_)) || self.is_inside());
        match self.window.intersection(self.crop.size) {
            Some(shown) if part => {
                Rect { top: self.crop.top + shown.top, left: self.crop.left + shown.left, size: shown.size }
            }
            _ => self.crop,
        }
    }

    /// Tells whether the window shows nothing but the image.
    pub(super) fn is_inside(&self) -> bool {
        self.window.is_inside(self.content())
    }

    /// Returns the box of the input that the window shows, where nothing is resized.
    pub(super) const fn inner_crop(&self) -> Rect {
        Rect { top: self.crop.top + self.window.top, left: self.crop.left + self.window.left, size: self.window.size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size(height: u32, width: u32) -> Size {
        Size { height, width }
    }

    const fn rect(top: i64, left: i64, height: u32, width: u32) -> Rect {
        Rect { top, left, size: size(height, width) }
    }

    fn cut(view: &mut View, part: Rect) {
        assert_eq!(view.crop(part, Outside::default()), None);
    }

    #[test]
    fn crop_resize_crop_is_one_view() {
        let mut view = View::whole(size(100, 200));
        cut(&mut view, rect(10, 20, 50, 60));
        assert_eq!(view.resize(size(25, 30), Interpolation::Bilinear), None);
        cut(&mut view, rect(1, 2, 3, 4));
        let expected = View {
            crop: rect(10, 20, 50, 60),
            scale: Some((size(25, 30), Interpolation::Bilinear)),
            window: rect(1, 2, 3, 4),
            ..View::default()
        };
        assert_eq!(view, expected);
    }

    #[test]
    fn a_crop_after_a_flip_is_mirrored() {
        let mut view = View::whole(size(10, 20));
        view.flip = !view.flip;
        cut(&mut view, rect(0, 3, 10, 5));
        assert_eq!(view.window, rect(0, 12, 10, 5));
        view.flip = !view.flip;
        cut(&mut view, rect(0, 1, 10, 2));
        assert_eq!(view.window, rect(0, 13, 10, 2));
    }

    #[test]
    fn a_crop_after_a_vertical_flip_is_upside_down() {
        let mut view = View::whole(size(10, 20));
        view.flop = true;
        cut(&mut view, rect(1, 3, 4, 5));
        assert_eq!(view.window, rect(5, 3, 4, 5));
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let mut view = View::whole(size(30, 30));
        cut(&mut view, rect(10, 10, 10, 10));
        cut(&mut view, rect(-5, -5, 20, 20));
        assert_eq!((view.crop, view.window), (rect(10, 10, 10, 10), rect(-5, -5, 20, 20)));
        let red = Outside::Fill(Fill([9.0, 0.0, 0.0, 0.0]));
        let next = view.crop(rect(-1, -1, 22, 22), red).unwrap();
        assert_eq!((next.crop, next.window, next.outside), (rect(0, 0, 20, 20), rect(-1, -1, 22, 22), red));
        cut(&mut view, rect(-1, -1, 22, 22));
        assert_eq!(view.window, rect(-6, -6, 22, 22));
    }

    #[test]
    fn outsides_are_those_of_torchvision() {
        let shown = |outside: Outside, len| -> Vec<_> { (-3..7).map(|at| outside.source(at, len).unwrap()).collect() };
        assert_eq!(shown(Outside::Edge, 4), [0, 0, 0, 0, 1, 2, 3, 3, 3, 3]);
        assert_eq!(shown(Outside::Reflect, 4), [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]);
        assert_eq!(shown(Outside::Symmetric, 4), [2, 1, 0, 0, 1, 2, 3, 3, 2, 1]);
        assert_eq!(shown(Outside::Reflect, 1), [0; 10]);
        assert_eq!(Outside::default().source(-1, 4), None);
    }

    #[test]
    fn a_second_resize_takes_a_second_pass() {
        let mut view = View::whole(size(10, 20));
        view.flip = !view.flip;
        assert_eq!(view.resize(size(5, 10), Interpolation::Bilinear), None);
        let next = view.resize(size(4, 4), Interpolation::Bicubic).unwrap();
        assert!(!view.flip && next.flip);
        assert_eq!(next.crop, rect(0, 0, 5, 10));
    }

    #[test]
    fn nearest_sees_flipped_pixels() {
        let mut view = View::whole(size(10, 20));
        view.flip = !view.flip;
        let next = view.resize(size(5, 10), Interpolation::Nearest).unwrap();
        assert!(view.flip && !next.flip);
    }
}
