//! Sizes and boxes of images, in pixels.

/// The size of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// The number of rows.
    pub height: u32,
    /// The number of columns.
    pub width: u32,
}

impl Size {
    /// Returns the size that one number, a square, or (height, width) stand for.
    pub fn of(size: &[u32]) -> Self {
        Self { height: size[0], width: size[size.len() - 1] }
    }

    /// Returns the number of pixels.
    pub const fn area(self) -> u64 {
        self.height as u64 * self.width as u64
    }
}

/// A box in an image's pixels; it may reach beyond the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rect {
    /// The first row.
    pub top: i64,
    /// The first column.
    pub left: i64,
    /// How many rows and columns.
    pub size: Size,
}

impl Rect {
    /// Returns the box that covers an image.
    pub const fn whole(size: Size) -> Self {
        Self { top: 0, left: 0, size }
    }

    /// Returns the row behind the last one.
    pub const fn bottom(self) -> i64 {
        self.top.saturating_add(self.size.height as i64)
    }

    /// Returns the column behind the last one.
    pub const fn right(self) -> i64 {
        self.left.saturating_add(self.size.width as i64)
    }

    /// Returns the part of the box that lies inside an image, if any does.
    pub fn intersection(self, image: Size) -> Option<Self> {
        let (top, left) = (self.top.max(0), self.left.max(0));
        let (bottom, right) = (self.bottom().min(image.height.into()), self.right().min(image.width.into()));
        (top < bottom && left < right).then(|| Self {
            top,
            left,
            size: Size { height: (bottom - top) as u32, width: (right - left) as u32 },
        })
    }

    /// Tells whether the box lies inside an image.
    pub const fn is_inside(self, image: Size) -> bool {
        self.top >= 0 && self.left >= 0 && self.bottom() <= image.height as i64 && self.right() <= image.width as i64
    }
}
