//! The arguments of transforms, checked before anything is known of what they are applied to.

use super::{Interpolation, Padding, Transform};
use crate::{
    error::{Error, Result},
    spec::DType,
};

/// The largest edge that a transform may ask for; as large as a JPEG can be.
const MAX_EDGE: u32 = 65_535;

/// The most operations of one `RandAugment`.
const MAX_OPS: u32 = 1000;

impl Transform {
    /// Checks the arguments, as far as they can be checked without knowing what they are applied to.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for an argument outside its range.
    pub fn validate(&self) -> Result<()> {
        if let Self::DecodeImage(options) = self {
            return options.validate();
        }
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
            Self::RandomHorizontalFlip { p } | Self::RandomVerticalFlip { p } | Self::RandomGrayscale { p } => {
                check_probability(*p)
            }
            Self::RandomCrop { size, padding, .. } => {
                check_size(size)?;
                check_padding(padding)
            }
            Self::Pad(padding) if padding.padding.is_empty() => Err("padding must be one, two or four numbers".into()),
            Self::Pad(padding) => check_padding(padding),
            Self::ColorJitter { brightness, contrast, saturation, hue } => {
                for (name, bounds) in [("brightness", brightness), ("contrast", contrast), ("saturation", saturation)] {
                    check_bounds(name, bounds.as_deref(), 0.0, f64::MAX)?;
                }
                check_bounds("hue", hue.as_deref(), -0.5, 0.5)
            }
            Self::DecodeImage(_) | Self::Grayscale { num_output_channels: 1 | 3 } => Ok(()),
            Self::Grayscale { num_output_channels } => {
                Err(format!("num_output_channels = {num_output_channels} must be 1 or 3"))
            }
            Self::GaussianBlur { kernel_size, sigma } => check_blur(kernel_size, sigma),
            Self::RandomRotation { degrees, interpolation, center, fill, .. } => {
                check_bounds("degrees", Some(degrees), f64::MIN, f64::MAX)?;
                check_finite("center", center.as_ref())?;
                check_warp(*interpolation, fill.as_deref())
            }
            Self::RandomAffine { degrees, translate, scale, shear, interpolation, fill, center } => {
                check_bounds("degrees", Some(degrees), f64::MIN, f64::MAX)?;
                if translate.is_some_and(|most| most.iter().any(|most| !(0.0..=1.0).contains(most))) {
                    return Err("translate must lie between 0 and 1".into());
                }
                scale.map_or(Ok(()), |scale| check_range("scale", scale))?;
                check_shear(shear.as_deref())?;
                check_finite("center", center.as_ref())?;
                check_warp(*interpolation, fill.as_deref())
            }
            Self::RandAugment { num_ops, magnitude, num_magnitude_bins, interpolation, fill } => {
                check_bins(*num_magnitude_bins)?;
                if magnitude >= num_magnitude_bins {
                    return Err(format!("magnitude = {magnitude} must be less than num_magnitude_bins"));
                }
                if *num_ops > MAX_OPS {
                    return Err(format!("num_ops = {num_ops} must be at most {MAX_OPS}"));
                }
                check_warp(*interpolation, fill.as_deref())
            }
            Self::TrivialAugmentWide { num_magnitude_bins, interpolation, fill } => {
                check_bins(*num_magnitude_bins)?;
                check_warp(*interpolation, fill.as_deref())
            }
            Self::AutoAugment { interpolation, fill, .. } => check_warp(*interpolation, fill.as_deref()),
            Self::RandomErasing { p, scale, ratio, value } => {
                check_probability(*p)?;
                if !(0.0 <= scale[0] && scale[0] <= scale[1] && scale[1] <= 1.0) {
                    return Err(format!(
                        "scale = ({}, {}) must lie between 0 and 1, the smaller first",
                        scale[0], scale[1]
                    ));
                }
                check_range("ratio", *ratio)?;
                match value.as_deref() {
                    Some([]) => Err("value must be a number, or one per channel".into()),
                    Some(values) if values.iter().any(|value| !value.is_finite()) => Err("value must be finite".into()),
                    _ => Ok(()),
                }
            }
            Self::Normalize { mean, std } => check_normalize(mean, std),
            Self::ToDtype { dtype, scale: true } if !is_float(*dtype) => {
                Err(format!("scale=True goes with a floating-point dtype, not with {dtype}"))
            }
            Self::SanitizeBoundingBoxes { min_size, min_area, .. } => {
                check_least("min_size", *min_size)?;
                check_least("min_area", *min_area)
            }
            Self::ToDtype { .. }
            | Self::ToLayout { .. }
            | Self::ClampBoundingBoxes {}
            | Self::ConvertBoundingBoxFormat { .. }
            | Self::ClampKeyPoints {} => Ok(()),
        }
    }
}

/// Tells whether the dtype is a floating-point one.
pub(super) const fn is_float(dtype: DType) -> bool {
    matches!(dtype, DType::Float16 | DType::BFloat16 | DType::Float32 | DType::Float64)
}

fn check_least(name: &str, least: f64) -> Result<(), String> {
    let takes = 1.0..=f64::from(f32::MAX);
    if takes.contains(&least) { Ok(()) } else { Err(format!("{name} = {least} must be at least 1")) }
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

fn check_probability(p: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&p) { Ok(()) } else { Err(format!("p = {p} must lie between 0 and 1")) }
}

/// Checks one number that is not negative, or two in order and within bounds.
fn check_bounds(name: &str, bounds: Option<&[f64]>, least: f64, most: f64) -> Result<(), String> {
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

fn upper_bound(most: f64) -> String {
    if most < f64::MAX { format!(" and not more than {most}") } else { String::new() }
}

fn check_finite(name: &str, values: Option<&[f64; 2]>) -> Result<(), String> {
    match values {
        Some(values) if !values.iter().all(|value| value.is_finite()) => Err(format!("{name} must be finite")),
        _ => Ok(()),
    }
}

fn check_shear(shear: Option<&[f64]>) -> Result<(), String> {
    match shear {
        Some([left, right, up, down]) => {
            check_bounds("shear", Some(&[*left, *right]), f64::MIN, f64::MAX)?;
            check_bounds("shear", Some(&[*up, *down]), f64::MIN, f64::MAX)
        }
        Some(shear) if shear.len() > 2 => Err(format!("shear must be one, two or four numbers, not {}", shear.len())),
        shear => check_bounds("shear", shear, f64::MIN, f64::MAX),
    }
}

fn check_blur(kernel_size: &[u32], sigma: &[f64]) -> Result<(), String> {
    if !matches!(kernel_size.len(), 1 | 2) || kernel_size.iter().any(|taps| taps % 2 == 0 || *taps > MAX_EDGE) {
        return Err("kernel_size must be one odd number or two".into());
    }
    let (Some(low), Some(high)) = (sigma.first(), sigma.last()) else {
        return Err("sigma must be one number or two".into());
    };
    if sigma.len() > 2 {
        return Err("sigma must be one number or two".into());
    }
    check_range("sigma", [*low, *high])
}

fn check_padding(Padding { padding, fill, .. }: &Padding) -> Result<(), String> {
    if !matches!(padding.len(), 0 | 1 | 2 | 4) {
        return Err(format!("padding must be one, two or four numbers, not {}", padding.len()));
    }
    if let Some(side) = padding.iter().find(|&&side| side > MAX_EDGE) {
        return Err(format!("padding {side} must be at most {MAX_EDGE}"));
    }
    check_fill(Some(fill))
}

fn check_warp(interpolation: Interpolation, fill: Option<&[u8]>) -> Result<(), String> {
    if !matches!(interpolation, Interpolation::Nearest | Interpolation::Bilinear) {
        return Err("interpolation must be nearest or bilinear".into());
    }
    check_fill(fill)
}

fn check_fill(fill: Option<&[u8]>) -> Result<(), String> {
    match fill {
        None | Some([_] | [_, _, _]) => Ok(()),
        Some(fill) => Err(format!("fill must be one value or three, not {}", fill.len())),
    }
}

fn check_bins(bins: u32) -> Result<(), String> {
    // Beyond 2^24, a bin is not a number in `f32`.
    if (2..=1 << 24).contains(&bins) { Ok(()) } else { Err(format!("num_magnitude_bins = {bins} must be at least 2")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> String {
        serde_json::from_str::<Transform>(json).unwrap().validate().unwrap_err().to_string()
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
            (r#"{"op": "RandomVerticalFlip", "p": -1}"#, "between 0 and 1"),
            (r#"{"op": "RandomCrop", "size": [1], "padding": [1, 2, 3]}"#, "one, two or four numbers, not 3"),
            (r#"{"op": "RandomCrop", "size": [1], "fill": [1, 2]}"#, "fill must be one value or three"),
            (r#"{"op": "Pad"}"#, "padding must be one, two or four"),
            (r#"{"op": "Pad", "padding": [70000]}"#, "at most 65535"),
            (r#"{"op": "ColorJitter", "contrast": [-1]}"#, "contrast = -1 must not be negative"),
            (r#"{"op": "ColorJitter", "brightness": [2, 1]}"#, "brightness = (2, 1) must be two numbers"),
            (r#"{"op": "ColorJitter", "hue": [0.6]}"#, "not more than 0.5"),
            (r#"{"op": "ColorJitter", "hue": [-0.6, 0]}"#, "not less than -0.5"),
            (r#"{"op": "Grayscale", "num_output_channels": 2}"#, "must be 1 or 3"),
            (r#"{"op": "GaussianBlur", "kernel_size": [4]}"#, "one odd number or two"),
            (r#"{"op": "GaussianBlur", "kernel_size": [3], "sigma": [0.0]}"#, "sigma = (0, 0)"),
            (r#"{"op": "RandomRotation", "degrees": [-5]}"#, "degrees = -5 must not be negative"),
            (r#"{"op": "RandomRotation", "degrees": [5], "interpolation": "lanczos"}"#, "nearest or bilinear"),
            (r#"{"op": "RandomAffine", "degrees": [5], "translate": [2, 0]}"#, "translate must lie between 0 and 1"),
            (r#"{"op": "RandomAffine", "degrees": [5], "scale": [0, 1]}"#, "scale = (0, 1)"),
            (r#"{"op": "RandomAffine", "degrees": [5], "shear": [1, 2, 3]}"#, "one, two or four numbers, not 3"),
            (r#"{"op": "RandAugment", "magnitude": 31}"#, "magnitude = 31 must be less than"),
            (r#"{"op": "TrivialAugmentWide", "num_magnitude_bins": 1}"#, "must be at least 2"),
            (r#"{"op": "RandomErasing", "scale": [0.5, 1.5]}"#, "scale = (0.5, 1.5) must lie between 0 and 1"),
            (r#"{"op": "RandomErasing", "value": []}"#, "value must be a number"),
            (r#"{"op": "Normalize", "mean": [0.5], "std": [0.0]}"#, "std must not be zero"),
            (r#"{"op": "Normalize", "mean": [0.5], "std": [1, 1]}"#, "1 values and std 2"),
            (r#"{"op": "ToDtype", "dtype": "int64", "scale": true}"#, "floating-point dtype, not with int64"),
        ] {
            assert!(message(json).contains(part), "{json}: {}", message(json));
        }
    }
}
