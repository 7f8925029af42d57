//! The values are those of Pillow 13; `tests/python` asks it itself.

use proptest::prelude::*;

use super::*;
use crate::decode::tests::{decoded, indices};

/// What a file's headers say.
#[derive(Clone, Copy)]
struct File<'a> {
    header: u32,
    width: u32,
    height: i32,
    bits: u16,
    compression: u32,
    colours: u32,
    /// What stands between the header and the pixels: masks, colours.
    between: &'a [u8],
    start: Option<u32>,
}

const FILE: File<'static> =
    File { header: 40, width: 4, height: 1, bits: 24, compression: 0, colours: 0, between: &[], start: None };

impl File<'_> {
    fn with(self, pixels: &[u8]) -> Vec<u8> {
        let mut header = self.header.to_le_bytes().to_vec();
        if self.header == 12 {
            header.extend([self.width as u16, self.height as u16, 7, self.bits].map(u16::to_le_bytes).concat());
        } else {
            header.extend([self.width, self.height as u32].map(u32::to_le_bytes).concat());
            header.extend([7, self.bits].map(u16::to_le_bytes).concat());
            header.extend([self.compression, 0, 0, 0, self.colours].map(u32::to_le_bytes).concat());
        }
        let masks = self.header.min(56) as usize;
        header.resize(self.header as usize, 0);
        let in_header = if self.compression == 3 && masks > 40 { &self.between[..masks - 40] } else { &[] };
        header[masks.min(40)..][..in_header.len()].copy_from_slice(in_header);
        let between = &self.between[in_header.len()..];
        let start = self.start.unwrap_or(14 + self.header + between.len() as u32);
        [b"BM\0\0\0\0\0\0\0\0", &start.to_le_bytes()[..], &header, between, pixels].concat()
    }
}

fn masks(masks: [u32; 4]) -> Vec<u8> {
    masks.map(u32::to_le_bytes).concat()
}

fn rgb(data: &[u8]) -> Vec<u8> {
    decoded(data).unwrap().1
}

#[test]
fn few_bits_are_spread_and_cut() {
    let pixels: Vec<u8> =
        (0..32_u16).flat_map(|value| (value << 10 | (31 - value) << 5 | value).to_le_bytes()).collect();
    let expected: Vec<u8> =
        (0..32_u32).flat_map(|value| [value, 31 - value, value].map(|value| (value * 255 / 31) as u8)).collect();
    let file = File { width: 32, bits: 16, ..FILE };
    assert_eq!(rgb(&file.with(&pixels)), expected);
    let with = |header: u32, all: [u32; 4], bits: u16, pixel: &[u8]| {
        let len = if header == 40 { 12 } else { 16 };
        let between = masks(all);
        let file = File { header, width: 1, bits, compression: 3, between: &between[..len], ..FILE };
        decoded(&file.with(pixel)).unwrap()
    };
    for header in [40, 56, 108, 124] {
        let channels = if header == 40 { 3 } else { 4 };
        assert_eq!(with(header, [0xf800, 0x7e0, 0x1f, 0], 16, &[0x2b, 0xe7]).1, [230, 230, 90]);
        let (pixel, values) = with(header, [0xff, 0xff00, 0x00ff_0000, 0xff00_0000], 32, &[1, 2, 3, 4]);
        assert_eq!((pixel.channels.count(), &values[..3]), (channels, &[1, 2, 3][..]), "{header}");
        // Ten bits and two, which Pillow does not read.
        let ten = 0b11_1000000000_0000000001_1111111111_u32;
        let found = with(header, [0x3ff, 0xffc00, 0x3ff0_0000, 0xc000_0000], 32, &ten.to_le_bytes());
        assert_eq!(found.1[..3], [255, 0, 127]);
    }
    let (pixel, values) = with(56, [0, 0, 0, 0], 32, &[1, 2, 3, 4]);
    assert_eq!((pixel.channels, values), (Channels::Rgba, vec![3, 2, 1, 4]));
}

#[test]
fn every_header_is_read() {
    let pixels: Vec<u8> = (0..24).collect();
    let expected = [14, 13, 12, 17, 16, 15, 20, 19, 18, 23, 22, 21, 2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9];
    for header in [12, 40, 52, 56, 64, 108, 124] {
        let file = File { header, height: 2, ..FILE };
        assert_eq!(rgb(&file.with(&pixels)), expected, "{header}");
        assert_eq!(rgb(&File { start: Some(0), ..file }.with(&pixels)), expected, "{header}");
    }
    let turned = File { height: -2, ..FILE };
    assert_eq!(rgb(&turned.with(&pixels)), [&expected[12..], &expected[..12]].concat());
    // The last row in the file need not be filled up.
    let narrow = File { width: 1, height: 2, ..FILE };
    assert_eq!(rgb(&narrow.with(&[1, 2, 3, 0, 4, 5, 6])), [6, 5, 4, 3, 2, 1]);
    assert_eq!(decoded(&narrow.with(&[1, 2, 3, 0, 4, 5])).unwrap_err(), "as BMP: unexpected end of data");
}

#[test]
fn palettes_are_read_and_their_indices_are_masks() {
    let colours = [[10, 20, 30, 0], [1, 2, 3, 0], [7, 8, 9, 0]].concat();
    let file = File { width: 3, colours: 3, between: &colours, ..FILE };
    let expected = [30, 20, 10, 9, 8, 7, 0, 0, 0];
    for (bits, pixels) in [(8, [0, 2, 5, 0]), (4, [0x02, 0x50, 0, 0])] {
        let file = File { bits, ..file };
        assert_eq!(rgb(&file.with(&pixels)), expected, "{bits}");
        assert_eq!(indices(&file.with(&pixels)).unwrap(), [0, 2, 5], "{bits}");
        // Some files say that the pixels begin where the colours do.
        assert_eq!(rgb(&File { start: Some(54), ..file }.with(&pixels)), expected, "{bits}");
    }
    let one_bit = File { bits: 1, colours: 2, between: &colours[..8], ..file };
    assert_eq!(rgb(&one_bit.with(&[0b0100_0000, 0, 0, 0])), [30, 20, 10, 3, 2, 1, 30, 20, 10]);
    let os2 = File { header: 12, bits: 1, between: &[10, 20, 30, 1, 2, 3], ..file };
    assert_eq!(rgb(&os2.with(&[0b0100_0000, 0, 0, 0])), [30, 20, 10, 3, 2, 1, 30, 20, 10]);
    assert_eq!(indices(&os2.with(&[0b0100_0000, 0, 0, 0])).unwrap(), [0, 1, 0]);
}

#[test]
fn a_palette_of_greys_is_grey() {
    let ramp: Vec<u8> = (0..=255).flat_map(|grey| [grey, grey, grey, 0]).collect();
    let file = File { width: 3, bits: 8, between: &ramp, ..FILE };
    let (pixel, values) = decoded(&file.with(&[0, 7, 255, 0])).unwrap();
    assert_eq!((pixel, values), (PixelType::GREY8, vec![0, 7, 255]));
    let white = [0, 0, 0, 0, 255, 255, 255, 0];
    for (bits, pixels) in [(1, [0b0110_0000, 0, 0, 0]), (8, [0, 1, 1, 0])] {
        let file = File { bits, colours: 2, between: &white, ..file };
        let (pixel, values) = decoded(&file.with(&pixels)).unwrap();
        assert_eq!((pixel, values), (PixelType::GREY8, vec![0, 255, 255]));
        assert_eq!(indices(&file.with(&pixels)).unwrap(), [0, 1, 1]);
    }
}

#[test]
fn runs_are_expanded() {
    let ramp: Vec<u8> = (0..=255).flat_map(|grey| [grey, grey, grey, 0]).collect();
    let file = File { width: 5, height: 3, bits: 8, compression: 1, between: &ramp, ..FILE };
    // A run, the end of the row, three indices and one that fills up, a step of two and one row, the end.
    let code = [3, 9, 0, 0, 0, 3, 4, 5, 6, 0, 0, 2, 1, 0, 9, 7, 0, 0, 1, 8, 0, 1];
    assert_eq!(indices(&file.with(&code)).unwrap(), [8, 0, 0, 0, 0, 4, 5, 6, 0, 7, 9, 9, 9, 0, 0]);
    let nibbles = File { bits: 4, compression: 2, colours: 16, between: &ramp[..64], ..file };
    let code = [4, 0x9a, 0, 0, 0, 5, 0x12, 0x34, 0x50, 0, 0, 0, 5, 0x66, 0, 1];
    assert_eq!(indices(&nibbles.with(&code)).unwrap(), [6, 6, 6, 6, 6, 1, 2, 3, 4, 5, 9, 10, 9, 10, 0]);
    for cut in 0..12 {
        assert!(decoded(&nibbles.with(&code[..cut])).is_err(), "{cut}");
    }
}

#[test]
fn what_is_not_read_is_named() {
    for (file, expected) in [
        (File { header: 16, ..FILE }, "has a header of 16 bytes"),
        (File { bits: 2, ..FILE }, "has 2 bits a pixel as Raw"),
        (File { compression: 4, ..FILE }, "has pixels of compression 4"),
        (File { compression: 1, ..FILE }, "has 24 bits a pixel as Rle8"),
        (File { bits: 8, colours: 1 << 17, ..FILE }, "has a palette of 131072 colours"),
        (File { width: 0, ..FILE }, "the header says 0x1"),
        (File { height: 1 << 30, ..FILE }, "the header says 4x1073741824, more than the limit"),
        (File { bits: 16, compression: 3, between: &[0; 16], ..FILE }, "has masks without bits"),
        (File { bits: 32, compression: 3, between: &[5; 16], ..FILE }, "has masks whose bits are not side by side"),
    ] {
        let reason = decoded(&file.with(&[0; 64])).unwrap_err();
        assert!(reason.starts_with(&format!("as BMP: {expected}")), "{reason}");
    }
    let reason = indices(&FILE.with(&[0; 12])).unwrap_err();
    assert!(reason.starts_with("as a mask in BMP: has colours"), "{reason}");
}

proptest! {
    #[test]
    fn any_headers_give_pixels_or_an_error(
        header in prop::sample::select(vec![12_u32, 40, 52, 56, 64, 108, 124]),
        width in 0..9_u32, height in -9..9_i32,
        bits in prop::sample::select(vec![1_u16, 2, 4, 8, 16, 24, 32]),
        compression in 0..4_u32,
        colours in prop::sample::select(vec![0_u32, 1, 2, 16, 256, 65_536, u32::MAX]),
        between in prop::collection::vec(any::<u8>(), 16..80),
        pixels in prop::collection::vec(any::<u8>(), 0..300),
        start in prop::option::of(0..200_u32),
    ) {
        let file = File { header, width, height, bits, compression, colours, between: &between, start }.with(&pixels);
        let _ = decoded(&file);
        let _ = indices(&file);
    }
}
