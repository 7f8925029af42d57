//! Where the points and boxes of an image go, one step of its geometry after the other, by torchvision's kernels for
//! bounding boxes and keypoints. Edges of pixels are whole numbers, in pixels from the top left.

use std::fmt::Debug;

use crate::geometry::Size;

/// What one operation does to the points and boxes of an image.
pub(crate) trait Motion: Debug + Send {
    /// Returns where a point (x, y) goes. Points are the centres of pixels, counted from 0, when they are mirrored, and
    /// positions between the edges of the image otherwise: so does torchvision.
    fn point(&self, point: [f32; 2]) -> [f32; 2];

    /// Returns where a box of (left, top, right, bottom) goes: the part of it that is still in the image, after a step
    /// that may have moved it out. What is turned becomes the smallest upright box around it.
    fn bounds(&self, bounds: [f32; 4]) -> [f32; 4];
}

/// A box is cut out, or a border added: the new first pixel was at (`left`, `top`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Crop {
    pub(super) left: f32,
    pub(super) top: f32,
    pub(super) size: Size,
}

impl Motion for Crop {
    fn point(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [x - self.left, y - self.top]
    }

    fn bounds(&self, [left, top, right, bottom]: [f32; 4]) -> [f32; 4] {
        let ([left, top], [right, bottom]) = (self.point([left, top]), self.point([right, bottom]));
        clamped([left, top, right, bottom], self.size)
    }
}

/// The whole of one size becomes the whole of another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resize {
    pub(super) from: Size,
    pub(super) to: Size,
}

impl Motion for Resize {
    fn point(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [scaled(x, self.from.width, self.to.width), scaled(y, self.from.height, self.to.height)]
    }

    fn bounds(&self, [left, top, right, bottom]: [f32; 4]) -> [f32; 4] {
        let ([left, top], [right, bottom]) = (self.point([left, top]), self.point([right, bottom]));
        [left, top, right, bottom]
    }
}

/// Returns where a position along one edge of an image goes. What is not beyond the edge does not go beyond it, as by a
/// multiplication with a rounded ratio it may.
fn scaled(position: f32, from: u32, to: u32) -> f32 {
    (f64::from(position) * f64::from(to) / f64::from(from)) as f32
}

/// The image of this width is mirrored, left to right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flip {
    pub(super) width: f32,
}

impl Motion for Flip {
    fn point(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [self.width - 1.0 - x, y]
    }

    fn bounds(&self, [left, top, right, bottom]: [f32; 4]) -> [f32; 4] {
        [self.width - right, top, self.width - left, bottom]
    }
}

/// The image of this height is turned upside down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flop {
    pub(super) height: f32,
}

impl Motion for Flop {
    fn point(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [x, self.height - 1.0 - y]
    }

    fn bounds(&self, [left, top, right, bottom]: [f32; 4]) -> [f32; 4] {
        [left, self.height - bottom, right, self.height - top]
    }
}

/// Returns the part of a box that lies in an image.
pub(super) fn clamped([left, top, right, bottom]: [f32; 4], size: Size) -> [f32; 4] {
    let (width, height) = (size.width as f32, size.height as f32);
    [left.clamp(0.0, width), top.clamp(0.0, height), right.clamp(0.0, width), bottom.clamp(0.0, height)]
}

/// Returns the smallest upright box around where the corners of a box go.
pub(super) fn around_corners([left, top, right, bottom]: [f32; 4], point: impl Fn([f32; 2]) -> [f32; 2]) -> [f32; 4] {
    let corners = [[left, top], [right, top], [right, bottom], [left, bottom]].map(point);
    let [x, y] = [0, 1].map(|axis| corners.map(|corner| corner[axis]));
    let low = |values: [f32; 4]| values.into_iter().fold(f32::INFINITY, f32::min);
    let high = |values: [f32; 4]| values.into_iter().fold(f32::NEG_INFINITY, f32::max);
    [low(x), low(y), high(x), high(y)]
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these numbers have no fractions to round")]
mod tests {
    use super::*;

    const SIZE: Size = Size { height: 20, width: 30 };

    #[test]
    fn boxes_are_cut_off_where_the_image_ends() {
        let crop = Crop { left: 5.0, top: -2.0, size: SIZE };
        assert_eq!(crop.bounds([1.0, 1.0, 10.0, 40.0]), [0.0, 3.0, 5.0, 20.0]);
        assert_eq!(crop.point([1.0, 1.0]), [-4.0, 3.0]);
        // Nothing is left of a box outside.
        assert_eq!(crop.bounds([1.0, 1.0, 4.0, 4.0]), [0.0, 3.0, 0.0, 6.0]);
    }

    #[test]
    fn the_edge_of_the_resized_is_the_resized_edge() {
        for from in 1..2000 {
            for to in [1, 3, 192, 224, 1333] {
                let size = |edge| Size { height: edge, width: 10 };
                let resize = Resize { from: size(from), to: size(to) };
                assert_eq!(resize.bounds([0.0, 0.0, 10.0, from as f32]), [0.0, 0.0, 10.0, to as f32]);
            }
        }
    }

    #[test]
    fn mirrored_edges_and_mirrored_pixels_differ_by_one() {
        assert_eq!(Flip { width: 30.0 }.bounds([1.0, 2.0, 11.0, 4.0]), [19.0, 2.0, 29.0, 4.0]);
        assert_eq!(Flip { width: 30.0 }.point([0.0, 2.0]), [29.0, 2.0]);
        assert_eq!(Flop { height: 20.0 }.bounds([1.0, 2.0, 11.0, 4.0]), [1.0, 16.0, 11.0, 18.0]);
        assert_eq!(Flop { height: 20.0 }.point([0.0, 2.0]), [0.0, 17.0]);
    }
}
