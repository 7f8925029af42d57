//! What all operations have in common: their JSON, their checks, what they add to a plan.

use std::sync::Arc;

use super::{
    super::{
        args::{Interpolation, Layout},
        op::{OnMask, OpKey, PixelOp},
        plan::{Pass, Plan},
        view::View,
    },
    *,
};
use crate::{geometry::Size, rng::Key};

fn parse(json: &str) -> Transform {
    serde_json::from_str(json).unwrap()
}

fn pixel_op(transform: &Transform) -> Arc<dyn PixelOp> {
    let Role::Pixels(op) = transform.role() else { panic!("{transform:?}") };
    op
}

#[test]
fn json_has_torchvision_defaults() {
    let crop = Transform::RandomResizedCrop(RandomResizedCrop {
        size: vec![224],
        scale: [0.08, 1.0],
        ratio: [0.75, 4.0 / 3.0],
        interpolation: Interpolation::Bilinear,
    });
    assert_eq!(parse(r#"{"op": "RandomResizedCrop", "size": [224]}"#), crop);
    let layout = parse(r#"{"op": "ToLayout", "layout": "CHW"}"#);
    assert_eq!(layout, Transform::ToLayout(ToLayout { layout: Layout::Chw }));
    assert_eq!(parse(&serde_json::to_string(&crop).unwrap()), crop);
    assert!(serde_json::from_str::<Transform>(r#"{"op": "CenterCrop", "size": [1], "more": 1}"#).is_err());
    let augment = Transform::RandAugment(RandAugment {
        num_ops: 2,
        magnitude: 9,
        num_magnitude_bins: 31,
        interpolation: Interpolation::Nearest,
        fill: None,
    });
    assert_eq!(parse(r#"{"op": "RandAugment"}"#), augment);
    let erasing = RandomErasing { p: 0.5, scale: [0.02, 0.33], ratio: [0.3, 3.3], value: Some(vec![0.0]) };
    assert_eq!(parse(r#"{"op": "RandomErasing"}"#), Transform::RandomErasing(erasing));
    assert_eq!(
        parse(r#"{"op": "Resize", "size": [1], "interpolation": "nearest-exact"}"#),
        Transform::Resize(Resize { size: vec![1], interpolation: Interpolation::Nearest, max_size: None })
    );
}

#[test]
fn a_mask_takes_the_geometry_by_the_nearest_pixel_and_one_fill() {
    let on_mask = |json: &str| match pixel_op(&parse(json)).on_mask() {
        OnMask::Moves(op) => format!("{op:?}"),
        OnMask::MovesByBoxes(op) => format!("by boxes: {op:?}"),
        OnMask::Leaves => "leaves".to_owned(),
        OnMask::Refuses => "refuses".to_owned(),
    };
    let same = |json: &str| format!("{:?}", pixel_op(&parse(json)));
    let resize = |filter: &str| format!(r#"{{"op": "Resize", "size": [5], "interpolation": "{filter}"}}"#);
    assert_eq!(on_mask(&resize("bicubic")), same(&resize("nearest")));
    let pad = |fill: &str| format!(r#"{{"op": "Pad", "padding": [2], "fill": {fill}}}"#);
    assert_eq!(on_mask(&pad("[7]")), same(&pad("[7]")));
    assert_eq!(on_mask(&pad("[1, 2, 3]")), same(&pad("[0]")));
    assert_eq!(on_mask(r#"{"op": "RandomGrayscale", "p": 1.0}"#), "leaves");
    assert_eq!(on_mask(r#"{"op": "RandAugment"}"#), "refuses");
    let apply = |parts: &str| format!(r#"{{"op": "RandomApply", "transforms": [{parts}]}}"#);
    assert_eq!(on_mask(&apply(r#"{"op": "RandomInvert"}"#)), "leaves");
    assert_eq!(on_mask(&apply(&format!(r#"{}, {{"op": "AugMix"}}"#, pad("[7]")))), "refuses");
    assert_eq!(on_mask(&apply(&resize("bicubic"))), same(&apply(&resize("nearest"))));
}

#[test]
fn a_part_draws_by_the_whole_its_name_and_its_number_among_those() {
    let flips = |json: &str| -> Vec<bool> { (0..64).map(|index| planned(&[parse(json)], index).last.flip).collect() };
    let flip = r#"{"op": "RandomHorizontalFlip", "p": 0.5}"#;
    let of = |parts: &str| flips(&format!(r#"{{"op": "RandomApply", "p": 1.0, "transforms": [{parts}]}}"#));
    let first = of(flip);
    // What has another name shifts nothing, and a composition is what is in it.
    assert_eq!(first, of(&format!(r#"{{"op": "RandomInvert"}}, {flip}"#)));
    assert_eq!(first, of(&format!(r#"{{"op": "Compose", "transforms": [{flip}]}}"#)));
    let both = of(&format!("{flip}, {flip}"));
    let second: Vec<bool> = first.iter().zip(&both).map(|(first, both)| first != both).collect();
    assert!(first != flips(flip) && second != first && second != flips(flip));
}

#[test]
fn crops_are_made_of_what_is_resized_once() {
    let resize = parse(r#"{"op": "Resize", "size": [30, 50]}"#);
    let plan = planned(&[resize, parse(r#"{"op": "TenCrop", "size": [10, 20], "vertical_flip": true}"#)], 0);
    assert!(matches!(plan.passes[..], [Pass::View(_)]) && plan.size() == Size { height: 10, width: 20 });
    let shown: Vec<_> = plan.shown().map(|view| (view.window.top, view.window.left, view.flop)).collect();
    let five = [(0, 0), (0, 30), (20, 0), (20, 30), (10, 15)];
    // Upside down, what is at the top of the turned image is at the bottom of the other one.
    let turned = [(20, 0), (20, 30), (0, 0), (0, 30), (10, 15)];
    let expected =
        five.map(|(top, left)| (top, left, false)).into_iter().chain(turned.map(|(top, left)| (top, left, true)));
    assert_eq!(shown, expected.collect::<Vec<_>>());
    let of_the_file = planned(&[parse(r#"{"op": "FiveCrop", "size": [10]}"#)], 0);
    assert!(of_the_file.passes.is_empty());
}

const IMAGE: Size = Size { height: 40, width: 60 };
const GOLDEN_JITTER: [&str; 2] = ["Edit(Brightness(0.617591))", "Edit(Hue(-0.24439801))"];
const GOLDEN_RAND_AUGMENT: [&str; 2] = ["Edit(Solarize(178.5))", "Edit(Contrast(0.7300000190734863))"];
const GOLDEN_BLUR: [&str; 1] = ["Edit(Blur { kernel: [3, 3], sigma: 1.6901475 })"];

fn planned(transforms: &[Transform], index: u64) -> Plan {
    let mut plan = Plan::default();
    plan.begin(IMAGE, false);
    for (op, transform) in (0..).zip(transforms) {
        let key = OpKey { key: Key { seed: 0, epoch: 0, index }, op };
        pixel_op(transform).plan(&mut plan, key).unwrap();
    }
    plan
}

#[test]
fn geometry_without_a_second_resize_is_one_pass() {
    let plan = planned(
        &[
            parse(r#"{"op": "CenterCrop", "size": [60]}"#),
            parse(r#"{"op": "Pad", "padding": [2]}"#),
            parse(r#"{"op": "RandomCrop", "size": [32], "padding": [4]}"#),
            parse(r#"{"op": "RandomHorizontalFlip", "p": 1.0}"#),
            parse(r#"{"op": "RandomVerticalFlip", "p": 1.0}"#),
            parse(r#"{"op": "RandomRotation", "degrees": [180, 180]}"#),
        ],
        1,
    );
    assert!(plan.passes.is_empty(), "{:?}", plan.passes);
    assert_eq!(plan.size(), Size { height: 32, width: 32 });
    assert!(!plan.last.flip && !plan.last.flop);
    let plan = planned(&[parse(r#"{"op": "RandomAffine", "degrees": [0], "translate": [0.2, 0.2]}"#)], 1);
    assert!(plan.passes.is_empty() && plan.last.window.left != 0, "{:?}", plan.passes);
}

#[test]
fn edits_follow_each_other_without_views_between() {
    let jitter =
        parse(r#"{"op": "ColorJitter", "brightness": [0.4], "contrast": [0.4], "saturation": [0.4], "hue": [0.1]}"#);
    let flip = parse(r#"{"op": "RandomHorizontalFlip", "p": 1.0}"#);
    let plan = planned(&[flip, jitter], 0);
    assert!(matches!(plan.passes[..], [Pass::View(_), Pass::Edit(_), Pass::Edit(_), Pass::Edit(_), Pass::Edit(_)]));
    // The flip has been put off to the last pass.
    assert!(plan.last.flip);
    let [Pass::View(first), ..] = &plan.passes[..] else { panic!("{:?}", plan.passes) };
    assert_eq!(*first, View::whole(IMAGE));
}

#[test]
fn the_first_draws_of_a_seed_never_change() {
    let edits = |json: &str| -> Vec<String> {
        let plan = planned(&[parse(json)], 0);
        plan.passes.iter().skip(1).map(|pass| format!("{pass:?}")).collect()
    };
    let jitter = r#"{"op": "ColorJitter", "brightness": [0.5], "hue": [0.5]}"#;
    assert_eq!(edits(jitter), GOLDEN_JITTER);
    assert_eq!(edits(r#"{"op": "RandAugment"}"#), GOLDEN_RAND_AUGMENT);
    let blur = r#"{"op": "GaussianBlur", "kernel_size": [3]}"#;
    assert_eq!(edits(blur), GOLDEN_BLUR);
}

#[test]
fn a_blur_wider_than_the_image_is_refused() {
    let mut plan = Plan::default();
    plan.begin(Size { height: 4, width: 40 }, false);
    let blur = pixel_op(&parse(r#"{"op": "GaussianBlur", "kernel_size": [9]}"#));
    let key = OpKey { key: Key { seed: 0, epoch: 0, index: 0 }, op: 0 };
    let message = blur.plan(&mut plan, key).unwrap_err();
    assert_eq!(message, "a blur of 9 by 9 taps needs more than 40x4 pixels");
}

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
        (r#"{"op": "RandomCrop", "size": [1], "fill": []}"#, "fill must be one value or one per channel, not 0"),
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
        (r#"{"op": "RandomAffine", "degrees": [5], "translate": [2, 0]}"#, "translate = (2, 0) must lie"),
        (r#"{"op": "RandomAffine", "degrees": [5], "scale": [0, 1]}"#, "scale = (0, 1)"),
        (r#"{"op": "RandomAffine", "degrees": [5], "shear": [1, 2, 3]}"#, "one, two or four numbers, not 3"),
        (r#"{"op": "RandAugment", "magnitude": 31}"#, "magnitude = 31 must be less than"),
        (r#"{"op": "TrivialAugmentWide", "num_magnitude_bins": 1}"#, "must be at least 2"),
        (r#"{"op": "AugMix", "severity": 0}"#, "severity = 0 must lie between 1 and 10"),
        (r#"{"op": "ElasticTransform", "alpha": []}"#, "alpha must be one number or two, not 0"),
        (r#"{"op": "RandomPosterize", "bits": 9}"#, "bits = 9 must lie between 0 and 8"),
        (r#"{"op": "FiveCrop", "size": []}"#, "size must be one number"),
        (
            r#"{"op": "RandomApply", "transforms": [{"op": "Compose", "transforms": [{"op": "CenterCrop", "size": [0]}]}]}"#,
            "RandomApply: transforms[0.0]: CenterCrop: size 0 must lie",
        ),
        (r#"{"op": "RandomErasing", "scale": [0.5, 1.5]}"#, "scale = (0.5, 1.5) must lie between 0 and 1"),
        (r#"{"op": "RandomErasing", "value": []}"#, "value must be a number"),
        (r#"{"op": "Normalize", "mean": [0.5], "std": [0.0]}"#, "std must not be zero"),
        (r#"{"op": "Normalize", "mean": [0.5], "std": [1, 1]}"#, "1 values and std 2"),
        (r#"{"op": "ToDtype", "dtype": "int64", "scale": true}"#, "floating-point dtype, not with int64"),
    ] {
        assert!(message(json).contains(part), "{json}: {}", message(json));
    }
}
