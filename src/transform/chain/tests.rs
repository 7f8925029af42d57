//! Chains of images of any depth and any number of channels.

#![expect(clippy::float_cmp, reason = "these are whole numbers, or the same bits")]
#![expect(clippy::wildcard_enum_match_arm, reason = "the rest is asserted to be one")]

use bytemuck::{cast_slice, pod_collect_to_vec};

use super::*;
use crate::{
    pixel::{Channels, Depth},
    rng::Key,
    spec::DType,
    transform::ImageShape,
};

const SIZE: Size = Size { height: 23, width: 31 };
const DEPTHS: [Depth; 3] = [Depth::U8, Depth::U16, Depth::F32];

fn compiled(json: &str, pixel: PixelType) -> Result<Chain> {
    let transforms: Vec<Transform> = serde_json::from_str(json).unwrap();
    let shape = ImageShape::from(pixel).of_size(SIZE);
    let input = ImageInput {
        name: "image",
        shape,
        has_channel_axis: true,
        layout: Layout::Hwc,
        capacity: None,
        unbounded: false,
        is_followed: false,
        varies_in_channels: false,
    };
    Chain::compile(input, &Numbered::list("image", "image", &transforms)?)
}

/// Returns the values that a chain makes of an image of whole numbers, interleaved as they are.
fn made(json: &str, pixel: PixelType, values: &[u8]) -> Vec<f32> {
    let image: Vec<u8> = match pixel.depth {
        Depth::U8 => values.to_vec(),
        Depth::U16 => pod_collect_to_vec(&values.iter().map(|&value| u16::from(value)).collect::<Vec<_>>()),
        Depth::F32 => pod_collect_to_vec(&values.iter().map(|&value| f32::from(value)).collect::<Vec<_>>()),
    };
    let chain = compiled(json, pixel).unwrap();
    let mut row = vec![0_u32; chain.output().row_bytes().unwrap().div_ceil(4)];
    let row = &mut bytemuck::cast_slice_mut(&mut row)[..chain.output().row_bytes().unwrap()];
    let mut space = Workspace::default();
    chain.plan(SIZE, Key { seed: 5, epoch: 0, index: 1 }, &mut space).unwrap();
    chain.render(Pixels::new(&image, SIZE, pixel), &mut space, row).unwrap();
    match chain.output().dtype {
        DType::UInt8 => row.iter().map(|&value| f32::from(value)).collect(),
        DType::UInt16 => cast_slice::<u8, u16>(row).iter().map(|&value| f32::from(value)).collect(),
        dtype => {
            assert_eq!(dtype, DType::Float32);
            cast_slice(row).to_vec()
        }
    }
}

fn noise(count: usize) -> Vec<u8> {
    (0..count).map(|at| ((at * 7919) ^ (at >> 3)) as u8).collect()
}

/// What moves pixels, with draws, and does nothing else.
const MOVES: [&str; 10] = [
    "[]",
    r#"[{"op": "RandomHorizontalFlip", "p": 1.0}, {"op": "RandomVerticalFlip", "p": 1.0}]"#,
    r#"[{"op": "RandomCrop", "size": [20, 17], "padding": [4], "fill": [9]}]"#,
    r#"[{"op": "Pad", "padding": [1, 2, 3, 4], "padding_mode": "reflect"}, {"op": "CenterCrop", "size": [40, 9]}]"#,
    r#"[{"op": "Resize", "size": [40, 12], "interpolation": "nearest"}]"#,
    r#"[{"op": "RandomRotation", "degrees": [33, 33], "fill": [7]}]"#,
    r#"[{"op": "RandomAffine", "degrees": [20], "translate": [0.2, 0.1], "shear": [9]}]"#,
    r#"[{"op": "RandomPerspective", "p": 1.0, "interpolation": "nearest"}]"#,
    r#"[{"op": "RandomHorizontalFlip", "p": 1.0}, {"op": "ToLayout", "layout": "CHW"}]"#,
    r#"[{"op": "RandomErasing", "p": 1.0, "value": [3]}]"#,
];

#[test]
fn geometry_moves_every_channel_of_every_depth_alike() {
    for json in MOVES {
        for count in 1..=4 {
            let channels = Channels::of(count).unwrap();
            let values = noise(SIZE.area() as usize * count);
            let found = DEPTHS.map(|depth| made(json, PixelType::new(channels, depth), &values));
            assert!(found[0] == found[1] && found[1] == found[2], "{json} {count}");
            // Each channel by itself.
            let planes: Vec<Vec<f32>> = (0..count)
                .map(|channel| {
                    let plane: Vec<u8> = values.iter().skip(channel).step_by(count).copied().collect();
                    made(json, PixelType::GREY8, &plane)
                })
                .collect();
            let area = planes[0].len();
            for (at, value) in found[0].iter().enumerate() {
                let is_chw = json.contains("CHW");
                let (channel, pixel) = if is_chw { (at / area, at % area) } else { (at % count, at / count) };
                assert!(*value == planes[channel][pixel], "{json} {count} {at}");
            }
        }
    }
}

/// What mixes pixels, and by how much 8 bits may be off: half for each of the roundings, which are one for a warp or a blur
/// and two for a resize, and as much again where that is rounded in fixed point.
const MIXES: [(&str, f32); 6] = [
    (r#"[{"op": "Resize", "size": [11, 14]}]"#, 2.0),
    (r#"[{"op": "Resize", "size": [40, 50]}, {"op": "CenterCrop", "size": [12, 13]}]"#, 2.0),
    (r#"[{"op": "RandomResizedCrop", "size": [9, 9]}]"#, 2.0),
    (r#"[{"op": "RandomRotation", "degrees": [33, 33], "interpolation": "bilinear", "fill": [7]}]"#, 0.5),
    (r#"[{"op": "RandomPerspective", "p": 1.0}]"#, 0.5),
    (r#"[{"op": "GaussianBlur", "kernel_size": [5, 3]}]"#, 0.5),
];

#[test]
fn what_is_mixed_differs_by_its_rounding_alone() {
    for (json, bound) in MIXES {
        for count in 1..=4 {
            let channels = Channels::of(count).unwrap();
            let values = noise(SIZE.area() as usize * count);
            let [eight, sixteen, float] = DEPTHS.map(|depth| made(json, PixelType::new(channels, depth), &values));
            for at in 0..float.len() {
                // A float keeps the fraction, up to its own rounding.
                assert!((eight[at] - float[at]).abs() <= bound + 1e-3, "{json} {count}: {} {}", eight[at], float[at]);
                assert!(
                    (sixteen[at] - float[at]).abs() <= bound + 1e-3,
                    "{json} {count}: {} {}",
                    sixteen[at],
                    float[at]
                );
            }
        }
    }
}

#[test]
fn each_depth_is_normalised_by_its_own_white() {
    let json = r#"[{"op": "Normalize", "mean": [0.5], "std": [0.25]}, {"op": "ToLayout", "layout": "CHW"}]"#;
    let values = noise(SIZE.area() as usize * 4);
    for (depth, white) in DEPTHS.into_iter().zip([255.0_f64, 65_535.0, 1.0]) {
        let found = made(json, PixelType::new(Channels::Rgba, depth), &values);
        let area = SIZE.area() as usize;
        for (at, value) in values.iter().enumerate() {
            let expected = (f64::from(*value) / white - 0.5) / 0.25;
            let found = found[at % 4 * area + at / 4];
            // The rounding of the mean, of the deviation and of the result, in units of the larger of their parts.
            assert!(
                (f64::from(found) - expected).abs() <= expected.abs().max(2.0) * 2.0_f64.powi(-22),
                "{depth:?} {at}"
            );
        }
    }
}

#[test]
fn colours_change_and_alpha_stays() {
    for json in [
        r#"[{"op": "ColorJitter", "brightness": [0.3], "contrast": [0.4], "saturation": [0.5], "hue": [0.2]}]"#,
        r#"[{"op": "RandomGrayscale", "p": 1.0}]"#,
        r#"[{"op": "ColorJitter", "brightness": [1.5, 1.5]}, {"op": "RandomHorizontalFlip", "p": 0.0}]"#,
    ] {
        let values = noise(SIZE.area() as usize * 4);
        let rgb: Vec<u8> = values.chunks(4).flat_map(|pixel| pixel[..3].to_vec()).collect();
        let colours = made(json, PixelType::RGB8, &rgb);
        let found = made(json, PixelType::new(Channels::Rgba, Depth::U8), &values);
        for (at, pixel) in found.chunks(4).enumerate() {
            assert!(pixel[..3] == colours[3 * at..3 * at + 3], "{json} {at}");
            assert!(pixel[3] == f32::from(values[4 * at + 3]), "{json} {at}");
        }
    }
}

#[test]
fn grey_of_any_channels_is_pillows() {
    let (one, three) = (r#"[{"op": "Grayscale"}]"#, r#"[{"op": "Grayscale", "num_output_channels": 3}]"#);
    for count in 1..=4 {
        let channels = Channels::of(count).unwrap();
        let values = noise(SIZE.area() as usize * count);
        let found = made(one, PixelType::new(channels, Depth::U8), &values);
        for (at, pixel) in values.chunks(count).enumerate() {
            let [red, green, blue] =
                if count > 2 { [pixel[0], pixel[1], pixel[2]] } else { [pixel[0]; 3] }.map(u32::from);
            let luma = (19_595 * red + 38_470 * green + 7_471 * blue + 0x8000) >> 16;
            assert!(found[at] == luma as f32, "{count} {at}");
        }
        let repeated: Vec<f32> = found.iter().flat_map(|&value| [value; 3]).collect();
        assert!(made(three, PixelType::new(channels, Depth::U8), &values) == repeated, "{count}");
    }
}

#[test]
fn what_has_no_meaning_is_refused_with_its_reason() {
    let refused =
        |json: &str, channels, depth| compiled(json, PixelType::new(channels, depth)).unwrap_err().to_string();
    let hue = r#"[{"op": "ColorJitter", "hue": [0.1]}]"#;
    assert!(
        refused(hue, Channels::GreyAlpha, Depth::U8)
            .ends_with("ColorJitter: saturation and hue are of colours, and an image of 2 channels is grey with alpha")
    );
    for (json, op) in [
        (hue, "ColorJitter"),
        (r#"[{"op": "RandAugment"}]"#, "RandAugment"),
        (r#"[{"op": "TrivialAugmentWide"}]"#, "TrivialAugmentWide"),
        (r#"[{"op": "AutoAugment"}]"#, "AutoAugment"),
        (r#"[{"op": "Grayscale"}]"#, "Grayscale"),
        (r#"[{"op": "RandomGrayscale"}]"#, "RandomGrayscale"),
    ] {
        let message = refused(json, Channels::Rgba, Depth::U16);
        assert!(message.ends_with(&format!("{op}: takes uint8 images, not uint16 of 4 channels")), "{message}");
    }
    let pad = |fill: &str| format!(r#"[{{"op": "Pad", "padding": [1], "fill": {fill}}}]"#);
    for (fill, channels, depth, expected) in [
        ("[1, 2, 3]", Channels::Rgba, Depth::U8, "fill has 3 values, the image 4 channels"),
        ("[300]", Channels::Rgb, Depth::U8, "fill = 300 must be a whole number from 0 to 255 where images are uint8"),
        ("[0.5]", Channels::Rgb, Depth::U16, "must be a whole number from 0 to 65535 where images are uint16"),
    ] {
        let message = refused(&pad(fill), channels, depth);
        assert!(message.contains(expected), "{message}");
    }
    assert!(compiled(&pad("[-0.5]"), PixelType::new(Channels::Rgb, Depth::F32)).is_ok());
    let cast = r#"[{"op": "ToDtype", "dtype": "uint8"}]"#;
    assert!(refused(cast, Channels::Grey, Depth::U16).contains("cannot turn uint16 into uint8"));
    assert!(refused(cast, Channels::Grey, Depth::F32).contains("cannot turn float32 back into uint8"));
}

fn ops(field: &str, transforms: &[Transform]) -> Vec<u64> {
    Numbered::list(field, field, transforms).unwrap().iter().map(|op| op.op).collect()
}

#[test]
fn draws_are_keyed_by_field_name_and_how_many_stand_before() {
    let (crop, flip) = (Transform::random_resized_crop(4), Transform::random_horizontal_flip());
    let image = ops("image", &[crop.clone(), flip.clone(), flip.clone()]);
    // Part of the contract, as the generator's numbers are.
    assert_eq!(image, GOLDEN);
    let resized = [Transform::resize([9]), flip.clone(), crop.clone(), flip.clone()];
    assert_eq!(ops("image", &resized)[1..], [image[1], image[0], image[2]]);
    let other = ops("other", &[crop, flip.clone(), flip]);
    assert!(other.iter().all(|op| !image.contains(op)), "{image:?} {other:?}");
    assert!(image[0] != image[1] && image[1] != image[2]);
}

const GOLDEN: [u64; 3] = [14_285_135_558_025_721_263, 12_518_788_668_922_561_100, 10_958_395_932_604_251_804];
