//! How strips and tiles are compressed, but for JPEG.

use std::io::{ErrorKind, Read};

use flate2::{Decompress, FlushDecompress};
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;

use super::{
    fax::{self, Fax},
    lzw::Lzw,
};
use crate::decode::format::Bad;

/// The most memory that LZMA may look back on, in KiB: liblzma's strongest preset needs 65 MiB.
const MAX_LZMA_KIB: u32 = 70 << 10;
/// The most that Zstandard may look back on: what every reader of it accepts.
const MAX_ZSTD_WINDOW: u64 = 8 << 20;

/// A compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Raw,
    Fax(Fax),
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
    Lzma,
    Zstd,
}

impl Codec {
    /// Returns the compression of a number in the file.
    pub(super) fn of(compression: u64, fax3_options: u64) -> Result<Self, Bad> {
        let name = match compression {
            1 => return Ok(Self::Raw),
            2 => return Ok(Self::Fax(Fax::Rows)),
            3 => return Fax::group3(fax3_options).map(Self::Fax),
            4 => return Ok(Self::Fax(Fax::Group4)),
            5 => return Ok(Self::Lzw),
            7 => return Ok(Self::Jpeg),
            8 | 32_946 => return Ok(Self::Deflate),
            32_773 => return Ok(Self::PackBits),
            34_925 => return Ok(Self::Lzma),
            50_000 => return Ok(Self::Zstd),
            6 => "JPEG of the old style",
            32_771 => "CCITT with words",
            32_809 => "ThunderScan",
            34_676 | 34_677 => "SGILog",
            34_712 | 33_003 | 33_005 => "JPEG 2000",
            34_887 => "LERC",
            50_001 => "WebP",
            50_002 | 52_546 => "JPEG XL",
            other => return Err(Bad::from(format!("is compressed by method {other}, which is not read"))),
        };
        Err(Bad::from(format!("is compressed by {name}, which is not read")))
    }

    /// Tells whether bytes with their bits in reverse are to be put right before.
    pub(super) const fn takes_turned_bits(self) -> bool {
        match self {
            Self::Jpeg => false,
            Self::Raw | Self::Fax(_) | Self::Lzw | Self::Deflate | Self::PackBits | Self::Lzma | Self::Zstd => true,
        }
    }

    /// Tells whether values are predicted; elsewhere the tag has no meaning.
    pub(super) const fn predicts(self) -> bool {
        match self {
            Self::Lzw | Self::Deflate | Self::Lzma | Self::Zstd => true,
            Self::Raw | Self::Fax(_) | Self::Jpeg | Self::PackBits => false,
        }
    }

    /// Fills `out` with the rows, of `width` pixels where they are bits, at the beginning of a strip or tile.
    pub(super) fn expand(self, data: &[u8], width: usize, lzw: &mut Lzw, out: &mut [u8]) -> Result<(), Bad> {
        match self {
            Self::Raw => {
                out.copy_from_slice(data.get(..out.len()).ok_or_else(Bad::end_of_data)?);
                Ok(())
            }
            Self::Fax(fax) => fax::expand(fax, data, width, out),
            // Before version 5 of the specification, codes began with their lowest bit.
            Self::Lzw if matches!(data, [0, second, ..] if second & 1 == 1) => {
                Err(Bad::from("is compressed by LZW of the old style, which is not read".to_owned()))
            }
            Self::Lzw => {
                lzw.expand(data, out).ok_or_else(|| Bad::from("has LZW codes that do not fill a strip".to_owned()))
            }
            Self::Deflate => inflate(data, out),
            Self::PackBits => unpack_bits(data, out).ok_or_else(Bad::end_of_data),
            Self::Lzma => read(XzReader::new_mem_limit(data, false, MAX_LZMA_KIB), out, "LZMA"),
            Self::Zstd => {
                let decoder = StreamingDecoder::new_with_max_window_size(data, MAX_ZSTD_WINDOW);
                read(decoder.map_err(|error| Bad::from(format!("Zstandard: {error}")))?, out, "Zstandard")
            }
            Self::Jpeg => Err(Bad::from("has a JPEG where none can be".to_owned())),
        }
    }
}

fn inflate(data: &[u8], out: &mut [u8]) -> Result<(), Bad> {
    let mut decompress = Decompress::new(true);
    let status = decompress.decompress(data, out, FlushDecompress::Finish);
    // More than is asked for may follow; whether it is whole shows when all is read.
    if decompress.total_out() == out.len() as u64 {
        return Ok(());
    }
    match status {
        Ok(_) => Err(Bad::end_of_data()),
        Err(error) => Err(Bad::from(format!("zlib: {error}"))),
    }
}

fn read(mut reader: impl Read, out: &mut [u8], name: &str) -> Result<(), Bad> {
    reader.read_exact(out).map_err(|error| {
        let is_end = error.kind() == ErrorKind::UnexpectedEof;
        if is_end { Bad::end_of_data() } else { Bad::from(format!("{name}: {error}")) }
    })
}

/// Fills `out`: a number of bytes that follow, or one byte so many times.
fn unpack_bits(mut data: &[u8], out: &mut [u8]) -> Option<()> {
    let mut at = 0;
    while at < out.len() {
        let (&head, rest) = data.split_first()?;
        let room = out.len() - at;
        match head {
            0..=127 => {
                let (bytes, after) =
                    rest.split_at_checked(usize::from(head) + 1).or_else(|| rest.split_at_checked(room))?;
                let len = bytes.len().min(room);
                out[at..at + len].copy_from_slice(&bytes[..len]);
                (at, data) = (at + len, after);
            }
            128 => data = rest,
            129..=255 => {
                let (&byte, after) = rest.split_first()?;
                let len = (257 - usize::from(head)).min(room);
                out[at..at + len].fill(byte);
                (at, data) = (at + len, after);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_unpacked_as_apple_packs_them() {
        // The example of the specification.
        let packed = [0xfe, 0xaa, 2, 0x80, 0, 0x2a, 0xfd, 0xaa, 3, 0x80, 0, 0x2a, 0x22, 0xf7, 0xaa];
        let mut out = [0; 24];
        unpack_bits(&packed, &mut out).unwrap();
        let expected = [
            [0xaa, 0xaa, 0xaa, 0x80, 0, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0],
            [0x2a, 0x22, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa],
        ];
        assert_eq!(out, expected.concat()[..]);
        assert_eq!(unpack_bits(&packed, &mut [0; 25]), None);
        assert_eq!(unpack_bits(&[128, 0, 7], &mut out[..1]), Some(()));
        assert_eq!(out[0], 7);
    }

    #[test]
    fn a_strip_may_be_read_in_part_but_not_beyond_its_end() {
        let mut whole = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut whole, &[5; 1000]).unwrap();
        let whole = whole.finish().unwrap();
        let mut lzw = Lzw::default();
        for (len, is_enough) in [(0, true), (1, true), (999, true), (1000, true), (1001, false)] {
            let mut out = vec![0; len];
            assert_eq!(Codec::Deflate.expand(&whole, 1, &mut lzw, &mut out).is_ok(), is_enough, "{len}");
            assert!(!is_enough || out.iter().all(|&byte| byte == 5));
        }
        for codec in [Codec::Lzw, Codec::Deflate, Codec::PackBits, Codec::Lzma, Codec::Zstd, Codec::Raw] {
            assert!(codec.expand(&[], 1, &mut lzw, &mut [0; 4]).is_err(), "{codec:?}");
            assert!(codec.expand(&[1, 2, 3], 1, &mut lzw, &mut [0; 400]).is_err(), "{codec:?}");
        }
    }

    #[test]
    fn what_is_not_read_is_named() {
        for (compression, name) in [(6, "JPEG of the old style"), (50_001, "WebP"), (7777, "method 7777")] {
            let reason = Codec::of(compression, 0).unwrap_err().reason;
            assert_eq!(reason, format!("is compressed by {name}, which is not read"));
        }
    }
}
