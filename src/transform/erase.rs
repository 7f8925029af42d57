//! Random erasing, on the row that has been written.

use super::{Layout, geometry, tail::Encode};
use crate::{
    geometry::{Rect, Size},
    rng::Draws,
};

/// A compiled `RandomErasing`.
#[derive(Clone, Debug)]
pub(super) struct Eraser {
    /// The transform's place in the chain.
    pub(super) op: u64,
    pub(super) p: f64,
    pub(super) scale: [f64; 2],
    pub(super) ratio: [f64; 2],
    /// One value, or one per channel; `None` draws each from a normal distribution.
    pub(super) value: Option<Vec<f64>>,
    /// What the rest of the chain makes of a value.
    pub(super) encode: Encode,
}

/// What one sample has of an [`Eraser`].
#[derive(Clone, Debug)]
pub(super) struct Erased {
    part: Rect,
    /// The draws of the values.
    draws: Draws,
}

impl Eraser {
    /// Draws the box of a sample, which may be empty.
    pub(super) fn draw(&self, image: Size, mut draws: Draws) -> Erased {
        let part = if draws.unit() < self.p {
            geometry::erased_box(image, self.scale, self.ratio, &mut draws)
        } else {
            Rect::default()
        };
        Erased { part, draws }
    }

    /// Erases the box of a row.
    pub(super) fn erase(&self, erased: &Erased, image: Size, channels: usize, layout: Layout, row: &mut [u8]) {
        let Rect { top, left, size } = erased.part;
        let mut draws = erased.draws.clone();
        let element = self.encode.element();
        let place = |y: usize, x: usize, channel: usize| {
            let pixel = y * image.width as usize + x;
            match layout {
                Layout::Hwc => pixel * channels + channel,
                Layout::Chw => channel * image.area() as usize + pixel,
            }
        };
        for channel in 0..channels {
            let fixed =
                self.value.as_ref().map(|value| self.encode.bytes(channel, value[channel.min(value.len() - 1)]));
            for y in top as usize..erased.part.bottom() as usize {
                for x in left as usize..left as usize + size.width as usize {
                    let bytes = fixed.unwrap_or_else(|| self.encode.bytes(channel, normal(&mut draws)));
                    let start = place(y, x, channel) * element;
                    row[start..start + element].copy_from_slice(&bytes[..element]);
                }
            }
        }
    }
}

/// Draws from the normal distribution, by Box and Muller's method.
fn normal(draws: &mut Draws) -> f64 {
    let (radius, angle) = (1.0 - draws.unit(), draws.unit());
    (-2.0 * libm::log(radius)).sqrt() * libm::cos(std::f64::consts::TAU * angle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;

    #[test]
    fn normal_values_are_normal() {
        let mut draws = Key { seed: 0, epoch: 0, index: 0 }.rng(0);
        let values: Vec<f64> = (0..20_000).map(|_| normal(&mut draws)).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 20_000.0;
        let beyond_two = values.iter().filter(|value| value.abs() > 2.0).count() as f64 / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
        assert!((beyond_two - 0.0455).abs() < 0.006, "{beyond_two}");
    }
}
