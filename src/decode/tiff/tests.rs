//! The values are those of Pillow 13; `tests/python` asks it itself.

use proptest::prelude::*;

use super::*;
use crate::{
    decode::tests::{decoded, decoded_as, deep_indices, indices},
    pixel::{Channels, Depth},
    spec::DType,
};

const SHORT: u16 = 3;
const LONG: u16 = 4;
const LONG8: u16 = 16;
const STRIPS: u16 = 273;
const TILES: u16 = 324;

/// A file to be written: its tags, as short numbers, and its strips or tiles.
#[derive(Clone)]
struct File {
    is_big_endian: bool,
    is_big_tiff: bool,
    tags: Vec<(u16, Vec<u64>)>,
    chunks: Vec<Vec<u8>>,
}

/// Returns a file of one strip.
fn file(width: u64, height: u64, photometric: u64, bits: &[u64], strip: &[u8]) -> File {
    let tags = vec![
        (256, vec![width]),
        (257, vec![height]),
        (258, bits.to_vec()),
        (262, vec![photometric]),
        (277, vec![bits.len() as u64]),
    ];
    File { is_big_endian: false, is_big_tiff: false, tags, chunks: vec![strip.to_vec()] }
}

impl File {
    fn with(mut self, tag: u16, values: &[u64]) -> Self {
        self.tags.retain(|(other, _)| *other != tag);
        self.tags.push((tag, values.to_vec()));
        self
    }

    fn chunks(mut self, chunks: &[&[u8]]) -> Self {
        self.chunks = chunks.iter().map(|chunk| chunk.to_vec()).collect();
        self
    }

    fn number(&self, value: u64, len: usize) -> Vec<u8> {
        if self.is_big_endian { value.to_be_bytes()[8 - len..].to_vec() } else { value.to_le_bytes()[..len].to_vec() }
    }

    fn bytes(&self) -> Vec<u8> {
        let (offset_len, kind) = if self.is_big_tiff { (8, LONG8) } else { (4, LONG) };
        let magic: &[u8] = match (self.is_big_endian, self.is_big_tiff) {
            (false, false) => b"II*\0",
            (true, false) => b"MM\0*",
            (false, true) => b"II+\0\x08\0\0\0",
            (true, true) => b"MM\0+\0\x08\0\0",
        };
        let start = magic.len() + offset_len;
        let mut offsets = Vec::new();
        let mut end = start as u64;
        for chunk in &self.chunks {
            offsets.push(end);
            end += chunk.len() as u64;
        }
        let counts: Vec<u64> = self.chunks.iter().map(|chunk| chunk.len() as u64).collect();
        let first = if self.tags.iter().any(|(tag, _)| *tag == TILES - 1) { TILES } else { STRIPS };
        let second = if first == TILES { TILES + 1 } else { 279 };
        let mut tags = self.tags.clone();
        tags.extend([(first, offsets), (second, counts)]);
        tags.sort();
        let mut bytes = [magic, &self.number(end, offset_len), &self.chunks.concat()].concat();
        bytes.extend(self.number(tags.len() as u64, if self.is_big_tiff { 8 } else { 2 }));
        let mut outside_at = bytes.len() + tags.len() * (4 + 2 * offset_len) + offset_len;
        let mut outside = Vec::new();
        for (tag, values) in &tags {
            let (kind, len) = if *tag == first || *tag == second { (kind, offset_len) } else { (SHORT, 2) };
            bytes.extend([self.number((*tag).into(), 2), self.number(kind.into(), 2)].concat());
            bytes.extend(self.number(values.len() as u64, offset_len));
            let mut value: Vec<u8> = values.iter().flat_map(|&value| self.number(value, len)).collect();
            if value.len() > offset_len {
                bytes.extend(self.number(outside_at as u64, offset_len));
                outside_at += value.len();
                outside.extend(value);
            } else {
                value.resize(offset_len, 0);
                bytes.extend(value);
            }
        }
        bytes.extend(vec![0; offset_len]);
        bytes.extend(outside);
        bytes
    }

    fn values(&self) -> Vec<u8> {
        decoded(&self.bytes()).unwrap().1
    }

    fn floats(&self) -> Vec<f32> {
        let (pixel, values) = decoded(&self.bytes()).unwrap();
        assert_eq!(pixel.depth, Depth::F32);
        values.as_chunks::<4>().0.iter().map(|value| f32::from_ne_bytes(*value)).collect()
    }

    fn words(&self) -> Vec<u16> {
        let (pixel, values) = decoded(&self.bytes()).unwrap();
        assert_eq!(pixel.depth, Depth::U16);
        values.as_chunks::<2>().0.iter().map(|value| u16::from_ne_bytes(*value)).collect()
    }

    fn indices(&self) -> Vec<u8> {
        indices(&self.bytes()).unwrap()
    }

    fn reason(&self) -> String {
        decoded(&self.bytes()).unwrap_err()
    }
}

#[test]
fn grey_of_few_bits_is_spread_and_may_be_inverted() {
    for (bits, packed, values, indices) in [
        (1, 0b1010_0000, [255, 0, 255], [1, 0, 1]),
        (2, 0b1101_1000, [255, 85, 170], [3, 1, 2]),
        (8, 7, [7, 9, 255], [7, 9, 255]),
    ] {
        let strip = if bits == 8 { vec![7, 9, 255] } else { vec![packed] };
        let grey = file(3, 1, 1, &[bits], &strip);
        assert_eq!((grey.values(), grey.indices()), (values.to_vec(), indices.to_vec()));
        let inverted = grey.with(262, &[0]);
        let largest = ((1_u16 << bits) - 1) as u8;
        assert_eq!(inverted.values(), values.map(|value| 255 - value));
        assert_eq!(inverted.indices(), indices.map(|index| largest - index));
    }
    let turned = file(3, 1, 1, &[4], &[0x2c, 0x04]).with(266, &[2]);
    assert_eq!(turned.values(), [3 * 17, 4 * 17, 2 * 17]);
    // Pillow takes a file that says nothing of its greys for an inverted one.
    let mut silent = file(2, 1, 1, &[8], &[0, 1]);
    silent.tags.retain(|(tag, _)| *tag != 262);
    assert_eq!(silent.values(), [255, 254]);
}

#[test]
fn palettes_have_colours_and_indices() {
    let colours: Vec<u64> = [[0x0a00, 0x1400, 0, 0], [0x1eff, 0x2800, 0, 0], [0x3200, 0x3c00, 0, 0x0100]].concat();
    let two_bits = file(3, 1, 3, &[2], &[0b0001_1100]).with(320, &colours);
    assert_eq!(two_bits.values(), [10, 30, 50, 20, 40, 60, 0, 0, 1]);
    assert_eq!(two_bits.indices(), [0, 1, 3]);
    let with_alpha = file(1, 1, 3, &[8, 8], &[1, 77]).with(320, &colours).with(338, &[2]);
    assert_eq!(with_alpha.values(), [20, 40, 60, 77]);
    let without = with_alpha.with(338, &[0]);
    assert_eq!((without.values(), without.indices()), (vec![20, 40, 60], vec![1]));
    assert!(file(3, 1, 3, &[2], &[0]).reason().contains("a palette in 1 samples of 2 bits"));
}

#[test]
fn every_byte_order_and_size_of_offsets_is_read() {
    let rows = [1_u16, 2, 3, 0x1234, 0xff00, 7];
    for (is_big_endian, is_big_tiff) in [(false, false), (true, false), (false, true), (true, true)] {
        let strip: Vec<u8> =
            rows.iter().flat_map(|row| if is_big_endian { row.to_be_bytes() } else { row.to_le_bytes() }).collect();
        let file = file(2, 1, 2, &[16, 16, 16], &strip);
        assert_eq!(File { is_big_endian, is_big_tiff, ..file }.words(), rows);
    }
}

#[test]
fn strips_tiles_and_planes_are_put_together() {
    let image: Vec<u8> = (0..5 * 3 * 3).collect();
    let part = |y: usize, x: usize, plane: usize| image.get((y * 5 + x) * 3 + plane).copied().unwrap_or(99);
    let strips = file(5, 3, 2, &[8; 3], &[]).with(278, &[2]).chunks(&[&image[..30], &image[30..]]);
    assert_eq!(strips.values(), image);
    let tile = |top: usize, left: usize, planes: std::ops::Range<usize>| {
        let mut tile = Vec::new();
        for (y, x) in (0..2).flat_map(|y| (0..4).map(move |x| (y, x))) {
            let inside = top + y < 3 && left + x < 5;
            tile.extend(planes.clone().map(|plane| if inside { part(top + y, left + x, plane) } else { 99 }));
        }
        tile
    };
    let cut = |planes: &[std::ops::Range<usize>]| {
        let places = [(0, 0), (0, 4), (2, 0), (2, 4)];
        planes.iter().flat_map(|plane| places.map(|(top, left)| tile(top, left, plane.clone()))).collect::<Vec<_>>()
    };
    let tiles = File { chunks: cut(std::slice::from_ref(&(0..3))), ..file(5, 3, 2, &[8; 3], &[]) }
        .with(322, &[4])
        .with(323, &[2]);
    assert_eq!(tiles.values(), image);
    let planes = File { chunks: cut(&[0..1, 1..2, 2..3]), ..tiles.clone() }.with(284, &[2]);
    assert_eq!(planes.values(), image);
    assert!(File { chunks: cut(&[0..1, 1..2]), ..planes }.reason().contains("no more than 8 strips or tiles"));
    // A region is what the whole has there.
    for data in [strips.bytes(), tiles.bytes()] {
        for (top, left, height, width) in [(0, 0, 1, 1), (1, 3, 2, 2), (2, 1, 1, 4), (0, 4, 3, 1)] {
            let region = Rect { top, left, size: Size { height, width } };
            let mut out = Image::default();
            let file = Tiff.open(&data, DecodeImage::default()).unwrap();
            file.decode(Wanted { region, reduced_to: None }, &mut Kept::default(), &mut out).unwrap();
            let rows = (top as usize..).take(height as usize);
            let expected = rows.flat_map(|y| &image[(y * 5 + left as usize) * 3..][..width as usize * 3]);
            assert_eq!(out.pixels(), expected.copied().collect::<Vec<u8>>());
        }
    }
}

#[test]
fn extra_samples_are_alpha_or_nothing() {
    let rgba = [10, 100, 200, 128, 255, 255, 255, 0, 1, 2, 3, 255];
    let file = file(3, 1, 2, &[8; 4], &rgba);
    let channels = |file: &File| decoded(&file.bytes()).unwrap().0.channels;
    for alpha in [file.clone(), file.clone().with(338, &[2]), file.clone().with(338, &[999])] {
        assert_eq!((channels(&alpha), alpha.values()), (Channels::Rgba, rgba.to_vec()));
    }
    let ignored = file.clone().with(338, &[0]);
    assert_eq!((channels(&ignored), ignored.values()), (Channels::Rgb, vec![10, 100, 200, 255, 255, 255, 1, 2, 3]));
    // What was multiplied is divided.
    let divided = file.clone().with(338, &[1]);
    assert_eq!(divided.values(), [19, 199, 255, 128, 0, 0, 0, 0, 1, 2, 3, 255]);
    // Of 16 bits, 8 are those that the high bytes give.
    let deep = self::file(1, 1, 2, &[16; 4], &[0xff, 10, 0xff, 100, 0xff, 200, 0, 128]).with(338, &[1]);
    assert_eq!(deep.words(), [5629, 51_709, 65_535, 32_768]);
    assert_eq!(decoded_as(DType::UInt8, &deep.bytes()).unwrap().1, [19, 199, 255, 128]);
    assert!(file.with(338, &[7]).reason().contains("RGB in 4 samples (extra samples [7]) of 8 bits"));
}

#[test]
fn inks_and_luma_become_colours() {
    assert_eq!(file(2, 1, 5, &[8; 4], &[0, 128, 255, 51, 0, 0, 0, 255]).values(), [204, 102, 0, 0, 0, 0]);
    let luma = file(2, 1, 6, &[8; 3], &[100, 90, 240, 255, 128, 128]).with(530, &[1, 1]);
    assert_eq!(luma.values(), [255, 33, 32, 255, 255, 255]);
    // What is compressed is rounded as libtiff does it.
    let packed = luma.clone().chunks(&[&[5, 100, 90, 240, 255, 128, 128]]).with(259, &[32_773]);
    assert_eq!(packed.values(), [255, 33, 33, 255, 255, 255]);
    assert!(packed.with(529, &[1, 1, 1]).reason().contains("YCbCr in 3 samples"));
    assert!(luma.with(530, &[2, 2]).reason().contains("YCbCr in 3 samples"));
}

#[test]
fn numbers_without_a_meaning_in_8_bits_are_floats() {
    let words = |values: &[u32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let floats = file(3, 1, 1, &[32], &words(&[0.5_f32.to_bits(), (-3.0_f32).to_bits(), 1e30_f32.to_bits()]));
    assert_eq!(floats.with(339, &[3]).floats(), [0.5, -3.0, 1e30]);
    let whole = file(2, 1, 1, &[32], &words(&[7, (-7_i32) as u32]));
    assert_eq!(whole.clone().with(339, &[2]).floats(), [7.0, -7.0]);
    assert!(whole.reason().contains("has the value 4294967289, which float32 cannot hold"));
    assert_eq!(file(2, 1, 1, &[8], &[1, 0xff]).with(339, &[2]).floats(), [1.0, -1.0]);
    let short = file(1, 1, 1, &[16], &[0xfe, 0xff]).with(339, &[2]);
    assert_eq!(short.floats(), [-2.0]);
    let refused = decoded_as(DType::UInt8, &short.bytes()).unwrap_err();
    let expected = "grey in 1 samples of 16 bits, signed, which uint8 does not hold; decode with dtype=\"float32\"";
    assert_eq!(refused, format!("as TIFF: has pixels of {expected}"));
    let twelve = file(3, 1, 1, &[12], &[0x12, 0x3f, 0xff, 0x45, 0x60]);
    assert_eq!(twelve.words(), [0x123, 0xfff, 0x456]);
    assert_eq!(decoded_as(DType::UInt8, &twelve.bytes()).unwrap().1, [0x12, 0xff, 0x45]);
}

#[test]
fn masks_may_have_16_bits() {
    let values = file(2, 1, 1, &[16], &[1, 0, 0x40, 0x9c]);
    assert_eq!(deep_indices(&values.bytes()).unwrap(), [1, 40_000]);
    assert!(indices(&values.bytes()).unwrap_err().contains("16 bits"));
    assert_eq!(deep_indices(&values.with(274, &[3]).bytes()).unwrap(), [40_000, 1]);
}

#[test]
fn predictors_are_undone() {
    // Packed by 128 in front of as many bytes as follow.
    let stored = |bytes: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::none());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let compressed = |file: File, predictor: u64, bytes: &[u8]| {
        file.chunks(&[&stored(bytes)]).with(259, &[8]).with(317, &[predictor])
    };
    let rgb = compressed(file(2, 2, 2, &[8; 3], &[]), 2, &[1, 2, 3, 255, 1, 1, 9, 9, 9, 0, 1, 2]);
    assert_eq!(rgb.values(), [1, 2, 3, 0, 3, 4, 9, 9, 9, 9, 10, 11]);
    let deep = compressed(file(3, 1, 1, &[16], &[]), 2, &[0xff, 0, 1, 0, 0, 0x80]);
    assert_eq!(deep.words(), [255, 256, 256 + 0x8000]);
    // 1.0 and 2.0 are 3f 80 00 00 and 40 00 00 00: first bytes, second bytes and so on, each less the one before.
    let float = compressed(file(2, 1, 1, &[32], &[]), 3, &[0x3f, 1, 0x40, 0x80, 0, 0, 0, 0]).with(339, &[3]);
    assert_eq!(float.floats(), [1.0, 2.0]);
    assert!(compressed(file(8, 1, 1, &[1], &[]), 2, &[0]).reason().contains("a predictor of 1 bits"));
    // Without a compression that has it, the tag means nothing.
    assert_eq!(file(2, 1, 1, &[8], &[5, 6]).with(317, &[2]).values(), [5, 6]);
}

#[test]
fn fax_is_read_line_by_line() {
    // White 3, black 2, white 3; then the same line, and one whose black begins a pixel later.
    let pack = |bits: &str| {
        let bits: Vec<u8> = bits.bytes().filter(u8::is_ascii_digit).map(|bit| bit - b'0').collect();
        bits.chunks(8).map(|bits| bits.iter().enumerate().map(|(at, bit)| bit << (7 - at)).sum()).collect::<Vec<u8>>()
    };
    let line = "1000 11 1000";
    let mark = "000000000001";
    let later = "1011 10 1000";
    let expected = [255, 255, 255, 0, 0, 255, 255, 255];
    let third = [255, 255, 255, 255, 0, 255, 255, 255];
    let fax = |compression: u64, bits: &str| file(8, 3, 0, &[1], &pack(bits)).with(259, &[compression]);
    let all = [expected, expected, third].concat();
    let runs = "1000 11 1000 000000 1000 11 1000 000000 1011 010 1000";
    assert_eq!(fax(2, runs).values(), all);
    assert_eq!(fax(3, &[mark, line, mark, line, "0000", mark, "1011 010 1000"].concat()).values(), all);
    let two = [mark, "1", line, mark, "0 1 1 1", mark, "0 011 1 1"].concat();
    assert_eq!(fax(3, &two).with(292, &[1]).values(), all);
    assert_eq!(fax(4, &["001 1000 11 1", " 1 1 1", " 011 1 1", mark, mark].concat()).values(), all);
    // Passing over black, and the image's end before its last line.
    assert_eq!(
        fax(4, &["001 1000 11 1", "0001 1", mark, mark].concat()).values(),
        [&expected[..], &[255; 16]].concat()
    );
    assert!(fax(3, later).reason().contains("unexpected end of data"));
    assert!(fax(4, "0000001000").reason().contains("no fax code"));
    assert!(fax(3, mark).with(292, &[2]).reason().contains("not compressed"));
}

#[test]
fn the_orientation_is_part_of_the_format() {
    let grey = file(3, 2, 1, &[8], &[0, 1, 2, 3, 4, 5]);
    for (orientation, expected) in [(1, [0, 1, 2, 3, 4, 5]), (3, [5, 4, 3, 2, 1, 0]), (6, [3, 0, 4, 1, 5, 2])] {
        let data = grey.clone().with(274, &[orientation]).bytes();
        let file = Tiff.open(&data, DecodeImage::default()).unwrap();
        assert_eq!([file.orientation(false), file.orientation(true)], [orientation as u8; 2]);
        assert_eq!(indices(&data).unwrap(), expected);
    }
}

#[test]
fn what_is_not_read_is_named() {
    let grey = file(1, 1, 1, &[8], &[0]);
    for (file, expected) in [
        (grey.clone().with(259, &[34_887]), "is compressed by LERC"),
        (grey.clone().with(262, &[34_892]), "has pixels of linear raw"),
        (grey.clone().with(258, &[64]), "has pixels of grey in 1 samples of 64 bits, unsigned"),
        (grey.clone().with(339, &[5]), "has samples of format [5]"),
        (grey.clone().with(277, &[2]), "has pixels of grey in 2 samples of 8 bits"),
        (grey.clone().with(258, &[8, 16]).with(277, &[2]), "has 2 samples a pixel with [8, 16] bits"),
        (grey.clone().with(317, &[9]).with(259, &[5]), "has predictor 9"),
        (grey.clone().with(257, &[0]), "the header says 1x0"),
        (grey.clone().with(257, &[200]), "unexpected end of data"),
        (grey.clone().with(259, &[4]), "has 1 samples of 8 bits as Fax(Group4)"),
    ] {
        let reason = file.reason();
        assert!(reason.starts_with(&format!("as TIFF: {expected}")), "{reason}");
    }
    let reason = indices(&file(1, 1, 2, &[8; 3], &[0; 3]).bytes()).unwrap_err();
    assert!(reason.contains("no class indices"), "{reason}");
    // A tile far larger than the image takes no memory.
    let huge = grey.with(322, &[65_535]).with(323, &[65_535]);
    assert!(huge.reason().contains("unexpected end") || huge.reason().contains("limit"), "{}", huge.reason());
}

proptest! {
    #[test]
    fn any_tags_give_pixels_or_an_error(
        width in 0..9_u64, height in 0..9_u64,
        photometric in prop::sample::select(vec![0_u64, 1, 2, 3, 5, 6]),
        bits in prop::sample::select(vec![1_u64, 2, 4, 8, 12, 16, 32]), samples in 1..6_usize,
        compression in prop::sample::select(vec![1_u64, 2, 3, 4, 5, 7, 8, 32_773, 34_925, 50_000]),
        others in prop::collection::vec((prop::sample::select(vec![266_u16, 278, 284, 292, 317, 322, 323, 338, 339, 530]), 0..5_u64), 0..5),
        strip in prop::collection::vec(any::<u8>(), 0..200), chunks in 1..5_usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut file = file(width, height, photometric, &vec![bits; samples], &strip).with(259, &[compression]);
        for (tag, value) in others {
            file = file.with(tag, &[value]);
        }
        file.chunks = vec![strip; chunks];
        let mut data = file.bytes();
        for (at, value) in edits {
            let at = at.index(data.len());
            data[at] = value;
        }
        let _ = decoded(&data);
    }
}
