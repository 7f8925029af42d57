//! EXIF and XMP in PNG (third edition), and in the texts that other programs write instead.

use std::io::{ErrorKind, Read};

use flate2::read::ZlibDecoder;

use super::of_metadata;

/// The most that a compressed text may hold, as in Pillow.
const MAX_TEXT: u64 = 1 << 20;
const XMP: &[u8] = b"XML:com.adobe.xmp";
/// A text in which `ImageMagick` keeps EXIF as hexadecimal digits.
const RAW_PROFILE: &[u8] = b"Raw profile type exif";

/// What a file's chunks say so far; of several the last counts.
#[derive(Default)]
struct Found {
    exif: Option<Vec<u8>>,
    raw_profile: Option<Vec<u8>>,
    xmp: Option<Vec<u8>>,
}

/// Which of an animation's frames is read.
#[derive(Default)]
struct Frames {
    /// How many the animation has.
    count: u32,
    has_begun: bool,
    /// Whether another one follows the one that is read; known from its pixels on.
    others: Option<bool>,
}

/// Returns the orientation of a PNG, 1 to 8, also where it stands behind the pixels. Of an animation, what stands behind
/// the first frame does not count.
pub(in crate::decode) fn of_png(data: &[u8]) -> u8 {
    let mut found = Found::default();
    let mut frames = Frames::default();
    let mut rest = data.get(8..).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let Some((kind, after)) = after.split_first_chunk::<4>() else { break };
        let Some((body, after)) = after.split_at_checked(u32::from_be_bytes(*length) as usize) else { break };
        match kind {
            b"IEND" => break,
            b"fcTL" if frames.others == Some(true) => break,
            b"fcTL" => frames.has_begun = true,
            b"acTL" => frames.count = body.first_chunk::<4>().map_or(0, |count| u32::from_be_bytes(*count)),
            b"IDAT" => frames.others = frames.others.or_else(|| Some(frames.count > u32::from(frames.has_begun))),
            b"eXIf" => found.exif = Some(body.to_vec()),
            b"tEXt" => found.keep(body, |text| Some(text.to_vec())),
            b"zTXt" => found.keep(body, |text| inflated(text.strip_prefix(&[0])?)),
            b"iTXt" => found.keep(body, international),
            _ => {}
        }
        // Behind each chunk stands a checksum.
        rest = after.get(4..).unwrap_or_default();
    }
    let Found { exif, raw_profile, xmp } = found;
    let exif = exif.or_else(|| raw_profile.map(|text| from_hexadecimal(&text)));
    of_metadata(exif.as_deref(), xmp.as_deref())
}

impl Found {
    /// Keeps the text behind a keyword, if that is one of ours.
    fn keep(&mut self, body: &[u8], text: impl FnOnce(&[u8]) -> Option<Vec<u8>>) {
        let Some(end) = memchr::memchr(0, body) else { return };
        let kept = match &body[..end] {
            XMP => &mut self.xmp,
            RAW_PROFILE => &mut self.raw_profile,
            _ => return,
        };
        if let Some(text) = text(&body[end + 1..]) {
            *kept = Some(text);
        }
    }
}

/// Returns the text of an `iTXt` chunk: behind a flag, a method, a language and the keyword in that language.
fn international(rest: &[u8]) -> Option<Vec<u8>> {
    let (&[is_compressed, method], rest) = rest.split_first_chunk::<2>()?;
    let text = rest.splitn(3, |&byte| byte == 0).nth(2)?;
    match (is_compressed, method) {
        (0, _) => Some(text.to_vec()),
        (_, 0) => inflated(text),
        _ => None,
    }
}

/// Decompresses a text; one that ends too early is what there is of it.
fn inflated(data: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    match ZlibDecoder::new(data).take(MAX_TEXT).read_to_end(&mut text) {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => None,
        _ => Some(text),
    }
}

/// Returns the bytes of a raw profile: behind three lines, digits with white space between them.
fn from_hexadecimal(text: &[u8]) -> Vec<u8> {
    let lines = text.splitn(4, |&byte| byte == b'\n').nth(3).unwrap_or_default();
    let digits = lines.iter().filter_map(|&byte| char::from(byte).to_digit(16));
    let digits: Vec<u8> = digits.map(|digit| digit as u8).collect();
    digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect()
}
