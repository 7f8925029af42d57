//! Arguments that several operations have: their types, their checks, and what short forms stand for.

use serde::{Deserialize, Serialize};

use super::fill::Fill;
use crate::{
    geometry::{Rect, Size},
    pixel::{Depth, PixelType},
    rng::Draws,
};

/// The largest edge that a transform may ask for; as large as a JPEG can be.
pub(super) const MAX_EDGE: u32 = 65_535;

/// The filter of a resize; all but `nearest` widen with the reduction, as torchvision's `antialias=True`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each variant is the filter it names")]
#[non_exhaustive]
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
#[non_exhaustive]
pub enum Layout {
    /// (height, width, channels).
    #[default]
    #[serde(rename = "HWC")]
    Hwc,
    /// (channels, height, width).
    #[serde(rename = "CHW")]
    Chw,
}

/// What the border of a padded image is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
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

/// A default of `interpolation`.
pub(super) const fn nearest() -> Interpolation {
    Interpolation::Nearest
}

/// A default of `p`.
pub(super) const fn half() -> f64 {
    0.5
}

/// The default of a `fill` that is always given.
pub(super) fn zero_fill() -> Vec<f32> {
    vec![0.0]
}

/// The default of a `fill` that may be none.
#[expect(clippy::unnecessary_wraps, reason = "the default of an optional argument")]
pub(super) fn black() -> Option<Vec<f32>> {
    Some(zero_fill())
}

/// Returns a value for each channel.
pub(super) fn channels(fill: Option<&[f32]>) -> Option<Fill> {
    fill.map(|fill| Fill(std::array::from_fn(|channel| fill[channel.min(fill.len() - 1)])))
}

/// Returns the fill of a mask: that of its image, where it is one value that is an index of 8 bits.
pub(super) fn single(fill: Option<&[f32]>) -> Option<Vec<f32>> {
    fill.filter(|fill| matches!(fill, [value] if is_whole(*value, 255.0))).map(<[f32]>::to_vec)
}

fn is_whole(value: f32, most: f32) -> bool {
    value.fract() == 0.0 && (0.0..=most).contains(&value)
}

/// Returns the bounds that one number stands for, or two: `[-x, x]`.
pub(super) fn around_zero(bounds: &[f64]) -> [f64; 2] {
    match bounds {
        [low, high] => [*low, *high],
        _ => [-bounds[0], bounds[0]],
    }
}

/// Returns the bounds that one number stands for, or two: `[1 - x, 1 + x]`, from zero on.
pub(super) fn around_one(bounds: &[f64]) -> [f64; 2] {
    match bounds {
        [low, high] => [*low, *high],
        _ => [(1.0 - bounds[0]).max(0.0), 1.0 + bounds[0]],
    }
}

/// Draws an aspect ratio, whose logarithm is uniform.
pub(super) fn aspect_ratio([low, high]: [f64; 2], draws: &mut Draws) -> f64 {
    libm::exp(draws.uniform(libm::log(low), libm::log(high)))
}

/// Returns what is told of a box that was drawn.
pub(super) fn told(part: Rect) -> [(&'static str, serde_json::Value); 4] {
    let Size { height, width } = part.size;
    [("top", part.top.into()), ("left", part.left.into()), ("height", height.into()), ("width", width.into())]
}

/// Returns a number in [0, 1) as PyTorch draws it: a multiple of 2^-24.
pub(super) fn short_unit(draws: &mut Draws) -> f32 {
    const STEP: f64 = 1.0 / (1 << 24) as f64;
    ((draws.unit() / STEP).floor() * STEP) as f32
}

/// Returns a number between bounds as torchvision draws it, in `f32`.
pub(super) fn short_uniform([low, high]: [f64; 2], draws: &mut Draws) -> f32 {
    low as f32 + short_unit(draws) * (high - low) as f32
}

/// Returns the whole part of a number of pixels times a factor, as torchvision computes it, in `f32`.
pub(super) fn truncated(pixels: u32, factor: f32) -> u32 {
    (pixels as f32 * factor) as u32
}

pub(super) fn check_size(size: &[u32]) -> Result<(), String> {
    match size {
        [_] | [_, _] => size.iter().try_for_each(|&edge| check_edge(edge)),
        _ => Err(format!("size must be one number or (height, width), not {} numbers", size.len())),
    }
}

pub(super) fn check_edge(edge: u32) -> Result<(), String> {
    if (1..=MAX_EDGE).contains(&edge) { Ok(()) } else { Err(format!("size {edge} must lie between 1 and {MAX_EDGE}")) }
}

pub(super) fn check_least(name: &str, least: f64) -> Result<(), String> {
    let takes = 1.0..=f64::from(f32::MAX);
    if takes.contains(&least) { Ok(()) } else { Err(format!("{name} = {least} must be at least 1")) }
}

pub(super) fn check_probability(p: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&p) { Ok(()) } else { Err(format!("p = {p} must lie between 0 and 1")) }
}

/// Checks the probabilities of so many transforms, up to a common factor.
pub(super) fn check_weights(p: &[f64], len: usize) -> Result<(), String> {
    if p.len() != len {
        return Err(format!("p has {} probabilities for {len} transforms", p.len()));
    }
    let sum: f64 = p.iter().sum();
    if p.iter().all(|&p| p >= 0.0) && sum > 0.0 && sum.is_finite() {
        return Ok(());
    }
    Err(format!("p = {p:?} must be finite, not negative, and not all zero"))
}

/// Checks two positive numbers in order.
pub(super) fn check_range(name: &str, [low, high]: [f64; 2]) -> Result<(), String> {
    if low > 0.0 && low <= high && high.is_finite() {
        Ok(())
    } else {
        Err(format!("{name} = ({low}, {high}) must be two positive numbers, the smaller first"))
    }
}

/// Checks one number that is not negative, or two in order and within bounds.
pub(super) fn check_bounds(name: &str, bounds: Option<&[f64]>, least: f64, most: f64) -> Result<(), String> {
    match bounds {
        None => Ok(()),
        Some([one]) if (0.0..=most).contains(one) => Ok(()),
        Some([one]) => Err(format!("{name} = {one} must not be negative{}", upper_bound(most))),
        Some([low, high]) if least <= *low && low <= high && *high <= most => Ok(()),
        Some([low, high]) => {
            let least = if least.abs() < f64::MAX { format!(", not less than {least}") } else { String::new() };
            Err(format!("{name} = ({low}, {high}) must be two numbers, the smaller first{least}{}", upper_bound(most)))
        }
        Some(bounds) => Err(format!("{name} must be one number or two, not {}", bounds.len())),
    }
}

/// Checks one angle that is not negative, or two in order.
pub(super) fn check_degrees(degrees: &[f64]) -> Result<(), String> {
    check_bounds("degrees", Some(degrees), f64::MIN, f64::MAX)
}

fn upper_bound(most: f64) -> String {
    if most < f64::MAX { format!(" and not more than {most}") } else { String::new() }
}

/// Checks the fixed point of a turn.
pub(super) fn check_center(center: Option<[f64; 2]>) -> Result<(), String> {
    match center {
        Some(center) if !center.iter().all(|value| value.is_finite()) => Err("center must be finite".to_owned()),
        _ => Ok(()),
    }
}

/// Checks how pixels are taken where an image is moved by fractions of one.
pub(super) fn check_warp(interpolation: Interpolation, fill: Option<&[f32]>) -> Result<(), String> {
    if !matches!(interpolation, Interpolation::Nearest | Interpolation::Bilinear) {
        let given = format!("{interpolation:?}").to_lowercase();
        return Err(format!("interpolation must be nearest or bilinear, not {given}"));
    }
    check_fill(fill)
}

/// Checks a fill, as far as it can be checked without knowing the images.
pub(super) fn check_fill(fill: Option<&[f32]>) -> Result<(), String> {
    match fill {
        Some([] | [_, _, _, _, _, ..]) => {
            Err(format!("fill must be one value or one per channel, not {}", fill.map_or(0, <[f32]>::len)))
        }
        Some(values) if !values.iter().all(|value| value.is_finite()) => Err("fill must be finite".to_owned()),
        Some(_) | None => Ok(()),
    }
}

/// Checks a fill of images of these pixels.
pub(super) fn check_fill_of(fill: Option<&[f32]>, pixel: PixelType) -> Result<(), String> {
    let (values, count) = (fill.unwrap_or_default(), pixel.channels.count());
    if values.len() > 1 && values.len() != count {
        return Err(format!("fill has {} values, the image {count} channels", values.len()));
    }
    let most = match pixel.depth {
        Depth::U8 => f32::from(u8::MAX),
        Depth::U16 => f32::from(u16::MAX),
        Depth::F32 => return Ok(()),
    };
    match values.iter().find(|value| !is_whole(**value, most)) {
        None => Ok(()),
        Some(value) => {
            let dtype = pixel.depth.dtype();
            Err(format!("fill = {value} must be a whole number from 0 to {most} where images are {dtype}"))
        }
    }
}
