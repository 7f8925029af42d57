//! The values are those of Pillow 13; `tests/python` asks it itself.

use proptest::prelude::*;

use super::*;
use crate::decode::tests::{decoded, indices};

const COLOURS: [[u8; 3]; 4] = [[10, 20, 30], [200, 0, 0], [0, 200, 0], [0, 0, 200]];
const GREYS: [[u8; 3]; 4] = [[0; 3], [1; 3], [2; 3], [3; 3]];

/// Returns a GIF of one frame of indices 1, 2, 3, 1, 2, 3 and so on.
fn gif(
    screen: [u16; 2],
    frame: [u16; 4],
    global: Option<[[u8; 3]; 4]>,
    local: Option<[[u8; 3]; 4]>,
    transparent: Option<u8>,
) -> Vec<u8> {
    let mut file = b"GIF89a".to_vec();
    file.extend(screen.map(u16::to_le_bytes).concat());
    file.extend([if global.is_some() { 0b1000_0001 } else { 0 }, 1, 0]);
    file.extend(global.iter().flatten().flatten());
    if let Some(index) = transparent {
        file.extend([0x21, 0xf9, 4, 1, 0, 0, index, 0]);
    }
    file.push(0x2c);
    file.extend(frame.map(u16::to_le_bytes).concat());
    file.push(if local.is_some() { 0b1000_0001 } else { 0 });
    file.extend(local.iter().flatten().flatten());
    // Codes of three bits, cleared so often that they stay so.
    let count = usize::from(frame[2]) * usize::from(frame[3]);
    let codes = (0..count).flat_map(|at| [4, 1 + at % 3]).chain([5]);
    let bits: Vec<bool> = codes.flat_map(|code| (0..3).map(move |bit| code >> bit & 1 == 1)).collect();
    let pack = |bits: &[bool]| bits.iter().enumerate().map(|(at, &bit)| u8::from(bit) << at).sum::<u8>();
    let data: Vec<u8> = bits.chunks(8).map(pack).collect();
    file.extend([2, data.len() as u8]);
    file.extend(data);
    file.extend(b"\0;");
    file
}

#[test]
fn what_a_frame_leaves_free_is_the_transparent_index_or_the_first() {
    for (transparent, free) in [(None, 0), (Some(2), 2)] {
        let data = gif([4, 2], [1, 1, 2, 1], Some(COLOURS), None, transparent);
        let expected = [free, free, free, free, free, 1, 2, free];
        assert_eq!(indices(&data).unwrap(), expected);
        let (pixel, values) = decoded(&data).unwrap();
        let alpha = |index: u8| if transparent == Some(index) { 0 } else { 255 };
        if transparent.is_some() {
            assert_eq!(pixel.channels, Channels::Rgba);
            let expected = expected.map(|index| [&COLOURS[usize::from(index)][..], &[alpha(index)]].concat());
            assert_eq!(values, expected.concat());
        } else {
            assert_eq!((pixel, values), (PixelType::RGB8, expected.map(|index| COLOURS[usize::from(index)]).concat()));
        }
    }
}

#[test]
fn a_screen_that_is_too_small_grows() {
    let data = gif([1, 1], [1, 0, 2, 2], Some(COLOURS), None, None);
    assert_eq!(indices(&data).unwrap(), [0, 1, 2, 0, 3, 1]);
}

#[test]
fn a_frame_has_its_own_colours_or_those_of_the_file() {
    let data = gif([2, 1], [0, 0, 2, 1], Some(GREYS), Some(COLOURS), None);
    assert_eq!(decoded(&data).unwrap(), (PixelType::RGB8, vec![200, 0, 0, 0, 200, 0]));
    for (global, local) in [(Some(GREYS), None), (Some(COLOURS), Some(GREYS)), (None, None)] {
        let data = gif([2, 1], [0, 0, 2, 1], global, local, None);
        assert_eq!(decoded(&data).unwrap(), (PixelType::GREY8, vec![1, 2]));
    }
    let data = gif([2, 1], [0, 0, 2, 1], None, None, Some(2));
    assert_eq!(decoded(&data).unwrap(), (PixelType::new(Channels::GreyAlpha, Depth::U8), vec![1, 255, 2, 0]));
}

#[test]
fn what_is_broken_is_refused() {
    let whole = gif([4, 4], [0, 0, 4, 4], Some(COLOURS), None, None);
    for cut in 6..whole.len() - 3 {
        let reason = decoded(&whole[..cut]).unwrap_err();
        assert!(reason.starts_with("as GIF: "), "{cut}: {reason}");
    }
    assert_eq!(
        decoded(&gif([4, 4], [0, 0, 0, 4], None, None, None)).unwrap_err(),
        "as GIF: has a frame without pixels"
    );
    assert!(
        decoded(&gif([65_535, 65_535], [0, 0, 1, 1], None, None, None)).unwrap_err().contains("more than the limit")
    );
    assert!(decoded(b"GIF89a\x01\0\x01\0\0\0\0;").is_err());
}

proptest! {
    #[test]
    fn any_frame_gives_pixels_or_an_error(
        screen in prop::array::uniform2(0..9_u16), frame in prop::array::uniform4(0..9_u16), transparent in prop::option::of(0..9_u8),
        at in any::<prop::sample::Index>(), value: u8,
    ) {
        let mut data = gif(screen, frame, Some(COLOURS), None, transparent);
        let _ = decoded(&data);
        let at = at.index(data.len());
        data[at] = value;
        let _ = decoded(&data);
    }
}
