//! `ClampBoundingBoxes`, `SanitizeBoundingBoxes` and `ConvertBoundingBoxFormat`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::check_least,
    boxes::{BoxFormat, BoxStep, BoxSteps, Boxes},
    motion::clamped,
    op::{BoxOp, Operation, Role},
};

/// Cuts bounding boxes off where their image ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ClampBoundingBoxes {}

impl Operation for ClampBoundingBoxes {
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn role(&self) -> Role {
        Role::Boxes(Arc::new(self.clone()))
    }
}

impl BoxOp for ClampBoundingBoxes {
    fn add(&self, steps: &mut BoxSteps) {
        steps.push(Arc::new(self.clone()));
    }
}

impl BoxStep for ClampBoundingBoxes {
    fn apply(&self, boxes: Boxes<'_>) {
        for corners in boxes.corners {
            *corners = clamped(*corners, boxes.image);
        }
    }
}

/// Removes bounding boxes that are too small or reach out of their image, and what goes with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SanitizeBoundingBoxes {
    /// The least width and height, at least 1.
    #[serde(default = "one_pixel")]
    pub min_size: f64,
    /// The least area, at least 1.
    #[serde(default = "one_pixel")]
    pub min_area: f64,
    /// The fields with an entry for each box.
    #[serde(default = "labels")]
    pub labels: Vec<String>,
}

const fn one_pixel() -> f64 {
    1.0
}

fn labels() -> Vec<String> {
    vec!["labels".into()]
}

impl Operation for SanitizeBoundingBoxes {
    fn check(&self) -> Result<(), String> {
        check_least("min_size", self.min_size)?;
        check_least("min_area", self.min_area)
    }

    fn role(&self) -> Role {
        Role::Boxes(Arc::new(self.clone()))
    }
}

impl BoxOp for SanitizeBoundingBoxes {
    fn add(&self, steps: &mut BoxSteps) {
        steps.labels.extend(self.labels.iter().cloned());
        steps.push(Arc::new(self.clone()));
    }
}

impl BoxStep for SanitizeBoundingBoxes {
    fn apply(&self, boxes: Boxes<'_>) {
        let (min_size, min_area) = (self.min_size as f32, self.min_area as f32);
        let (width, height) = (boxes.image.width as f32, boxes.image.height as f32);
        let inside = |[left, top, right, bottom]: [f32; 4]| {
            [left, right].iter().all(|x| (0.0..=width).contains(x))
                && [top, bottom].iter().all(|y| (0.0..=height).contains(y))
        };
        for (corners, kept) in boxes.corners.iter().zip(boxes.kept) {
            let (across, down) = (corners[2] - corners[0], corners[3] - corners[1]);
            *kept &= across >= min_size && down >= min_size && across * down >= min_area && inside(*corners);
        }
    }
}

/// Writes bounding boxes as other numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ConvertBoundingBoxFormat {
    /// Which.
    pub format: BoxFormat,
}

impl Operation for ConvertBoundingBoxFormat {
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn role(&self) -> Role {
        Role::Boxes(Arc::new(self.clone()))
    }
}

impl BoxOp for ConvertBoundingBoxFormat {
    fn add(&self, steps: &mut BoxSteps) {
        steps.format = self.format;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    #[test]
    fn boxes_that_are_small_or_reach_out_are_removed() {
        let image = Size { height: 10, width: 20 };
        let removes = |bounds: [f32; 4]| {
            let (mut corners, mut kept) = ([bounds], [true]);
            SanitizeBoundingBoxes { min_size: 2.0, min_area: 6.0, labels: vec![] }.apply(Boxes {
                corners: &mut corners,
                kept: &mut kept,
                image,
            });
            !kept[0]
        };
        assert!(!removes([0.0, 0.0, 20.0, 10.0]));
        assert!(!removes([0.0, 0.0, 2.0, 3.0]));
        assert!(removes([0.0, 0.0, 1.9, 9.0]));
        assert!(removes([0.0, 0.0, 2.0, 2.9]));
        assert!(removes([-0.1, 0.0, 9.0, 9.0]));
        assert!(removes([0.0, 0.0, 20.1, 9.0]));
        assert!(removes([f32::NAN, 0.0, 9.0, 9.0]));
    }
}
