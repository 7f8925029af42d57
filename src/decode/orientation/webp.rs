//! EXIF and XMP in WebP (RFC 9649).

use super::of_metadata;

const HAS_EXIF: u8 = 0b1000;
const HAS_XMP: u8 = 0b100;

/// Returns the orientation of a WebP file, 1 to 8. As for libwebp, only the extended format has metadata, what its flags
/// do not announce is none, and of several chunks the first counts.
pub(in crate::decode) fn of_webp(data: &[u8]) -> u8 {
    let mut flags = 0;
    let (mut exif, mut xmp) = (None, None);
    let mut rest = data.get(12..).unwrap_or_default();
    while let Some((kind, after)) = rest.split_first_chunk::<4>() {
        let Some((length, after)) = after.split_first_chunk::<4>() else { break };
        let length = u32::from_le_bytes(*length) as usize;
        let Some((body, after)) = after.split_at_checked(length) else { break };
        match kind {
            b"VP8X" => flags = body.first().copied().unwrap_or(0),
            b"EXIF" if flags & HAS_EXIF != 0 => exif = exif.or(Some(body)),
            b"XMP " if flags & HAS_XMP != 0 => xmp = xmp.or(Some(body)),
            _ => {}
        }
        // Chunks begin at even offsets.
        rest = after.get(length % 2..).unwrap_or_default();
    }
    of_metadata(exif, xmp)
}
