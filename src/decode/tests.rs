use proptest::prelude::*;

use super::{
    Corrupt, Cutout, DecodeImage, Decoder, Encoded, Image, MAX_PIXELS, Mask, Mode, Truncated, decode_mask,
    format::{Bad, Wanted},
    kept::Kept,
    recognise::recognise,
};
use crate::{
    budget::Budget,
    error::Failure,
    geometry::{Rect, Size},
    pixel::{Depth, PixelType},
    spec::DType,
};

const FILES: [(&str, &[u8], &[u8]); 8] = [
    ("420", include_bytes!("../../tests/data/420.jpg"), include_bytes!("../../tests/data/420.ppm")),
    ("444", include_bytes!("../../tests/data/444.jpg"), include_bytes!("../../tests/data/444.ppm")),
    ("grey", include_bytes!("../../tests/data/grey.jpg"), include_bytes!("../../tests/data/grey.ppm")),
    ("restart", include_bytes!("../../tests/data/restart.jpg"), include_bytes!("../../tests/data/restart.ppm")),
    (
        "progressive",
        include_bytes!("../../tests/data/progressive.jpg"),
        include_bytes!("../../tests/data/progressive.ppm"),
    ),
    (
        "first_scan",
        include_bytes!("../../tests/data/first_scan.jpg"),
        include_bytes!("../../tests/data/first_scan.ppm"),
    ),
    ("thirds", include_bytes!("../../tests/data/thirds.jpg"), include_bytes!("../../tests/data/thirds.ppm")),
    ("cmyk", include_bytes!("../../tests/data/cmyk.jpg"), include_bytes!("../../tests/data/cmyk.ppm")),
];
/// How many of the files are baseline and have no inks, so that what is missing of them is grey.
const GREY: usize = 4;
const STRICT: DecodeImage = DecodeImage {
    scaled_decode: false,
    truncated: Truncated::Error,
    corrupt: Corrupt::Error,
    apply_exif_orientation: false,
    max_pixels: MAX_PIXELS,
    max_bytes: Budget::DEFAULT,
    mode: Mode::Rgb,
    dtype: DType::UInt8,
    channels: None,
};

/// What Pillow does.
const LENIENT: DecodeImage = DecodeImage { corrupt: Corrupt::Decode, ..STRICT };

/// Returns the pixels, without a fourth channel.
fn rgb(image: &Image) -> Vec<u8> {
    image.pixels().chunks_exact(image.pixel().size()).flat_map(|pixel| pixel[..3].to_vec()).collect()
}

fn read(data: &[u8], options: DecodeImage) -> Result<(Size, Vec<u8>), Failure> {
    let encoded = Encoded::open(data, options)?;
    let region = Rect::whole(encoded.size());
    Decoder::default().decode(encoded, region, None).map(|image| (image.size(), rgb(image)))
}

/// Decodes a file to the pixels that it has, of at most a million.
pub(super) fn decoded(data: &[u8]) -> Result<(PixelType, Vec<u8>), String> {
    decoded_as(DType::Float32, data)
}

/// Decodes a file to the pixels that it has, or, where 8 bits are wanted, may have been reduced to.
pub(super) fn decoded_as(dtype: DType, data: &[u8]) -> Result<(PixelType, Vec<u8>), String> {
    let options = DecodeImage { max_pixels: 1 << 20, dtype, ..STRICT };
    let format = recognise(data).map_err(|failure| failure.reason)?;
    let read = || {
        let file = format.open(data, options)?;
        options.check_size(file.size())?;
        let wanted = Wanted { region: Rect::whole(file.size()), reduced_to: None };
        let mut image = Image::default();
        file.decode(wanted, &mut Kept::default(), &mut image)?;
        Ok((image.pixel(), image.pixels().to_vec()))
    };
    read().map_err(|bad: Bad| bad.of(format).reason)
}

/// Decodes a mask to class indices of 8 bits.
pub(super) fn indices(data: &[u8]) -> Result<Vec<u8>, String> {
    let mut mask = Mask::default();
    decode_mask(data, Depth::U8, &mut mask).map(|image| image.pixels().to_vec()).map_err(|failure| failure.reason)
}

/// Decodes a mask to class indices of 16 bits.
pub(super) fn deep_indices(data: &[u8]) -> Result<Vec<u16>, String> {
    let mut mask = Mask::default();
    let image = decode_mask(data, Depth::U16, &mut mask).map_err(|failure| failure.reason)?;
    Ok(bytemuck::cast_slice(image.pixels()).to_vec())
}

fn ppm(data: &[u8]) -> (Size, Vec<u8>) {
    (Encoded::open(data, STRICT).unwrap().size(), decoded(data).unwrap().1)
}

#[test]
fn pixels_are_those_of_pillow() {
    for (name, jpeg, expected) in &FILES {
        let (size, expected) = ppm(expected);
        for mut decoder in [Decoder::default(), Decoder::portable()] {
            let mut found = vec![0; expected.len()];
            let whole = Cutout::open(jpeg, None, 1).unwrap();
            assert_eq!(whole.size(), size, "{name}");
            whole.decode_with(&mut decoder, &mut found).unwrap();
            assert!(found == expected, "{name}");
            // A box in the middle that begins and ends within blocks.
            let region = Rect { top: 13, left: 21, size: Size { height: 30, width: 37 } };
            let mut part = vec![0; 30 * 37 * 3];
            Cutout::open(jpeg, Some(region), 1).unwrap().decode_with(&mut decoder, &mut part).unwrap();
            for (y, row) in part.chunks_exact(37 * 3).enumerate() {
                let start = ((13 + y) * size.width as usize + 21) * 3;
                assert_eq!(row, &expected[start..start + 37 * 3], "{name}: row {y}");
            }
        }
    }
}

#[test]
fn a_cut_file_is_an_error_wherever_it_is_cut() {
    for (name, jpeg, _) in FILES {
        for tenths in 1..10 {
            let failure = read(&jpeg[..jpeg.len() * tenths / 10], STRICT).expect_err(name);
            assert!(!failure.reason.is_empty(), "{name} {tenths}");
        }
        for missing in 1..40 {
            let failure = read(&jpeg[..jpeg.len() - missing], STRICT).unwrap_err();
            assert_eq!(failure.reason, "as JPEG: unexpected end of data", "{name}");
        }
    }
}

#[test]
fn a_cut_file_can_be_padded() {
    let pad = DecodeImage { truncated: Truncated::Pad, ..STRICT };
    for (name, jpeg, expected) in &FILES[..GREY] {
        let whole = ppm(expected).1;
        let padded = read(&jpeg[..jpeg.len() * 2 / 3], pad).unwrap().1;
        let same = padded.iter().zip(&whole).take_while(|(ours, theirs)| ours == theirs).count();
        assert!(same > whole.len() / 4, "{name}: {same} of {}", whole.len());
        assert!(padded.ends_with(&[128; 30]), "{name}");
    }
}

#[test]
fn bytes_after_the_end_are_ignored() {
    let (_, jpeg, _) = FILES[0];
    assert_eq!(read(&[jpeg, &[0; 100]].concat(), STRICT).unwrap(), read(jpeg, STRICT).unwrap());
}

#[test]
fn a_huge_header_is_refused_before_memory_is_taken() {
    let (_, jpeg, _) = FILES[0];
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let mut huge = jpeg.to_vec();
    huge[frame + 5..frame + 9].copy_from_slice(&[60_000_u16.to_be_bytes(), 60_000_u16.to_be_bytes()].concat());
    for (data, format) in [(&huge[..], "JPEG"), (b"P6 60000 60000 255\n", "PNM")] {
        let reason = Encoded::open(data, STRICT).err().unwrap().reason;
        assert_eq!(
            reason,
            format!("as {format}: the header says 60000x60000, more than the limit of 178956970 pixels")
        );
    }
    let few = DecodeImage { max_pixels: 83 * 61 - 1, ..STRICT };
    assert!(Encoded::open(jpeg, few).is_err());
    assert!(Encoded::open(jpeg, DecodeImage { max_pixels: 83 * 61, ..few }).is_ok());
}

#[test]
fn regions_outside_are_refused() {
    let (_, jpeg, _) = FILES[0];
    for (top, left, height, width) in
        [(0, 0, 62, 1), (0, 0, 1, 84), (61, 0, 1, 1), (0, 0, 0, 1), (u32::MAX.into(), 0, 2, 1)]
    {
        let encoded = Encoded::open(jpeg, STRICT).unwrap();
        let region = Rect { top, left, size: Size { height, width } };
        let failure = Decoder::default().decode(encoded, region, None).err().unwrap();
        assert!(failure.reason.ends_with("does not lie in the image"), "{failure}");
    }
}

#[test]
fn errors_say_where() {
    let (_, jpeg, _) = FILES[0];
    let scan = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let mut broken = jpeg.to_vec();
    // Ones alone are no code.
    broken[scan + 600..scan + 620].as_chunks_mut::<2>().0.fill([0xff, 0]);
    let failure = read(&broken, STRICT).unwrap_err();
    assert!(failure.reason.starts_with("as JPEG: bits that are no Huffman code"), "{}", failure.reason);
    let offset = failure.offset.unwrap() as usize;
    assert!((scan + 590..scan + 625).contains(&offset), "{offset} {scan}");
}

/// Returns the means of squares of two by two pixels; at the right and lower edges, of what there is of them.
fn halved(size: Size, pixels: &[u8]) -> Vec<u8> {
    let Size { height, width } = Size { height: size.height.div_ceil(2), width: size.width.div_ceil(2) };
    let at = |y: u32, x: u32, channel: u32| u32::from(pixels[((y * size.width + x) * 3 + channel) as usize]);
    let mean = |y: u32, x: u32, channel: u32| {
        let (ys, xs) = (2 * y..(2 * y + 2).min(size.height), 2 * x..(2 * x + 2).min(size.width));
        let count = (ys.len() * xs.len()) as u32;
        let sum: u32 = ys.flat_map(|y| xs.clone().map(move |x| (y, x))).map(|(y, x)| at(y, x, channel)).sum();
        ((sum + count / 2) / count) as u8
    };
    (0..height * width * 3).map(|index| mean(index / 3 / width, index / 3 % width, index % 3)).collect()
}

#[test]
fn a_scaled_decode_keeps_what_is_seen() {
    let (_, jpeg, expected) = FILES[0];
    let (size, whole) = ppm(expected);
    let options = DecodeImage { scaled_decode: true, ..STRICT };
    let encoded = Encoded::open(jpeg, options).unwrap();
    let mut decoder = Decoder::default();
    let half = decoder.decode(encoded, Rect::whole(size), Some(Size { height: 30, width: 40 })).unwrap();
    let half_size = Size { height: 31, width: 42 };
    assert_eq!(half.size(), half_size);
    let means = halved(size, &whole);
    let difference: u32 = rgb(half).iter().zip(&means).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    assert!(difference < 4 * means.len() as u32, "{difference}");
}

/// Returns a JPEG with an EXIF segment that says an orientation.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut segment = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    segment.extend([orientation, 0, 0, 0, 0, 0, 0]);
    [&jpeg[..2], &segment, &jpeg[2..]].concat()
}

#[test]
fn a_region_of_a_turned_image_is_decoded_alone() {
    let options = DecodeImage { apply_exif_orientation: true, ..STRICT };
    for orientation in 1..=8 {
        let data = with_orientation(FILES[0].1, orientation);
        let (size, whole) = read(&data, options).unwrap();
        assert_eq!(size == Size { height: 83, width: 61 }, orientation >= 5);
        let region = Rect { top: 9, left: 13, size: Size { height: 40, width: 32 } };
        let part: Vec<u8> =
            (9..49).flat_map(|y| &whole[(y * size.width as usize + 13) * 3..][..32 * 3]).copied().collect();
        let mut decoder = Decoder::default();
        let exact = decoder.decode(Encoded::open(&data, options).unwrap(), region, None).unwrap();
        assert_eq!(exact.size(), region.size, "{orientation}");
        assert!(rgb(exact) == part, "{orientation}");

        let options = DecodeImage { scaled_decode: true, ..options };
        let half = Size { height: 20, width: 16 };
        let found = decoder.decode(Encoded::open(&data, options).unwrap(), region, Some(half)).unwrap();
        assert_eq!(found.size(), half, "{orientation}");
        let means = halved(region.size, &part);
        // Beside what a scaled decode differs by anyway: the edges of a region go to the nearest pixel of the half image,
        // at most half a pixel away, by which a pixel comes half as near to its neighbour across and down.
        let sum = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
        let across: u32 = means.chunks(16 * 3).map(|row| sum(row, &row[3..])).sum();
        let allowed = 4 * means.len() as u32 + u32::midpoint(across, sum(&means, &means[16 * 3..]));
        let difference = sum(&rgb(found), &means);
        assert!(difference < allowed, "{orientation}: {difference} of {allowed}");
    }
}

#[test]
fn the_limit_is_that_of_pillow() {
    assert_eq!(MAX_PIXELS, 178_956_970);
}

/// Those of the malformed files in which nothing is damaged that pixels depend on.
const HARMLESS: [&str; 6] = [
    "bytes_after_the_end",
    "differences_that_overflow",
    "fill_bytes_before_markers",
    "no_huffman_tables",
    "scan_of_other_coefficients",
    "scan_of_zeros",
];

#[test]
fn malformed_files_are_read_as_pillow_reads_them() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/malformed");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jpg") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let data = std::fs::read(&path).unwrap();
        match (std::fs::read(path.with_extension("ppm")), read(&data, LENIENT)) {
            (Ok(expected), found) => assert!(found == Ok(ppm(&expected)), "{name}"),
            (Err(_), Ok(_)) => panic!("{name} is no error"),
            (Err(_), Err(failure)) => assert!(!failure.reason.contains("panic"), "{name}: {failure}"),
        }
        assert_eq!(read(&data, STRICT).is_ok(), HARMLESS.contains(&name), "{name} where damage is refused");
        seen += 1;
    }
    assert_eq!(seen, 75);
}

#[test]
fn damage_is_told_and_a_region_of_it_is_cut_from_the_whole() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/malformed");
    for name in ["restart_segments_missing", "restart_far_away", "end_marker_in_the_scan", "scan_of_ones"] {
        let data = std::fs::read(format!("{folder}/{name}.jpg")).unwrap();
        let (size, whole) = read(&data, LENIENT).unwrap();
        let mut decoder = Decoder::default();
        assert!(decoder.decode(Encoded::open(&data, LENIENT).unwrap(), Rect::whole(size), None).unwrap().is_damaged());
        for (top, left) in (0..size.height).flat_map(|top| (0..size.width).map(move |left| (top, left))) {
            let corner = Size { height: size.height - top, width: size.width - left };
            let region = Rect { top: top.into(), left: left.into(), size: corner };
            let part = rgb(decoder.decode(Encoded::open(&data, LENIENT).unwrap(), region, None).unwrap());
            for (row, y) in part.chunks_exact(3 * corner.width as usize).zip(top..) {
                let start = 3 * (y * size.width + left) as usize;
                assert!(row == &whole[start..start + row.len()], "{name}: {region:?}, row {y}");
            }
        }
        // What comes after a sound file was decoded into the same memory tells of no damage.
        let sound = Encoded::open(FILES[0].1, LENIENT).unwrap();
        let region = Rect::whole(sound.size());
        assert!(!decoder.decode(sound, region, None).unwrap().is_damaged());
    }
}

#[test]
fn a_marker_in_the_scan_is_no_early_end() {
    let (_, jpeg, _) = FILES[0];
    let ended = [&jpeg[..jpeg.len() * 2 / 3], &[0xff, 0xd9]].concat();
    assert!(read(&ended, LENIENT).is_ok());
    let failure = read(&ended, STRICT).unwrap_err();
    assert_eq!(failure.reason, "as JPEG: a marker before the end of the scan");
    let cut = &jpeg[..jpeg.len() * 2 / 3];
    assert_eq!(read(cut, LENIENT).unwrap_err().reason, "as JPEG: unexpected end of data");
    let padded = read(cut, DecodeImage { truncated: Truncated::Pad, ..STRICT });
    assert_eq!(padded, read(&ended, LENIENT), "what is missing is as behind a marker");
}

#[test]
fn a_file_without_its_end_is_an_error_for_any_region() {
    let (_, jpeg, _) = FILES[3];
    let region = Rect { top: 0, left: 0, size: Size { height: 2, width: 2 } };
    for missing in 1..40 {
        let cut = &jpeg[..jpeg.len() - missing];
        let failure = Decoder::default().decode(Encoded::open(cut, LENIENT).unwrap(), region, None).err().unwrap();
        assert_eq!(failure.reason, "as JPEG: unexpected end of data", "{missing}");
    }
}

#[test]
fn reasons_name_what_is_wrong() {
    for (name, expected) in [
        ("restart_out_of_order", "a restart marker is missing or out of order"),
        ("huffman_table_of_class_7", "a Huffman table of an unknown class"),
        ("scan_of_ones", "bits that are no Huffman code"),
        ("frame_of_16_bits", "samples that do not have 8 bits is not supported"),
        ("arithmetic", "JPEG with arithmetic coding is not supported"),
        ("lossless", "lossless JPEG is not supported"),
        ("no_quantisation_tables", "a scan without its quantisation table"),
    ] {
        let path = format!("{}/tests/data/malformed/{name}.jpg", env!("CARGO_MANIFEST_DIR"));
        let failure = read(&std::fs::read(path).unwrap(), STRICT).unwrap_err();
        assert!(failure.reason.starts_with(&format!("as JPEG: {expected}")), "{name}: {failure}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn broken_bytes_never_panic_and_vectors_change_nothing(
        file in 0..FILES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        top in 0..61_u32, left in 0..83_u32,
        pads: bool, scaled_decode: bool, refuses: bool,
    ) {
        let mut data = FILES[file].1.to_vec();
        for (index, value) in changes {
            let index = index.index(data.len());
            data[index] = value;
        }
        if cut.index(3) == 0 {
            data.truncate(cut.index(data.len()));
        }
        let truncated = if pads { Truncated::Pad } else { Truncated::Error };
        let corrupt = if refuses { Corrupt::Error } else { Corrupt::Decode };
        let options = DecodeImage { scaled_decode, truncated, corrupt, max_pixels: 1 << 20, ..STRICT };
        let Ok(encoded) = Encoded::open(&data, options) else { return Ok(()) };
        let Size { height, width } = encoded.size();
        let (top, left) = (top % height, left % width);
        let size = Size { height: height - top, width: width - left };
        let region = Rect { top: top.into(), left: left.into(), size };
        let found = [Decoder::default(), Decoder::portable()].map(|mut decoder| {
            let encoded = Encoded::open(&data, options).unwrap();
            decoder.decode(encoded, region, Some(Size { height: 5, width: 5 })).map(rgb)
        });
        prop_assert_eq!(&found[0], &found[1]);
    }
}

#[test]
fn what_decoding_takes_is_asked_for_first() {
    for (file, data, _) in FILES {
        let open = |max_bytes| Encoded::open(data, DecodeImage { max_bytes, ..STRICT }).unwrap();
        let whole = Rect::whole(open(1).size());
        let needed = open(1).memory(whole, None);
        assert!(needed > whole.size.area() * 3, "{file}");
        let failure = Decoder::default().decode(open(needed - 1), whole, None).unwrap_err();
        let reason = format!("as JPEG: decoding needs {needed} bytes, and max_sample_bytes is {}", needed - 1);
        assert_eq!(failure.reason, reason);
        assert!(Decoder::default().decode(open(needed), whole, None).is_ok());
    }
}

#[test]
fn a_part_takes_less_than_the_whole() {
    let encoded = Encoded::open(FILES[0].1, STRICT).unwrap();
    let part = Rect { top: 0, left: 0, size: Size { height: 8, width: 8 } };
    assert!(encoded.memory(part, None) < encoded.memory(Rect::whole(encoded.size()), None));
}
