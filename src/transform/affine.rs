//! Rotations and other affine maps, by the arithmetic of torchvision's kernels for tensors.

#![expect(clippy::many_single_char_names, reason = "the six numbers of a matrix, as they are written")]

use super::{
    args::Interpolation,
    canvas::Canvas,
    edit::{Edit, Spare},
    fill::Fill,
    motion::{Motion, around_corners, clamped},
    plan::Plan,
    sample::{Sampling, resampling},
    view::Outside,
};
use crate::geometry::{Rect, Size};

/// Where each pixel of the result is taken from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Warp {
    /// Two rows of three, from positions in the result to positions in the image, each from its centre.
    matrix: [f64; 6],
    /// The size of the result.
    size: Size,
    sampling: Sampling,
}

/// The parameters of an affine map, as torchvision's `affine` has them: degrees, pixels, a factor, degrees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine {
    pub(super) angle: f64,
    pub(super) translate: [f64; 2],
    pub(super) scale: f64,
    pub(super) shear: [f64; 2],
    /// The fixed point, (x, y) in pixels; `None` is the centre.
    pub(super) center: Option<[f64; 2]>,
}

impl Affine {
    /// Returns the rotation by an angle, anticlockwise.
    pub(super) const fn rotation(angle: f64, center: Option<[f64; 2]>) -> Self {
        // `affine` turns clockwise.
        Self { angle: -angle, translate: [0.0; 2], scale: 1.0, shear: [0.0; 2], center }
    }

    /// Returns the map from the result back to the image.
    fn inverse(&self, image: Size) -> [f64; 6] {
        let center = self
            .center
            .map_or([0.0; 2], |[x, y]| [x - f64::from(image.width) * 0.5, y - f64::from(image.height) * 0.5]);
        let [angle, shear_x, shear_y] = [self.angle, self.shear[0], self.shear[1]].map(f64::to_radians);
        let moved = [center[0] + self.translate[0], center[1] + self.translate[1]];
        let a = libm::cos(angle - shear_y) / libm::cos(shear_y);
        let b = -(a * libm::tan(shear_x) + libm::sin(angle));
        let c = libm::sin(angle - shear_y) / libm::cos(shear_y);
        let d = libm::cos(angle) - c * libm::tan(shear_x);
        let [a, b, c, d] = [d / self.scale, -b / self.scale, -c / self.scale, a / self.scale];
        let x = center[0] - a * moved[0] - b * moved[1];
        let y = center[1] - c * moved[0] - d * moved[1];
        [a, b, x, c, d, y]
    }
}

impl Warp {
    /// Returns the map of an image by `affine`; the result has the size of the image.
    pub(super) fn new(affine: &Affine, image: Size, interpolation: Interpolation, fill: Option<Fill>) -> Self {
        Self { matrix: affine.inverse(image), size: image, sampling: Sampling::new(interpolation, fill) }
    }

    /// Adds the map to a plan; a mere translation needs no pass.
    pub(super) fn add_to(self, plan: &mut Plan) {
        match self.translation() {
            Some((x, y)) if self.size == plan.size() => {
                plan.crop(Rect { top: -y, left: -x, size: self.size }, Outside::Fill(self.sampling.outside()));
            }
            Some(_) | None => plan.warp(self, |image| self.motion(image)),
        }
    }

    /// Makes the result as large as it must be to hold the whole image.
    pub(super) fn expand(&mut self, image: Size) {
        let [a, b, x, c, d, y] = self.matrix;
        let (right, bottom) = (f64::from(image.width) * 0.5, f64::from(image.height) * 0.5);
        let corners = [(-right, -bottom), (right, -bottom), (right, bottom), (-right, bottom)];
        // As in Pillow and torchvision, the corners go by the inverse: of a rotation, the extent is the same.
        let extent = |corners: [f64; 4]| {
            let (low, high) = corners.iter().fold((f64::MAX, f64::MIN), |(low, high), &at| (low.min(at), high.max(at)));
            // Torchvision cuts off what rounding may have added.
            let trim = |edge: f64| (edge * 1e4).trunc() / 1e4;
            (trim(high).ceil() - trim(low).floor()) as u32
        };
        self.size = Size {
            width: extent(corners.map(|(h, v)| a * h + b * v + x + right)),
            height: extent(corners.map(|(h, v)| c * h + d * v + y + bottom)),
        };
    }

    /// Makes the map one of a quarter turn, which needs no rounding.
    pub(super) fn quarter(&mut self, anticlockwise: bool, image: Size) {
        let sign = if anticlockwise { 1.0 } else { -1.0 };
        self.matrix = [0.0, -sign, 0.0, sign, 0.0, 0.0];
        self.size = Size { height: image.width, width: image.height };
    }

    /// Returns by how many pixels (x, y) the image is moved, where that is all.
    #[expect(clippy::float_cmp, reason = "any other matrix needs a pass")]
    pub(super) fn translation(&self) -> Option<(i64, i64)> {
        let [a, b, x, c, d, y] = self.matrix;
        let whole = x.fract() == 0.0 && y.fract() == 0.0 && x.abs().max(y.abs()) < 1e6;
        ([a, b, c, d] == [1.0, 0.0, 0.0, 1.0] && whole).then_some((-x as i64, -y as i64))
    }

    /// Returns where the points of an image go: the map the other way.
    pub(super) fn motion(&self, image: Size) -> AffineMotion {
        let [a, b, x, c, d, y] = self.matrix;
        let area = a * d - b * c;
        let [a, b, c, d] = [d / area, -b / area, -c / area, a / area];
        // The matrix counts from the centres, points from the top left.
        let (x, y) = (x + f64::from(image.width) * 0.5, y + f64::from(image.height) * 0.5);
        let across = f64::from(self.size.width) * 0.5 - a * x - b * y;
        let down = f64::from(self.size.height) * 0.5 - c * x - d * y;
        AffineMotion { matrix: [a, b, across, c, d, down].map(|value| value as f32), size: self.size }
    }

    /// Returns the position in the image of the result's pixel (x, y), in pixels from the first one's centre.
    ///
    /// In `f32` and by way of -1 to 1, as torchvision's grid is: where two pixels are equally near, rounding decides.
    #[expect(clippy::inline_always, reason = "it is part of a vectorised loop")]
    #[inline(always)]
    fn positions(&self, image: Size) -> impl Fn(f32, f32) -> (f32, f32) {
        let (width, height) = (image.width as f32, image.height as f32);
        let m = self.matrix.map(|value| value as f32);
        let (half_width, half_height) = (0.5 * width, 0.5 * height);
        let across = [m[0] / half_width, m[1] / half_width, m[2] / half_width];
        let down = [m[3] / half_height, m[4] / half_height, m[5] / half_height];
        let middle = ((self.size.width as f32 - 1.0) * 0.5, (self.size.height as f32 - 1.0) * 0.5);
        move |x, y| {
            let (x, y) = (x - middle.0, y - middle.1);
            let (h, v) = (x * across[0] + y * across[1] + across[2], x * down[0] + y * down[1] + down[2]);
            (((h + 1.0) * width - 1.0) / 2.0, ((v + 1.0) * height - 1.0) / 2.0)
        }
    }
}

/// Two rows of three, from positions in the image to positions in the result, which has this size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct AffineMotion {
    matrix: [f32; 6],
    size: Size,
}

impl Motion for AffineMotion {
    fn point(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let [a, b, c, d, e, f] = self.matrix;
        [x * a + y * b + c, x * d + y * e + f]
    }

    fn bounds(&self, bounds: [f32; 4]) -> [f32; 4] {
        clamped(around_corners(bounds, |corner| self.point(corner)), self.size)
    }
}

impl Edit for Warp {
    fn output(&self, _image: Size) -> Size {
        self.size
    }

    fn is_symmetric(&self) -> bool {
        false
    }

    fn apply(&self, image: &mut Canvas, spare: &mut Spare) {
        resample(self, self.size, image, spare);
    }
}

resampling!(Warp);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::PixelType;

    const IMAGE: [u8; 6] = [1, 2, 3, 4, 5, 6];
    const SIZE: Size = Size { height: 2, width: 3 };

    fn warped(warp: &Warp) -> Vec<u8> {
        let mut image = Canvas::default();
        image.reset(SIZE, PixelType::GREY8).copy_from_slice(&IMAGE);
        warp.apply(&mut image, &mut Spare::default());
        image.pixels().to_vec()
    }

    fn moved(x: f64, y: f64) -> Affine {
        Affine { translate: [x, y], ..Affine::rotation(0.0, None) }
    }

    #[test]
    fn quarter_turns_are_exact() {
        for filter in [Interpolation::Nearest, Interpolation::Bilinear] {
            let mut warp = Warp::new(&Affine::rotation(90.0, None), SIZE, filter, None);
            warp.quarter(true, SIZE);
            assert_eq!(warped(&warp), [3, 6, 2, 5, 1, 4]);
            warp.quarter(false, SIZE);
            assert_eq!(warped(&warp), [4, 1, 5, 2, 6, 3]);
        }
    }

    #[test]
    fn translations_are_found() {
        let warp = |affine: &Affine| Warp::new(affine, SIZE, Interpolation::Nearest, Some(Fill([9.0; 4])));
        assert_eq!(warp(&moved(1.0, 0.0)).translation(), Some((1, 0)));
        assert_eq!(warped(&warp(&moved(1.0, 0.0))), [9, 1, 2, 9, 4, 5]);
        assert_eq!(warp(&moved(0.5, 0.0)).translation(), None);
        assert_eq!(warp(&Affine::rotation(1.0, None)).translation(), None);
    }

    #[test]
    fn mixed_edges_weigh_as_in_torchvision() {
        let warp = |fill| Warp::new(&moved(0.5, 0.0), SIZE, Interpolation::Bilinear, fill);
        // Half of the first pixel lies outside: 0.5 of 1, and with a fill half of what 0.5 is above it.
        assert_eq!(warped(&warp(None)), [0, 2, 2, 2, 4, 6]);
        assert_eq!(warped(&warp(Some(Fill([100.0; 4])))), [50, 2, 2, 51, 4, 6]);
    }

    #[test]
    fn expanded_sizes_are_those_of_torchvision() {
        // Worked out from the formulas of torchvision 0.29 `_compute_affine_output_size`.
        for (angle, image, expected) in [
            (45.0, Size { height: 100, width: 100 }, Size { height: 142, width: 142 }),
            (30.0, Size { height: 100, width: 200 }, Size { height: 188, width: 224 }),
            (0.0, Size { height: 3, width: 5 }, Size { height: 3, width: 5 }),
        ] {
            let mut warp = Warp::new(&Affine::rotation(angle, None), image, Interpolation::Nearest, None);
            warp.expand(image);
            assert_eq!(warp.size, expected, "{angle}");
        }
    }

    #[test]
    fn a_turned_box_is_the_upright_one_around_it() {
        // A quarter turn clockwise about (0, 0), moved back into view.
        let size = Size { height: 20, width: 30 };
        let turn = AffineMotion { matrix: [0.0, -1.0, 20.0, 1.0, 0.0, 0.0], size };
        assert_eq!(turn.bounds([1.0, 2.0, 5.0, 4.0]).map(f32::to_bits), [16.0, 1.0, 18.0, 5.0].map(f32::to_bits));
        let shear = AffineMotion { matrix: [1.0, 1.0, 0.0, 0.0, 1.0, 0.0], size };
        assert_eq!(shear.bounds([1.0, 2.0, 5.0, 4.0]).map(f32::to_bits), [3.0, 2.0, 9.0, 4.0].map(f32::to_bits));
    }
}
