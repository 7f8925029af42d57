//! The values are those of `ImageOps.exif_transpose` of Pillow 13; `tests/python` asks it itself.

use proptest::prelude::*;

use super::*;

const ENTRY_FOR_XMP: &[u8] = b"<rdf:Description tiff:Orientation=\"8\"/>";

/// Returns a block whose only value is the orientation, of the given kind.
fn block(big: bool, kind: u16, count: u32, value: &[u8]) -> Vec<u8> {
    let two = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let four = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut bytes = if big { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
    bytes.extend([&four(8)[..], &two(1), &two(ORIENTATION), &two(kind), &four(count)].concat());
    if value.len() > 4 {
        bytes.extend([&four(26)[..], &[0; 4], value].concat());
    } else {
        bytes.extend(value);
        bytes.extend(vec![0; 8 - value.len()]);
    }
    bytes
}

#[test]
fn every_kind_of_number_counts() {
    let cases: [(u16, &[u8], &[u8]); 9] = [
        (3, &6_u16.to_le_bytes(), &6_u16.to_be_bytes()),
        (4, &6_u32.to_le_bytes(), &6_u32.to_be_bytes()),
        (6, &[6], &[6]),
        (8, &6_i16.to_le_bytes(), &6_i16.to_be_bytes()),
        (9, &6_i32.to_le_bytes(), &6_i32.to_be_bytes()),
        (11, &6_f32.to_le_bytes(), &6_f32.to_be_bytes()),
        (12, &6_f64.to_le_bytes(), &6_f64.to_be_bytes()),
        (5, &[12, 0, 0, 0, 2, 0, 0, 0], &[0, 0, 0, 12, 0, 0, 0, 2]),
        (16, &6_u64.to_le_bytes(), &6_u64.to_be_bytes()),
    ];
    for (kind, little, big) in cases {
        assert_eq!(of_exif(&block(false, kind, 1, little)), Some(6), "{kind}");
        assert_eq!(of_exif(&block(true, kind, 1, big)), Some(6), "{kind}");
    }
}

#[test]
fn what_is_no_number_or_no_orientation_turns_nothing_and_hides_xmp() {
    for (kind, value) in
        [(1, &[6][..]), (2, b"6\0"), (7, &[6]), (3, &[9, 0]), (3, &[0, 0]), (11, &6.5_f32.to_le_bytes())]
    {
        assert_eq!(of_metadata(Some(&block(false, kind, 1, value)), Some(ENTRY_FOR_XMP)), 1, "{kind}");
    }
    // A kind that does not exist is no value, nor is one without elements.
    for (kind, count) in [(99, 1), (3, 0)] {
        assert_eq!(of_metadata(Some(&block(false, kind, count, &[6, 0])), Some(ENTRY_FOR_XMP)), 8, "{kind}");
    }
}

#[test]
fn of_several_elements_the_first_counts() {
    assert_eq!(of_exif(&block(false, 3, 2, &[6, 0, 8, 0])), Some(6));
    assert_eq!(of_exif(&block(false, 3, 3, &[6, 0, 8, 0, 1, 0])), Some(6));
}

#[test]
fn the_prefix_may_stand_twice_or_not_at_all() {
    let exif = block(true, 3, 1, &[0, 5]);
    for times in 0..3 {
        assert_eq!(of_exif(&[PREFIX.repeat(times), exif.clone()].concat()), Some(5), "{times}");
    }
    assert_eq!(of_exif(&[PREFIX.repeat(3), exif].concat()), Some(1));
    assert_eq!(of_exif(PREFIX), None);
}

#[test]
fn a_broken_block_turns_nothing() {
    let whole = block(false, 3, 1, &[6, 0]);
    for end in 1..8 + 2 + 12 {
        assert!(matches!(of_exif(&whole[..end]), None | Some(1)), "{end}");
    }
    let mut far = whole;
    far[4..8].fill(0xff);
    assert_eq!(of_exif(&far), None);
}

#[test]
fn xmp_is_searched_for_the_first_digit() {
    for (xmp, expected) in [
        ("<a tiff:Orientation=\"6\">", 6),
        ("<tiff:Orientation>3</tiff:Orientation>", 3),
        ("tiff:Orientation='6' tiff:Orientation=\"7\"", 7),
        ("tiff:Orientation=\"9\" tiff:Orientation=\"7\"", 1),
        ("tiff:Orientation=\"0\"", 1),
        ("tiff:Orientation=\"", 1),
        ("tiff:Orientatio", 1),
        ("", 1),
    ] {
        assert_eq!(of_xmp(Some(xmp.as_bytes())), expected, "{xmp}");
    }
}

fn segment(code: u8, body: &[u8]) -> Vec<u8> {
    [&[0xff, code][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat()
}

#[test]
fn a_jpeg_may_have_fill_bytes_stray_bytes_and_exif_in_parts() {
    let exif = block(false, 3, 1, &[6, 0]);
    let (front, back) = exif.split_at(11);
    let parts = [PREFIX, front].concat();
    let more = [PREFIX, back].concat();
    let file = [
        &[0xff, 0xd8, 0xff, 0xff][..],
        &segment(0xe1, &parts),
        &[1, 2, 0xff, 0],
        &segment(0xe1, &more),
        &segment(0xda, &[]),
    ];
    assert_eq!(of_jpeg(&file.concat()), 6);
    let xmp = |digit: u8| segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0tiff:Orientation=\"", &[digit][..]].concat());
    assert_eq!(of_jpeg(&[&[0xff, 0xd8][..], &xmp(b'3'), &xmp(b'4'), &segment(0xda, &[])].concat()), 4);
    assert_eq!(of_jpeg(&[&[0xff, 0xd8][..], &segment(0xda, &[]), &xmp(b'4')].concat()), 1);
    assert_eq!(of_jpeg(&[]), 1);
}

fn chunk(kind: &[u8], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[..], kind, body, &[0; 4]].concat()
}

fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat()].concat()
}

#[test]
fn a_png_may_have_it_in_any_text_and_behind_the_pixels() {
    let exif = block(false, 3, 1, &[6, 0]);
    let digits = exif.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join("\n");
    let raw = [b"Raw profile type exif\0".to_vec(), format!("\nexif\n  26\n{digits}").into_bytes()].concat();
    // A stored block of zlib.
    let deflated = |text: &[u8]| {
        let length = text.len() as u16;
        [&[0x78, 1, 1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), text, &[0; 4]].concat()
    };
    let xmp = deflated(ENTRY_FOR_XMP);
    let (pixels, end) = (chunk(b"IDAT", b""), chunk(b"IEND", b""));
    for (what, expected) in [
        (chunk(b"eXIf", &exif), 6),
        (chunk(b"tEXt", &raw), 6),
        (chunk(b"tEXt", &[b"XML:com.adobe.xmp\0", ENTRY_FOR_XMP].concat()), 8),
        (chunk(b"zTXt", &[b"XML:com.adobe.xmp\0\0", &xmp[..xmp.len() - 4]].concat()), 8),
        (chunk(b"iTXt", &[b"XML:com.adobe.xmp\0\0\0en\0\0", ENTRY_FOR_XMP].concat()), 8),
        (chunk(b"iTXt", &[b"XML:com.adobe.xmp\0\x01\0\0\0", &xmp[..xmp.len() - 4]].concat()), 8),
        (chunk(b"iTXt", &[b"XML:com.adobe.xmp\0\x01\x01\0\0", &xmp[..]].concat()), 1),
        (chunk(b"tEXt", &[b"Comment\0", ENTRY_FOR_XMP].concat()), 1),
    ] {
        assert_eq!(of_png(&png(&[what.clone(), pixels.clone(), end.clone()])), expected);
        assert_eq!(of_png(&png(&[pixels.clone(), what.clone(), end.clone()])), expected);
        assert_eq!(of_png(&png(&[pixels.clone(), end.clone(), what])), 1);
    }
}

#[test]
fn a_png_animation_is_read_up_to_its_second_frame() {
    let exif = chunk(b"eXIf", &block(false, 3, 1, &[6, 0]));
    let (frame, pixels) = (chunk(b"fcTL", &[0; 26]), chunk(b"IDAT", b""));
    let animation = |frames: u32| chunk(b"acTL", &[frames.to_be_bytes(), [0; 4]].concat());
    for (frames, expected) in [(1, 6), (2, 1)] {
        let chunks = [animation(frames), frame.clone(), pixels.clone(), frame.clone(), exif.clone()];
        assert_eq!(of_png(&png(&chunks)), expected, "{frames}");
    }
    assert_eq!(of_png(&png(&[animation(1), pixels, frame, exif])), 1);
}

#[test]
fn a_webp_says_it_only_where_its_flags_do() {
    let exif = block(false, 3, 1, &[6, 0]);
    let chunk = |kind: &[u8; 4], body: &[u8]| {
        [kind, &(body.len() as u32).to_le_bytes()[..], body, &vec![0; body.len() % 2]].concat()
    };
    let webp = |flags: u8, chunks: &[Vec<u8>]| {
        [b"RIFF\0\0\0\0WEBP".to_vec(), chunk(b"VP8X", &[flags, 0, 0, 0, 0, 0, 0, 0, 0, 0]), chunks.concat()].concat()
    };
    let both = [chunk(b"XMP ", ENTRY_FOR_XMP), chunk(b"EXIF", &exif), chunk(b"EXIF", &[])];
    assert_eq!(of_webp(&webp(0b1100, &both)), 6);
    assert_eq!(of_webp(&webp(0b0100, &both)), 8);
    assert_eq!(of_webp(&webp(0, &both)), 1);
    assert_eq!(of_webp(&[]), 1);
}

proptest! {
    #[test]
    fn any_bytes_have_an_orientation(
        start in prop::sample::select(vec![
            &b"\xff\xd8"[..], b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8X", b"II*\0\x08\0\0\0", b"MM\0+\0\x08\0\0",
        ]),
        bytes in prop::collection::vec(prop::sample::select(vec![0_u8, 1, 2, 3, 4, 6, 12, 18, 0xff, 0xe1, b'E']), 0..60),
    ) {
        let data = [start, &bytes].concat();
        for orientation in [of_jpeg(&data), of_png(&data), of_webp(&data), of_exif(&data).unwrap_or(1)] {
            prop_assert!((1..=8).contains(&orientation));
        }
    }
}
