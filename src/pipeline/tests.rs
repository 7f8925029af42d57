//! Tests of whole pipelines: what is compiled is what is written.

use std::{collections::BTreeMap, io::Cursor};

use image::{DynamicImage, ImageFormat, RgbImage};
use proptest::prelude::*;

use super::*;
use crate::{
    decode::Image,
    error::Error,
    field::Image as ImageField,
    geometry::{Rect, Size},
    pixel::PixelType,
    source::{BytesReader, Column, Stored, TableSpec},
    spec::DType,
    transform::{
        Chain, Interpolation, Layout, PaddingMode, Pixels, Region, Transform, Workspace,
        ops::{
            CenterCrop, Normalize, Pad, RandomCrop, RandomErasing, RandomHorizontalFlip, RandomResizedCrop,
            RandomVerticalFlip, Resize, ToDtype, ToLayout,
        },
    },
};

/// A source whose records are given.
#[derive(Debug)]
struct Given {
    records: Vec<Vec<u8>>,
    fields: Vec<Field>,
}

impl Source for Given {
    fn len(&self) -> u64 {
        self.records.len() as u64
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        format!("record {index}")
    }

    fn does_io(&self) -> bool {
        false
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(BytesReader::new(|index, bytes, _| {
            bytes.clone_from(&self.records[index as usize]);
            Ok(())
        }))
    }

    fn field<'a>(&'a self, field: usize, index: u64, record: &'a Record) -> &'a [u8] {
        assert_ne!(record.bytes, b"panic", "field {field} of {index} is cursed");
        &record.bytes
    }
}

const fn size(height: u32, width: u32) -> Size {
    Size { height, width }
}

fn key(index: u64) -> Key {
    Key { seed: 5, epoch: 1, index }
}

fn transforms(ops: &[Transform]) -> BTreeMap<String, Vec<Transform>> {
    BTreeMap::from([("image".to_owned(), ops.to_vec())])
}

fn recipe(transforms: BTreeMap<String, Vec<Transform>>) -> Recipe {
    Recipe { transforms, ..Recipe::default() }
}

fn images(records: Vec<Vec<u8>>, ops: &[Transform]) -> Result<Pipeline> {
    let fields = vec![Field::new("image", ImageField::default())];
    Pipeline::new(Arc::new(Given { records, fields }), &recipe(transforms(ops)))
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 7) as u8, (y * 5) as u8, (x ^ y) as u8]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(image).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Fills a row of old content, at an odd address.
fn filled(pipeline: &Pipeline, index: u64, scratch: &mut Scratch, old: u8) -> Result<Vec<u8>, Failure> {
    let mut record = Record::default();
    pipeline.reader().read(key(index), &mut record, pipeline.sample_bytes())?;
    let mut row = vec![old; pipeline.fields()[0].row_bytes().unwrap() + 1];
    pipeline.fill(key(index), &record, scratch, &mut [&mut row[1..]], &mut Times::default())?;
    Ok(row.split_off(1))
}

fn train() -> Vec<Transform> {
    vec![
        Transform::RandomResizedCrop(RandomResizedCrop {
            size: vec![16],
            scale: [0.08, 1.0],
            ratio: [0.75, 1.333],
            interpolation: Interpolation::Bilinear,
        }),
        Transform::RandomHorizontalFlip(RandomHorizontalFlip { p: 0.5 }),
        Transform::Normalize(Normalize { mean: vec![0.5], std: vec![0.25] }),
        Transform::ToLayout(ToLayout { layout: Layout::Chw }),
    ]
}

fn any_filter() -> impl Strategy<Value = Interpolation> {
    prop_oneof![
        Just(Interpolation::Nearest),
        Just(Interpolation::Bilinear),
        Just(Interpolation::Bicubic),
        Just(Interpolation::Lanczos)
    ]
}

fn any_size(most: usize) -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(1..40_u32, 1..=most)
}

fn any_geometry() -> impl Strategy<Value = Transform> {
    prop_oneof![
        (any_size(2), any_filter()).prop_map(|(size, interpolation)| Transform::Resize(Resize {
            size,
            interpolation,
            max_size: None
        })),
        any_size(2).prop_map(|size| Transform::CenterCrop(CenterCrop { size })),
        (any_size(2), any_filter(), 0.01..0.5_f64).prop_map(|(size, interpolation, low)| {
            Transform::RandomResizedCrop(RandomResizedCrop {
                size,
                scale: [low, 1.0],
                ratio: [0.5, 2.0],
                interpolation,
            })
        }),
        Just(Transform::RandomHorizontalFlip(RandomHorizontalFlip { p: 0.5 })),
        Just(Transform::RandomVerticalFlip(RandomVerticalFlip { p: 0.5 })),
        any_padding().prop_map(Transform::Pad),
        (any_size(2), any_padding()).prop_map(|(size, Pad { padding, fill, padding_mode })| Transform::RandomCrop(
            RandomCrop { size, padding, fill, padding_mode, pad_if_needed: true }
        )),
        any_edit(),
    ]
}

fn any_padding() -> impl Strategy<Value = Pad> {
    let mode = prop_oneof![
        Just(PaddingMode::Constant),
        Just(PaddingMode::Edge),
        Just(PaddingMode::Reflect),
        Just(PaddingMode::Symmetric)
    ];
    (prop::collection::vec(0..20_u32, 2), mode, any::<u8>()).prop_map(|(padding, padding_mode, fill)| Pad {
        padding,
        fill: vec![f32::from(fill)],
        padding_mode,
    })
}

/// Transforms that need pixels.
fn any_edit() -> impl Strategy<Value = Transform> {
    let parse = |json: &str| Just(serde_json::from_str::<Transform>(json).unwrap());
    prop_oneof![
        parse(r#"{"op": "ColorJitter", "brightness": [0.5], "contrast": [0.5], "saturation": [0.5], "hue": [0.2]}"#),
        parse(r#"{"op": "Grayscale", "num_output_channels": 3}"#),
        parse(r#"{"op": "RandomGrayscale", "p": 0.5}"#),
        parse(r#"{"op": "GaussianBlur", "kernel_size": [5, 3]}"#),
        parse(r#"{"op": "RandomRotation", "degrees": [180], "expand": true, "interpolation": "bilinear"}"#),
        parse(r#"{"op": "RandomRotation", "degrees": [90, 90]}"#),
        parse(r#"{"op": "RandomAffine", "degrees": [30], "translate": [0.3, 0.3], "scale": [0.5, 2], "shear": [20]}"#),
        parse(r#"{"op": "RandAugment", "num_ops": 3, "magnitude": 30}"#),
        parse(r#"{"op": "TrivialAugmentWide", "interpolation": "bilinear", "fill": [1, 2, 3]}"#),
        parse(r#"{"op": "AutoAugment"}"#),
        parse(r#"{"op": "AutoAugment", "policy": "cifar10"}"#),
        parse(r#"{"op": "AutoAugment", "policy": "svhn"}"#),
    ]
}

fn any_tail() -> impl Strategy<Value = Vec<Transform>> {
    let normalize = Transform::Normalize(Normalize { mean: vec![0.4, 0.5, 0.6], std: vec![0.2, 0.3, 0.4] });
    let layout = |layout| Transform::ToLayout(ToLayout { layout });
    let cast = |dtype, scale| Transform::ToDtype(ToDtype { dtype, scale });
    let erase =
        |value| Transform::RandomErasing(RandomErasing { p: 0.9, scale: [0.02, 0.33], ratio: [0.3, 3.3], value });
    prop_oneof![
        Just(vec![]),
        Just(vec![layout(Layout::Chw)]),
        Just(vec![normalize.clone()]),
        Just(vec![erase(Some(vec![7.0]))]),
        Just(vec![normalize.clone(), erase(None), layout(Layout::Chw)]),
        Just(vec![layout(Layout::Chw), normalize.clone()]),
        Just(vec![cast(DType::BFloat16, true), normalize, layout(Layout::Chw)]),
        Just(vec![cast(DType::Int64, false)]),
        Just(vec![cast(DType::Float64, false), layout(Layout::Chw), layout(Layout::Hwc)]),
    ]
}

#[test]
fn the_spec_is_known_without_io() {
    let source = SourceSpec::ImageFolder { root: "/nowhere".into(), cache: None };
    let spec = PipelineSpec { source, recipe: recipe(transforms(&train())) };
    let fields = spec.fields().unwrap();
    assert_eq!(fields[0][0].to_string(), "image: float32[3, 16, 16]");
    assert_eq!(fields[0][1].to_string(), "label: int64[]");
    let json = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<PipelineSpec>(&json).unwrap(), spec);
    assert!(matches!(spec.open(&[]), Err(Error::Sys { .. })));
}

#[test]
fn mistakes_are_named_before_a_byte_is_read() {
    let message = |ops: &[Transform]| images(vec![], ops).unwrap_err().to_string();
    let resize = Transform::Resize(Resize { size: vec![8], interpolation: Interpolation::Bilinear, max_size: None });
    let flip = Transform::RandomHorizontalFlip(RandomHorizontalFlip { p: 0.5 });
    assert!(message(&[]).starts_with("field `image` has no fixed size: end the geometry with"));
    assert!(message(&[resize, flip.clone()]).starts_with("field `image` has no fixed size"));
    let late = [train(), vec![flip.clone()]].concat();
    assert!(message(&late).contains("transform 4: RandomHorizontalFlip: must stand before Normalize"));

    let unknown = BTreeMap::from([("picture".to_owned(), vec![])]);
    let spec =
        PipelineSpec { source: SourceSpec::ImageFolder { root: "x".into(), cache: None }, recipe: recipe(unknown) };
    let message = spec.fields().unwrap_err().to_string();
    assert_eq!(message, "transforms: there is no field `picture` to transform; the source has `image`, `label`");

    let mut labels = transforms(&train());
    labels.insert("label".to_owned(), vec![flip]);
    let spec =
        PipelineSpec { source: SourceSpec::ImageFolder { root: "x".into(), cache: None }, recipe: recipe(labels) };
    let message = spec.fields().unwrap_err().to_string();
    assert!(
        message.starts_with("field `label`: RandomHorizontalFlip takes images of uint8, uint16 or float32"),
        "{message}"
    );
    assert!(message.ends_with("not int64 of shape []"), "{message}");
}

#[test]
fn bytes_depend_on_the_key_alone() {
    let pipeline = images(vec![png(60, 40), png(9, 200), png(31, 31)], &train()).unwrap();
    let fresh = |index| filled(&pipeline, index, &mut pipeline.scratch(), 0).unwrap();
    let expected = [fresh(0), fresh(1), fresh(2)];
    let mut scratch = pipeline.scratch();
    for index in [2, 0, 1, 1, 0, 2] {
        assert_eq!(filled(&pipeline, index, &mut scratch, 0xff).unwrap(), expected[index as usize]);
    }
}

#[test]
fn arrays_take_image_transforms_and_keep_their_rank() {
    let array = |name: &str, shape: &[usize], offset| Column {
        field: FieldSpec::new(name, DType::UInt8, shape).into(),
        stored: Stored::Rows(offset),
    };
    let columns = vec![array("image", &[4, 6], 0), array("raw", &[3], 48)];
    let ops = [
        Transform::CenterCrop(CenterCrop { size: vec![2] }),
        Transform::ToDtype(ToDtype { dtype: DType::Int16, scale: false }),
    ];
    let spec = PipelineSpec { source: SourceSpec::Table(TableSpec::new(2, columns)), recipe: recipe(transforms(&ops)) };
    let bytes: Vec<u8> = (0..54).collect();
    let pipeline = spec.open(&[Arc::new(bytes)]).unwrap();
    assert_eq!(pipeline.fields()[0].to_string(), "image: int16[2, 2]");

    let (mut image, mut raw) = ([0xee; 8], [0xee; 3]);
    let rows = &mut [&mut image[..], &mut raw[..]];
    pipeline.fill(key(1), &Record::default(), &mut pipeline.scratch(), rows, &mut Times::default()).unwrap();
    let expected = [32_i16, 33, 38, 39].map(i16::to_ne_bytes);
    assert_eq!(image, expected.as_flattened());
    assert_eq!(raw, [51, 52, 53]);
}

#[test]
fn a_panic_becomes_a_failure() {
    let pipeline = images(vec![b"panic".to_vec()], &train()).unwrap();
    let failure = filled(&pipeline, 0, &mut pipeline.scratch(), 0).unwrap_err();
    assert!(failure.reason.starts_with("panicked: "), "{}", failure.reason);
    assert!(failure.reason.contains("field 0 of 0 is cursed"), "{}", failure.reason);
}

#[test]
fn regions_are_those_of_the_first_pass() {
    let region = |ops: &[Transform]| {
        let chain = Chain::of_images("image", ops).unwrap();
        chain.plan(size(40, 60), key(0), &mut Workspace::default()).unwrap()
    };
    let crop = |edge| Transform::CenterCrop(CenterCrop { size: vec![edge] });
    let expected = Region { part: Rect { top: 10, left: 20, size: size(20, 20) }, resized: None };
    assert_eq!(region(&[crop(20)]), expected);
    assert_eq!(
        region(&[crop(20), Transform::resize([8, 9]), crop(4)]),
        Region { resized: Some(size(8, 9)), ..expected }
    );
    assert_eq!(region(&[crop(50)]), Region { part: Rect { top: 0, left: 5, size: size(40, 50) }, resized: None });
}

#[test]
fn pixels_that_are_not_the_region_are_refused() {
    let chain = Chain::of_images("image", &[Transform::CenterCrop(CenterCrop { size: vec![20] })]).unwrap();
    let (mut space, mut row) = (Workspace::default(), [0; 1200]);
    let pixels = [7; 1200];
    let unplanned = chain.render(Pixels::rgb8(&pixels, 20, 20), &mut space, &mut row).unwrap_err();
    assert_eq!(unplanned.reason, "nothing was planned");
    chain.plan(size(40, 60), key(0), &mut space).unwrap();
    let wrong = chain.render(Pixels::rgb8(&pixels, 10, 20), &mut space, &mut row).unwrap_err();
    assert!(wrong.reason.contains("neither the image nor its region"), "{}", wrong.reason);
}

#[test]
fn huge_resizes_are_failures() {
    let huge = Transform::Resize(Resize { size: vec![20_000], interpolation: Interpolation::Bilinear, max_size: None });
    let small = Transform::Resize(Resize { size: vec![8, 8], interpolation: Interpolation::Bilinear, max_size: None });
    let pipeline = images(vec![png(10, 10)], &[huge, small]).unwrap();
    let failure = filled(&pipeline, 0, &mut pipeline.scratch(), 0).unwrap_err();
    assert_eq!(failure.stage, Stage::Transform);
    assert!(failure.reason.contains("an image of 20000x20000 takes more than the limit"), "{}", failure.reason);
}

proptest! {
    #[test]
    fn every_byte_of_the_row_is_written(
        width in 1..80_u32, height in 1..80_u32, ops in prop::collection::vec(any_geometry(), 0..4),
        size in any_size(2), tail in any_tail(),
    ) {
        let ops = [ops, vec![Transform::CenterCrop(CenterCrop { size })], tail].concat();
        let pipeline = images(vec![png(width, height)], &ops).unwrap();
        let mut scratch = pipeline.scratch();
        // Extreme aspect ratios may leave no pixel to resize to; that is a failure, never a panic.
        match (filled(&pipeline, 0, &mut scratch, 0), filled(&pipeline, 0, &mut scratch, 0xff)) {
            (Ok(first), Ok(second)) => prop_assert_eq!(first, second),
            (first, second) => {
                prop_assert_eq!(&first, &second);
                prop_assert!(!first.unwrap_err().reason.contains("panicked"));
            }
        }
    }

    #[test]
    fn a_region_is_all_that_is_needed(
        width in 1..80_u32, height in 1..80_u32, ops in prop::collection::vec(any_geometry(), 0..4),
        size in any_size(2), tail in any_tail(), index in 0..9_u64,
    ) {
        let ops = [ops, vec![Transform::CenterCrop(CenterCrop { size })], tail].concat();
        let chain = Chain::of_images("image", &ops).unwrap();
        let image = image::load_from_memory(&png(width, height)).unwrap().into_rgb8();
        let (mut space, bytes) = (Workspace::default(), chain.output().row_bytes().unwrap());
        let (mut whole, mut part) = (vec![0; bytes], vec![0xff; bytes]);
        let planned = chain.plan(Size { height, width }, key(index), &mut space);
        prop_assume!(planned.is_ok());
        let region = planned.unwrap();
        chain.render(Pixels::rgb8(&image, width, height), &mut space, &mut whole).unwrap();
        let Rect { top, left, size: Size { height: tall, width: wide } } = region.part;
        let cut = image::imageops::crop_imm(&image, left as u32, top as u32, wide, tall).to_image();
        prop_assert_eq!(cut.dimensions(), (wide, tall));
        prop_assert_eq!(chain.plan(Size { height, width }, key(index), &mut space).unwrap(), region);
        chain.render(Pixels::rgb8(&cut, wide, tall), &mut space, &mut part).unwrap();
        prop_assert_eq!(whole, part);
    }

    #[test]
    fn mutated_files_never_panic_and_never_escape(
        file in 0..8_usize, edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let jpegs: [&[u8]; 4] = [
            include_bytes!("../../tests/data/420.jpg"),
            include_bytes!("../../tests/data/progressive.jpg"),
            include_bytes!("../../tests/data/cmyk.jpg"),
            include_bytes!("../../tests/data/restart.jpg"),
        ];
        let mut data = match file {
            0..4 => jpegs[file].to_vec(),
            4 => png(20, 13),
            5 => include_bytes!("../../tests/golden/formats/webp/lossy.webp").to_vec(),
            6 => include_bytes!("../../tests/golden/formats/gif/palette.gif").to_vec(),
            _ => include_bytes!("../../tests/golden/formats/tiff/lzw.tif").to_vec(),
        };
        for (at, value) in edits {
            let at = at.index(data.len());
            data[at] = value;
        }
        if let Some(cut) = cut {
            data.truncate(cut.index(data.len()));
        }
        let pipeline = images(vec![data], &train()).unwrap();
        let _ = filled(&pipeline, 0, &mut pipeline.scratch(), 0);
    }
}

/// Decoded images have a fourth channel, which must show nowhere.
#[test]
fn a_fourth_channel_changes_nothing() {
    let size = size(40, 50);
    let three: Vec<u8> = (0..40 * 50 * 3).map(|at: u32| (at * 7 % 251) as u8).collect();
    let mut four = Image::default();
    for (to, from) in
        four.reset(Size { height: 40, width: 50 }, PixelType::RGBX8).chunks_exact_mut(4).zip(three.chunks_exact(3))
    {
        to.copy_from_slice(&[from[0], from[1], from[2], 0x55]);
    }
    let tails: [&[Transform]; 5] = [
        &[],
        &[Transform::normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])],
        &[Transform::normalize([0.5], [0.5]), Transform::ToLayout(ToLayout { layout: Layout::Chw })],
        &[Transform::ToDtype(ToDtype { dtype: DType::Int64, scale: false })],
        &[Transform::ToLayout(ToLayout { layout: Layout::Chw })],
    ];
    for json in [
        r#"[{"op": "RandomResizedCrop", "size": [16]}, {"op": "RandomHorizontalFlip", "p": 0.5}]"#,
        r#"[{"op": "CenterCrop", "size": [20]}, {"op": "RandomVerticalFlip", "p": 0.5}]"#,
        r#"[{"op": "CenterCrop", "size": [60]}, {"op": "RandomHorizontalFlip", "p": 0.5}]"#,
        r#"[{"op": "RandomCrop", "size": [30], "padding": [9], "fill": [10, 20, 30], "padding_mode": "constant"}]"#,
        r#"[{"op": "Resize", "size": [20]}, {"op": "Resize", "size": [31, 17], "interpolation": "nearest"}]"#,
        r#"[{"op": "Resize", "size": [20, 20], "interpolation": "lanczos"}, {"op": "TrivialAugmentWide"}]"#,
        r#"[{"op": "RandomRotation", "degrees": [-30, 30], "fill": [9, 8, 7]}, {"op": "CenterCrop", "size": [24]}]"#,
        r#"[{"op": "RandomGrayscale", "p": 0.5}, {"op": "CenterCrop", "size": [24]}]"#,
    ] {
        for tail in tails {
            let mut chain: Vec<Transform> = serde_json::from_str(json).unwrap();
            chain.extend_from_slice(tail);
            let chain = Chain::of_images("image", &chain).unwrap();
            let mut rows = [(); 2].map(|()| vec![0xee; chain.output().row_bytes().unwrap()]);
            let mut space = Workspace::default();
            for index in 0..6 {
                let key = Key { seed: 3, epoch: 0, index };
                for (row, pixels) in
                    rows.iter_mut().zip([Pixels::rgb8(&three, size.width, size.height), Pixels::of(&four)])
                {
                    chain.plan(size, key, &mut space).unwrap();
                    chain.render(pixels, &mut space, row).unwrap();
                }
                assert!(rows[0] == rows[1], "{json} {tail:?} {index}");
            }
        }
    }
}
