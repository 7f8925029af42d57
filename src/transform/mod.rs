//! What is done to a tensor between decoding and the batch, under torchvision's names and by its rules.
//!
//! A list of transforms is compiled once into a [`Chain`], which knows dtype and shape of its result before
//! the first byte is read. Boxes are drawn before any pixel is touched, crops and flips are views, and the
//! last pass flips, casts, normalises and lays out while it writes the batch's row.

mod chain;
mod geometry;
mod render;
mod tail;
mod view;
mod write;

use serde::{Deserialize, Serialize};

pub use self::{
    chain::{Chain, Region, Workspace},
    write::Pixels,
};
use crate::{
    error::{Error, Result},
    spec::DType,
};

/// The largest edge that a transform may ask for; as large as a JPEG can be.
const MAX_EDGE: u32 = 65_535;

/// One transform, with torchvision's meaning.
///
/// Geometry ([`Resize`](Self::Resize) to [`RandomHorizontalFlip`](Self::RandomHorizontalFlip)) takes `uint8`
/// images of shape (H, W, 3), (H, W, 1) or (H, W) and stands before all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", deny_unknown_fields)]
pub enum Transform {
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
}

/// The filter of a resize; all but `nearest` widen with the reduction, as torchvision's `antialias=True`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each variant is the filter it names")]
pub enum Interpolation {
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
            Self::Resize { .. } => "Resize",
            Self::CenterCrop { .. } => "CenterCrop",
            Self::RandomResizedCrop { .. } => "RandomResizedCrop",
            Self::RandomHorizontalFlip { .. } => "RandomHorizontalFlip",
            Self::Normalize { .. } => "Normalize",
            Self::ToDtype { .. } => "ToDtype",
            Self::ToLayout { .. } => "ToLayout",
        }
    }

    /// Returns what the transform does to the mask of an image: the same geometry, by the nearest pixel, and nothing else.
    pub fn of_mask(&self) -> Option<Self> {
        let mut same = self.clone();
        match &mut same {
            Self::Resize { interpolation, .. } | Self::RandomResizedCrop { interpolation, .. } => {
                *interpolation = Interpolation::Nearest;
                Some(same)
            }
            Self::CenterCrop { .. } | Self::RandomHorizontalFlip { .. } => Some(same),
            Self::Normalize { .. } | Self::ToDtype { .. } | Self::ToLayout { .. } => None,
        }
    }

    /// Checks the arguments, as far as they can be checked without knowing what they are applied to.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for an argument outside its range.
    pub fn validate(&self) -> Result<()> {
        self.check().map_err(|what| Error::Config(format!("{}: {what}", self.name())))
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::Resize { size, max_size, .. } => {
                check_size(size)?;
                match max_size {
                    None => Ok(()),
                    Some(_) if size.len() == 2 => Err("max_size goes with one size, not with (height, width)".into()),
                    Some(max) if *max <= size[0] => {
                        Err(format!("max_size = {max} must be greater than size = {}", size[0]))
                    }
                    Some(max) => check_edge(*max),
                }
            }
            Self::CenterCrop { size } => check_size(size),
            Self::RandomResizedCrop { size, scale, ratio, .. } => {
                check_size(size)?;
                check_range("scale", *scale)?;
                check_range("ratio", *ratio)
            }
            Self::RandomHorizontalFlip { p } if !(0.0..=1.0).contains(p) => {
                Err(format!("p = {p} must lie between 0 and 1"))
            }
            Self::Normalize { mean, std } => check_normalize(mean, std),
            Self::ToDtype { dtype, scale: true } if !is_float(*dtype) => {
                Err(format!("scale=True goes with a floating-point dtype, not with {dtype}"))
            }
            Self::RandomHorizontalFlip { .. } | Self::ToDtype { .. } | Self::ToLayout { .. } => Ok(()),
        }
    }
}

/// Tells whether the dtype is a floating-point one.
const fn is_float(dtype: DType) -> bool {
    matches!(dtype, DType::Float16 | DType::BFloat16 | DType::Float32 | DType::Float64)
}

fn check_size(size: &[u32]) -> Result<(), String> {
    match size {
        [_] | [_, _] => size.iter().try_for_each(|&edge| check_edge(edge)),
        _ => Err(format!("size must be one number or (height, width), not {} numbers", size.len())),
    }
}

fn check_edge(edge: u32) -> Result<(), String> {
    if (1..=MAX_EDGE).contains(&edge) { Ok(()) } else { Err(format!("size {edge} must lie between 1 and {MAX_EDGE}")) }
}

fn check_range(name: &str, [low, high]: [f64; 2]) -> Result<(), String> {
    if low > 0.0 && low <= high && high.is_finite() {
        Ok(())
    } else {
        Err(format!("{name} = ({low}, {high}) must be two positive numbers, the smaller first"))
    }
}

fn check_normalize(mean: &[f32], std: &[f32]) -> Result<(), String> {
    if mean.is_empty() || mean.len() != std.len() {
        return Err(format!("mean has {} values and std {}: give one each, or one per channel", mean.len(), std.len()));
    }
    if !mean.iter().chain(std).all(|value| value.is_finite()) {
        return Err("mean and std must be finite".into());
    }
    if std.contains(&0.0) {
        return Err("std must not be zero".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Transform {
        serde_json::from_str(json).unwrap()
    }

    fn message(json: &str) -> String {
        parse(json).validate().unwrap_err().to_string()
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
    }

    #[test]
    fn arguments_out_of_range_are_named() {
        for (json, part) in [
            (r#"{"op": "Resize", "size": []}"#, "Resize: size must be one number"),
            (r#"{"op": "Resize", "size": [0]}"#, "between 1 and 65535"),
            (r#"{"op": "Resize", "size": [9, 9], "max_size": 10}"#, "goes with one size"),
            (r#"{"op": "Resize", "size": [9], "max_size": 9}"#, "must be greater than size"),
            (r#"{"op": "CenterCrop", "size": [1, 2, 3]}"#, "not 3 numbers"),
            (r#"{"op": "RandomResizedCrop", "size": [1], "scale": [0.5, 0.1]}"#, "scale = (0.5, 0.1)"),
            (r#"{"op": "RandomResizedCrop", "size": [1], "ratio": [0.0, 0.1]}"#, "ratio = (0, 0.1)"),
            (r#"{"op": "RandomHorizontalFlip", "p": 1.5}"#, "between 0 and 1"),
            (r#"{"op": "Normalize", "mean": [0.5], "std": [0.0]}"#, "std must not be zero"),
            (r#"{"op": "Normalize", "mean": [0.5], "std": [1, 1]}"#, "1 values and std 2"),
            (r#"{"op": "ToDtype", "dtype": "int64", "scale": true}"#, "floating-point dtype, not with int64"),
        ] {
            assert!(message(json).contains(part), "{json}: {}", message(json));
        }
    }
}
