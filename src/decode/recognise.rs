//! Which formats there are, and which one a file has.

use std::fmt::Write;

use super::format::Format;
use crate::error::{Failure, Stage};

/// All formats. A file has the first one that recognises it.
const FORMATS: &[&dyn Format] = &[
    &super::jpeg::Jpeg,
    &super::png::Png,
    &super::webp::WebP,
    &super::gif::Gif,
    &super::bmp::Bmp,
    &super::pnm::Pnm,
    &super::tiff::Tiff,
];

/// Returns the format of a file.
pub(super) fn recognise(data: &[u8]) -> Result<&'static dyn Format, Failure> {
    let found = FORMATS.iter().find(|format| format.recognises(data));
    found.copied().ok_or_else(|| Failure::new(Stage::Decode, unknown(data)))
}

/// Tells whether these bytes begin as an image file of a format that is read.
pub fn is_image(data: &[u8]) -> bool {
    recognise(data).is_ok()
}

fn unknown(data: &[u8]) -> String {
    let names: Vec<_> = FORMATS.iter().map(|format| format.name()).collect();
    let mut reason = format!("is not an image format that stokehold reads ({}); first bytes", names.join(", "));
    for byte in data.iter().take(8) {
        // Writing to a string cannot fail.
        let _ = write!(reason, " {byte:02x}");
    }
    if data.is_empty() {
        reason += ": none";
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_recognised_by_itself_alone() {
        let begins: [(&str, &[u8]); 15] = [
            ("JPEG", b"\xff\xd8\xff\xe0"),
            ("PNG", b"\x89PNG\r\n\x1a\n"),
            ("WebP", b"RIFF\x10\0\0\0WEBPVP8L"),
            ("GIF", b"GIF87a"),
            ("GIF", b"GIF89a"),
            ("BMP", b"BM"),
            ("PNM", b"P1\n"),
            ("PNM", b"P5 "),
            ("PNM", b"P6\t"),
            ("PNM", b"P7\r"),
            ("TIFF", b"II*\0"),
            ("TIFF", b"MM\0*"),
            ("TIFF", b"II+\0"),
            ("TIFF", b"MM\0+"),
            ("TIFF", b"II*\0\x08"),
        ];
        for (name, data) in begins {
            let found: Vec<_> = FORMATS.iter().filter(|format| format.recognises(data)).map(|f| f.name()).collect();
            assert_eq!(found, [name], "{data:?}");
        }
        for data in [&b""[..], b"RIFF\x10\0\0\0WAVE", b"GIF88a", b"P8\n", b"P6", b"II*", b"\xff\xd8"] {
            assert!(recognise(data).is_err(), "{data:?}");
        }
    }

    #[test]
    fn unknown_bytes_are_shown() {
        let failure = recognise(&[0, 1, 0xab]).unwrap_err();
        assert_eq!(failure.stage, Stage::Decode);
        assert_eq!(
            failure.reason,
            "is not an image format that stokehold reads (JPEG, PNG, WebP, GIF, BMP, PNM, TIFF); first bytes 00 01 ab"
        );
        assert!(recognise(&[]).unwrap_err().reason.ends_with("first bytes: none"));
    }
}
