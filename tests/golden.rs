//! Digests of whole batches: what a change of the code must not change unasked, on any processor.
//!
//! Each group of cases has a file of digests beside its images in `tests/golden`. A change that means to change bytes
//! writes them anew, with `GOLDEN=write cargo test --test golden`, and its entry in the changelog says why.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use stokehold::{
    BatchTransform, BoxFormat, Builder, Columns, DType, Field, FieldSpec, Input, Loader, Runs, SharedSource, Transform,
    Values,
    field::{BoundingBoxes, Image, KeyPoints, List, Mask, Text, View},
};
use xxhash_rust::xxh3::Xxh3;

/// The digests of one group, by the name of the case.
type Digests = BTreeMap<String, String>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Compares digests with those of the group's file, or writes them there.
fn check(group: &str, found: &Digests) {
    let path = folder().join(group).with_extension("txt");
    let text = found.iter().fold(String::new(), |mut text, (name, digest)| {
        let _ = writeln!(text, "{digest} {name}");
        text
    });
    if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        fs::write(path, text).unwrap();
        return;
    }
    let golden = fs::read_to_string(path).unwrap();
    let golden: BTreeMap<_, _> =
        golden.lines().map(|line| line.split_once(' ').unwrap()).map(|(d, n)| (n, d)).collect();
    let differ: Vec<_> = found.iter().filter(|(name, digest)| golden.get(&***name) != Some(&digest.as_str())).collect();
    assert!(differ.is_empty(), "{} of {} digests differ: {differ:#?}", differ.len(), found.len());
    assert_eq!(golden.len(), found.len(), "the file of digests has cases that the test has not");
}

/// Returns the digest of two epochs: of the fields' specs, and of every batch's indices, shapes and values.
fn digest(builder: Builder) -> String {
    let loader = builder.num_workers(0).build().unwrap();
    let mut hash = Xxh3::new();
    for field in loader.spec() {
        hash.update(format!("{} {} {:?}", field.name, field.dtype, field.shape).as_bytes());
    }
    for _ in 0..2 {
        for batch in &loader {
            let batch = batch.unwrap();
            batch.indices().iter().for_each(|index| hash.update(&index.to_le_bytes()));
            for (at, field) in batch.fields().iter().enumerate() {
                let bytes = batch.slot().field(at);
                if field.ragged.is_none() {
                    hash.update(bytes);
                    continue;
                }
                for row in 0..batch.rows() {
                    let (shape, values) = batch.ragged_row(at, row).unwrap();
                    hash.update(format!("{shape:?}").as_bytes());
                    hash.update(&bytes[values]);
                }
            }
        }
    }
    format!("{:016x}", hash.digest())
}

fn parse(chain: &str) -> Vec<Transform> {
    serde_json::from_str(&format!("[{chain}]")).unwrap_or_else(|error| panic!("{chain}: {error}"))
}

/// Photographs through a chain of transforms.
fn photos(chain: &str) -> Builder {
    let input = Input::image_folder(folder().join("photos"));
    Loader::builder(input).num_workers(0).batch_size(3).seed(7).shuffle(true).transforms("image", parse(chain))
}

/// The same, where images may keep their size.
fn photos_of_any_size(chain: &str) -> Builder {
    let fixed = photos(chain).capacity("image", 400 * 400).build().is_err();
    if fixed { photos(chain) } else { photos(chain).capacity("image", 400 * 400) }
}

/// Runs of bytes and where they end, as a column wants them.
fn runs<'a>(items: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<u64>) {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for item in items {
        bytes.extend_from_slice(item);
        ends.push(bytes.len() as u64);
    }
    (bytes, ends)
}

fn path_of(file: &str) -> String {
    folder().join("formats").join(file).to_str().unwrap().to_owned()
}

/// One file as an image.
fn one_image(file: &str) -> Builder {
    let (bytes, ends) = runs([path_of(file).as_bytes()]);
    let images = Values::Files(Runs { bytes: &bytes, ends: &ends });
    Loader::builder(
        SharedSource::table(Columns::new(1, vec![(Field::new("image", Image::default()), images)])).unwrap(),
    )
}

/// A tensor field of pseudo-random bytes.
fn tensors(shape: &[usize], dtype: DType, rows: u64) -> SharedSource {
    let spec = FieldSpec::new("image", dtype, shape);
    let mut state = 1_u32;
    let bytes: Vec<u8> = (0..spec.row_bytes().unwrap() * rows as usize)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    SharedSource::copy(rows, &[(spec, &bytes)]).unwrap()
}

const FORMATS: [&str; 24] = [
    "jpeg/420.jpg",
    "jpeg/422.jpg",
    "jpeg/444.jpg",
    "jpeg/progressive.jpg",
    "jpeg/restart.jpg",
    "jpeg/turned.jpg",
    "jpeg/grey.jpg",
    "jpeg/cmyk.jpg",
    "png/rgb.png",
    "png/rgba.png",
    "png/palette.png",
    "png/grey.png",
    "png/grey16.png",
    "png/one_bit.png",
    "webp/lossy.webp",
    "webp/lossless.webp",
    "webp/alpha.webp",
    "gif/palette.gif",
    "bmp/rgb.bmp",
    "bmp/palette.bmp",
    "tiff/rgb.tif",
    "tiff/lzw.tif",
    "tiff/grey.tif",
    "pnm/rgb.ppm",
];

#[test]
fn formats() {
    let mut found = Digests::new();
    for file in FORMATS.into_iter().chain(["pnm/grey.pgm"]) {
        for (what, chain) in [
            ("whole", r#"{"op": "CenterCrop", "size": [80, 100]}"#),
            ("region", r#"{"op": "CenterCrop", "size": [33, 41]}"#),
            ("resized", r#"{"op": "Resize", "size": [37, 29]}"#),
            (
                "scaled and turned",
                r#"{"op": "DecodeImage", "scaled_decode": true, "apply_exif_orientation": true, "truncated": "pad"},
                   {"op": "Resize", "size": [20, 20]}"#,
            ),
        ] {
            found.insert(format!("{file} {what}"), digest(one_image(file).transforms("image", parse(chain))));
        }
    }
    check("formats", &found);
}

#[test]
fn operations() {
    const CHAINS: &str = include_str!("golden/operations.jsonl");
    let mut found = Digests::new();
    for chain in CHAINS.lines() {
        for end in ["", r#", {"op": "CenterCrop", "size": [97, 103]}"#] {
            let chain = format!("{chain}{end}");
            found.insert(chain.clone(), digest(photos_of_any_size(&chain)));
        }
    }
    check("operations", &found);
}

#[test]
fn composed() {
    const CHAINS: &str = include_str!("golden/composed.jsonl");
    let digests = CHAINS.lines().map(|chain| (chain.to_owned(), digest(photos_of_any_size(chain))));
    check("composed", &digests.collect());
}

#[test]
fn elements() {
    let mut found = Digests::new();
    let normalize = r#"{"op": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}"#;
    let size = r#"{"op": "RandomResizedCrop", "size": [31, 45]}, {"op": "RandomHorizontalFlip", "p": 0.5}"#;
    for layout in ["HWC", "CHW"] {
        for dtype in DType::ALL {
            let float = dtype.name().contains("float");
            for scale in [false, true].into_iter().filter(|scale| float || !scale) {
                let cast = format!(r#"{{"op": "ToDtype", "dtype": "{dtype}", "scale": {scale}}}"#);
                let layout = format!(r#"{{"op": "ToLayout", "layout": "{layout}"}}"#);
                let mut chains = vec![format!("{cast}, {layout}")];
                if float {
                    chains.push(format!("{cast}, {layout}, {normalize}"));
                }
                for chain in chains {
                    let builder = photos(&format!("{size}, {chain}"));
                    found.insert(chain, digest(builder));
                }
            }
        }
        for value in ["[0.0]", "[1.0, 2.0, 3.0]", "null"] {
            let chain = format!(
                r#"{normalize}, {{"op": "RandomErasing", "p": 0.7, "value": {value}}}, {{"op": "ToLayout", "layout": "{layout}"}}"#
            );
            found.insert(chain.clone(), digest(photos(&format!("{size}, {chain}"))));
        }
    }
    check("elements", &found);
}

#[test]
fn tensors_as_images() {
    let mut found = Digests::new();
    let chains = [
        r#"{"op": "RandomResizedCrop", "size": [20], "interpolation": "bicubic"}, {"op": "Normalize", "mean": [0.5], "std": [0.5]}"#,
        r#"{"op": "RandomCrop", "size": [24], "padding": [4], "padding_mode": "reflect"}, {"op": "RandomVerticalFlip", "p": 0.5}"#,
        r#"{"op": "RandomAffine", "degrees": [30], "shear": [10], "interpolation": "bilinear"}"#,
        r#"{"op": "GaussianBlur", "kernel_size": [5]}, {"op": "ColorJitter", "brightness": [0.5], "contrast": [0.5]}"#,
        r#"{"op": "RandAugment"}"#,
        r#"{"op": "Grayscale"}"#,
    ];
    for shape in [&[28, 30][..], &[28, 30, 1], &[28, 30, 3]] {
        for chain in chains {
            let input = tensors(shape, DType::UInt8, 5);
            let builder = Loader::builder(input).batch_size(2).seed(3).transforms("image", parse(chain));
            found.insert(format!("{shape:?} {chain}"), digest(builder));
        }
    }
    for dtype in DType::ALL {
        found.insert(format!("{dtype} as it is"), digest(Loader::builder(tensors(&[3, 5], dtype, 4)).batch_size(3)));
    }
    check("tensors", &found);
}

#[test]
fn mixes() {
    let mut found = Digests::new();
    let size = r#"{"op": "RandomResizedCrop", "size": [32]}"#;
    for (name, mixes) in [
        ("mixup 0.2", r#"[{"op": "MixUp", "alpha": 0.2, "num_classes": 2}]"#),
        ("mixup 1", r#"[{"op": "MixUp", "num_classes": 2}]"#),
        ("cutmix 1", r#"[{"op": "CutMix", "num_classes": 2}]"#),
        ("cutmix 0.4", r#"[{"op": "CutMix", "alpha": 0.4, "num_classes": 2}]"#),
        (
            "choice",
            r#"[{"op": "RandomChoice", "p": [1, 2], "transforms":
                [{"op": "MixUp", "num_classes": 2}, {"op": "CutMix", "num_classes": 2}]}]"#,
        ),
    ] {
        let mixes: Vec<BatchTransform> = serde_json::from_str(mixes).unwrap();
        for dtype in ["uint8", "float16", "bfloat16", "float32"] {
            for layout in ["HWC", "CHW"] {
                let scale = dtype != "uint8";
                let chain = format!(
                    r#"{size}, {{"op": "ToDtype", "dtype": "{dtype}", "scale": {scale}}}, {{"op": "ToLayout", "layout": "{layout}"}}"#
                );
                let builder = photos(&chain).batch_transforms(mixes.clone());
                found.insert(format!("{name} {dtype} {layout}"), digest(builder));
            }
        }
    }
    check("mixes", &found);
}

#[test]
fn orders() {
    let mut found = Digests::new();
    for rows in [1, 7, 64, 1001] {
        let input = tensors(&[], DType::UInt8, rows);
        for (seed, shuffle) in [(0, false), (0, true), (u64::MAX, true)] {
            for (rank, world_size) in [(0, 1), (0, 3), (2, 3)] {
                for drop_last in [false, true] {
                    let builder = Loader::builder(input.clone())
                        .batch_size(5)
                        .seed(seed)
                        .shuffle(shuffle)
                        .rank(rank)
                        .world_size(world_size)
                        .drop_last(drop_last);
                    let name = format!("{rows} rows, seed {seed}, {shuffle}, {rank} of {world_size}, {drop_last}");
                    found.insert(name, digest(builder));
                }
            }
        }
    }
    check("orders", &found);
}

/// Images with a mask, boxes with labels, and keypoints; text beside them.
fn annotated() -> SharedSource {
    let image = |row: usize| path_of(["jpeg/420.jpg", "png/rgb.png", "webp/lossy.webp"][row % 3]);
    let mask = |row: usize| path_of(["masks/palette.png", "masks/grey.png"][row % 2]);
    let floats = |count: usize, row: usize, width: usize| -> Vec<u8> {
        let number = |at: usize| ((at * 37 + row * 11) % 60) as f32 + if at % width >= 2 { 5.0 } else { 0.5 };
        (0..count * width).flat_map(|at| number(at).to_le_bytes()).collect()
    };
    let column = |item: &dyn Fn(usize) -> Vec<u8>| {
        let rows: Vec<Vec<u8>> = (0..6).map(item).collect();
        runs(rows.iter().map(Vec::as_slice))
    };
    let images = column(&|row| image(row).into_bytes());
    let masks = column(&|row| mask(row).into_bytes());
    let boxes = column(&|row| floats(row % 4, row, 4));
    let labels = column(&|row| (0..row as i64 % 4).flat_map(i64::to_le_bytes).collect());
    let points = column(&|row| floats(row % 3, row, 3));
    let texts = column(&|row| "überall".as_bytes()[..row + 2].to_vec());
    let of = |(bytes, ends): &'static (Vec<u8>, Vec<u64>)| Runs { bytes, ends };
    let [images, masks, boxes, labels, points, texts] =
        [images, masks, boxes, labels, points, texts].map(|column| of(Box::leak(Box::new(column))));
    let image = || "image".to_owned();
    let columns = vec![
        (Field::new("labels", List { dtype: DType::Int64, shape: vec![], capacity: 0 }), Values::Runs(labels)),
        (Field::new("mask", Mask::of(image())), Values::Files(masks)),
        (
            Field::new("boxes", BoundingBoxes { image: image(), format: BoxFormat::Xywh, capacity: 0 }),
            Values::Runs(boxes),
        ),
        (Field::new("image", Image::default()), Values::Files(images)),
        (Field::new("points", KeyPoints { image: image(), shape: vec![3], capacity: 0 }), Values::Runs(points)),
        (Field::new("text", Text { capacity: 0 }), Values::Runs(texts)),
    ];
    SharedSource::table(Columns::new(6, columns)).unwrap()
}

/// Annotated images through a chain of transforms, with what follows them.
fn followed(input: &SharedSource, chain: &str) -> Builder {
    Loader::builder(input.clone())
        .batch_size(4)
        .seed(9)
        .transforms("image", parse(&format!(r#"{chain}, {{"op": "CenterCrop", "size": [61, 67]}}"#)))
        .transforms("points", parse(r#"{"op": "ClampKeyPoints"}"#))
        .transforms(
            "boxes",
            parse(
                r#"{"op": "ClampBoundingBoxes"}, {"op": "SanitizeBoundingBoxes", "min_size": 2, "labels": ["labels"]},
                   {"op": "ConvertBoundingBoxFormat", "format": "CXCYWH"}"#,
            ),
        )
}

#[test]
fn followers() {
    const CHAINS: &str = include_str!("golden/geometry.jsonl");
    let input = annotated();
    let mut found: Digests = CHAINS.lines().map(|chain| (chain.to_owned(), digest(followed(&input, chain)))).collect();
    let own_size = Loader::builder(input).batch_size(4).capacity("image", 9000).capacity("mask", 9000);
    found.insert("nothing".to_owned(), digest(own_size));
    check("followers", &found);
}

#[test]
fn detection() {
    const CHAINS: &str = include_str!("golden/detection.jsonl");
    let input = annotated();
    let mut found: Digests = CHAINS.lines().map(|chain| (chain.to_owned(), digest(followed(&input, chain)))).collect();
    let view = |name: &str, of: &str, image: Option<&str>| View {
        name: name.to_owned(),
        of: of.to_owned(),
        image: image.map(str::to_owned),
    };
    let crop = r#"{"op": "RandomResizedCrop", "size": [33]}, {"op": "RandomHorizontalFlip", "p": 0.5}"#;
    let views = followed(&input, crop)
        .view(view("again", "image", None), parse(crop))
        .view(view("small", "image", None), parse(r#"{"op": "RandomResizedCrop", "size": [12], "scale": [0.05, 0.3]}"#))
        .view(view("small_mask", "mask", Some("small")), vec![])
        .transforms("mask", vec![]);
    found.insert("views".to_owned(), digest(views));
    check("detection", &found);
}
