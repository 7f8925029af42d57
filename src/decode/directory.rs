//! The tags of a TIFF file, which are also how EXIF is written (TIFF 6.0; `BigTIFF`).
//!
//! A directory is read as Pillow reads it: what it cannot read is left out, and where the file ends too early, what was
//! read so far counts.

/// The order of the bytes in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// Returns the number that up to eight bytes are.
    pub(super) fn number(self, bytes: &[u8]) -> u64 {
        let join = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        match self {
            Self::Little => bytes.iter().rev().fold(0, join),
            Self::Big => bytes.iter().fold(0, join),
        }
    }

    /// Returns the number that the bytes at `at` are; none where the data ends before.
    fn number_at(self, data: &[u8], at: u64, len: usize) -> Option<u64> {
        Some(self.number(slice(data, at, len as u64)?))
    }
}

/// What stands before the first directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) order: ByteOrder,
    /// Whether numbers that count bytes have 64 bits.
    is_big_tiff: bool,
    first: u64,
}

impl Header {
    /// Reads a header; none where there is no whole one. The version may have either byte order, as for Pillow.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let (order, is_big_tiff) = match data.first_chunk::<4>()? {
            b"II*\0" | b"II\0*" => (ByteOrder::Little, false),
            b"MM\0*" | b"MM*\0" => (ByteOrder::Big, false),
            b"II+\0" => (ByteOrder::Little, true),
            b"MM\0+" => (ByteOrder::Big, true),
            _ => return None,
        };
        let first = if is_big_tiff { order.number_at(data, 8, 8) } else { order.number_at(data, 4, 4) };
        Some(Self { order, is_big_tiff, first: first? })
    }
}

/// A value of a directory, which has at least one element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    order: ByteOrder,
    tag: u16,
    kind: u16,
    bytes: &'a [u8],
}

/// The kinds of values, by their numbers in a file.
mod kind {
    pub(super) const BYTE: u16 = 1;
    pub(super) const ASCII: u16 = 2;
    pub(super) const SHORT: u16 = 3;
    pub(super) const LONG: u16 = 4;
    pub(super) const RATIONAL: u16 = 5;
    pub(super) const SIGNED_BYTE: u16 = 6;
    pub(super) const UNDEFINED: u16 = 7;
    pub(super) const SIGNED_SHORT: u16 = 8;
    pub(super) const SIGNED_LONG: u16 = 9;
    pub(super) const SIGNED_RATIONAL: u16 = 10;
    pub(super) const FLOAT: u16 = 11;
    pub(super) const DOUBLE: u16 = 12;
    pub(super) const IFD: u16 = 13;
    pub(super) const LONG8: u16 = 16;
}

impl<'a> Entry<'a> {
    /// Returns the value's bytes, as they are in the file.
    pub(super) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Tells whether the value is bytes without a meaning of their own.
    pub(super) const fn is_bytes(&self) -> bool {
        matches!(self.kind, kind::BYTE | kind::UNDEFINED)
    }

    /// Returns the elements as unsigned integers; none where they are of another kind.
    pub(super) fn unsigned(self) -> Option<impl ExactSizeIterator<Item = u64> + 'a> {
        let is_unsigned = matches!(self.kind, kind::BYTE | kind::SHORT | kind::LONG | kind::IFD | kind::LONG8);
        let size = size_of(self.kind).filter(|_| is_unsigned)?;
        Some(self.bytes.chunks_exact(size).map(move |bytes| self.order.number(bytes)))
    }

    /// Returns the first element where it is a number for Pillow, which takes `BYTE` for a text.
    pub(super) fn number(&self) -> Option<f64> {
        self.numbers()?.next()
    }

    /// Returns the elements, where they are numbers for Pillow.
    pub(super) fn numbers(self) -> Option<impl Iterator<Item = f64> + 'a> {
        let size = size_of(self.kind)?;
        let is_number = !matches!(self.kind, kind::BYTE | kind::ASCII | kind::UNDEFINED);
        is_number.then(|| self.bytes.chunks_exact(size).map(move |bytes| self.number_of(bytes)))
    }

    fn number_of(&self, bytes: &[u8]) -> f64 {
        let bits = |bytes: &[u8]| self.order.number(bytes);
        let signed = |bytes: &[u8]| f64::from(bits(bytes) as u32 as i32);
        match self.kind {
            kind::SIGNED_BYTE => f64::from(bits(bytes) as u8 as i8),
            kind::SIGNED_SHORT => f64::from(bits(bytes) as u16 as i16),
            kind::SIGNED_LONG => signed(bytes),
            kind::RATIONAL => bits(&bytes[..4]) as f64 / bits(&bytes[4..]) as f64,
            kind::SIGNED_RATIONAL => signed(&bytes[..4]) / signed(&bytes[4..]),
            kind::FLOAT => f64::from(f32::from_bits(bits(bytes) as u32)),
            kind::DOUBLE => f64::from_bits(bits(bytes)),
            _ => bits(bytes) as f64,
        }
    }
}

/// The values of a directory.
#[derive(Debug)]
pub(super) struct Directory<'a> {
    entries: Vec<Entry<'a>>,
}

impl<'a> Directory<'a> {
    /// Reads the first directory.
    pub(super) fn read(data: &'a [u8], header: Header) -> Self {
        let mut directory = Self { entries: Vec::new() };
        // A file that ends within its directory has the values before.
        let _ = directory.read_entries(data, header);
        directory
    }

    /// Returns the value of a tag.
    pub(super) fn get(&self, tag: u16) -> Option<Entry<'a>> {
        self.entries.iter().find(|entry| entry.tag == tag).copied()
    }

    /// Reads values until one lies outside the file, which is none then.
    fn read_entries(&mut self, data: &'a [u8], header: Header) -> Option<()> {
        let Header { order, is_big_tiff, first } = header;
        let (count_len, offset_len) = if is_big_tiff { (8, 8) } else { (2, 4) };
        let entry_len = 4 + 2 * offset_len as u64;
        let count = order.number_at(data, first, count_len)?;
        let mut outside = 0_u64;
        for number in 0..count {
            let at = (first + count_len as u64).checked_add(number.checked_mul(entry_len)?)?;
            let entry = slice(data, at, entry_len)?;
            let (tag, kind) = (order.number(&entry[..2]) as u16, order.number(&entry[2..4]) as u16);
            let (elements, value) = entry[4..].split_at(offset_len);
            if self.get(tag).is_some() {
                continue;
            }
            let Some(size) = size_of(kind) else { continue };
            let len = order.number(elements).saturating_mul(size as u64);
            let bytes = if len <= offset_len as u64 {
                &value[..len as usize]
            } else {
                // More than the file has in all is no value, wherever it lies.
                outside = outside.saturating_add(len);
                if outside > data.len() as u64 {
                    continue;
                }
                slice(data, order.number(value), len)?
            };
            if !bytes.is_empty() {
                self.entries.push(Entry { order, tag, kind, bytes });
            }
        }
        Some(())
    }
}

/// Returns the bytes of one element of a kind; none for an unknown one.
const fn size_of(kind: u16) -> Option<usize> {
    Some(match kind {
        kind::BYTE | kind::ASCII | kind::SIGNED_BYTE | kind::UNDEFINED => 1,
        kind::SHORT | kind::SIGNED_SHORT => 2,
        kind::LONG | kind::SIGNED_LONG | kind::FLOAT | kind::IFD => 4,
        kind::RATIONAL | kind::SIGNED_RATIONAL | kind::DOUBLE | kind::LONG8 => 8,
        _ => return None,
    })
}

/// Returns `len` bytes at `at`; none where the data ends before.
pub(super) fn slice(data: &[u8], at: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(at).ok()?;
    data.get(start..start.checked_add(usize::try_from(len).ok()?)?)
}
