//! JPEG, by `zune-jpeg`.

use zune_jpeg::{
    JpegDecoder,
    errors::DecodeErrors,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use super::{Image, check_pixels};

/// Decodes a JPEG of at most `limit` pixels into `out`.
pub(super) fn decode(data: &[u8], out: &mut Image, limit: u64) -> Result<(), String> {
    let options = DecoderOptions::new_fast()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .set_strict_mode(false)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(data), options);
    decoder.decode_headers().map_err(reason)?;
    let (width, height) = decoder.dimensions().ok_or("no start of frame")?;
    check_pixels(width as u64, height as u64, limit)?;
    if !has_end(data) {
        return Err("unexpected end of data".to_owned());
    }
    // Stray bytes between headers harm nobody, but a broken scan would otherwise come out as grey.
    let strict = decoder.options().set_strict_mode(true);
    decoder.set_options(strict);
    decoder.decode_into(out.reset(width as u32, height as u32)).map_err(reason)
}

/// Tells whether an end-of-image marker follows the first start of scan.
///
/// The decoder fills what a cut file lacks of its last row of blocks; the missing marker gives it away. In a
/// scan the two bytes can be nothing but the marker.
fn has_end(data: &[u8]) -> bool {
    let mut at = 2;
    let scan = loop {
        match data.get(at..) {
            Some([0xff, 0xda, ..]) => break at,
            Some([0xff, 0xff, ..]) => at += 1,
            Some([0xff, 0x01 | 0xd0..=0xd8, ..]) => at += 2,
            Some([0xff, _, high, low, ..]) => at += 2 + usize::from(u16::from_be_bytes([*high, *low])),
            Some([_, _, ..]) => at += 1,
            _ => return false,
        }
    };
    data[scan..].windows(2).rev().any(|pair| pair == [0xff, 0xd9])
}

fn reason(error: DecodeErrors) -> String {
    match error {
        DecodeErrors::ExhaustedData
        | DecodeErrors::IoErrors(_)
        | DecodeErrors::FormatStatic("Premature end of buffer") => "unexpected end of data".to_owned(),
        DecodeErrors::Format(text) => text,
        DecodeErrors::FormatStatic(text) => text.to_owned(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::MAX_PIXELS, *};

    const FILES: [(&str, &[u8], &[u8]); 6] = [
        ("420", include_bytes!("../../tests/data/420.jpg"), include_bytes!("../../tests/data/420.ppm")),
        ("444", include_bytes!("../../tests/data/444.jpg"), include_bytes!("../../tests/data/444.ppm")),
        ("grey", include_bytes!("../../tests/data/grey.jpg"), include_bytes!("../../tests/data/grey.ppm")),
        (
            "progressive",
            include_bytes!("../../tests/data/progressive.jpg"),
            include_bytes!("../../tests/data/progressive.ppm"),
        ),
        ("cmyk", include_bytes!("../../tests/data/cmyk.jpg"), include_bytes!("../../tests/data/cmyk.ppm")),
        ("restart", include_bytes!("../../tests/data/restart.jpg"), include_bytes!("../../tests/data/restart.ppm")),
    ];

    fn read(data: &[u8]) -> Result<Image, String> {
        let mut image = Image::default();
        decode(data, &mut image, MAX_PIXELS).map(|()| image)
    }

    #[test]
    fn pixels_are_near_those_of_pillow() {
        for (name, jpeg, ppm) in FILES {
            let ours = read(jpeg).unwrap();
            let theirs = ::image::load_from_memory(ppm).unwrap().into_rgb8();
            assert_eq!((ours.width(), ours.height()), theirs.dimensions(), "{name}");
            let differences: Vec<u8> =
                ours.pixels().iter().zip(theirs.as_raw()).map(|(ours, theirs)| ours.abs_diff(*theirs)).collect();
            let mean = differences.iter().map(|&d| f64::from(d)).sum::<f64>() / differences.len() as f64;
            let max = differences.iter().max().unwrap();
            assert!(mean < 1.0 && *max <= 12, "{name}: mean {mean}, max {max}");
        }
    }

    #[test]
    fn a_cut_file_is_an_error_wherever_it_is_cut() {
        for (name, jpeg, _) in FILES {
            for tenths in 1..10 {
                let cut = &jpeg[..jpeg.len() * tenths / 10];
                let error = read(cut).expect_err(name);
                assert!(!error.is_empty(), "{name} {tenths}");
            }
            for missing in 1..40 {
                assert_eq!(read(&jpeg[..jpeg.len() - missing]).unwrap_err(), "unexpected end of data", "{name}");
            }
        }
    }

    #[test]
    fn bytes_after_the_end_are_ignored() {
        let (_, jpeg, _) = FILES[0];
        let padded = [jpeg, &[0; 100]].concat();
        assert_eq!(read(&padded).unwrap().pixels(), read(jpeg).unwrap().pixels());
    }

    #[test]
    fn a_huge_header_is_refused_before_memory_is_taken() {
        let (_, jpeg, _) = FILES[0];
        let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        let mut huge = jpeg.to_vec();
        huge[frame + 5..frame + 9].copy_from_slice(&[60_000_u16.to_be_bytes(), 60_000_u16.to_be_bytes()].concat());
        let mut image = Image::default();
        let error = decode(&huge, &mut image, MAX_PIXELS).unwrap_err();
        assert_eq!(error, "the header says 60000x60000, more than the limit of 178956970 pixels");
        assert!(image.pixels().is_empty());
    }
}
