//! Displacements that change smoothly over an image, by the arithmetic of torchvision's kernels for tensors.
//!
//! They are noise, smoothed by a Gaussian. Noise has its values by position, so that what a point needs of them is computed
//! from those around it, and an image's row by row: nothing as large as the image is kept.

use std::sync::Arc;

use super::{
    blur::{add, fill_weights, reflected},
    canvas::Canvas,
    edit::{Edit, Spare},
    motion::{Motion, around_corners, clamped},
    sample::{self, Sampling},
};
use crate::{
    geometry::Size,
    rng::{Draws, Noise},
};

/// By how much each pixel of an image of this size is displaced.
#[derive(Clone, Debug)]
pub(super) struct Displacement {
    size: Size,
    /// Across, then down.
    axes: [Axis; 2],
}

/// The displacements along one axis, as parts of half of the image's edge.
#[derive(Clone, Debug)]
struct Axis {
    noise: Noise,
    across: Vec<f32>,
    down: Vec<f32>,
    alpha: f32,
    edge: f32,
}

impl Displacement {
    /// Draws displacements as torchvision's `make_params` does: each axis has a kernel as long as its own `sigma` asks,
    /// and is smoothed by both.
    ///
    /// # Errors
    /// The reason, for an image that is smaller than half of a kernel.
    pub(super) fn new(size: Size, alpha: [f32; 2], sigma: [f32; 2], draws: &mut Draws) -> Result<Self, String> {
        let Size { height, width } = size;
        let mut axis = |edge: u32, alpha, own: f32| {
            let taps = (8.0 * own + 1.0) as usize | 1;
            if taps / 2 >= height.min(width) as usize {
                return Err(format!(
                    "sigma = {own} smooths over {taps} pixels, and half of that must be less than {width}x{height}"
                ));
            }
            let weights = |sigma: f32| {
                let mut weights = vec![0.0; taps];
                fill_weights(&mut weights, sigma.max(f32::MIN_POSITIVE));
                weights
            };
            let (across, down) = (weights(sigma[0]), weights(sigma[1]));
            Ok(Axis { noise: draws.noise(), across, down, alpha, edge: edge as f32 })
        };
        Ok(Self { size, axes: [axis(width, alpha[0], sigma[0])?, axis(height, alpha[1], sigma[1])?] })
    }

    /// Returns the numbers that tell the noise of each axis from any other.
    pub(super) fn noise(&self) -> [u64; 2] {
        self.axes.each_ref().map(|axis| axis.noise.number())
    }

    /// Returns where the points of an image go.
    pub(super) fn motion(self: &Arc<Self>) -> ElasticMotion {
        ElasticMotion(Arc::clone(self))
    }

    /// Returns where pixel (x, y) is, from -1 to 1 over the image.
    fn centre(&self, x: usize, y: usize) -> [f32; 2] {
        let centre = |at: usize, edge: u32| (2.0 * at as f32 + 1.0 - edge as f32) / edge as f32;
        [centre(x, self.size.width), centre(y, self.size.height)]
    }

    /// Returns the displacement of pixel (x, y).
    fn at(&self, x: usize, y: usize) -> [f32; 2] {
        [&self.axes[0], &self.axes[1]].map(|axis| axis.at(x, y, self.size))
    }
}

impl Axis {
    /// Returns the displacement of pixel (x, y): the sums of [`Rows`], in their order.
    fn at(&self, x: usize, y: usize, size: Size) -> f32 {
        let (across, down) = (self.across.len() / 2, self.down.len() / 2);
        let mut sum = 0.0;
        for (row, weight) in self.down.iter().enumerate() {
            let row = reflected(y as i64 + row as i64 - down as i64, size.height);
            let mut row_sum = 0.0;
            for (column, weight) in self.across.iter().enumerate() {
                let column = reflected(x as i64 + column as i64 - across as i64, size.width);
                row_sum += weight * self.noise.at(row as u64 * u64::from(size.width) + column as u64);
            }
            sum += weight * row_sum;
        }
        self.scaled(sum)
    }

    fn scaled(&self, smooth: f32) -> f32 {
        smooth * self.alpha / self.edge
    }
}

/// The displacements along one axis, row by row from the first on.
struct Rows<'a> {
    axis: &'a Axis,
    size: Size,
    /// Rows that are smoothed across, as many as the kernel is long; a row has the slot of its number, over again.
    ring: Vec<f32>,
    /// How many rows have been in the ring.
    begun: usize,
    /// A row of noise, continued on both sides.
    padded: Vec<f32>,
    row: Vec<f32>,
}

impl<'a> Rows<'a> {
    fn new(axis: &'a Axis, size: Size) -> Self {
        let (width, taps) = (size.width as usize, axis.across.len());
        Self {
            axis,
            size,
            ring: vec![0.0; width * axis.down.len()],
            begun: 0,
            padded: vec![0.0; width + taps - 1],
            row: vec![0.0; width],
        }
    }

    /// Returns the displacements of row `y`, each row after the one before.
    fn row(&mut self, y: usize) -> &[f32] {
        let (width, taps) = (self.size.width as usize, self.axis.down.len());
        while self.begun < (y + taps / 2 + 1).min(self.size.height as usize) {
            self.begin();
        }
        self.row.fill(0.0);
        for (at, weight) in self.axis.down.iter().enumerate() {
            let from = reflected(y as i64 + at as i64 - (taps / 2) as i64, self.size.height) % taps;
            add(&mut self.row, *weight, &self.ring[from * width..(from + 1) * width]);
        }
        for value in &mut self.row {
            *value = self.axis.scaled(*value);
        }
        &self.row
    }

    /// Smooths one more row across.
    fn begin(&mut self) {
        let Self { axis, size, ring, begun, padded, .. } = self;
        let (width, half) = (size.width as usize, axis.across.len() / 2);
        let first = *begun as u64 * u64::from(size.width);
        for (value, column) in padded.iter_mut().zip(-(half as i64)..) {
            *value = axis.noise.at(first + reflected(column, size.width) as u64);
        }
        let slot = *begun % axis.down.len();
        let out = &mut ring[slot * width..(slot + 1) * width];
        out.fill(0.0);
        for (at, weight) in axis.across.iter().enumerate() {
            add(out, *weight, &padded[at..at + width]);
        }
        *begun += 1;
    }
}

/// Where each pixel of the result is taken from.
#[derive(Clone, Debug)]
pub(super) struct Elastic {
    pub(super) displacement: Arc<Displacement>,
    pub(super) sampling: Sampling,
}

impl Edit for Elastic {
    fn output(&self, image: Size) -> Size {
        image
    }

    fn is_symmetric(&self) -> bool {
        false
    }

    fn apply(&self, image: &mut Canvas, spare: &mut Spare) {
        let (size, pixel, displacement) = (image.size, image.pixel, &*self.displacement);
        let [mut across, mut down] = [&displacement.axes[0], &displacement.axes[1]].map(|axis| Rows::new(axis, size));
        let (width, height) = (size.width as f32, size.height as f32);
        let from = (image.pixels(), size);
        let rows = spare.canvas.reset(size, pixel).chunks_exact_mut(size.width as usize * pixel.size());
        let outside = self.sampling.outside().bytes(pixel);
        for (y, out) in rows.enumerate() {
            let (across, down) = (across.row(y), down.row(y));
            // By way of -1 to 1, as torchvision's grid is.
            let position = |x: f32, _| {
                let [h, v] = displacement.centre(x as usize, y);
                // What is computed in blocks may lie beyond the row.
                let at = (x as usize).min(across.len() - 1);
                let (h, v) = (h + across[at], v + down[at]);
                (((h + 1.0) * width - 1.0) / 2.0, ((v + 1.0) * height - 1.0) / 2.0)
            };
            if self.sampling.mixes {
                sample::any_mixed(pixel, self.sampling.fill, position, from, (out, size.width));
            } else {
                sample::any_nearest(pixel, outside, position, from, (out, size.width));
            }
        }
        std::mem::swap(image, &mut spare.canvas);
    }
}

/// Where points go: about the displacement the other way, as in torchvision, which takes that of the point itself.
#[derive(Clone, Debug)]
pub(super) struct ElasticMotion(Arc<Displacement>);

impl Motion for ElasticMotion {
    fn point(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let Size { height, width } = self.0.size;
        // A cast keeps what is negative at 0.
        let (column, row) = ((x as usize).min(width as usize - 1), (y as usize).min(height as usize - 1));
        let ([h, v], [across, down]) = (self.0.centre(column, row), self.0.at(column, row));
        [(h - across + 1.0) * (0.5 * width as f32) - 0.5, (v - down + 1.0) * (0.5 * height as f32) - 0.5]
    }

    fn bounds(&self, bounds: [f32; 4]) -> [f32; 4] {
        clamped(around_corners(bounds.map(f32::ceil), |corner| self.point(corner)), self.0.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pixel::PixelType, rng::Key};

    const SIZE: Size = Size { height: 13, width: 17 };

    fn displacement(alpha: f32, sigma: [f32; 2]) -> Arc<Displacement> {
        let mut draws = Key { seed: 1, epoch: 2, index: 3 }.rng(4);
        Arc::new(Displacement::new(SIZE, [alpha, alpha], sigma, &mut draws).unwrap())
    }

    #[test]
    fn a_row_has_what_its_pixels_have() {
        for sigma in [[0.0, 0.0], [1.0, 1.0], [1.4, 0.3]] {
            let displacement = displacement(9.0, sigma);
            let mut rows = [&displacement.axes[0], &displacement.axes[1]].map(|axis| Rows::new(axis, SIZE));
            for y in 0..SIZE.height as usize {
                let [across, down] = &mut rows;
                let found: Vec<[u32; 2]> =
                    across.row(y).iter().zip(down.row(y)).map(|(a, b)| [a.to_bits(), b.to_bits()]).collect();
                let each: Vec<[u32; 2]> =
                    (0..SIZE.width as usize).map(|x| displacement.at(x, y).map(f32::to_bits)).collect();
                assert_eq!(found, each, "{sigma:?}, row {y}");
            }
        }
    }

    #[test]
    fn nothing_is_moved_by_nothing() {
        let mut image = Canvas::default();
        let pixels: Vec<u8> = (0..SIZE.area() * 3).map(|at| (at * 7) as u8).collect();
        image.reset(SIZE, PixelType::RGB8).copy_from_slice(&pixels);
        for mixes in [false, true] {
            let sampling = Sampling { mixes, fill: None };
            Elastic { displacement: displacement(0.0, [1.0, 1.0]), sampling }.apply(&mut image, &mut Spare::default());
            assert_eq!(image.pixels(), pixels);
        }
        let motion = displacement(0.0, [1.0, 1.0]).motion();
        let point = motion.point([5.0, 12.0]);
        assert!((point[0] - 5.0).abs() < 1e-5 && (point[1] - 12.0).abs() < 1e-5, "{point:?}");
    }

    #[test]
    fn an_image_must_be_larger_than_half_of_the_kernel() {
        let mut draws = Key { seed: 1, epoch: 2, index: 3 }.rng(4);
        // 8 * 1.5 + 1 = 13 taps, 6 on each side.
        let mut of = |edge| Displacement::new(Size { height: edge, width: 99 }, [1.0; 2], [1.5; 2], &mut draws).is_ok();
        assert_eq!([of(6), of(7)], [false, true]);
    }
}
