//! What lies at places in an image.

use serde::{Deserialize, Serialize};

/// What the `float32` entries of a field are that lie in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "places")]
pub enum Places {
    /// Bounding boxes, four numbers each.
    Boxes {
        /// What the numbers are.
        format: BoxFormat,
    },
    /// Keypoints, whose last axis is x and y, or x, y and a third number, COCO's visibility, which is kept as it is.
    KeyPoints,
}

/// The four numbers of a bounding box, in pixels from the top left; torchvision's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
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
