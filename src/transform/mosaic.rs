//! Four samples in one.
//!
//! Source: A. Bochkovskiy, C.-Y. Wang, H.-Y. M. Liao, "`YOLOv4`: Optimal Speed and Accuracy of Object Detection" (2020),
//! section 3.3, has four images in one; Z. Ge and others, "`YOLOX`: Exceeding YOLO Series in 2021", what is drawn: a centre
//! between a quarter and three quarters of a canvas of twice the size, around which each image lies with one corner, made
//! as large as fits into the size.

use serde::{Deserialize, Serialize};

use super::{
    args::{Interpolation, channels, check_fill_of},
    fill::Fill,
    tile::{Collage, Tile},
};
use crate::{
    drawn,
    geometry::{Rect, Size},
    pixel::PixelType,
    rng::Draws,
};

/// Puts four samples together: an image and three others, which are drawn, around one point of a canvas.
///
/// It stands before all other transforms but `DecodeImage`. Boxes, masks and keypoints of all four follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Mosaic {
    /// The size that each image is made to fit into, one for a square, or (height, width); the canvas has twice that.
    pub size: Vec<u32>,
    /// What no image covers.
    #[serde(default = "grey")]
    pub fill: Vec<f32>,
    /// What no image covers in masks.
    #[serde(default)]
    pub mask_fill: u8,
    /// The least width and height of what is to be seen of a box, in pixels of the canvas; one with less is dropped.
    #[serde(default = "two_pixels")]
    pub min_size: f64,
    /// The least part of a box's area that is to be seen; one with less is dropped.
    #[serde(default = "a_tenth")]
    pub min_visible: f64,
    /// The filter; always antialiased.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// The fields with an entry for each box.
    #[serde(default = "labels")]
    pub labels: Vec<String>,
    /// The probability; else the image stays as it is.
    #[serde(default = "always")]
    pub p: f64,
}

fn grey() -> Vec<f32> {
    vec![114.0]
}

fn labels() -> Vec<String> {
    vec!["labels".into()]
}

const fn two_pixels() -> f64 {
    2.0
}

const fn a_tenth() -> f64 {
    0.1
}

const fn always() -> f64 {
    1.0
}

/// What is drawn for a mosaic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// The other samples.
    pub(crate) others: [u64; Mosaic::PARTS - 1],
    /// Where the images meet, in pixels from the left and from the top.
    centre: [i64; 2],
}

impl Drawn {
    /// Tells of it, or that nothing was drawn, as the sample stays as it is.
    pub(crate) fn tell(drawn: Option<Self>) {
        drawn::tell(|| [("applied", drawn.is_some().into())]);
        if let Some(Self { others, centre }) = drawn {
            drawn::tell(|| [("indices", others.into()), ("center", centre.into())]);
        }
    }
}

impl Mosaic {
    /// How many samples are put together.
    pub(crate) const PARTS: usize = 4;

    /// Returns the size of the result, where every sample is a mosaic.
    pub(crate) fn output(&self) -> Option<Size> {
        (self.p >= 1.0).then(|| self.canvas())
    }

    /// Checks the fill of images of these pixels.
    ///
    /// # Errors
    /// The reason.
    pub(crate) fn check_of(&self, pixel: PixelType) -> Result<(), String> {
        check_fill_of(Some(&self.fill), pixel)
    }

    /// Begins a mosaic.
    pub(crate) fn begin(&self, collage: &mut Collage, pixel: PixelType) {
        collage.begin(self.canvas(), pixel, channels(Some(&self.fill)).unwrap_or_default());
    }

    /// Begins a mosaic of masks.
    pub(crate) fn begin_mask(&self, collage: &mut Collage, pixel: PixelType) {
        collage.begin(self.canvas(), pixel, Fill([f32::from(self.mask_fill); 4]));
    }

    /// Returns the size of a mosaic.
    pub(crate) fn canvas(&self) -> Size {
        let Size { height, width } = Size::of(&self.size);
        Size { height: 2 * height, width: 2 * width }
    }

    /// Draws a mosaic of samples of a source that has so many of them; none where the sample is to stay as it is.
    pub(crate) fn draw(&self, len: u64, draws: &mut Draws) -> Option<Drawn> {
        if draws.unit() >= self.p {
            return None;
        }
        let others = [(); Self::PARTS - 1].map(|()| draws.below(len));
        let Size { height, width } = Size::of(&self.size);
        let centre = [width, height].map(|edge| (f64::from(edge) * draws.uniform(0.5, 1.5)) as i64);
        Some(Drawn { others, centre })
    }

    /// Returns where an image of the four lies: they come in the order of reading.
    pub(crate) fn tile(&self, number: usize, image: Size, drawn: Drawn) -> Tile {
        let into = Size::of(&self.size);
        let scale =
            (f64::from(into.height) / f64::from(image.height)).min(f64::from(into.width) / f64::from(image.width));
        let edge = |edge: u32| ((f64::from(edge) * scale) as u32).max(1);
        let scaled = Size { height: edge(image.height), width: edge(image.width) };
        let [x, y] = drawn.centre;
        let left = if number.is_multiple_of(2) { x - i64::from(scaled.width) } else { x };
        let top = if number < 2 { y - i64::from(scaled.height) } else { y };
        Tile::new(image, Rect { top, left, size: scaled }, self.canvas(), [self.min_size, self.min_visible])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;

    fn mosaic() -> Mosaic {
        serde_json::from_str(r#"{"size": [40, 60]}"#).unwrap()
    }

    const fn rect(top: i64, left: i64, height: u32, width: u32) -> Rect {
        Rect { top, left, size: Size { height, width } }
    }

    #[test]
    fn images_meet_at_the_centre() {
        let drawn = Drawn { others: [0; 3], centre: [50, 30] };
        let tile = |number| mosaic().tile(number, Size { height: 100, width: 100 }, drawn);
        // Made to fit into 40x60.
        assert_eq!(tile(0).whole(), rect(-10, 10, 40, 40));
        assert_eq!(tile(0).shown(), Some(rect(0, 10, 30, 40)));
        assert_eq!(tile(1).whole(), rect(-10, 50, 40, 40));
        assert_eq!(tile(2).whole(), rect(30, 10, 40, 40));
        assert_eq!(tile(3).shown(), Some(rect(30, 50, 40, 40)));
        let wide = mosaic().tile(3, Size { height: 10, width: 30 }, drawn);
        assert_eq!(wide.whole(), rect(30, 50, 20, 60));
        assert_eq!(mosaic().tile(3, Size { height: 1, width: 6000 }, drawn).whole().size.height, 1);
    }

    #[test]
    fn every_part_of_what_is_drawn_is_drawn() {
        let draw = |index, p| Mosaic { p, ..mosaic() }.draw(5, &mut Key { seed: 1, epoch: 0, index }.rng(3));
        let all: Vec<Drawn> = (0..200).map(|index| draw(index, 1.0).unwrap()).collect();
        for drawn in &all {
            assert!(drawn.others.iter().all(|other| *other < 5));
            assert!((30..90).contains(&drawn.centre[0]) && (20..60).contains(&drawn.centre[1]), "{drawn:?}");
        }
        for other in 0..5 {
            assert!((0..3).all(|at| all.iter().any(|drawn| drawn.others[at] == other)));
        }
        assert!((70..130).contains(&(0..200).filter(|index| draw(*index, 0.5).is_some()).count()));
        assert_eq!((draw(0, 0.0), mosaic().output()), (None, Some(Size { height: 80, width: 120 })));
    }
}
