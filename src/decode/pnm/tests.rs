//! The values are those of Pillow 13; `tests/python` asks it itself.

use proptest::prelude::*;

use super::*;
use crate::{
    decode::tests::{decoded, decoded_as, deep_indices, indices},
    spec::DType,
};

fn bytes(data: &[u8]) -> Vec<u8> {
    decoded(data).unwrap().1
}

fn reason(data: &[u8]) -> String {
    decoded(data).unwrap_err()
}

#[test]
fn values_are_spread_to_the_nearer_number_or_the_even_one() {
    // Of 100, the tenth value is 25.5, and the thirtieth 76.5.
    let data = [&b"P5 3 1 100\n"[..], &[10, 30, 100]].concat();
    assert_eq!(bytes(&data), [26, 76, 255]);
    assert_eq!(bytes(b"P2 3 1 100\n10 30 100"), [26, 76, 255]);
    assert_eq!(bytes(&[&b"P5 2 1 9\n"[..], &[9, 200]].concat()), [255, 255]);
    let (pixel, values) = decoded(&[&b"P6 1 1 1000\n"[..], &[0, 0, 1, 0xf4, 3, 0xe8]].concat()).unwrap();
    assert_eq!(pixel, PixelType::new(Channels::Rgb, Depth::U16));
    assert_eq!(values, [0, 32_768, 65_535_u16].map(u16::to_ne_bytes).concat());
    // To 8 bits, colours are spread at once: 500 of 1000 is 127.5.
    let data = [&b"P6 1 1 1000\n"[..], &[0, 0, 1, 0xf4, 3, 0xe8]].concat();
    assert_eq!(decoded_as(DType::UInt8, &data).unwrap(), (PixelType::RGB8, vec![0, 128, 255]));
}

#[test]
fn every_kind_is_read() {
    for data in [&b"P1\n3 2\n0 1 1\n100"[..], b"P1 3 2 011100", b"P4 3 2\n\x60\x80", b"P4\x0b3\x0c2\r\x7f\x9f"] {
        assert_eq!(bytes(data), [255, 0, 0, 0, 255, 255], "{data:?}");
    }
    for data in [&b"P2 2 1 255 7 8"[..], b"P5 2 1 255 \x07\x08", b"P2 #\n2# two\n 1 255\n7#\n\n8"] {
        assert_eq!(decoded(data).unwrap(), (PixelType::GREY8, vec![7, 8]), "{data:?}");
    }
    assert_eq!(bytes(b"P3 1 1 255 1 2 3 4"), [1, 2, 3]);
    assert_eq!(bytes(b"P6 1 1 255\n\n\x02\x03\x04"), [b'\n', 2, 3]);
    for (kind, depth, pixel) in [
        ("GRAYSCALE", 1, Channels::Grey),
        ("GRAYSCALE_ALPHA", 2, Channels::GreyAlpha),
        ("RGB", 3, Channels::Rgb),
        ("RGB_ALPHA", 4, Channels::Rgba),
    ] {
        let header = format!("P7\n# no line\nWIDTH 1\nHEIGHT 1\nDEPTH {depth}\nMAXVAL 255\nTUPLTYPE {kind}\nENDHDR\n");
        let found = decoded(&[header.as_bytes(), &[9, 8, 7, 6]].concat()).unwrap();
        assert_eq!(found, (PixelType::new(pixel, Depth::U8), vec![9, 8, 7, 6][..depth].to_vec()));
    }
}

#[test]
fn masks_are_the_values_of_the_file() {
    assert_eq!(indices(b"P5 3 1 20\n\x00\x01\x14").unwrap(), [0, 1, 20]);
    assert_eq!(indices(b"P2 3 1 20\n0 1 20").unwrap(), [0, 1, 20]);
    // White is 1, as a mask of one bit has it in Pillow.
    assert_eq!(indices(b"P4 3 1\n\x60").unwrap(), [1, 0, 0]);
    assert_eq!(indices(b"P1 3 1\n011").unwrap(), [1, 0, 0]);
    assert_eq!(deep_indices(b"P5 2 1 999\n\x00\x01\x03\xe7").unwrap(), [1, 999]);
    assert!(indices(b"P5 2 1 999\n\x00\x01\x03\xe7").unwrap_err().contains("16 bits"));
    assert!(indices(b"P6 1 1 255\nabc").unwrap_err().contains("has colours"));
}

#[test]
fn what_is_broken_is_refused() {
    for (data, expected) in [
        (&b"P5 2"[..], "unexpected end of data"),
        (b"P5 2 2 255\nabc", "unexpected end of data"),
        (b"P2 2 1 255 1", "unexpected end of data"),
        (b"P1 2 1 1", "unexpected end of data"),
        (b"P4 9 1\n\x00", "unexpected end of data"),
        (b"P1 2 1 12", "has a byte 0x32 for a bit"),
        (b"P2 2 1 9 1 10", "has a value of 10, above the largest, 9"),
        (b"P2 2 1 9 1 -1", "has \"-1\" for a number"),
        (b"P5 2 1 65536\n", "has a largest value of 65536"),
        (b"P5 2 1 0\n", "has a largest value of 0"),
        (b"P5 12345678901 1 1\n", "has \"12345678901\" for a number"),
        (b"P7\nWIDTH 1\nENDHDR\n", "has no width, height, depth or largest value"),
        (
            b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 1\nTUPLTYPE CMYK\nENDHDR\n",
            "has pixels of 4 values of type \"CMYK\"",
        ),
        (b"P7\nWIDTHS 1\n", "has a line of WIDTHS"),
    ] {
        let reason = reason(data);
        assert!(reason.starts_with(&format!("as PNM: {expected}")), "{data:?}: {reason}");
    }
}

proptest! {
    #[test]
    fn any_bytes_give_pixels_or_an_error(
        kind in 1..=7_u8,
        rest in prop::collection::vec(prop::sample::select(b"0123456789 \n#P\xff".to_vec()), 0..40),
    ) {
        let data = [&[b'P', b'0' + kind, b' '], &rest[..]].concat();
        let _ = decoded(&data);
        let _ = indices(&data);
    }
}
