//! Where the places of an image go, one step of its geometry after the other, by torchvision's kernels for bounding
//! boxes and keypoints.

#![expect(clippy::many_single_char_names, reason = "the six numbers of a matrix, as they are written")]

use crate::geometry::Size;

/// What one transform does to the places of an image. Edges of pixels are whole numbers, in pixels from the top left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Motion {
    /// A box is cut out, or a border added: the new first pixel was at (`left`, `top`).
    Crop { left: f32, top: f32, size: Size },
    /// The whole of one size becomes the whole of another.
    Resize { from: Size, to: Size },
    /// The image of this width is mirrored, left to right.
    Flip { width: f32 },
    /// The image of this height is turned upside down.
    Flop { height: f32 },
    /// Two rows of three, from places in the image to places in the result, which has this size.
    Affine { matrix: [f32; 6], size: Size },
}

impl Motion {
    /// Returns where a point goes. Points are the centres of pixels, counted from 0, when they are mirrored, and places
    /// between the edges of the image otherwise: so does torchvision.
    pub(super) fn point(self, [x, y]: [f32; 2]) -> [f32; 2] {
        match self {
            Self::Crop { left, top, .. } => [x - left, y - top],
            Self::Resize { from, to } => [scaled(x, from.width, to.width), scaled(y, from.height, to.height)],
            Self::Flip { width } => [width - 1.0 - x, y],
            Self::Flop { height } => [x, height - 1.0 - y],
            Self::Affine { matrix: [a, b, c, d, e, f], .. } => [x * a + y * b + c, x * d + y * e + f],
        }
    }

    /// Returns where a box of (left, top, right, bottom) goes: the part of it that is still in the image, after a step
    /// that may have moved it out. What is turned becomes the smallest upright box around it.
    pub(super) fn bounds(self, [left, top, right, bottom]: [f32; 4]) -> [f32; 4] {
        match self {
            Self::Crop { size, .. } => {
                let ([left, top], [right, bottom]) = (self.point([left, top]), self.point([right, bottom]));
                clamped([left, top, right, bottom], size)
            }
            Self::Resize { .. } => {
                let ([left, top], [right, bottom]) = (self.point([left, top]), self.point([right, bottom]));
                [left, top, right, bottom]
            }
            Self::Flip { width } => [width - right, top, width - left, bottom],
            Self::Flop { height } => [left, height - bottom, right, height - top],
            Self::Affine { size, .. } => {
                let corners = [[left, top], [right, top], [right, bottom], [left, bottom]].map(|at| self.point(at));
                let [x, y] = [0, 1].map(|axis| corners.map(|corner| corner[axis]));
                let low = |values: [f32; 4]| values.into_iter().fold(f32::INFINITY, f32::min);
                let high = |values: [f32; 4]| values.into_iter().fold(f32::NEG_INFINITY, f32::max);
                clamped([low(x), low(y), high(x), high(y)], size)
            }
        }
    }
}

/// Returns where a place along one edge of an image goes. What is not beyond the edge does not go beyond it, as by a
/// multiplication with a rounded ratio it may.
fn scaled(place: f32, from: u32, to: u32) -> f32 {
    (f64::from(place) * f64::from(to) / f64::from(from)) as f32
}

/// Returns the part of a box that lies in an image.
pub(super) fn clamped([left, top, right, bottom]: [f32; 4], size: Size) -> [f32; 4] {
    let (width, height) = (size.width as f32, size.height as f32);
    [left.clamp(0.0, width), top.clamp(0.0, height), right.clamp(0.0, width), bottom.clamp(0.0, height)]
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these numbers have no fractions to round")]
mod tests {
    use super::*;

    const SIZE: Size = Size { height: 20, width: 30 };

    #[test]
    fn boxes_are_cut_off_where_the_image_ends() {
        let crop = Motion::Crop { left: 5.0, top: -2.0, size: SIZE };
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
                let resize = Motion::Resize { from: size(from), to: size(to) };
                assert_eq!(resize.bounds([0.0, 0.0, 10.0, from as f32]), [0.0, 0.0, 10.0, to as f32]);
            }
        }
    }

    #[test]
    fn mirrored_edges_and_mirrored_pixels_differ_by_one() {
        assert_eq!(Motion::Flip { width: 30.0 }.bounds([1.0, 2.0, 11.0, 4.0]), [19.0, 2.0, 29.0, 4.0]);
        assert_eq!(Motion::Flip { width: 30.0 }.point([0.0, 2.0]), [29.0, 2.0]);
        assert_eq!(Motion::Flop { height: 20.0 }.bounds([1.0, 2.0, 11.0, 4.0]), [1.0, 16.0, 11.0, 18.0]);
        assert_eq!(Motion::Flop { height: 20.0 }.point([0.0, 2.0]), [0.0, 17.0]);
    }

    #[test]
    fn a_turned_box_is_the_upright_one_around_it() {
        // A quarter turn clockwise about (0, 0), moved back into view.
        let turn = Motion::Affine { matrix: [0.0, -1.0, 20.0, 1.0, 0.0, 0.0], size: SIZE };
        assert_eq!(turn.bounds([1.0, 2.0, 5.0, 4.0]), [16.0, 1.0, 18.0, 5.0]);
        let shear = Motion::Affine { matrix: [1.0, 1.0, 0.0, 0.0, 1.0, 0.0], size: SIZE };
        assert_eq!(shear.bounds([1.0, 2.0, 5.0, 4.0]), [3.0, 2.0, 9.0, 4.0]);
    }
}
