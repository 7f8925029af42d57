//! What does a transform cost? Whole chains on one decoded photograph, in one thread.
//!
//! `cargo bench --bench transform`. Times are per image as divan prints them; compare within one run only.

#![expect(clippy::unwrap_used, reason = "a benchmark")]

use divan::{Bencher, black_box};
use stokehold::{
    Transform, decode_jpeg,
    geometry::Size,
    rng::Key,
    transform::{Chain, Pixels, Workspace},
};

const PHOTO: &[u8] = include_bytes!("../tests/data/420.jpg");

const CENTER: &str = r#"{"op": "CenterCrop", "size": [224]}"#;
const NORMALIZE: &str = r#"{"op": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}"#;
const CHW: &str = r#"{"op": "ToLayout", "layout": "CHW"}"#;
const FLIP: &str = r#"{"op": "RandomHorizontalFlip", "p": 1.0}"#;

fn main() {
    divan::main();
}

/// Times a chain on a photograph that has been resized to (height, width).
fn chain(bencher: Bencher<'_, '_>, [height, width]: [u32; 2], ops: &[&str]) {
    let compile = |ops: &[Transform]| Chain::of_images("image", ops).unwrap();
    let mut space = Workspace::default();
    let image = decode_jpeg(PHOTO, None, 1).unwrap();
    let (all_height, all_width, _) = image.dim();
    let pixels = Pixels::rgb8(image.as_slice().unwrap(), all_width as u32, all_height as u32);
    let key = Key { seed: 0, epoch: 0, index: 0 };
    let resize = compile(&[Transform::resize([height, width])]);
    let mut photo = vec![0; height as usize * width as usize * 3];
    resize.plan(Size { height: all_height as u32, width: all_width as u32 }, key, &mut space).unwrap();
    resize.render(pixels, &mut space, &mut photo).unwrap();

    let ops: Vec<Transform> = ops.iter().map(|op| serde_json::from_str(op).unwrap()).collect();
    let chain = compile(&ops);
    let mut row = vec![0; chain.output().row_bytes().unwrap()];
    bencher.bench_local(|| {
        chain.plan(Size { height, width }, key, &mut space).unwrap();
        chain.render(Pixels::rgb8(&photo, width, height), &mut space, &mut row).unwrap();
        black_box(&mut row);
    });
}

/// The last pass alone: 224x224 pixels to a row.
#[divan::bench(args = ["uint8 HWC", "uint8 CHW", "float32 CHW", "float32 CHW flipped", "float32 HWC", "float16 CHW", "bfloat16 CHW", "float64 CHW"])]
fn last_pass(bencher: Bencher<'_, '_>, to: &str) {
    let (dtype, layout) = to.split_once(' ').unwrap();
    let cast = format!(r#"{{"op": "ToDtype", "dtype": "{dtype}", "scale": true}}"#);
    let mut ops = vec![CENTER];
    if layout.ends_with("flipped") {
        ops.push(FLIP);
    }
    if dtype != "uint8" {
        ops.extend([cast.as_str(), NORMALIZE]);
    }
    if layout.starts_with("CHW") {
        ops.push(CHW);
    }
    chain(bencher, [224, 224], &ops);
}

/// Resizing 375x500 to 224x224.
#[divan::bench(args = ["nearest", "bilinear", "bicubic", "lanczos"])]
fn resize(bencher: Bencher<'_, '_>, interpolation: &str) {
    let op = format!(r#"{{"op": "Resize", "size": [224, 224], "interpolation": "{interpolation}"}}"#);
    chain(bencher, [375, 500], &[&op]);
}

/// One transform at 224x224, with the copy of the image that it needs.
#[divan::bench(args = [
    r#"{"op": "ColorJitter", "brightness": [0.4]}"#,
    r#"{"op": "ColorJitter", "contrast": [0.4]}"#,
    r#"{"op": "ColorJitter", "saturation": [0.4]}"#,
    r#"{"op": "ColorJitter", "hue": [0.1]}"#,
    r#"{"op": "ColorJitter", "brightness": [0.4], "contrast": [0.4], "saturation": [0.4], "hue": [0.1]}"#,
    r#"{"op": "Grayscale", "num_output_channels": 3}"#,
    r#"{"op": "GaussianBlur", "kernel_size": [23]}"#,
    r#"{"op": "RandomRotation", "degrees": [30, 30]}"#,
    r#"{"op": "RandomRotation", "degrees": [30, 30], "interpolation": "bilinear"}"#,
    r#"{"op": "RandomCrop", "size": [224], "padding": [4]}"#,
    r#"{"op": "RandomVerticalFlip", "p": 1.0}"#,
    r#"{"op": "RandomErasing", "p": 1.0, "value": [0]}"#,
])]
fn transform(bencher: Bencher<'_, '_>, op: &str) {
    chain(bencher, [224, 224], &[CENTER, op]);
}
