//! A JPEG in a strip or tile: without the tables that all of them share, and without colours of its own, which the TIFF
//! says (TIFF technical note 2).

use super::layout::Layout;
use crate::{
    decode::{
        format::{Bad, Opened, Wanted},
        image::Image,
        jpeg::OpenJpeg,
        kept::Kept,
        options::DecodeImage,
    },
    geometry::{Rect, Size},
};

const START: [u8; 2] = [0xff, 0xd8];
/// The segment with which Adobe says what three components are; its last byte is 0 for RGB and 1 for `YCbCr`.
const ADOBE: [u8; 15] = *b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00";
const YCBCR: u64 = 6;

mod marker {
    pub(super) const EOI: u8 = 0xd9;
    pub(super) const SOS: u8 = 0xda;
    pub(super) const APP0: u8 = 0xe0;
    pub(super) const APP14: u8 = 0xee;
}

/// Fills `out` with the rows at the beginning of a strip or tile, of 1 or 3 channels.
pub(super) fn expand(
    data: &[u8],
    layout: &Layout<'_>,
    kept: &mut Kept,
    image: &mut Image,
    out: &mut [u8],
) -> Result<(), Bad> {
    let channels = layout.samples_together();
    let width = layout.chunk.width;
    let size = Size { height: (out.len() / (width as usize * channels)) as u32, width };
    let whole = assembled(data, layout);
    let file = OpenJpeg::read(&whole, DecodeImage::default())?;
    let found = file.size();
    if found.width != width || found.height < size.height {
        let Size { height, width } = found;
        return Err(Bad::from(format!("has a JPEG of {width}x{height} pixels in a strip or tile of another size")));
    }
    let region = Rect::whole(size);
    Box::new(file).decode(Wanted { region, reduced_to: None }, kept, image)?;
    let stored = image.pixel().channels.stored();
    // A decoder may have given more than was asked for: all rows, and a fourth channel.
    for (to, from) in out.chunks_exact_mut(channels).zip(image.pixels().chunks_exact(stored)) {
        to.copy_from_slice(&from[..channels]);
    }
    Ok(())
}

/// Returns the JPEG with the shared tables, and with what the TIFF says of its colours.
fn assembled(data: &[u8], layout: &Layout<'_>) -> Vec<u8> {
    let mut whole = START.to_vec();
    let mut adobe = ADOBE.to_vec();
    adobe.push(u8::from(layout.photometric == YCBCR));
    whole.extend(adobe);
    whole.extend(without_colours(layout.jpeg_tables.unwrap_or_default()));
    whole.extend(without_colours(data));
    whole
}

/// Returns what follows the start of a JPEG, up to its end, without the segments that say what its colours are.
fn without_colours(data: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut rest = data.strip_prefix(&START).unwrap_or(data);
    while let [0xff, code, high, low, ..] = *rest {
        match code {
            0xff => rest = &rest[1..],
            marker::EOI => return kept,
            marker::SOS => break,
            _ => {
                let end = (2 + usize::from(u16::from_be_bytes([high, low]))).min(rest.len());
                if !matches!(code, marker::APP0 | marker::APP14) {
                    kept.extend(&rest[..end]);
                }
                rest = &rest[end..];
            }
        }
    }
    if rest != [0xff, marker::EOI] {
        kept.extend(rest);
    }
    kept
}
