//! Rotations and other affine maps, by the arithmetic of torchvision's kernels for tensors.

#![expect(clippy::many_single_char_names, reason = "the six numbers of a matrix, as they are written")]

use super::{
    Interpolation,
    motion::Motion,
    vector::{rounded, vectorised},
};
use crate::geometry::Size;

/// Where each pixel of the result is taken from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Warp {
    /// Two rows of three, from places in the result to places in the image, each from its centre.
    matrix: [f64; 6],
    /// The size of the result.
    pub(super) size: Size,
    /// Whether four neighbours are mixed, rather than the nearest taken.
    mixes: bool,
    /// What lies outside the image; `None` is black, and at a mixed edge less so than `Some` of zeros: torchvision
    /// then weighs the edge once instead of twice.
    fill: Option<[u8; 3]>,
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
    pub(super) fn new(affine: &Affine, image: Size, interpolation: Interpolation, fill: Option<[u8; 3]>) -> Self {
        let mixes = interpolation == Interpolation::Bilinear;
        Self { matrix: affine.inverse(image), size: image, mixes, fill }
    }

    /// Makes the result as large as it must be to hold the whole image.
    pub(super) fn expand(&mut self, image: Size) {
        let [a, b, x, c, d, y] = self.matrix;
        let (right, bottom) = (f64::from(image.width) * 0.5, f64::from(image.height) * 0.5);
        let corners = [(-right, -bottom), (right, -bottom), (right, bottom), (-right, bottom)];
        // As in Pillow and torchvision, the corners go by the inverse: of a rotation, the extent is the same.
        let extent = |places: [f64; 4]| {
            let (low, high) = places.iter().fold((f64::MAX, f64::MIN), |(low, high), &at| (low.min(at), high.max(at)));
            // Torchvision cuts off what rounding may have added.
            let trim = |place: f64| (place * 1e4).trunc() / 1e4;
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

    /// Returns where the places of an image go: the map the other way.
    pub(super) fn motion(&self, image: Size) -> Motion {
        let [a, b, x, c, d, y] = self.matrix;
        let area = a * d - b * c;
        let [a, b, c, d] = [d / area, -b / area, -c / area, a / area];
        // The matrix counts from the centres, places from the top left.
        let (x, y) = (x + f64::from(image.width) * 0.5, y + f64::from(image.height) * 0.5);
        let across = f64::from(self.size.width) * 0.5 - a * x - b * y;
        let down = f64::from(self.size.height) * 0.5 - c * x - d * y;
        Motion::Affine { matrix: [a, b, across, c, d, down].map(|value| value as f32), size: self.size }
    }

    /// Returns what lies outside the image.
    pub(super) fn fill(&self) -> [u8; 3] {
        self.fill.unwrap_or_default()
    }

    /// Writes what the map makes of an image.
    pub(super) fn apply(&self, image: &[u8], size: Size, channels: usize, out: &mut [u8]) {
        match (channels, self.mixes) {
            (3, false) => nearest_rgb(self, image, size, out),
            (_, false) => nearest_gray(self, image, size, out),
            (3, true) => mixed_rgb(self, image, size, out),
            (_, true) => mixed_gray(self, image, size, out),
        }
    }

    /// Returns the place in the image of the result's pixel (x, y), in pixels from the first one's centre.
    ///
    /// In `f32` and by way of -1 to 1, as torchvision's grid is: where two pixels are equally near, rounding decides.
    #[expect(clippy::inline_always, reason = "it is part of a vectorised loop")]
    #[inline(always)]
    fn places(&self, image: Size) -> impl Fn(f32, f32) -> (f32, f32) {
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

/// How many places are computed at once.
const BLOCK: usize = 16;

/// Rounds to a whole number, halves to even; what is negative becomes larger than any image.
#[inline(always)]
const fn nearest_whole(place: f32) -> u32 {
    /// 1.5 * 2^23: added to a smaller number, it leaves the whole part in the lowest bits, negative ones too.
    const WHOLE: f32 = 12_582_912.0;
    (place.clamp(-1.0, 1e6) + WHOLE).to_bits().wrapping_sub(WHOLE.to_bits())
}

/// Takes the nearest pixel.
#[expect(clippy::inline_always, reason = "it is the body of vectorised loops")]
#[inline(always)]
fn nearest<const C: usize>(warp: &Warp, image: &[u8], size: Size, out: &mut [u8]) {
    let (place, fill) = (warp.places(size), warp.fill());
    let image = image.as_chunks::<C>().0;
    let fill: [u8; C] = std::array::from_fn(|channel| fill[channel]);
    let rows = out.as_chunks_mut::<C>().0.chunks_exact_mut(warp.size.width as usize);
    for (y, out) in rows.enumerate() {
        for (start, out) in (0..).step_by(BLOCK).zip(out.chunks_mut(BLOCK)) {
            let mut places = [(0, 0); BLOCK];
            for (x, to) in places.iter_mut().enumerate() {
                let (h, v) = place((start + x) as f32, y as f32);
                *to = (nearest_whole(h), nearest_whole(v));
            }
            for ((h, v), out) in places.into_iter().zip(out) {
                // What is negative is large as an unsigned number.
                *out = if h < size.width && v < size.height {
                    image[v as usize * size.width as usize + h as usize]
                } else {
                    fill
                };
            }
        }
    }
}

/// Mixes four neighbours; what lies outside the image weighs nothing, and the fill makes up for it.
#[expect(clippy::inline_always, reason = "it is the body of vectorised loops")]
#[inline(always)]
fn mixed<const C: usize>(warp: &Warp, image: &[u8], size: Size, out: &mut [u8]) {
    let (place, fill) = (warp.places(size), warp.fill().map(f32::from));
    let image = image.as_chunks::<C>().0;
    let width = size.width as usize;
    let rows = out.as_chunks_mut::<C>().0.chunks_exact_mut(warp.size.width as usize);
    for (y, out) in rows.enumerate() {
        for (x, out) in out.iter_mut().enumerate() {
            let (h, v) = place(x as f32, y as f32);
            let (left, top) = (h.floor(), v.floor());
            let (right, bottom) = (h - left, v - top);
            let weights =
                [(1.0 - right) * (1.0 - bottom), right * (1.0 - bottom), (1.0 - right) * bottom, right * bottom];
            let (left, top) = (left as i32, top as i32);
            let (mut sums, mut inside) = ([0.0; C], 0.0);
            for (at, weight) in weights.into_iter().enumerate() {
                let (h, v) = (left.wrapping_add(at as i32 & 1), top.wrapping_add(at as i32 >> 1));
                if (h as u32) < size.width && (v as u32) < size.height {
                    let pixel = image[v as usize * width + h as usize];
                    inside += weight;
                    for (sum, value) in sums.iter_mut().zip(pixel) {
                        *sum += weight * f32::from(value);
                    }
                }
            }
            *out = std::array::from_fn(|channel| {
                let filled = match warp.fill {
                    Some(_) => (sums[channel] - fill[channel]) * inside + fill[channel],
                    None => sums[channel],
                };
                rounded(filled.clamp(0.0, 255.0))
            });
        }
    }
}

vectorised! {
    fn nearest_rgb(warp: &Warp, image: &[u8], size: Size, out: &mut [u8]) {
        nearest::<3>(warp, image, size, out);
    }
}

vectorised! {
    fn nearest_gray(warp: &Warp, image: &[u8], size: Size, out: &mut [u8]) {
        nearest::<1>(warp, image, size, out);
    }
}

vectorised! {
    fn mixed_rgb(warp: &Warp, image: &[u8], size: Size, out: &mut [u8]) {
        mixed::<3>(warp, image, size, out);
    }
}

vectorised! {
    fn mixed_gray(warp: &Warp, image: &[u8], size: Size, out: &mut [u8]) {
        mixed::<1>(warp, image, size, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: [u8; 6] = [1, 2, 3, 4, 5, 6];
    const SIZE: Size = Size { height: 2, width: 3 };

    fn warped(warp: &Warp) -> Vec<u8> {
        let mut out = vec![0xee; warp.size.area() as usize];
        warp.apply(&IMAGE, SIZE, 1, &mut out);
        out
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
        let warp = |affine: &Affine| Warp::new(affine, SIZE, Interpolation::Nearest, Some([9; 3]));
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
        assert_eq!(warped(&warp(Some([100; 3]))), [50, 2, 2, 51, 4, 6]);
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
}
