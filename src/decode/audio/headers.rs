//! Headers of audio files, looked at before the decoders believe them.
//!
//! Decoders allocate what a length in a tag says, before they see that the file has not as much; memory that is not there
//! ends the process. So FLAC and WAV files come to them without tags, pictures and notes, and the headers of Ogg Vorbis are
//! checked.

use std::iter::from_fn;

/// Returns a FLAC file with the first block of its metadata alone, which says what its samples are (RFC 9639, section 8).
pub(super) fn bare_flac(file: &[u8]) -> Vec<u8> {
    const LAST: u8 = 0x80;
    const STREAM_INFO: u8 = 0;
    let mut bare = b"fLaC".to_vec();
    let mut rest = file.get(bare.len()..).unwrap_or_default();
    while let [kind, a, b, c, ..] = *rest {
        let size = 4 + u32::from_be_bytes([0, a, b, c]) as usize;
        let Some((block, behind)) = rest.split_at_checked(size) else { break };
        if kind & !LAST == STREAM_INFO && bare.len() == 4 {
            bare.push(STREAM_INFO | LAST);
            bare.extend_from_slice(&block[1..]);
        }
        rest = behind;
        if kind & LAST != 0 {
            bare.extend_from_slice(rest);
            break;
        }
    }
    bare
}

/// Returns a WAV file with those chunks alone that its samples need.
pub(super) fn bare_wav(file: &[u8]) -> Vec<u8> {
    let (header, mut rest) = file.split_at(file.len().min(12));
    let mut bare = header.to_vec();
    while let [a, b, c, d, w, x, y, z, ..] = *rest {
        let name = [a, b, c, d];
        let size = u32::from_le_bytes([w, x, y, z]) as usize;
        // A chunk of an odd length is followed by a byte of nothing.
        let (chunk, behind) = rest.split_at(rest.len().min(8 + size + size % 2));
        if matches!(&name, b"fmt " | b"fact" | b"data") {
            bare.extend_from_slice(chunk);
        }
        if &name == b"data" {
            break;
        }
        rest = behind;
    }
    bare
}

/// Checks the headers of an Ogg file with one stream, of Vorbis, and returns how many bytes its codebooks make a decoder
/// allocate, about.
///
/// # Errors
/// The reason, for other streams, and for headers that are damaged.
pub(super) fn vorbis_bytes(file: &[u8]) -> Result<u64, String> {
    let [identification, comments, setup] = header_packets(file)?;
    if identification.starts_with(b"OpusHead") {
        return Err("Opus cannot be decoded: convert the file to FLAC, WAV, MP3 or Ogg Vorbis".into());
    }
    if !identification.starts_with(b"\x01vorbis") {
        return Err("it holds something other than Vorbis, which is all that is decoded of Ogg".into());
    }
    comments.strip_prefix(b"\x03vorbis").and_then(check_comments).ok_or("its comments are damaged")?;
    let setup = setup.strip_prefix(b"\x05vorbis").and_then(codebook_bytes);
    setup.ok_or_else(|| "its codebooks are damaged".to_owned())
}

/// Returns the first three packets of an Ogg file, as far as there are any (RFC 3533, section 6).
fn header_packets(file: &[u8]) -> Result<[Vec<u8>; 3], String> {
    let mut packets = [const { Vec::new() }; 3];
    let (mut number, mut rest, mut serial) = (0, file, None);
    while let Some((page, behind)) = page(rest) {
        if *serial.get_or_insert(page.serial) != page.serial {
            return Err("it holds several streams".into());
        }
        let mut content = page.content;
        for &size in page.sizes {
            let (segment, behind) = content.split_at(usize::from(size).min(content.len()));
            content = behind;
            if let Some(packet) = packets.get_mut(number) {
                packet.extend_from_slice(segment);
            }
            number += usize::from(size < 255);
        }
        rest = behind;
    }
    Ok(packets)
}

struct Page<'a> {
    serial: [u8; 4],
    sizes: &'a [u8],
    content: &'a [u8],
}

/// Returns the first page, and what is behind it; none where there is no whole one.
fn page(data: &[u8]) -> Option<(Page<'_>, &[u8])> {
    // What is no page is passed over, as decoders do.
    let start = data.windows(4).position(|window| window == b"OggS")?;
    let (header, rest) = data[start..].split_at_checked(27)?;
    let (sizes, rest) = rest.split_at_checked(usize::from(header[26]))?;
    let (content, behind) = rest.split_at_checked(sizes.iter().map(|size| usize::from(*size)).sum())?;
    Some((Page { serial: [header[14], header[15], header[16], header[17]], sizes, content }, behind))
}

/// Tells that no comment is longer than what there is.
fn check_comments(packet: &[u8]) -> Option<()> {
    fn string(data: &[u8]) -> Option<&[u8]> {
        let (size, rest) = data.split_first_chunk::<4>()?;
        rest.get(u32::from_le_bytes(*size) as usize..)
    }
    let (count, mut rest) = string(packet)?.split_first_chunk::<4>()?;
    for _ in 0..u32::from_le_bytes(*count) {
        rest = string(rest)?;
    }
    Some(())
}

/// Returns how many bytes the codebooks take, about (Vorbis I specification, section 3.2.1).
fn codebook_bytes(setup: &[u8]) -> Option<u64> {
    /// For each entry: its length, its word and two places in the tree that finds it.
    const ENTRY: u64 = 32;
    let (count, rest) = setup.split_first()?;
    let mut bits = Bits { data: rest, at: 0 };
    let mut bytes = 0_u64;
    for _ in 0..=*count {
        (bits.read(24)? == 0x56_4342).then_some(())?;
        let (dimensions, entries) = (bits.read(16)?, bits.read(24)?);
        code_lengths(&mut bits, entries)?;
        let lookup = bits.read(4)?;
        bytes = bytes.checked_add(u64::from(entries) * ENTRY)?;
        if lookup == 0 {
            continue;
        }
        bits.skip(64)?;
        let width = u64::from(bits.read(4)?) + 1;
        bits.skip(1)?;
        let vectors = u64::from(entries) * u64::from(dimensions);
        let values = match lookup {
            1 => u64::from(roots(entries, dimensions)?),
            2 => vectors,
            _ => return None,
        };
        bits.skip(values.checked_mul(width)?)?;
        bytes = bytes.checked_add(vectors * size_of::<f32>() as u64)?;
    }
    Some(bytes)
}

/// Passes over the lengths of the words of a codebook.
fn code_lengths(bits: &mut Bits<'_>, entries: u32) -> Option<()> {
    if bits.read(1)? == 0 {
        let is_sparse = bits.read(1)? == 1;
        for _ in 0..entries {
            if !is_sparse || bits.read(1)? == 1 {
                bits.skip(5)?;
            }
        }
        return Some(());
    }
    bits.skip(5)?;
    let mut left = entries;
    // Each length has at least no word; there are no more lengths than 32.
    for _ in 0..=32 {
        if left == 0 {
            return Some(());
        }
        left = left.checked_sub(bits.read(u32::BITS - left.leading_zeros())?)?;
    }
    None
}

/// Returns the greatest number whose power is at most the number of entries.
fn roots(entries: u32, dimensions: u32) -> Option<u32> {
    (dimensions > 0).then_some(())?;
    let fits = |root: &u32| u64::from(*root).checked_pow(dimensions).is_some_and(|power| power <= u64::from(entries));
    let mut root = 0;
    // With one dimension it is the number itself.
    let mut roots = from_fn(|| {
        root += 1;
        (dimensions > 1 && fits(&root)).then_some(root)
    });
    Some(if dimensions == 1 { entries } else { roots.by_ref().last().unwrap_or(0) })
}

/// Bits, from the lowest one of each byte on.
struct Bits<'a> {
    data: &'a [u8],
    at: u64,
}

impl Bits<'_> {
    fn read(&mut self, width: u32) -> Option<u32> {
        let mut value = 0;
        for bit in 0..width {
            let byte = *self.data.get((self.at / 8) as usize)?;
            value |= u32::from(byte >> (self.at % 8) & 1) << bit;
            self.at += 1;
        }
        Some(value)
    }

    fn skip(&mut self, width: u64) -> Option<()> {
        self.at = self.at.checked_add(width)?;
        (self.at <= self.data.len() as u64 * 8).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn flac_keeps_what_its_samples_are() {
        let block = |kind: u8, content: &[u8]| [&[kind, 0, 0, content.len() as u8], content].concat();
        let file =
            [&b"fLaC"[..], &block(4, b"comment"), &block(0, b"info"), &block(0x86, b"picture"), b"samples"].concat();
        assert_eq!(bare_flac(&file), [&b"fLaC"[..], &block(0x80, b"info"), b"samples"].concat());
        assert_eq!(bare_flac(b"fLaC\x84\xff\xff\xffshort"), b"fLaC");
        assert_eq!(bare_flac(b"fL"), b"fLaC");
    }

    #[test]
    fn wav_keeps_what_its_samples_are() {
        let chunk = |name: &[u8], content: &[u8]| [name, &(content.len() as u32).to_le_bytes(), content].concat();
        let head = b"RIFF\x10\0\0\0WAVE";
        let (fmt, data) = (chunk(b"fmt ", b"16"), chunk(b"data", b"samples"));
        let file =
            [&head[..], &chunk(b"LIST", b"odd"), b"\0", &fmt, &chunk(b"id3 ", b"tags"), &data, b"behind"].concat();
        assert_eq!(bare_wav(&file), [&head[..], &fmt, &data, b"b"].concat());
        assert_eq!(bare_wav(&file[..file.len() - 9]), [&head[..], &fmt, &data[..data.len() - 3]].concat());
        assert_eq!(bare_wav(b"RIFF"), b"RIFF");
    }

    /// Writes bits, from the lowest one of each byte on.
    fn written(numbers: &[(u64, u32)]) -> Vec<u8> {
        let bits: Vec<bool> =
            numbers.iter().flat_map(|(number, width)| (0..*width).map(move |bit| number >> bit & 1 == 1)).collect();
        bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect()
    }

    #[test]
    fn the_memory_of_a_codebook_is_known_before_it_is_read() {
        // As many words of 24 bits as there can be, of 23 dimensions whose two values are given.
        let lookup = [(1, 4), (0, 32), (0, 32), (7, 4), (0, 1), (1, 8), (2, 8)];
        let entries = (1_u64 << 24) - 1;
        let words = [(1, 1), (23, 5), (entries, 24)];
        let book = [&[(0x56_4342, 24), (23, 16), (entries, 24)][..], &words, &lookup].concat();
        let setup = [&[0][..], &written(&book)].concat();
        assert_eq!(codebook_bytes(&setup), Some(entries * (32 + 23 * 4)));
        assert_eq!(codebook_bytes(&setup[..setup.len() - 2]), None);
        assert_eq!(codebook_bytes(&[1]), None);
    }

    #[test]
    fn roots_are_whole() {
        assert_eq!((roots(81, 4), roots(80, 4), roots(7, 1), roots(0, 3)), (Some(3), Some(2), Some(7), Some(0)));
        assert_eq!((roots(5, 0), roots(1 << 24, 65_535)), (None, Some(1)));
    }

    #[test]
    fn comments_lie_within_their_packet() {
        let packet = |sizes: [u32; 3]| {
            let [vendor, count, comment] = sizes.map(u32::to_le_bytes);
            [&vendor[..], b"me", &count, &comment, b"a=b"].concat()
        };
        assert_eq!(check_comments(&packet([2, 1, 3])), Some(()));
        for sizes in [[2, 1, 4], [2, 1, u32::MAX], [2, 2, 3], [u32::MAX, 1, 3]] {
            assert_eq!(check_comments(&packet(sizes)), None, "{sizes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            bare_flac(&bytes);
            bare_wav(&bytes);
            codebook_bytes(&bytes);
            check_comments(&bytes);
            let _ = vorbis_bytes(&[b"OggS", &bytes[..]].concat());
        }
    }
}
