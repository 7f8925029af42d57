//! `RandomPerspective`, by the formulas of torchvision's `perspective` on tensors.

#![expect(clippy::many_single_char_names, reason = "the eight coefficients of a map, as they are written")]

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::{Interpolation, black, channels, check_fill_of, check_probability, check_warp, half, single},
    canvas::Canvas,
    edit::{Edit, Spare},
    motion::{Motion, around_corners, clamped},
    op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
    plan::Plan,
    sample::{Sampling, resampling},
};
use crate::{drawn, geometry::Size, rng::Draws};

/// Shows the image from another point of view, with probability `p`: each corner moves to a random position near it.
///
/// Where the corners that were drawn span no area, which happens with tiny images and `distortion_scale` near 1, the
/// image stays as it is; torchvision raises an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RandomPerspective {
    /// How far a corner moves at most: a fraction, 0 to 1, of half the width and of half the height.
    #[serde(default = "half")]
    pub distortion_scale: f64,
    /// The probability.
    #[serde(default = "half")]
    pub p: f64,
    /// `Nearest` or `Bilinear`.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// What lies outside the image.
    #[serde(default = "black")]
    pub fill: Option<Vec<f32>>,
}

impl Operation for RandomPerspective {
    fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.distortion_scale) {
            return Err(format!("distortion_scale = {} must lie between 0 and 1", self.distortion_scale));
        }
        check_probability(self.p)?;
        check_warp(self.interpolation, self.fill.as_deref())
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for RandomPerspective {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        check_fill_of(self.fill.as_deref(), input.pixel)?;
        Ok(input)
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let (mut draws, size) = (key.draws(), plan.size());
        if draws.unit() >= self.p {
            drawn::tell(|| [("applied", false.into())]);
            return Ok(());
        }
        let corners = corners(size, self.distortion_scale, &mut draws);
        drawn::tell(|| [("applied", true.into()), ("endpoints", corners.map(Vec::from).into())]);
        if let Some(coefficients) = coefficients(size, corners)
            && let Some(motion) = PerspectiveMotion::new(coefficients, size)
        {
            let sampling = Sampling::new(self.interpolation, channels(self.fill.as_deref()));
            plan.warp(Perspective { coefficients: coefficients.map(|value| value as f32), sampling }, |_| motion);
        }
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        let fill = single(self.fill.as_deref());
        OnMask::Moves(Arc::new(Self { interpolation: Interpolation::Nearest, fill, ..self.clone() }))
    }
}

/// Draws where the corners go, (x, y) each, clockwise from the top left: torchvision's `make_params`.
fn corners(Size { height, width }: Size, distortion_scale: f64, draws: &mut Draws) -> [[u32; 2]; 4] {
    let bound = |edge: u32| (distortion_scale * f64::from(edge / 2)) as u32 + 1;
    let (across, down) = (bound(width), bound(height));
    let near = |edge: u32, bound: u32, far: bool, draws: &mut Draws| {
        // An edge of one pixel has one position.
        let bound = bound.min(edge);
        let from_edge = draws.below(bound.into()) as u32;
        if far { edge - bound + from_edge } else { from_edge }
    };
    [(false, false), (true, false), (true, true), (false, true)]
        .map(|(right, bottom)| [near(width, across, right, draws), near(height, down, bottom, draws)])
}

/// Returns the eight coefficients of the map from the result back to the image, rounded to `f32`: torchvision's
/// `_get_perspective_coeffs`. None where the corners do not determine it.
fn coefficients(Size { height, width }: Size, corners: [[u32; 2]; 4]) -> Option<[f64; 8]> {
    let (right, bottom) = (f64::from(width) - 1.0, f64::from(height) - 1.0);
    let starts = [[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]];
    let mut rows = [[0.0; 9]; 8];
    for (at, ([to_x, to_y], [x, y])) in starts.into_iter().zip(corners.map(|corner| corner.map(f64::from))).enumerate() {
        rows[2 * at] = [x, y, 1.0, 0.0, 0.0, 0.0, -to_x * x, -to_x * y, to_x];
        rows[2 * at + 1] = [0.0, 0.0, 0.0, x, y, 1.0, -to_y * x, -to_y * y, to_y];
    }
    solve(rows).map(|solution| solution.map(|value| f64::from(value as f32)))
}

/// Solves eight linear equations, each with its right side last, by Gauss's elimination.
fn solve(mut rows: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    const SINGULAR: f64 = 1e-9;
    for step in 0..8 {
        let pivot = (step..8).max_by(|a, b| rows[*a][step].abs().total_cmp(&rows[*b][step].abs()))?;
        rows.swap(step, pivot);
        if rows[step][step].abs() < SINGULAR {
            return None;
        }
        let from = rows[step];
        for row in &mut rows[step + 1..] {
            let factor = row[step] / from[step];
            for (value, from) in row[step..].iter_mut().zip(&from[step..]) {
                *value -= factor * from;
            }
        }
    }
    let mut solution = [0.0; 8];
    for step in (0..8).rev() {
        let known: f64 = (step + 1..8).map(|at| rows[step][at] * solution[at]).sum();
        solution[step] = (rows[step][8] - known) / rows[step][step];
    }
    Some(solution)
}

/// Where each pixel of the result is taken from.
#[derive(Clone, Copy, Debug)]
struct Perspective {
    coefficients: [f32; 8],
    sampling: Sampling,
}

impl Edit for Perspective {
    fn output(&self, image: Size) -> Size {
        image
    }

    fn is_symmetric(&self) -> bool {
        false
    }

    fn apply(&self, image: &mut Canvas, spare: &mut Spare) {
        resample(self, image.size, image, spare);
    }
}

impl Perspective {
    /// Returns the position in the image of the result's pixel (x, y), in pixels from the first one's centre.
    ///
    /// In `f32` and by way of -1 to 1, as torchvision's grid is.
    #[expect(clippy::inline_always, reason = "it is part of a vectorised loop")]
    #[inline(always)]
    fn positions(&self, Size { height, width }: Size) -> impl Fn(f32, f32) -> (f32, f32) {
        let (width, height) = (width as f32, height as f32);
        let c = self.coefficients;
        let across = [c[0], c[1], c[2]].map(|value| value / (0.5 * width));
        let down = [c[3], c[4], c[5]].map(|value| value / (0.5 * height));
        move |x, y| {
            let (x, y) = (x + 0.5, y + 0.5);
            let divisor = x * c[6] + y * c[7] + 1.0;
            if divisor == 0.0 {
                // Infinitely far away.
                return (-2.0, -2.0);
            }
            let h = (x * across[0] + y * across[1] + across[2]) / divisor - 1.0;
            let v = (x * down[0] + y * down[1] + down[2]) / divisor - 1.0;
            (((h + 1.0) * width - 1.0) / 2.0, ((v + 1.0) * height - 1.0) / 2.0)
        }
    }
}

resampling!(Perspective);

/// The coefficients of the map from the image to the result, which has this size.
#[derive(Clone, Copy, Debug)]
struct PerspectiveMotion {
    coefficients: [f32; 8],
    size: Size,
}

impl PerspectiveMotion {
    /// Turns the coefficients of the map back into those of the map there: torchvision's `_compute_perspective_thetas`.
    fn new([a, b, c, d, e, f, g, h]: [f64; 8], size: Size) -> Option<Self> {
        let area = a * e - b * d;
        let inverse = [
            e - f * h,
            c * h - b,
            b * f - c * e,
            f * g - d,
            a - c * g,
            c * d - a * f,
            d * h - e * g,
            b * g - a * h,
        ];
        (area != 0.0).then(|| Self { coefficients: inverse.map(|value| (value / area) as f32), size })
    }
}

impl Motion for PerspectiveMotion {
    fn point(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let [a, b, c, d, e, f, g, h] = self.coefficients;
        let divisor = x * g + y * h + 1.0;
        [(x * a + y * b + c) / divisor, (x * d + y * e + f) / divisor]
    }

    fn bounds(&self, bounds: [f32; 4]) -> [f32; 4] {
        clamped(around_corners(bounds, |corner| self.point(corner)), self.size)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: Size = Size { height: 20, width: 30 };

    #[test]
    fn corners_go_where_they_were_drawn() {
        let drawn = [[3, 2], [27, 0], [29, 17], [1, 19]];
        let coefficients = coefficients(SIZE, drawn).unwrap();
        let motion = PerspectiveMotion::new(coefficients, SIZE).unwrap();
        for (start, end) in [[0.0, 0.0], [29.0, 0.0], [29.0, 19.0], [0.0, 19.0]].into_iter().zip(drawn) {
            let found = motion.point(start);
            assert!((found[0] - end[0] as f32).abs() < 1e-4 && (found[1] - end[1] as f32).abs() < 1e-4, "{found:?}");
        }
    }

    #[test]
    fn corners_that_stay_leave_the_image() {
        let stay = [[0, 0], [29, 0], [29, 19], [0, 19]];
        let coefficients = coefficients(SIZE, stay).unwrap().map(|value| value as f32);
        let mut image = Canvas::default();
        let pixels: Vec<u8> = (0..SIZE.area() * 3).map(|at| (at * 7) as u8).collect();
        image.reset(SIZE, crate::pixel::PixelType::RGB8).copy_from_slice(&pixels);
        for mixes in [false, true] {
            let sampling = Sampling { mixes, fill: None };
            Perspective { coefficients, sampling }.apply(&mut image, &mut Spare::default());
            assert_eq!(image.pixels(), pixels);
        }
    }

    #[test]
    fn corners_on_a_line_have_no_map() {
        assert_eq!(coefficients(SIZE, [[0, 0], [9, 0], [19, 0], [29, 0]]), None);
        assert_eq!(coefficients(Size { height: 1, width: 9 }, [[0, 0], [8, 0], [8, 0], [0, 0]]), None);
    }

    proptest! {
        #[test]
        fn drawn_corners_lie_in_their_quarter(height in 1..400_u32, width in 1..400_u32, scale in 0.0..=1.0_f64, index: u64) {
            let size = Size { height, width };
            let mut draws = crate::rng::Key { seed: 0, epoch: 0, index }.rng(0);
            let [a, b, c, d] = corners(size, scale, &mut draws);
            prop_assert!([a, b, c, d].iter().all(|[x, y]| *x < width && *y < height));
            prop_assert!(a[0] <= width / 2 && d[0] <= width / 2 && a[1] <= height / 2 && b[1] <= height / 2);
            prop_assert!(b[0] + 1 >= width / 2 && c[0] + 1 >= width / 2 && c[1] + 1 >= height / 2 && d[1] + 1 >= height / 2);
        }
    }
}
