//! `RandomIoUCrop`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::{check_range, short_uniform, short_unit, truncated, told},
    motion::{self, Motion},
    op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
    plan::Plan,
    view::Outside,
};
use crate::{
    drawn,
    geometry::{Rect, Size},
    rng::Draws,
};

/// Cuts out a random box that overlaps one of the image's bounding boxes as much as was drawn, or leaves the image.
///
/// A bounding box whose centre is not in it becomes one of zeros, which `SanitizeBoundingBoxes` removes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RandomIoUCrop {
    /// The least width and height, as fractions of the image's.
    #[serde(default = "default_min_scale")]
    pub min_scale: f64,
    /// The largest width and height, likewise.
    #[serde(default = "one")]
    pub max_scale: f64,
    /// The least width over height.
    #[serde(default = "default_min_aspect_ratio")]
    pub min_aspect_ratio: f64,
    /// The largest width over height.
    #[serde(default = "default_max_aspect_ratio")]
    pub max_aspect_ratio: f64,
    /// Overlaps to choose from, as intersection over union; one from 1 on leaves the image as it is.
    #[serde(default = "default_options")]
    pub sampler_options: Vec<f64>,
    /// How many boxes are tried for an overlap before another one is drawn.
    #[serde(default = "default_trials")]
    pub trials: u32,
}

const fn default_min_scale() -> f64 {
    0.3
}

const fn one() -> f64 {
    1.0
}

const fn default_min_aspect_ratio() -> f64 {
    0.5
}

const fn default_max_aspect_ratio() -> f64 {
    2.0
}

fn default_options() -> Vec<f64> {
    vec![0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
}

const fn default_trials() -> u32 {
    40
}

/// How many overlaps are drawn before the image is left as it is. torchvision draws for ever; by its defaults it comes so
/// far once in 10^13 images.
const ROUNDS: u32 = 200;
/// The most boxes that may be tried for an overlap.
const MOST_TRIALS: u32 = 1000;

impl Operation for RandomIoUCrop {
    fn check(&self) -> Result<(), String> {
        check_range("(min_scale, max_scale)", [self.min_scale, self.max_scale])?;
        if self.max_scale > 1.0 {
            return Err(format!("max_scale = {} must not be above 1", self.max_scale));
        }
        check_range("(min_aspect_ratio, max_aspect_ratio)", [self.min_aspect_ratio, self.max_aspect_ratio])?;
        if self.sampler_options.is_empty() {
            return Err("sampler_options must be one number or more".into());
        }
        if let Some(option) = self.sampler_options.iter().find(|option| !(**option >= 0.0 && option.is_finite())) {
            return Err(format!("sampler_options has {option}, which is no intersection over union"));
        }
        if !(1..=MOST_TRIALS).contains(&self.trials) {
            return Err(format!("trials = {} must lie between 1 and {MOST_TRIALS}", self.trials));
        }
        Ok(())
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for RandomIoUCrop {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        Ok(ImageShape { size: None, ..input })
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let boxes = plan.boxes()?;
        let part = self.draw(plan.size(), &boxes, &mut key.draws());
        drawn::tell(|| [("applied", part.is_some().into())]);
        if let Some(part) = part {
            drawn::tell(|| told(part));
            plan.crop_by(part, Outside::default(), CropByCentres::new(part));
        }
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::MovesByBoxes(Arc::new(self.clone()))
    }
}

impl RandomIoUCrop {
    /// Draws the box: torchvision's `make_params`, in its `f32`. None leaves the image as it is, as where it has no bounding
    /// boxes.
    fn draw(&self, image: Size, boxes: &[[f32; 4]], draws: &mut Draws) -> Option<Rect> {
        if boxes.is_empty() {
            return None;
        }
        for _ in 0..ROUNDS {
            let overlap = self.sampler_options[draws.below(self.sampler_options.len() as u64) as usize];
            if overlap >= 1.0 {
                return None;
            }
            let found = (0..self.trials).find_map(|_| self.tried(image, draws).filter(|part| {
                let edges = edges(*part);
                let inside = boxes.iter().filter(|corners| has_centre(edges, **corners));
                let best = inside.map(|corners| intersection_over_union(*corners, edges)).reduce(f32::max);
                best.is_some_and(|best| best >= overlap as f32)
            }));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Draws a box, if its aspect ratio may be.
    fn tried(&self, image: Size, draws: &mut Draws) -> Option<Rect> {
        let scale = [self.min_scale, self.max_scale];
        let width = truncated(image.width, short_uniform(scale, draws));
        let height = truncated(image.height, short_uniform(scale, draws));
        let ratio = f64::from(width) / f64::from(height);
        if width == 0 || height == 0 || !(self.min_aspect_ratio..=self.max_aspect_ratio).contains(&ratio) {
            return None;
        }
        let left = truncated(image.width - width, short_unit(draws));
        let top = truncated(image.height - height, short_unit(draws));
        Some(Rect { top: top.into(), left: left.into(), size: Size { height, width } })
    }
}

/// Returns left, top, right and bottom of a box of pixels.
fn edges(part: Rect) -> [f32; 4] {
    [part.left, part.top, part.right(), part.bottom()].map(|edge| edge as f32)
}

/// Tells whether the centre of a bounding box lies inside of edges, and not on them.
fn has_centre([left, top, right, bottom]: [f32; 4], corners: [f32; 4]) -> bool {
    let (x, y) = (0.5 * (corners[0] + corners[2]), 0.5 * (corners[1] + corners[3]));
    left < x && x < right && top < y && y < bottom
}

/// Returns by how much two boxes overlap: torchvision's `box_iou`.
fn intersection_over_union(one: [f32; 4], other: [f32; 4]) -> f32 {
    let area = |[left, top, right, bottom]: [f32; 4]| (right - left) * (bottom - top);
    let width = (one[2].min(other[2]) - one[0].max(other[0])).max(0.0);
    let height = (one[3].min(other[3]) - one[1].max(other[1])).max(0.0);
    let inner = width * height;
    inner / (area(one) + area(other) - inner)
}

/// A crop that keeps the boxes whose centres are in it.
#[derive(Clone, Copy, Debug)]
struct CropByCentres {
    edges: [f32; 4],
    crop: motion::Crop,
}

impl CropByCentres {
    fn new(part: Rect) -> Self {
        Self { edges: edges(part), crop: motion::Crop { left: part.left as f32, top: part.top as f32, size: part.size } }
    }
}

impl Motion for CropByCentres {
    fn point(&self, point: [f32; 2]) -> [f32; 2] {
        self.crop.point(point)
    }

    fn bounds(&self, bounds: [f32; 4]) -> [f32; 4] {
        if has_centre(self.edges, bounds) { self.crop.bounds(bounds) } else { [0.0; 4] }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these numbers have no fractions to round")]
mod tests {
    use super::*;
    use crate::rng::Key;

    fn crop(sampler_options: Vec<f64>) -> RandomIoUCrop {
        RandomIoUCrop {
            min_scale: 0.3,
            max_scale: 1.0,
            min_aspect_ratio: 0.5,
            max_aspect_ratio: 2.0,
            sampler_options,
            trials: 40,
        }
    }

    const IMAGE: Size = Size { height: 80, width: 100 };
    const BOXES: [[f32; 4]; 2] = [[10.0, 10.0, 60.0, 50.0], [70.0, 60.0, 90.0, 75.0]];

    fn draws(index: u64) -> Draws {
        Key { seed: 3, epoch: 0, index }.rng(0)
    }

    #[test]
    fn boxes_that_are_cut_out_overlap_as_drawn() {
        for overlap in [0.0, 0.3, 0.7] {
            for index in 0..50 {
                let part = crop(vec![overlap]).draw(IMAGE, &BOXES, &mut draws(index)).unwrap();
                assert!(part.is_inside(IMAGE));
                let ratio = f64::from(part.size.width) / f64::from(part.size.height);
                assert!((0.5..=2.0).contains(&ratio));
                let inside = BOXES.iter().filter(|corners| has_centre(edges(part), **corners));
                let best = inside.map(|corners| intersection_over_union(*corners, edges(part))).fold(-1.0, f32::max);
                assert!(best >= overlap as f32, "{best} {overlap}");
            }
        }
    }

    #[test]
    fn it_ends_whatever_the_boxes() {
        assert_eq!(crop(vec![1.0]).draw(IMAGE, &BOXES, &mut draws(0)), None);
        assert_eq!(crop(vec![0.9]).draw(IMAGE, &[], &mut draws(0)), None);
        assert_eq!(crop(vec![0.9]).draw(IMAGE, &[[0.0, 0.0, 1.0, 1.0]], &mut draws(0)), None, "too small to overlap");
        let dot = Size { height: 1, width: 1 };
        assert_eq!(crop(vec![0.1]).draw(dot, &[[0.0, 0.0, 1.0, 1.0]], &mut draws(0)), None);
    }

    #[test]
    fn a_box_whose_centre_is_cut_off_becomes_zeros() {
        let cut = CropByCentres::new(Rect { top: 5, left: 20, size: Size { height: 40, width: 50 } });
        assert_eq!(cut.bounds(BOXES[0]), [0.0, 5.0, 40.0, 40.0]);
        assert_eq!(cut.bounds(BOXES[1]), [0.0; 4]);
        assert_eq!(cut.point([21.0, 4.0]), [1.0, -1.0]);
    }

    #[test]
    fn overlaps_are_intersections_over_unions() {
        assert_eq!(intersection_over_union(BOXES[0], BOXES[0]).to_bits(), 1.0_f32.to_bits());
        assert_eq!(intersection_over_union(BOXES[0], BOXES[1]).to_bits(), 0.0_f32.to_bits());
        let third = intersection_over_union([0.0, 0.0, 2.0, 2.0], [0.0, 1.0, 2.0, 3.0]);
        assert!((third - 1.0 / 3.0).abs() < 1e-6);
    }
}
