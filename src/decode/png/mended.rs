//! PNG files with damage that leaves their pixels whole, put right: a wrong checksum of the pixels or of what is no
//! pixels, an end that is missing or cut off.
//!
//! Pillow looks neither at the checksums of pixels nor at what stands behind them; libpng passes over ancillary chunks
//! whose checksum is wrong.

/// A file put right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mended {
    pub(super) bytes: Vec<u8>,
    /// Whether bytes of its pixels had another checksum, so that these may be others than they were.
    pub(super) may_be_wrong: bool,
}

/// The length, the kind and the checksum of a chunk.
const FRAME: usize = 12;
const SIGNATURE: usize = 8;

/// Returns a copy of a PNG without its damage; none where there is none, or some that pixels depend on.
pub(super) fn mended(data: &[u8]) -> Option<Mended> {
    let (mut out, mut may_be_wrong) = (data.get(..SIGNATURE)?.to_vec(), false);
    let (mut at, mut has_pixels, mut is_damaged) = (SIGNATURE, false, false);
    while let Some(&[l3, l2, l1, l0, k0, k1, k2, k3]) = data.get(at..at + 8) {
        let (length, kind) = (u32::from_be_bytes([l3, l2, l1, l0]) as usize, [k0, k1, k2, k3]);
        let chunk = &data[at..data.len().min(at.saturating_add(FRAME).saturating_add(length))];
        let is_cut = chunk.len() < FRAME + length;
        let is_sound = !is_cut && checksum(&chunk[4..8 + length]).to_be_bytes() == chunk[8 + length..];
        if &kind == b"IEND" || !kind.iter().all(u8::is_ascii_alphabetic) {
            break;
        } else if is_sound {
            out.extend(chunk);
        } else if &kind == b"IDAT" {
            // What there is of it; whether that is all the pixels, their decoder will tell.
            push(&mut out, kind, &chunk[8..chunk.len().min(8 + length)]);
            may_be_wrong |= !is_cut;
        } else if kind[0].is_ascii_uppercase() || chunk.len() < 8 + length {
            // Pillow too wants to read all of a chunk's body, of any kind.
            return None;
        }
        is_damaged |= !is_sound;
        has_pixels |= &kind == b"IDAT";
        at += chunk.len();
    }
    push(&mut out, *b"IEND", &[]);
    let is_whole = !is_damaged && data.get(at..at + FRAME).is_some_and(|end| out.ends_with(end));
    (has_pixels && !is_whole).then_some(Mended { bytes: out, may_be_wrong })
}

fn push(out: &mut Vec<u8>, kind: [u8; 4], body: &[u8]) {
    out.extend((body.len() as u32).to_be_bytes());
    let start = out.len();
    out.extend(kind);
    out.extend(body);
    let checksum = checksum(&out[start..]);
    out.extend(checksum.to_be_bytes());
}

/// Returns the checksum of a chunk (PNG, annex D); rarely asked for, so without tables.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 0 { sum >> 1 } else { sum >> 1 ^ 0xedb8_8320 };
    !bytes.iter().fold(u32::MAX, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), |sum, _| step(sum)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey image of 3x2 pixels with a comment before its pixels and one behind them.
    fn png() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 3, 2);
        encoder.add_text_chunk("Before".to_owned(), "pixels".to_owned()).unwrap();
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[1, 2, 3, 4, 5, 6]).unwrap();
        writer.write_chunk(png::chunk::tEXt, b"Behind\0pixels").unwrap();
        writer.finish().unwrap();
        bytes
    }

    fn at(kind: &[u8], data: &[u8]) -> usize {
        data.windows(4).position(|found| found == kind).unwrap()
    }

    #[test]
    fn a_sound_file_needs_nothing() {
        assert_eq!(mended(&png()), None);
        assert_eq!(mended(&[png(), vec![0; 50]].concat()), None);
    }

    #[test]
    fn checksums_of_pixels_and_ends_are_put_right() {
        let whole = png();
        let (pixels, end) = (at(b"IDAT", &whole), at(b"IEND", &whole) - 4);
        let behind = whole[..end].windows(6).position(|found| found == b"Behind").unwrap() - 8;
        let mut wrong = whole.clone();
        wrong[behind - 1] ^= 1;
        assert_eq!(mended(&wrong).unwrap(), Mended { bytes: whole.clone(), may_be_wrong: true });
        for cut in end..whole.len() {
            assert_eq!(mended(&whole[..cut]).unwrap().bytes, whole, "{cut}");
        }
        let without = [&whole[..behind], &whole[end..]].concat();
        for cut in behind..end {
            let is_in_a_body = (behind + 8..end - 4).contains(&cut);
            let found = mended(&whole[..cut]).map(|mended| mended.bytes);
            assert_eq!(found, (!is_in_a_body).then(|| without.clone()), "{cut}");
        }
        // The checksum of the pixels is cut off, then their last byte.
        assert_eq!(mended(&whole[..behind - 3]).unwrap(), Mended { bytes: without.clone(), may_be_wrong: false });
        let short = mended(&whole[..behind - 5]).unwrap().bytes;
        assert_eq!(short[..pixels - 4], whole[..pixels - 4]);
        assert_eq!(short.len(), without.len() - 1);
    }

    #[test]
    fn ancillary_chunks_with_a_wrong_checksum_are_left_out() {
        let whole = png();
        let (first, pixels) = (at(b"tEXt", &whole), at(b"IDAT", &whole));
        let mut wrong = whole.clone();
        wrong[first + 6] ^= 1;
        assert_eq!(mended(&wrong).unwrap().bytes, [&whole[..first - 4], &whole[pixels - 4..]].concat());
    }

    #[test]
    fn what_pixels_depend_on_is_not_made_up() {
        let whole = png();
        let (header, pixels) = (at(b"IHDR", &whole), at(b"IDAT", &whole));
        let mut wrong = whole.clone();
        wrong[header + 5] ^= 1;
        assert_eq!(mended(&wrong), None);
        for cut in 0..pixels + 4 {
            assert_eq!(mended(&whole[..cut]), None, "{cut}");
        }
    }
}
