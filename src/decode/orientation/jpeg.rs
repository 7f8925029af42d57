//! EXIF and XMP in JPEG (CIPA DC-008; XMP part 3).

use super::{PREFIX, of_metadata};

const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

mod marker {
    pub(super) const JPG: u8 = 0xc8;
    pub(super) const RST0: u8 = 0xd0;
    pub(super) const EOI: u8 = 0xd9;
    pub(super) const SOS: u8 = 0xda;
    pub(super) const APP1: u8 = 0xe1;
    pub(super) const JPG0: u8 = 0xf0;
    pub(super) const JPG13: u8 = 0xfd;
}

/// Returns the orientation of a JPEG, 1 to 8. EXIF may be cut into segments; of several XMP segments the last counts.
pub(in crate::decode) fn of_jpeg(data: &[u8]) -> u8 {
    let mut exif: Option<Vec<u8>> = None;
    let mut xmp = None;
    let mut at = 2;
    while let Some((code, after)) = next_marker(data, at) {
        at = after;
        match code {
            marker::SOS => break,
            // They have no length, or Pillow looks for none.
            marker::JPG | marker::RST0..=marker::EOI | marker::JPG0..=marker::JPG13 => continue,
            _ => {}
        }
        let Some(length) = data.get(at..at + 2) else { break };
        let body = usize::from(u16::from_be_bytes([length[0], length[1]])).saturating_sub(2);
        let Some(body) = data.get(at + 2..at + 2 + body) else { break };
        at += 2 + body.len();
        if code != marker::APP1 {
            continue;
        }
        if let Some(part) = body.strip_prefix(PREFIX) {
            exif.get_or_insert_default().extend_from_slice(part);
        } else if let Some(body) = body.strip_prefix(XMP) {
            xmp = Some(body);
        }
    }
    of_metadata(exif.as_deref(), xmp)
}

/// Returns the next marker's code and where it ends; fill bytes and what is no marker stand before it.
fn next_marker(data: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += memchr::memchr(0xff, data.get(at..)?)?;
        let code = *data.get(at + 1)?;
        match code {
            0xff => at += 1,
            0 => at += 2,
            _ => return Some((code, at + 2)),
        }
    }
}
