//! Which pixels of an image end up where, before any is touched.

use super::{
    Interpolation,
    chain::Region,
    geometry::{Rect, Size},
};

/// A crop of an image, then perhaps a resize, then a window of that, then perhaps a flip.
///
/// Every chain of crops, flips and one resize is one view. So crops and flips cost no pass of their own, and the
/// decoder can be told which part of the image is needed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct View {
    /// The part of the input that is read; it lies inside the input.
    pub(super) crop: Rect,
    /// What the crop is resized to.
    pub(super) scale: Option<(Size, Interpolation)>,
    /// The part of the crop, or of the resized crop, that is shown. Outside of it is zero.
    pub(super) window: Rect,
    /// Whether the window is shown mirrored, left to right.
    pub(super) flip: bool,
}

impl View {
    /// Returns the view of a whole image.
    pub(super) const fn whole(image: Size) -> Self {
        Self { crop: Rect::whole(image), scale: None, window: Rect::whole(image), flip: false }
    }

    /// Returns the size of what the view shows.
    pub(super) const fn size(&self) -> Size {
        self.window.size
    }

    /// Returns the size of what the window lies in.
    pub(super) fn content(&self) -> Size {
        self.scale.map_or(self.crop.size, |(size, _)| size)
    }

    /// Mirrors what is shown.
    pub(super) const fn flip(&mut self) {
        self.flip = !self.flip;
    }

    /// Shows only a box of what is shown.
    pub(super) const fn crop(&mut self, part: Rect) {
        let left = if self.flip { self.window.size.width as i64 - part.right() } else { part.left };
        self.window = Rect { top: self.window.top + part.top, left: self.window.left + left, size: part.size };
    }

    /// Resizes what is shown. Where that takes a second pass over the pixels, returns the view of the first
    /// pass's result, and leaves that pass in `self`.
    pub(super) fn resize(&mut self, size: Size, interpolation: Interpolation) -> Option<Self> {
        if size == self.size() {
            return None;
        }
        // Nearest picks another neighbour in the mirror, so it must see the flipped pixels.
        let mirrored = self.flip && interpolation == Interpolation::Nearest;
        if self.scale.is_none() && self.window.is_inside(self.crop.size) && !mirrored {
            self.crop = self.inner_crop();
            self.scale = Some((size, interpolation));
            self.window = Rect::whole(size);
            return None;
        }
        let mut next = Self::whole(self.size());
        if !mirrored {
            next.flip = std::mem::take(&mut self.flip);
        }
        next.scale = Some((size, interpolation));
        next.window = Rect::whole(size);
        Some(next)
    }

    /// Returns the part of the input that is needed.
    pub(super) fn region(&self) -> Region {
        let Rect { top, left, size } = self.needed();
        let resized = self.scale.map(|(size, _)| (size.height, size.width));
        Region { top: top as u32, left: left as u32, height: size.height, width: size.width, resized }
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

    /// Returns the box of the input that is read: all of a crop that is resized, what the window shows of another.
    fn needed(&self) -> Rect {
        match self.window.intersection(self.crop.size) {
            Some(shown) if self.scale.is_none() => {
                Rect { top: self.crop.top + shown.top, left: self.crop.left + shown.left, size: shown.size }
            }
            _ => self.crop,
        }
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

    #[test]
    fn crop_resize_crop_is_one_view() {
        let mut view = View::whole(size(100, 200));
        view.crop(rect(10, 20, 50, 60));
        assert_eq!(view.resize(size(25, 30), Interpolation::Bilinear), None);
        view.crop(rect(1, 2, 3, 4));
        let expected = View {
            crop: rect(10, 20, 50, 60),
            scale: Some((size(25, 30), Interpolation::Bilinear)),
            window: rect(1, 2, 3, 4),
            flip: false,
        };
        assert_eq!(view, expected);
    }

    #[test]
    fn a_crop_after_a_flip_is_mirrored() {
        let mut view = View::whole(size(10, 20));
        view.flip();
        view.crop(rect(0, 3, 10, 5));
        assert_eq!(view.window, rect(0, 12, 10, 5));
        view.flip();
        view.crop(rect(0, 1, 10, 2));
        assert_eq!(view.window, rect(0, 13, 10, 2));
    }

    #[test]
    fn a_second_resize_takes_a_second_pass() {
        let mut view = View::whole(size(10, 20));
        view.flip();
        assert_eq!(view.resize(size(5, 10), Interpolation::Bilinear), None);
        let next = view.resize(size(4, 4), Interpolation::Bicubic).unwrap();
        assert!(!view.flip && next.flip);
        assert_eq!(next.crop, rect(0, 0, 5, 10));
    }

    #[test]
    fn nearest_sees_flipped_pixels() {
        let mut view = View::whole(size(10, 20));
        view.flip();
        let next = view.resize(size(5, 10), Interpolation::Nearest).unwrap();
        assert!(view.flip && !next.flip);
    }
}
