//! The operations, each in a file of its own: its arguments and their defaults, which it checks, the shape and the size
//! that it gives, what it adds to a sample's plan, and what it does to a mask.

mod construct;
mod magnitudes;
mod parts;

use serde::{Deserialize, Serialize};

use super::op::{Operation, Role};
use crate::error::{Error, Result};

/// Declares the files of operations and makes [`Transform`] of what is in them.
macro_rules! operations {
    ($($file:ident { $($name:ident),+ })+) => {
        $(mod $file;)+
        $(pub use self::$file::{$($name),+};)+

        /// One transform, with torchvision's meaning.
        ///
        /// Those on pixels take images of shape (H, W, C) or (H, W), of 1 to 4 channels, and stand before those on the
        /// elements of the row. Geometry and blur take `uint8`, `uint16` and `float32`, what changes colours `uint8`
        /// alone. A `fill` is one value or one per channel, in the units of the image.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "op")]
        #[non_exhaustive]
        pub enum Transform {
            $($(#[doc = concat!("See [`struct@", stringify!($name), "`].")] $name($name),)+)+
        }

        impl Transform {
            /// The names of all transforms.
            pub const NAMES: &[&str] = &[$($(stringify!($name)),+),+];

            /// Returns the transform's name.
            pub const fn name(&self) -> &'static str {
                match self {
                    $($(Self::$name(_) => stringify!($name),)+)+
                }
            }

            const fn operation(&self) -> &dyn Operation {
                match self {
                    $($(Self::$name(operation) => operation,)+)+
                }
            }
        }

        $($(impl From<$name> for Transform {
            fn from(operation: $name) -> Self {
                Self::$name(operation)
            }
        })+)+
    };
}

operations! {
    decode_image { DecodeImage }
    resize { Resize }
    center_crop { CenterCrop }
    random_resized_crop { RandomResizedCrop }
    random_crop { RandomCrop }
    pad { Pad }
    flip { RandomHorizontalFlip, RandomVerticalFlip }
    color_jitter { ColorJitter }
    grayscale { Grayscale, RandomGrayscale }
    gaussian_blur { GaussianBlur }
    random_rotation { RandomRotation }
    random_affine { RandomAffine }
    random_perspective { RandomPerspective }
    rand_augment { RandAugment }
    trivial_augment_wide { TrivialAugmentWide }
    auto_augment { AutoAugment }
    aug_mix { AugMix }
    elastic_transform { ElasticTransform }
    random_color {
        RandomInvert, RandomPosterize, RandomSolarize, RandomAutocontrast, RandomEqualize, RandomAdjustSharpness
    }
    five_crop { FiveCrop, TenCrop }
    compose { Compose }
    random_apply { RandomApply }
    random_choice { RandomChoice }
    random_order { RandomOrder }
    random_erasing { RandomErasing }
    normalize { Normalize }
    to_dtype { ToDtype }
    to_layout { ToLayout }
    bounding_boxes { ClampBoundingBoxes, SanitizeBoundingBoxes, ConvertBoundingBoxFormat }
    key_points { ClampKeyPoints }
    call { Call }
    mosaic { Mosaic }
    by_field { ByField }
    scale_jitter { ScaleJitter }
    random_shortest_size { RandomShortestSize }
    random_zoom_out { RandomZoomOut }
    random_iou_crop { RandomIoUCrop }
    spectrogram { Spectrogram, MelSpectrogram }
    amplitude_to_db { AmplitudeToDB }
    masking { TimeMasking, FrequencyMasking }
    tokenize { Tokenize }
}

pub use self::{
    amplitude_to_db::AmplitudeType,
    auto_augment::AutoAugmentPolicy,
    construct::Several,
    spectrogram::{MelNorm, Normalized, NormalizedBy},
};

impl Transform {
    /// Checks the arguments, as far as they can be checked without knowing what they are applied to.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for an argument outside its range.
    pub fn validate(&self) -> Result<()> {
        let name = if let Self::ByField(by_field) = self { by_field.transform.name() } else { self.name() };
        self.operation().check().map_err(|what| Error::Config(format!("{name}: {what}")))
    }

    /// Returns the call that the transform is, if it is one.
    pub const fn call(&self) -> Option<&Call> {
        if let Self::Call(call) = self { Some(call) } else { None }
    }

    /// Returns the transforms of a list, in the place of a composition those in it. Each has its number: in a composition,
    /// behind that one's.
    pub(crate) fn flat(transforms: &[Self]) -> Vec<(String, &Self)> {
        let mut flat = Vec::with_capacity(transforms.len());
        for (at, transform) in transforms.iter().enumerate() {
            if let Self::Compose(compose) = transform {
                let inner = Self::flat(&compose.transforms);
                flat.extend(inner.into_iter().map(|(inner, transform)| (format!("{at}.{inner}"), transform)));
            } else {
                flat.push((at.to_string(), transform));
            }
        }
        flat
    }

    /// Returns the calls of a list, with the numbers of [`flat`](Self::flat).
    pub(crate) fn calls_mut(transforms: &mut [Self]) -> Vec<(String, &mut Call)> {
        let mut calls = Vec::new();
        for (at, transform) in transforms.iter_mut().enumerate() {
            if let Self::Compose(compose) = transform {
                let inner = Self::calls_mut(&mut compose.transforms);
                calls.extend(inner.into_iter().map(|(inner, call)| (format!("{at}.{inner}"), call)));
            } else if let Self::Call(call) = transform {
                calls.push((at.to_string(), call));
            }
        }
        calls
    }

    /// Returns the transform as it is for a field: its image, or a mask that follows that.
    ///
    /// # Errors
    /// [`Config`](Error::Config) where it is to have a fill for the field that it cannot have.
    pub(crate) fn for_field(&self, field: &str) -> Result<Self> {
        by_field::for_field(self, field).map_err(Error::Config)
    }

    /// Returns the fields that the transform, or one that it is made of, has a fill for.
    pub(crate) fn filled(&self) -> Vec<(String, Option<Vec<f32>>)> {
        by_field::fills(self).into_iter().flat_map(|by_field| by_field.fill).collect()
    }

    /// Says what the transform is applied to.
    pub(crate) fn role(&self) -> Role {
        self.operation().role()
    }
}

#[cfg(test)]
mod tests;
