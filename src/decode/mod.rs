//! Encoded images to 8-bit RGB pixels.
//!
//! The format is found in the first bytes, never in the file's name. Dimensions are checked against a limit
//! before any memory is taken for pixels. Images come out as Pillow's `convert("RGB")` would give them: alpha
//! is dropped, grey is repeated, 16 bits are cut to the high 8.

mod image;
mod jpeg;
mod mask;
mod other;

use std::fmt::Write;

pub use self::{
    image::Image,
    mask::{Mask, decode_mask},
};
use crate::error::{Failure, Stage};

/// The largest number of pixels that is decoded: that from which on Pillow raises `DecompressionBombError`,
/// twice its `MAX_IMAGE_PIXELS`.
pub const MAX_PIXELS: u64 = 2 * (1024 * 1024 * 1024 / 4 / 3);

/// A format that can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Jpeg,
    Other(::image::ImageFormat),
}

impl Format {
    /// Returns the format that starts with these bytes.
    fn sniff(data: &[u8]) -> Option<Self> {
        use ::image::ImageFormat as Kind;
        Some(match data {
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Self::Other(Kind::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::Other(Kind::WebP),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Self::Other(Kind::Gif),
            [b'B', b'M', ..] => Self::Other(Kind::Bmp),
            [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n', ..] => Self::Other(Kind::Pnm),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Self::Other(Kind::Tiff),
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        use ::image::ImageFormat as Kind;
        match self {
            Self::Jpeg => "JPEG",
            Self::Other(Kind::Png) => "PNG",
            Self::Other(Kind::WebP) => "WebP",
            Self::Other(Kind::Gif) => "GIF",
            Self::Other(Kind::Bmp) => "BMP",
            Self::Other(Kind::Pnm) => "PNM",
            Self::Other(_) => "TIFF",
        }
    }
}

/// Decodes an image of at most `limit_pixels` into `out`, whose memory is used again.
///
/// # Errors
/// A [`Failure`] of the decode stage that names the format and what is wrong. `out` then holds anything.
pub fn decode_rgb8(data: &[u8], out: &mut Image, limit_pixels: u64) -> Result<(), Failure> {
    let Some(format) = Format::sniff(data) else {
        return Err(Failure::new(Stage::Decode, unknown(data)));
    };
    let decoded = match format {
        Format::Jpeg => jpeg::decode(data, out, limit_pixels),
        Format::Other(kind) => other::decode(data, kind, out, limit_pixels),
    };
    decoded.map_err(|reason| Failure::new(Stage::Decode, format!("as {}: {reason}", format.name())))
}

/// Refuses an image of too many pixels, by its header.
fn check_pixels(width: u64, height: u64, limit: u64) -> Result<(), String> {
    match width.checked_mul(height) {
        Some(0) => Err(format!("the header says {width}x{height}: there are no pixels")),
        Some(pixels) if pixels <= limit => Ok(()),
        _ => Err(format!("the header says {width}x{height}, more than the limit of {limit} pixels")),
    }
}

fn unknown(data: &[u8]) -> String {
    let mut reason =
        "is not an image format that stokehold reads (JPEG, PNG, WebP, GIF, BMP, PNM, TIFF); first bytes".to_owned();
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
    fn the_limit_is_that_of_pillow() {
        assert_eq!(MAX_PIXELS, 178_956_970);
    }

    #[test]
    fn unknown_bytes_are_shown() {
        let failure = decode_rgb8(&[0, 1, 0xab], &mut Image::default(), MAX_PIXELS).unwrap_err();
        assert_eq!(failure.stage, Stage::Decode);
        assert!(failure.reason.starts_with("is not an image format that stokehold reads"));
        assert!(failure.reason.ends_with("first bytes 00 01 ab"));
        assert!(decode_rgb8(&[], &mut Image::default(), 1).unwrap_err().reason.ends_with("first bytes: none"));
    }
}
