//! The headers of a bitmap: those of Windows and of both versions of OS/2.

use crate::{
    decode::{directory::slice, format::Bad},
    geometry::Size,
};

/// What stands before the header that has the size.
const FILE_HEADER: u64 = 14;
/// The first version's header of OS/2, whose numbers have 16 bits.
const CORE: u32 = 12;
/// The sizes of headers of 32 bits; 64 is the second version's of OS/2.
const SIZES: [u32; 6] = [40, 52, 56, 64, 108, 124];
/// Where in the header, or behind the smallest of them, the masks stand.
const MASKS: u64 = 40;
/// From this size on, the header has masks for colours, and from the next on one for alpha.
const WITH_MASKS: u32 = 52;
const WITH_ALPHA: u32 = 56;
/// The most entries that Pillow takes in a palette.
const MAX_COLOURS: u32 = 65_536;

/// How pixels are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Raw,
    Rle8,
    Rle4,
    /// Red, green, blue and alpha, by the bits of a pixel that hold them.
    Masks([u32; 4]),
}

/// A file's headers.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) size: Size,
    /// Whether the first row in the file is the upper one.
    pub(super) is_top_down: bool,
    /// Bits a pixel: 1, 4 or 8 for an index, 16, 24 or 32 for a colour.
    pub(super) bits: u32,
    pub(super) coding: Coding,
    /// Blue, green and red of each index, and perhaps a fourth byte; empty where pixels are colours.
    pub(super) palette: Vec<&'a [u8]>,
    /// Where the pixels begin in the file.
    pub(super) start: usize,
}

impl<'a> Header<'a> {
    pub(super) fn read(data: &'a [u8]) -> Result<Self, Bad> {
        let fields = Fields::read(data)?;
        let Fields { header, bits, .. } = fields;
        let mut end = FILE_HEADER + u64::from(header);
        let coding = fields.coding(data, &mut end)?;
        check_bits(bits, coding)?;
        let mut palette = Vec::new();
        if bits <= 8 {
            let colours = if fields.colours == 0 { 1 << bits } else { fields.colours };
            if colours > MAX_COLOURS {
                return Err(Bad::from(format!("has a palette of {colours} colours")));
            }
            let entry = if header == CORE { 3 } else { 4 };
            let rest = data.get(end as usize..).unwrap_or_default();
            palette = rest.chunks_exact(entry).take(colours as usize).collect();
            end += u64::from(colours) * entry as u64;
        }
        // Some files say that pixels begin where the palette does.
        let start = match number(data, 10, 4)? {
            0 => end as usize,
            start if bits <= 8 && u64::from(start) == FILE_HEADER + u64::from(header) => end as usize,
            start => start as usize,
        };
        Ok(Self { size: fields.size, is_top_down: fields.is_top_down, bits, coding, palette, start })
    }

    /// Tells whether each index is its own grey, or black and white, so that indices are values.
    pub(super) fn is_grey(&self) -> bool {
        let last = if self.palette.len() == 2 { 255 } else { 1 };
        let is = |index: usize, colour: &[u8]| colour[..3] == [if index == 1 { last } else { index as u8 }; 3];
        !self.palette.is_empty() && self.palette.iter().enumerate().all(|(index, colour)| is(index, colour))
    }
}

/// The numbers of a header.
struct Fields {
    /// The bytes of the header itself.
    header: u32,
    size: Size,
    is_top_down: bool,
    bits: u32,
    compression: u32,
    /// How many colours the palette has; 0 where that is not told.
    colours: u32,
}

impl Fields {
    fn read(data: &[u8]) -> Result<Self, Bad> {
        let header = number(data, FILE_HEADER, 4)?;
        if header != CORE && !SIZES.contains(&header) {
            return Err(Bad::from(format!("has a header of {header} bytes, which is none of {CORE}, {SIZES:?}")));
        }
        slice(data, FILE_HEADER, header.into()).ok_or_else(Bad::end_of_data)?;
        let at = |offset: u64, len: u64| number(data, FILE_HEADER + offset, len);
        if header == CORE {
            let size = Size { height: at(6, 2)?, width: at(4, 2)? };
            return Ok(Self { header, size, is_top_down: false, bits: at(10, 2)?, compression: 0, colours: 0 });
        }
        // A height below 0, for rows from the top down, is not told from one above 2^31, for which there is no memory.
        let (height, width) = (at(8, 4)?, at(4, 4)?);
        let is_top_down = height >> 24 == 0xff;
        let size = Size { height: if is_top_down { height.wrapping_neg() } else { height }, width };
        Ok(Self { header, size, is_top_down, bits: at(14, 2)?, compression: at(16, 4)?, colours: at(32, 4)? })
    }

    /// Returns how pixels are written; masks that stand behind the header move its `end`.
    fn coding(&self, data: &[u8], end: &mut u64) -> Result<Coding, Bad> {
        let masks = match self.compression {
            0 => return Ok(Coding::Raw),
            1 => return Ok(Coding::Rle8),
            2 => return Ok(Coding::Rle4),
            3 => FILE_HEADER + MASKS,
            other => return Err(Bad::from(format!("has pixels of compression {other}, which is not read"))),
        };
        if self.header < WITH_MASKS {
            *end += 12;
        }
        let mask = |at: u64| number(data, masks + 4 * at, 4);
        let alpha = if self.header >= WITH_ALPHA { mask(3)? } else { 0 };
        Ok(Coding::Masks([mask(0)?, mask(1)?, mask(2)?, alpha]))
    }
}

fn check_bits(bits: u32, coding: Coding) -> Result<(), Bad> {
    let is_read = match coding {
        Coding::Raw => matches!(bits, 1 | 4 | 8 | 16 | 24 | 32),
        Coding::Rle8 => bits == 8,
        Coding::Rle4 => bits == 4,
        Coding::Masks(_) => matches!(bits, 16 | 24 | 32),
    };
    if is_read { Ok(()) } else { Err(Bad::from(format!("has {bits} bits a pixel as {coding:?}, which is not read"))) }
}

/// Returns the little-endian number of `len` bytes at `offset`.
fn number(data: &[u8], offset: u64, len: u64) -> Result<u32, Bad> {
    let bytes = slice(data, offset, len).ok_or_else(Bad::end_of_data)?;
    Ok(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte)))
}
