//! The kinds of JPEG that are not baseline, by `zune-jpeg`.

use zune_jpeg::{
    JpegDecoder,
    errors::DecodeErrors,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use crate::{decode::options::DecodeImage, geometry::Size};

/// A file whose headers have been read.
pub(super) struct Fallback<'a> {
    inner: JpegDecoder<ZCursor<&'a [u8]>>,
    size: Size,
    data: &'a [u8],
    pads: bool,
}

impl<'a> Fallback<'a> {
    /// Reads the headers.
    pub(super) fn open(data: &'a [u8], options: DecodeImage) -> Result<Self, String> {
        let settings = DecoderOptions::new_fast()
            .set_max_width(usize::from(u16::MAX))
            .set_max_height(usize::from(u16::MAX))
            .set_strict_mode(false)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut inner = JpegDecoder::new_with_options(ZCursor::new(data), settings);
        inner.decode_headers().map_err(reason)?;
        let (width, height) = inner.dimensions().ok_or("no start of frame")?;
        Ok(Self { inner, size: Size { height: height as u32, width: width as u32 }, data, pads: options.pads() })
    }

    /// Returns the size in pixels.
    pub(super) const fn size(&self) -> Size {
        self.size
    }

    /// Tells whether there is but one component.
    pub(super) fn is_grey(&self) -> bool {
        self.inner.info().is_some_and(|info| info.components == 1)
    }

    /// Writes the pixels, (height, width, 3).
    pub(super) fn decode(mut self, out: &mut [u8]) -> Result<(), String> {
        if self.pads {
            out.fill(128);
        } else {
            if !has_end(self.data) {
                return Err("unexpected end of data".to_owned());
            }
            // Stray bytes between headers harm nobody, but a broken scan would otherwise come out as grey.
            let strict = self.inner.options().set_strict_mode(true);
            self.inner.set_options(strict);
        }
        self.inner.decode_into(out).map_err(reason)
    }
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

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is another crate's, and the rest is alike")]
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
