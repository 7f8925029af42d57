//! Whatever the bytes, the decoder returns: no panic, no read past the end, no more memory than the header allows.
//!
//! The first eight bytes choose the region, the scale and the options; the rest is the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stokehold::{
    Corrupt, DecodeImage, Rect, Size, Truncated,
    decode::{Decoder, Encoded},
    decode_jpeg,
};

/// Enough for every layout, and little enough for thousands of images a second.
const MAX_PIXELS: u64 = 1 << 18;

fuzz_target!(|input: &[u8]| {
    let Some((choice, data)) = input.split_first_chunk::<8>() else { return };
    let [top, left, height, width, scale, options, ..] = *choice;
    let options = DecodeImage::default()
        .scaled_decode(options & 1 != 0)
        .truncated(if options & 2 != 0 { Truncated::Pad } else { Truncated::Error })
        .apply_exif_orientation(options & 4 != 0)
        .corrupt(if options & 8 != 0 { Corrupt::Error } else { Corrupt::Decode })
        .max_pixels(MAX_PIXELS);
    let Ok(encoded) = Encoded::open(data, options) else { return };
    let all = encoded.size();
    // A box inside the image, of any size.
    let cut = |start: u8, len: u8, all: u32| {
        let start = u32::from(start) * (all - 1) / 255;
        (start, 1 + u32::from(len) * (all - start - 1) / 255)
    };
    let ((top, height), (left, width)) = (cut(top, height, all.height), cut(left, width, all.width));
    let area = Rect { top: top.into(), left: left.into(), size: Size { height, width } };
    let mut both = [Decoder::default(), Decoder::portable()].map(|mut decoder| {
        let encoded = Encoded::open(data, options).expect("it was opened before");
        decoder.decode(encoded, area, Some(Size { height: 8, width: 8 })).map(|image| image.pixels().to_vec())
    });
    // Vector instructions change nothing.
    let [first, second] = &mut both;
    assert_eq!(first, second);
    let _ = decode_jpeg(data, None, [1, 2, 4, 8][usize::from(scale % 4)]);
});
