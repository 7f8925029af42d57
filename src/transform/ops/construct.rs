//! How transforms are made in Rust: what has no default is given, all else has torchvision's default and can be set.

use std::collections::BTreeMap;

use super::{
    super::{
        args::{Interpolation, Layout, PaddingMode},
        boxes::BoxFormat,
        sound::{MelScale, SoundPadding},
    },
    AmplitudeToDB, AmplitudeType, AugMix, AutoAugment, AutoAugmentPolicy, ByField, CenterCrop, ClampBoundingBoxes,
    ClampKeyPoints, ColorJitter, Compose, ConvertBoundingBoxFormat, DecodeImage, ElasticTransform, FiveCrop,
    FrequencyMasking, GaussianBlur, Grayscale, MelNorm, MelSpectrogram, Mosaic, Normalize, Normalized, Pad,
    RandAugment, RandomAdjustSharpness, RandomAffine, RandomApply, RandomAutocontrast, RandomChoice, RandomCrop,
    RandomEqualize, RandomErasing, RandomGrayscale, RandomHorizontalFlip, RandomInvert, RandomIoUCrop, RandomOrder,
    RandomPerspective, RandomPosterize, RandomResizedCrop, RandomRotation, RandomShortestSize, RandomSolarize,
    RandomVerticalFlip, RandomZoomOut, Resize, SanitizeBoundingBoxes, ScaleJitter, Spectrogram, TenCrop, TimeMasking,
    ToDtype, ToLayout, Transform, TrivialAugmentWide,
};
use crate::{
    decode::{Corrupt, Mode, Truncated},
    spec::DType,
};

/// One value, or several: what torchvision takes as a number or a sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Several<T>(Vec<T>);

impl<T> From<T> for Several<T> {
    fn from(one: T) -> Self {
        Self(vec![one])
    }
}

impl<T> From<Vec<T>> for Several<T> {
    fn from(several: Vec<T>) -> Self {
        Self(several)
    }
}

impl<T, const N: usize> From<[T; N]> for Several<T> {
    fn from(several: [T; N]) -> Self {
        Self(several.into())
    }
}

impl<T: Clone> From<&[T]> for Several<T> {
    fn from(several: &[T]) -> Self {
        Self(several.into())
    }
}

/// Makes the method that sets an argument, by what it takes.
macro_rules! setter {
    ($field:ident, [some many $type:ty]) => {
        #[doc = concat!("Sets `", stringify!($field), "`.")]
        #[must_use]
        pub fn $field(mut self, $field: impl Into<Several<$type>>) -> Self {
            self.$field = Some($field.into().0);
            self
        }
    };
    ($field:ident, [many $type:ty]) => {
        #[doc = concat!("Sets `", stringify!($field), "`.")]
        #[must_use]
        pub fn $field(mut self, $field: impl Into<Several<$type>>) -> Self {
            self.$field = $field.into().0;
            self
        }
    };
    ($field:ident, [some $type:ty]) => {
        #[doc = concat!("Sets `", stringify!($field), "`.")]
        #[must_use]
        pub const fn $field(mut self, $field: $type) -> Self {
            self.$field = Some($field);
            self
        }
    };
    ($field:ident, [$type:ty]) => {
        #[doc = concat!("Sets `", stringify!($field), "`.")]
        #[must_use]
        pub const fn $field(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        }
    };
}

/// Makes the constructor of a transform's arguments; where nothing has to be given, they have a default too.
macro_rules! constructor {
    ($name:ident() {} { $($field:ident = $default:expr),* }) => {
        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default),* }
            }
        }

        impl $name {
            /// Returns the transform with torchvision's defaults.
            pub fn new() -> Self {
                Self::default()
            }
        }
    };
    ($name:ident($($needed:ident: $type:ty),+) { $($given:ident: $value:expr),+ } { $($field:ident = $default:expr),* }) => {
        impl $name {
            /// Returns the transform with torchvision's defaults for all that is not given.
            pub fn new($($needed: $type),+) -> Self {
                Self { $($given: $value,)+ $($field: $default),* }
            }
        }
    };
}

/// Makes the constructors of a transform: of its arguments, with what has to be given, then a method for each of the
/// others, with its default; and of the transform with all defaults.
macro_rules! constructors {
    ($(
        $function:ident: $name:ident($($needed:ident: $type:ty),*) { $($given:ident: $value:expr),* }
        { $($field:ident: [$($how:tt)+] = $default:expr),* $(,)? }
    )*) => {
        $(constructor! { $name($($needed: $type),*) { $($given: $value),* } { $($field = $default),* } }

        impl $name {
            $(setter!($field, [$($how)+]);)*
        })*

        impl Transform {
            $(#[doc = concat!(
                "Returns a [`struct@", stringify!($name), "`] with torchvision's defaults; to change them, begin with [`",
                stringify!($name), "::new`]."
            )]
            pub fn $function($($needed: $type),*) -> Self {
                $name::new($($needed),*).into()
            })*
        }
    };
}

constructors! {
    resize: Resize(size: impl Into<Several<u32>>) { size: size.into().0 } {
        interpolation: [Interpolation] = Interpolation::Bilinear,
        max_size: [some u32] = None,
    }
    center_crop: CenterCrop(size: impl Into<Several<u32>>) { size: size.into().0 } {}
    random_resized_crop: RandomResizedCrop(size: impl Into<Several<u32>>) { size: size.into().0 } {
        scale: [[f64; 2]] = [0.08, 1.0],
        ratio: [[f64; 2]] = [3.0 / 4.0, 4.0 / 3.0],
        interpolation: [Interpolation] = Interpolation::Bilinear,
    }
    random_crop: RandomCrop(size: impl Into<Several<u32>>) { size: size.into().0 } {
        padding: [many u32] = Vec::new(),
        fill: [many f32] = vec![0.0],
        padding_mode: [PaddingMode] = PaddingMode::Constant,
        pad_if_needed: [bool] = false,
    }
    pad: Pad(padding: impl Into<Several<u32>>) { padding: padding.into().0 } {
        fill: [many f32] = vec![0.0],
        padding_mode: [PaddingMode] = PaddingMode::Constant,
    }
    random_horizontal_flip: RandomHorizontalFlip() {} { p: [f64] = 0.5 }
    random_vertical_flip: RandomVerticalFlip() {} { p: [f64] = 0.5 }
    random_rotation: RandomRotation(degrees: impl Into<Several<f64>>) { degrees: degrees.into().0 } {
        interpolation: [Interpolation] = Interpolation::Nearest,
        expand: [bool] = false,
        center: [some [f64; 2]] = None,
        fill: [some many f32] = Some(vec![0.0]),
    }
    random_affine: RandomAffine(degrees: impl Into<Several<f64>>) { degrees: degrees.into().0 } {
        translate: [some [f64; 2]] = None,
        scale: [some [f64; 2]] = None,
        shear: [some many f64] = None,
        interpolation: [Interpolation] = Interpolation::Nearest,
        fill: [some many f32] = Some(vec![0.0]),
        center: [some [f64; 2]] = None,
    }
    random_perspective: RandomPerspective() {} {
        distortion_scale: [f64] = 0.5,
        p: [f64] = 0.5,
        interpolation: [Interpolation] = Interpolation::Bilinear,
        fill: [some many f32] = Some(vec![0.0]),
    }
    color_jitter: ColorJitter() {} {
        brightness: [some many f64] = None,
        contrast: [some many f64] = None,
        saturation: [some many f64] = None,
        hue: [some many f64] = None,
    }
    grayscale: Grayscale() {} { num_output_channels: [u32] = 1 }
    random_grayscale: RandomGrayscale() {} { p: [f64] = 0.1 }
    gaussian_blur: GaussianBlur(kernel_size: impl Into<Several<u32>>) { kernel_size: kernel_size.into().0 } {
        sigma: [many f64] = vec![0.1, 2.0],
    }
    rand_augment: RandAugment() {} {
        num_ops: [u32] = 2,
        magnitude: [u32] = 9,
        num_magnitude_bins: [u32] = 31,
        interpolation: [Interpolation] = Interpolation::Nearest,
        fill: [some many f32] = None,
    }
    trivial_augment_wide: TrivialAugmentWide() {} {
        num_magnitude_bins: [u32] = 31,
        interpolation: [Interpolation] = Interpolation::Nearest,
        fill: [some many f32] = None,
    }
    auto_augment: AutoAugment() {} {
        policy: [AutoAugmentPolicy] = AutoAugmentPolicy::Imagenet,
        interpolation: [Interpolation] = Interpolation::Nearest,
        fill: [some many f32] = None,
    }
    aug_mix: AugMix() {} {
        severity: [u32] = 3,
        mixture_width: [u32] = 3,
        chain_depth: [i32] = -1,
        alpha: [f64] = 1.0,
        all_ops: [bool] = true,
        interpolation: [Interpolation] = Interpolation::Bilinear,
        fill: [some many f32] = None,
    }
    elastic_transform: ElasticTransform() {} {
        alpha: [many f64] = vec![50.0],
        sigma: [many f64] = vec![5.0],
        interpolation: [Interpolation] = Interpolation::Bilinear,
        fill: [some many f32] = Some(vec![0.0]),
    }
    random_invert: RandomInvert() {} { p: [f64] = 0.5 }
    random_posterize: RandomPosterize(bits: u32) { bits: bits } { p: [f64] = 0.5 }
    random_solarize: RandomSolarize(threshold: f64) { threshold: threshold } { p: [f64] = 0.5 }
    random_autocontrast: RandomAutocontrast() {} { p: [f64] = 0.5 }
    random_equalize: RandomEqualize() {} { p: [f64] = 0.5 }
    random_adjust_sharpness: RandomAdjustSharpness(sharpness_factor: f64) { sharpness_factor: sharpness_factor } {
        p: [f64] = 0.5,
    }
    five_crop: FiveCrop(size: impl Into<Several<u32>>) { size: size.into().0 } {}
    ten_crop: TenCrop(size: impl Into<Several<u32>>) { size: size.into().0 } { vertical_flip: [bool] = false }
    compose: Compose(transforms: impl Into<Vec<Transform>>) { transforms: transforms.into() } {}
    random_apply: RandomApply(transforms: impl Into<Vec<Transform>>) { transforms: transforms.into() } {
        p: [f64] = 0.5,
    }
    random_choice: RandomChoice(transforms: impl Into<Vec<Transform>>) { transforms: transforms.into() } {
        p: [some many f64] = None,
    }
    random_order: RandomOrder(transforms: impl Into<Vec<Transform>>) { transforms: transforms.into() } {}
    mosaic: Mosaic(size: impl Into<Several<u32>>) { size: size.into().0 } {
        fill: [many f32] = vec![114.0],
        mask_fill: [u8] = 0,
        min_size: [f64] = 2.0,
        min_visible: [f64] = 0.1,
        interpolation: [Interpolation] = Interpolation::Bilinear,
        labels: [many String] = vec!["labels".into()],
        p: [f64] = 1.0,
    }
    scale_jitter: ScaleJitter(target_size: [u32; 2]) { target_size: target_size } {
        scale_range: [[f64; 2]] = [0.1, 2.0],
        interpolation: [Interpolation] = Interpolation::Bilinear,
    }
    random_shortest_size: RandomShortestSize(min_size: impl Into<Several<u32>>) { min_size: min_size.into().0 } {
        max_size: [some u32] = None,
        interpolation: [Interpolation] = Interpolation::Bilinear,
    }
    random_zoom_out: RandomZoomOut() {} {
        fill: [many f32] = vec![0.0],
        side_range: [[f64; 2]] = [1.0, 4.0],
        p: [f64] = 0.5,
    }
    random_iou_crop: RandomIoUCrop() {} {
        min_scale: [f64] = 0.3,
        max_scale: [f64] = 1.0,
        min_aspect_ratio: [f64] = 0.5,
        max_aspect_ratio: [f64] = 2.0,
        sampler_options: [many f64] = vec![0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0],
        trials: [u32] = 40,
    }
    random_erasing: RandomErasing() {} {
        p: [f64] = 0.5,
        scale: [[f64; 2]] = [0.02, 0.33],
        ratio: [[f64; 2]] = [0.3, 3.3],
        value: [some many f64] = Some(vec![0.0]),
    }
    normalize: Normalize(mean: impl Into<Several<f32>>, std: impl Into<Several<f32>>) {
        mean: mean.into().0, std: std.into().0
    } {}
    to_dtype: ToDtype(dtype: DType) { dtype: dtype } { scale: [bool] = false }
    to_layout: ToLayout(layout: Layout) { layout: layout } {}
    clamp_bounding_boxes: ClampBoundingBoxes() {} {}
    clamp_key_points: ClampKeyPoints() {} {}
    sanitize_bounding_boxes: SanitizeBoundingBoxes() {} {
        min_size: [f64] = 1.0,
        min_area: [f64] = 1.0,
        labels: [many String] = vec!["labels".into()],
    }
    convert_bounding_box_format: ConvertBoundingBoxFormat(format: BoxFormat) { format: format } {}
    spectrogram: Spectrogram() {} {
        n_fft: [u32] = 400,
        win_length: [some u32] = None,
        hop_length: [some u32] = None,
        pad: [u32] = 0,
        power: [f64] = 2.0,
        normalized: [Normalized] = Normalized::Flag(false),
        center: [bool] = true,
        pad_mode: [SoundPadding] = SoundPadding::Reflect,
    }
    mel_spectrogram: MelSpectrogram() {} {
        sample_rate: [u32] = 16_000,
        n_fft: [u32] = 400,
        win_length: [some u32] = None,
        hop_length: [some u32] = None,
        f_min: [f64] = 0.0,
        f_max: [some f64] = None,
        pad: [u32] = 0,
        n_mels: [u32] = 128,
        power: [f64] = 2.0,
        normalized: [Normalized] = Normalized::Flag(false),
        center: [bool] = true,
        pad_mode: [SoundPadding] = SoundPadding::Reflect,
        norm: [some MelNorm] = None,
        mel_scale: [MelScale] = MelScale::Htk,
    }
    amplitude_to_db: AmplitudeToDB() {} {
        stype: [AmplitudeType] = AmplitudeType::Power,
        top_db: [some f64] = None,
    }
    time_masking: TimeMasking(time_mask_param: u32) { time_mask_param: time_mask_param } {
        iid_masks: [bool] = false,
        p: [f64] = 1.0,
    }
    frequency_masking: FrequencyMasking(freq_mask_param: u32) { freq_mask_param: freq_mask_param } {
        iid_masks: [bool] = false,
    }
}

impl ByField {
    /// Returns a transform that has a `fill`, with none of its own for any field yet.
    pub fn new(transform: impl Into<Transform>) -> Self {
        Self { transform: Box::new(transform.into()), fill: BTreeMap::new() }
    }

    /// Sets the fill for a field: the image that is transformed, or a mask that follows it.
    #[must_use]
    pub fn fill(mut self, field: impl Into<String>, fill: impl Into<Several<f32>>) -> Self {
        self.fill.insert(field.into(), Some(fill.into().0));
        self
    }
}

impl Transform {
    /// Returns a [`struct@DecodeImage`] with its defaults; to change them, begin with [`DecodeImage::default`].
    pub fn decode_image() -> Self {
        DecodeImage::default().into()
    }
}

impl DecodeImage {
    setter!(scaled_decode, [bool]);
    setter!(truncated, [Truncated]);
    setter!(corrupt, [Corrupt]);
    setter!(apply_exif_orientation, [bool]);
    setter!(max_pixels, [u64]);
    setter!(mode, [Mode]);
    setter!(dtype, [DType]);
    setter!(channels, [some usize]);
}

impl RandomErasing {
    /// Draws each value from the standard normal distribution.
    #[must_use]
    pub fn random_value(mut self) -> Self {
        self.value = None;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python says of each transform of which nothing is given that has a default.
    const DEFAULTS: &str = include_str!("../../../tests/data/transform_defaults.json");

    fn made() -> Vec<Transform> {
        let flip = || [Transform::random_horizontal_flip()];
        vec![
            Transform::amplitude_to_db(),
            Transform::frequency_masking(8),
            Transform::mel_spectrogram(),
            Transform::spectrogram(),
            Transform::time_masking(8),
            Transform::aug_mix(),
            Transform::mosaic(8),
            Transform::random_iou_crop(),
            Transform::random_shortest_size([8, 9]),
            Transform::random_zoom_out(),
            Transform::scale_jitter([8, 9]),
            Transform::compose(flip()),
            Transform::elastic_transform(),
            Transform::five_crop(8),
            Transform::random_adjust_sharpness(2.0),
            Transform::random_apply(flip()),
            Transform::random_autocontrast(),
            Transform::random_choice(flip()),
            Transform::random_equalize(),
            Transform::random_invert(),
            Transform::random_order(flip()),
            Transform::random_posterize(4),
            Transform::random_solarize(128.0),
            Transform::ten_crop(8),
            Transform::auto_augment(),
            Transform::center_crop(8),
            Transform::clamp_bounding_boxes(),
            Transform::clamp_key_points(),
            Transform::color_jitter(),
            Transform::convert_bounding_box_format(BoxFormat::Xywh),
            Transform::decode_image(),
            Transform::gaussian_blur(3),
            Transform::grayscale(),
            Transform::normalize(0.5, 0.25),
            Transform::pad(2),
            Transform::rand_augment(),
            Transform::random_affine(10.0),
            Transform::random_crop(8),
            Transform::random_erasing(),
            Transform::random_grayscale(),
            Transform::random_horizontal_flip(),
            Transform::random_perspective(),
            Transform::random_resized_crop(8),
            Transform::random_rotation(10.0),
            Transform::random_vertical_flip(),
            Transform::resize(8),
            Transform::sanitize_bounding_boxes(),
            Transform::to_dtype(DType::Float32),
            Transform::to_layout(Layout::Chw),
            Transform::trivial_augment_wide(),
        ]
    }

    #[test]
    fn defaults_are_those_of_python() {
        let mut theirs: BTreeMap<String, Transform> = serde_json::from_str(DEFAULTS).unwrap();
        for transform in made() {
            assert_eq!(theirs.remove(transform.name()), Some(transform));
        }
        assert_eq!(theirs, BTreeMap::new(), "these have no constructor");
    }

    #[test]
    fn all_but_calls_and_what_needs_a_file_can_be_made() {
        let by_field = Transform::from(ByField::new(RandomCrop::new(8)));
        let mut names: Vec<_> =
            made().iter().chain([&by_field]).map(Transform::name).chain(["Call", "Tokenize"]).collect();
        names.sort_unstable();
        let mut all = Transform::NAMES.to_vec();
        all.sort_unstable();
        assert_eq!(names, all);
    }

    #[test]
    fn what_a_description_leaves_out_has_the_default_of_the_constructor() {
        for transform in made() {
            let serde_json::Value::Object(mut description) = serde_json::to_value(&transform).unwrap() else {
                panic!("{transform:?} is no object")
            };
            for name in description.clone().keys() {
                let given = description.remove(name).unwrap();
                let without = serde_json::from_value::<Transform>(description.clone().into());
                match without.ok().filter(|without| without.validate().is_ok()) {
                    Some(without) => assert_eq!(without, transform, "without {name}"),
                    None => drop(description.insert(name.clone(), given)),
                }
            }
        }
    }

    #[test]
    fn arguments_are_set_one_by_one() {
        let crop = RandomCrop::new([4, 5]).padding(2).fill([1.0, 2.0, 3.0]).pad_if_needed(true);
        assert_eq!((crop.size, crop.padding, crop.fill), (vec![4, 5], vec![2], vec![1.0, 2.0, 3.0]));
        let affine = RandomAffine::new([-5.0, 7.0]).translate([0.1, 0.2]).shear(3.0);
        assert_eq!(
            (affine.degrees, affine.translate, affine.shear),
            (vec![-5.0, 7.0], Some([0.1, 0.2]), Some(vec![3.0]))
        );
        assert_eq!(RandomErasing::new().random_value().value, None);
        let by_field = ByField::new(RandomCrop::new(8)).fill("mask", 255.0);
        assert_eq!(by_field.fill["mask"], Some(vec![255.0]));
        assert_eq!(DecodeImage::default().mode(Mode::Rgba).channels(4).channels, Some(4));
        assert!(Transform::from(RandomErasing::new().p(2.0)).validate().is_err());
    }
}
