//! How an image is to be turned: the EXIF orientation, wherever a file says it.
//!
//! What counts is what `ImageOps.exif_transpose` of Pillow 13 does: EXIF where it has an orientation, of whatever kind of
//! number, else XMP. Metadata that is broken says nothing about the pixels, so there an image stays as it is.

mod jpeg;
mod png;
mod webp;

use memchr::memmem;

pub(super) use self::{jpeg::of_jpeg, png::of_png, webp::of_webp};
use super::directory::{Directory, Entry, Header};

const ORIENTATION: u16 = 0x0112;
const XMP: u16 = 700;
const NAME: &[u8] = b"tiff:Orientation";
const PREFIX: &[u8] = b"Exif\0\0";

/// Returns the orientation of a TIFF file, 1 to 8.
pub(super) fn of_tiff(directory: &Directory<'_>) -> u8 {
    let xmp = directory.get(XMP).filter(Entry::is_bytes);
    of_directory(directory).unwrap_or_else(|| of_xmp(xmp.map(|entry| entry.bytes())))
}

/// Returns the orientation that an EXIF block says, or, where it has none, XMP; 1 to 8.
fn of_metadata(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> u8 {
    exif.and_then(of_exif).unwrap_or_else(|| of_xmp(xmp))
}

/// Returns the orientation of an EXIF block, 1 where it cannot be read; none where it says nothing of it.
fn of_exif(exif: &[u8]) -> Option<u8> {
    let once = exif.strip_prefix(PREFIX).unwrap_or(exif);
    let tiff = once.strip_prefix(PREFIX).unwrap_or(once);
    if tiff.is_empty() {
        return None;
    }
    Header::read(tiff).map_or(Some(1), |header| of_directory(&Directory::read(tiff, header)))
}

fn of_directory(directory: &Directory<'_>) -> Option<u8> {
    let entry = directory.get(ORIENTATION)?;
    // Whatever equals one of the numbers, a fraction too.
    Some((2..=8).find(|&orientation| entry.number() == Some(f64::from(orientation))).unwrap_or(1))
}

/// Returns the first orientation that XMP says, as an attribute or an element.
fn of_xmp(xmp: Option<&[u8]>) -> u8 {
    let xmp = xmp.unwrap_or_default();
    let digit = memmem::find_iter(xmp, NAME).find_map(|at| {
        let rest = &xmp[at + NAME.len()..];
        let value = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?;
        value.first().copied().filter(u8::is_ascii_digit)
    });
    digit.map(|digit| digit - b'0').filter(|value| (1..=8).contains(value)).unwrap_or(1)
}

#[cfg(test)]
mod tests;
