//! What is done to a tensor between decoding and the batch, under torchvision's names and by its rules.
//!
//! A list of transforms is compiled once into a [`Chain`], which knows dtype and shape of its result before
//! the first byte is read. Boxes are drawn before any pixel is touched, crops and flips are views, and the
//! last pass flips, casts, normalises and lays out while it writes the batch's row.

mod augment;
mod batch;
mod blur;
mod chain;
mod check;
mod color;
mod edit;
mod erase;
mod geometry;
mod motion;
mod places;
mod plan;
mod render;
mod tail;
mod vector;
mod view;
mod warp;
mod write;

use serde::{Deserialize, Serialize};

pub use self::{
    augment::AutoAugmentPolicy,
    batch::{BatchChain, BatchTransform, Mixing, OneHot},
    chain::{Chain, Workspace},
    places::{PlacesChain, kept_entries},
    plan::Region,
    write::Pixels,
};
use crate::{decode::DecodeImage, source::BoxFormat, spec::DType};

/// One transform, with torchvision's meaning.
///
/// All up to [`AutoAugment`](Self::AutoAugment) take `uint8` images of shape (H, W, 3), (H, W, 1) or (H, W) and stand
/// before the others. A `fill` is one value or one per channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", deny_unknown_fields)]
pub enum Transform {
    /// Says how an encoded image is decoded. It stands before all others; without it, the defaults hold.
    DecodeImage(DecodeImage),
    /// Resizes: the shorter side to one size, keeping the aspect ratio, or to (height, width).
    Resize {
        /// One size or two.
        size: Vec<u32>,
        /// The filter; always antialiased.
        #[serde(default)]
        interpolation: Interpolation,
        /// With one size, the longest that the longer side may become.
        #[serde(default)]
        max_size: Option<u32>,
    },
    /// Cuts out the centre; what lies outside the image is zero.
    CenterCrop {
        /// One size for a square, or (height, width).
        size: Vec<u32>,
    },
    /// Cuts out a box of random area and aspect ratio and resizes it.
    RandomResizedCrop {
        /// One size for a square, or (height, width).
        size: Vec<u32>,
        /// The bounds of the box's area, as a fraction of the image's.
        #[serde(default = "default_scale")]
        scale: [f64; 2],
        /// The bounds of the box's aspect ratio, width over height.
        #[serde(default = "default_ratio")]
        ratio: [f64; 2],
        /// The filter; always antialiased.
        #[serde(default)]
        interpolation: Interpolation,
    },
    /// Mirrors the image left to right with probability `p`.
    RandomHorizontalFlip {
        /// The probability.
        p: f64,
    },
    /// Mirrors the image upside down with probability `p`.
    RandomVerticalFlip {
        /// The probability.
        p: f64,
    },
    /// Cuts out a box of fixed size at a random place.
    RandomCrop {
        /// One size for a square, or (height, width).
        size: Vec<u32>,
        /// What is added before.
        #[serde(flatten)]
        padding: Padding,
        /// Whether an image that is smaller than `size` is padded on both sides by what it lacks.
        #[serde(default)]
        pad_if_needed: bool,
    },
    /// Adds a border.
    Pad(Padding),
    /// Changes brightness, contrast, saturation and hue in random order. Each is one number `x` for a factor in
    /// `[max(0, 1 - x), 1 + x]`, or the bounds of the factor; of hue, for a shift in `[-x, x]`, or its bounds.
    ColorJitter {
        /// The brightness.
        #[serde(default)]
        brightness: Option<Vec<f64>>,
        /// The contrast.
        #[serde(default)]
        contrast: Option<Vec<f64>>,
        /// The saturation.
        #[serde(default)]
        saturation: Option<Vec<f64>>,
        /// The hue, -0.5 to 0.5 of the full circle.
        #[serde(default)]
        hue: Option<Vec<f64>>,
    },
    /// Converts to shades of grey.
    Grayscale {
        /// 1, or 3 for three equal channels.
        #[serde(default = "one")]
        num_output_channels: u32,
    },
    /// Converts to shades of grey with probability `p`; the number of channels stays.
    RandomGrayscale {
        /// The probability.
        #[serde(default = "default_gray")]
        p: f64,
    },
    /// Blurs by a Gaussian of random width; the edges are continued by reflection.
    GaussianBlur {
        /// The number of taps, odd: one for both directions, or (width, height).
        kernel_size: Vec<u32>,
        /// One standard deviation in pixels, or the bounds of it.
        #[serde(default = "default_sigma")]
        sigma: Vec<f64>,
    },
    /// Rotates by a random angle.
    RandomRotation {
        /// One number `x` for an angle in `[-x, x]`, or the bounds; anticlockwise.
        degrees: Vec<f64>,
        /// `Nearest` or `Bilinear`.
        #[serde(default = "nearest")]
        interpolation: Interpolation,
        /// Whether the result grows to hold the whole image.
        #[serde(default)]
        expand: bool,
        /// The fixed point (x, y) in pixels; `None` is the centre.
        #[serde(default)]
        center: Option<[f64; 2]>,
        /// What lies outside the image.
        #[serde(default = "black")]
        fill: Option<Vec<u8>>,
    },
    /// Rotates, moves, scales and shears at random.
    RandomAffine {
        /// One number `x` for an angle in `[-x, x]`, or the bounds; clockwise.
        degrees: Vec<f64>,
        /// The largest moves (across, down), as fractions of the width and the height.
        #[serde(default)]
        translate: Option<[f64; 2]>,
        /// The bounds of the factor.
        #[serde(default)]
        scale: Option<[f64; 2]>,
        /// The angle of the shear across: one number `x` for `[-x, x]`, or two bounds, or four, the last two down.
        #[serde(default)]
        shear: Option<Vec<f64>>,
        /// `Nearest` or `Bilinear`.
        #[serde(default = "nearest")]
        interpolation: Interpolation,
        /// What lies outside the image.
        #[serde(default = "black")]
        fill: Option<Vec<u8>>,
        /// The fixed point (x, y) in pixels; `None` is the centre.
        #[serde(default)]
        center: Option<[f64; 2]>,
    },
    /// Applies operations drawn from a fixed set, all of one magnitude.
    RandAugment {
        /// How many, one after the other.
        #[serde(default = "two")]
        num_ops: u32,
        /// Which of the magnitudes.
        #[serde(default = "nine")]
        magnitude: u32,
        /// How many magnitudes there are.
        #[serde(default = "default_bins")]
        num_magnitude_bins: u32,
        /// `Nearest` or `Bilinear`.
        #[serde(default = "nearest")]
        interpolation: Interpolation,
        /// What lies outside the image; `None` is black.
        #[serde(default)]
        fill: Option<Vec<u8>>,
    },
    /// Applies one operation drawn from a fixed set, with a random magnitude.
    TrivialAugmentWide {
        /// How many magnitudes there are.
        #[serde(default = "default_bins")]
        num_magnitude_bins: u32,
        /// `Nearest` or `Bilinear`.
        #[serde(default = "nearest")]
        interpolation: Interpolation,
        /// What lies outside the image; `None` is black.
        #[serde(default)]
        fill: Option<Vec<u8>>,
    },
    /// Applies two operations of a published policy.
    AutoAugment {
        /// The policy.
        #[serde(default)]
        policy: AutoAugmentPolicy,
        /// `Nearest` or `Bilinear`.
        #[serde(default = "nearest")]
        interpolation: Interpolation,
        /// What lies outside the image; `None` is black.
        #[serde(default)]
        fill: Option<Vec<u8>>,
    },
    /// Replaces a random box by a value, with probability `p`.
    RandomErasing {
        /// The probability.
        #[serde(default = "half")]
        p: f64,
        /// The bounds of the box's area, as a fraction of the image's.
        #[serde(default = "default_erased")]
        scale: [f64; 2],
        /// The bounds of the box's aspect ratio, height over width.
        #[serde(default = "default_erased_ratio")]
        ratio: [f64; 2],
        /// One value, or one per channel, in the units that the elements have at this place of the chain; `None` draws
        /// each from the standard normal distribution.
        #[serde(default = "zero")]
        value: Option<Vec<f64>>,
    },
    /// Subtracts `mean` and divides by `std`, by channel. A `uint8` image is first scaled to [0, 1] `float32`.
    Normalize {
        /// One value, or one per channel.
        mean: Vec<f32>,
        /// One value, or one per channel.
        std: Vec<f32>,
    },
    /// Converts the elements.
    ToDtype {
        /// The dtype to convert to.
        dtype: DType,
        /// Whether `uint8` is scaled to [0, 1]; for floating-point dtypes only.
        #[serde(default)]
        scale: bool,
    },
    /// Moves the channel axis.
    ToLayout {
        /// Where to.
        layout: Layout,
    },
    /// Cuts bounding boxes off where their image ends.
    ClampBoundingBoxes {},
    /// Removes bounding boxes that are too small or reach out of their image, and what goes with them.
    SanitizeBoundingBoxes {
        /// The least width and height, at least 1.
        #[serde(default = "one_pixel")]
        min_size: f64,
        /// The least area, at least 1.
        #[serde(default = "one_pixel")]
        min_area: f64,
        /// The fields with an entry for each box.
        #[serde(default)]
        labels: Vec<String>,
    },
    /// Writes bounding boxes as other numbers.
    ConvertBoundingBoxFormat {
        /// Which.
        format: BoxFormat,
    },
    /// Moves keypoints outside of their image to its nearest pixel.
    ClampKeyPoints {},
}

/// A border around an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Padding {
    /// Its pixels: none, one number for all sides, two for left and right, top and bottom, or four for left, top, right,
    /// bottom.
    #[serde(default)]
    pub padding: Vec<u32>,
    /// What a constant border is made of.
    #[serde(default = "zero_fill")]
    pub fill: Vec<u8>,
    /// What the border is made of.
    #[serde(default)]
    pub padding_mode: PaddingMode,
}

/// What the border of a padded image is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaddingMode {
    /// The fill.
    #[default]
    Constant,
    /// The nearest pixel.
    Edge,
    /// The image mirrored, without its edge.
    Reflect,
    /// The image mirrored, with its edge.
    Symmetric,
}

/// The filter of a resize; all but `nearest` widen with the reduction, as torchvision's `antialias=True`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each variant is the filter it names")]
pub enum Interpolation {
    #[serde(alias = "nearest-exact")]
    Nearest,
    #[default]
    Bilinear,
    Bicubic,
    Lanczos,
}

/// Where the channel axis of an image stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// (height, width, channels).
    #[default]
    #[serde(rename = "HWC")]
    Hwc,
    /// (channels, height, width).
    #[serde(rename = "CHW")]
    Chw,
}

const fn default_scale() -> [f64; 2] {
    [0.08, 1.0]
}

const fn default_ratio() -> [f64; 2] {
    [3.0 / 4.0, 4.0 / 3.0]
}

const fn default_gray() -> f64 {
    0.1
}

const fn default_erased() -> [f64; 2] {
    [0.02, 0.33]
}

const fn default_erased_ratio() -> [f64; 2] {
    [0.3, 3.3]
}

fn default_sigma() -> Vec<f64> {
    vec![0.1, 2.0]
}

const fn default_bins() -> u32 {
    31
}

const fn nearest() -> Interpolation {
    Interpolation::Nearest
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional argument")]
fn black() -> Option<Vec<u8>> {
    Some(zero_fill())
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional argument")]
fn zero() -> Option<Vec<f64>> {
    Some(vec![0.0])
}

fn zero_fill() -> Vec<u8> {
    vec![0]
}

const fn one() -> u32 {
    1
}

const fn two() -> u32 {
    2
}

const fn nine() -> u32 {
    9
}

const fn one_pixel() -> f64 {
    1.0
}

const fn half() -> f64 {
    0.5
}

impl Transform {
    /// Returns a [`Resize`](Self::Resize) to one size, for the shorter side, or to (height, width); bilinear.
    pub fn resize(size: impl Into<Vec<u32>>) -> Self {
        Self::Resize { size: size.into(), interpolation: Interpolation::default(), max_size: None }
    }

    /// Returns a [`CenterCrop`](Self::CenterCrop) to a square.
    pub fn center_crop(size: u32) -> Self {
        Self::CenterCrop { size: vec![size] }
    }

    /// Returns a [`RandomResizedCrop`](Self::RandomResizedCrop) to a square, with torchvision's defaults.
    pub fn random_resized_crop(size: u32) -> Self {
        let interpolation = Interpolation::default();
        Self::RandomResizedCrop { size: vec![size], scale: default_scale(), ratio: default_ratio(), interpolation }
    }

    /// Returns a [`RandomHorizontalFlip`](Self::RandomHorizontalFlip) of half of the images.
    pub fn random_horizontal_flip() -> Self {
        Self::RandomHorizontalFlip { p: 0.5 }
    }

    /// Returns a [`Normalize`](Self::Normalize).
    pub fn normalize(mean: impl Into<Vec<f32>>, std: impl Into<Vec<f32>>) -> Self {
        Self::Normalize { mean: mean.into(), std: std.into() }
    }

    /// Returns the transform's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::DecodeImage(_) => "DecodeImage",
            Self::Resize { .. } => "Resize",
            Self::CenterCrop { .. } => "CenterCrop",
            Self::RandomResizedCrop { .. } => "RandomResizedCrop",
            Self::RandomHorizontalFlip { .. } => "RandomHorizontalFlip",
            Self::RandomVerticalFlip { .. } => "RandomVerticalFlip",
            Self::RandomCrop { .. } => "RandomCrop",
            Self::Pad(_) => "Pad",
            Self::ColorJitter { .. } => "ColorJitter",
            Self::Grayscale { .. } => "Grayscale",
            Self::RandomGrayscale { .. } => "RandomGrayscale",
            Self::GaussianBlur { .. } => "GaussianBlur",
            Self::RandomRotation { .. } => "RandomRotation",
            Self::RandomAffine { .. } => "RandomAffine",
            Self::RandAugment { .. } => "RandAugment",
            Self::TrivialAugmentWide { .. } => "TrivialAugmentWide",
            Self::AutoAugment { .. } => "AutoAugment",
            Self::RandomErasing { .. } => "RandomErasing",
            Self::Normalize { .. } => "Normalize",
            Self::ToDtype { .. } => "ToDtype",
            Self::ToLayout { .. } => "ToLayout",
            Self::ClampBoundingBoxes {} => "ClampBoundingBoxes",
            Self::SanitizeBoundingBoxes { .. } => "SanitizeBoundingBoxes",
            Self::ConvertBoundingBoxFormat { .. } => "ConvertBoundingBoxFormat",
            Self::ClampKeyPoints {} => "ClampKeyPoints",
        }
    }

    /// Returns what the transform does to the mask of an image: the same geometry, by the nearest pixel, filled with the
    /// same value where there is one for all channels, and nothing else.
    pub fn of_mask(&self) -> Option<Self> {
        let single = |fill: &Option<Vec<u8>>| fill.clone().filter(|fill| fill.len() == 1);
        let mut same = self.clone();
        match &mut same {
            Self::Resize { interpolation, .. } | Self::RandomResizedCrop { interpolation, .. } => {
                *interpolation = Interpolation::Nearest;
            }
            Self::RandomRotation { interpolation, fill, .. } | Self::RandomAffine { interpolation, fill, .. } => {
                *interpolation = Interpolation::Nearest;
                *fill = single(fill);
            }
            Self::RandomCrop { padding, .. } | Self::Pad(padding) if padding.fill.len() != 1 => {
                padding.fill = vec![0];
            }
            Self::CenterCrop { .. }
            | Self::RandomCrop { .. }
            | Self::Pad(_)
            | Self::RandomHorizontalFlip { .. }
            | Self::RandomVerticalFlip { .. } => {}
            _ => return None,
        }
        Some(same)
    }

    /// Tells whether what the transform does to the places of pixels cannot be done to masks and boxes as well:
    /// torchvision's automatic augmentations are for images alone.
    pub const fn is_for_images_alone(&self) -> bool {
        matches!(self, Self::RandAugment { .. } | Self::TrivialAugmentWide { .. } | Self::AutoAugment { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Transform {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn json_has_torchvision_defaults() {
        let crop = Transform::RandomResizedCrop {
            size: vec![224],
            scale: [0.08, 1.0],
            ratio: [0.75, 4.0 / 3.0],
            interpolation: Interpolation::Bilinear,
        };
        assert_eq!(parse(r#"{"op": "RandomResizedCrop", "size": [224]}"#), crop);
        let layout = parse(r#"{"op": "ToLayout", "layout": "CHW"}"#);
        assert_eq!(layout, Transform::ToLayout { layout: Layout::Chw });
        assert_eq!(parse(&serde_json::to_string(&crop).unwrap()), crop);
        assert!(serde_json::from_str::<Transform>(r#"{"op": "CenterCrop", "size": [1], "more": 1}"#).is_err());
        let augment = Transform::RandAugment {
            num_ops: 2,
            magnitude: 9,
            num_magnitude_bins: 31,
            interpolation: Interpolation::Nearest,
            fill: None,
        };
        assert_eq!(parse(r#"{"op": "RandAugment"}"#), augment);
        let erasing =
            Transform::RandomErasing { p: 0.5, scale: [0.02, 0.33], ratio: [0.3, 3.3], value: Some(vec![0.0]) };
        assert_eq!(parse(r#"{"op": "RandomErasing"}"#), erasing);
        assert_eq!(
            parse(r#"{"op": "Resize", "size": [1], "interpolation": "nearest-exact"}"#),
            Transform::Resize { size: vec![1], interpolation: Interpolation::Nearest, max_size: None }
        );
    }

    #[test]
    fn a_mask_takes_the_geometry_by_the_nearest_pixel_and_one_fill() {
        let resize = |filter: &str| parse(&format!(r#"{{"op": "Resize", "size": [5], "interpolation": "{filter}"}}"#));
        assert_eq!(resize("bicubic").of_mask(), Some(resize("nearest")));
        let pad = |fill: &str| parse(&format!(r#"{{"op": "Pad", "padding": [2], "fill": {fill}}}"#));
        assert_eq!(pad("[7]").of_mask(), Some(pad("[7]")));
        assert_eq!(pad("[1, 2, 3]").of_mask(), Some(pad("[0]")));
        assert_eq!(parse(r#"{"op": "RandomGrayscale", "p": 1.0}"#).of_mask(), None);
    }
}
