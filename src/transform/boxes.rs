//! Bounding boxes, and what is done to them once they have followed their image.

use std::{fmt::Debug, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::geometry::Size;

/// The four numbers of a bounding box, in pixels from the top left; torchvision's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum BoxFormat {
    /// Left, top, right, bottom.
    Xyxy,
    /// Left, top, width, height.
    Xywh,
    /// The centre's x and y, width, height.
    Cxcywh,
}

impl BoxFormat {
    /// Returns left, top, right and bottom of a box in this format.
    pub fn to_corners(self, [a, b, c, d]: [f32; 4]) -> [f32; 4] {
        match self {
            Self::Xyxy => [a, b, c, d],
            Self::Xywh => [a, b, a + c, b + d],
            Self::Cxcywh => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
        }
    }

    /// Returns the box of these corners in this format.
    pub fn of_corners(self, [left, top, right, bottom]: [f32; 4]) -> [f32; 4] {
        let (width, height) = (right - left, bottom - top);
        match self {
            Self::Xyxy => [left, top, right, bottom],
            Self::Xywh => [left, top, width, height],
            Self::Cxcywh => [left + width / 2.0, top + height / 2.0, width, height],
        }
    }
}

/// The boxes of one sample.
#[derive(Debug)]
pub(crate) struct Boxes<'a> {
    /// Left, top, right, bottom of each.
    pub(crate) corners: &'a mut [[f32; 4]],
    /// Which are left.
    pub(crate) kept: &'a mut [bool],
    /// The size of their image.
    pub(crate) image: Size,
}

/// Something done to the boxes of a sample.
pub(crate) trait BoxStep: Debug + Send + Sync {
    /// Changes the boxes, or which are kept.
    fn apply(&self, boxes: Boxes<'_>);
}

/// What is done to boxes, while their operations are compiled.
#[derive(Clone, Debug)]
pub(crate) struct BoxSteps {
    /// The numbers that are written.
    pub(crate) format: BoxFormat,
    /// The fields that have an entry for each box, and lose it with the box.
    pub(crate) labels: Vec<String>,
    steps: Vec<Arc<dyn BoxStep>>,
}

impl BoxSteps {
    /// Returns no steps; boxes are written as they come.
    pub(crate) const fn new(format: BoxFormat) -> Self {
        Self { format, labels: Vec::new(), steps: Vec::new() }
    }

    /// Adds a step.
    pub(crate) fn push(&mut self, step: Arc<dyn BoxStep>) {
        self.steps.push(step);
    }

    /// Does all steps.
    pub(crate) fn apply(&self, boxes: &mut Boxes<'_>) {
        for step in &self.steps {
            step.apply(Boxes { corners: boxes.corners, kept: boxes.kept, image: boxes.image });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_the_same_box() {
        let corners = [1.0, 2.0, 5.0, 10.0];
        for (format, numbers) in [
            (BoxFormat::Xyxy, corners),
            (BoxFormat::Xywh, [1.0, 2.0, 4.0, 8.0]),
            (BoxFormat::Cxcywh, [3.0, 6.0, 4.0, 8.0]),
        ] {
            assert_eq!((format.of_corners(corners), format.to_corners(numbers)), (numbers, corners));
        }
        assert_eq!(serde_json::to_string(&BoxFormat::Cxcywh).unwrap(), "\"CXCYWH\"");
    }
}
