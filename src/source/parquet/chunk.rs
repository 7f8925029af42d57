//! Bytes of a file for the reader of pages, which may ask for no more than its footer promised.

use std::{
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
};

use ::bytes::{Buf, Bytes};
use ::parquet::{
    errors::{ParquetError, Result},
    file::reader::{ChunkReader, Length},
};

use crate::{
    error::{Failure, Stage},
    source::store::Stored,
};

/// Reads a range of a file.
pub(super) fn read_range(file: &dyn Stored, start: u64, bytes: usize) -> std::result::Result<Bytes, Failure> {
    let mut buffer = Vec::new();
    match file.append(start, bytes, &mut buffer)? {
        read if read == bytes => Ok(buffer.into()),
        read => {
            let reason = format!("the file was cut short while it was read: {read} of {bytes} bytes at {start}");
            Err(Failure::new(Stage::Read, reason))
        }
    }
}

/// A file whose footer is read.
#[derive(Debug)]
pub(super) struct Footer<'a>(pub(super) &'a dyn Stored);

impl Length for Footer<'_> {
    fn len(&self) -> u64 {
        self.0.stamp().size
    }
}

impl ChunkReader for Footer<'_> {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let rest = self.len().saturating_sub(start);
        Ok(self.get_bytes(start, rest as usize)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.len()) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} of a file of {}", self.len())));
        }
        read_range(self.0, start, length).map_err(|failure| ParquetError::General(failure.reason))
    }
}

/// What the pages of a column chunk may take together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes once they are decompressed.
    pub(super) bytes: u64,
    /// Values, nulls among them.
    pub(super) values: u64,
}

/// A column chunk in memory. Each page is checked against the limits before it is decompressed: a page says in a few
/// bytes that it becomes gigabytes.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    start: u64,
    bytes: Bytes,
    left: Arc<Mutex<Limits>>,
}

impl Chunk {
    /// Returns the chunk that begins at `start` in its file.
    pub(super) fn new(start: u64, bytes: Bytes, limits: Limits) -> Self {
        Self { start, bytes, left: Arc::new(Mutex::new(limits)) }
    }

    fn from(&self, at: u64) -> Result<Bytes> {
        let outside = || ParquetError::EOF(format!("a page at byte {at} lies outside of its column chunk"));
        let offset = at.checked_sub(self.start).ok_or_else(outside)?;
        if offset > self.bytes.len() as u64 {
            return Err(outside());
        }
        Ok(self.bytes.slice(offset as usize..))
    }
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Chunk {
    type T = PageHeader;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(PageHeader { bytes: self.from(start)?.reader(), left: Some(Arc::clone(&self.left)) })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let rest = self.from(start)?;
        if length > rest.len() {
            return Err(ParquetError::EOF(format!("a page of {length} bytes at {start} ends behind its column chunk")));
        }
        Ok(rest.slice(..length))
    }
}

/// A page's header and what follows it.
#[derive(Debug)]
pub(super) struct PageHeader {
    bytes: bytes::buf::Reader<Bytes>,
    /// None once the page is taken from the limits: with the first byte that is asked for, since a reader may be made where
    /// the header is known already.
    left: Option<Arc<Mutex<Limits>>>,
}

impl Read for PageHeader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(left) = self.left.take() {
            take(&left, self.bytes.get_ref()).map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))?;
        }
        self.bytes.read(buffer)
    }
}

/// Takes a page from the limits.
fn take(left: &Mutex<Limits>, header: &[u8]) -> std::result::Result<(), String> {
    let Some(page) = Sizes::of(header) else { return Err("a page header cannot be read".to_owned()) };
    let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
    let bytes = left.bytes.checked_sub(page.bytes);
    left.bytes = bytes.ok_or_else(|| format!("a page of {} bytes is more than its row group may take", page.bytes))?;
    let values = left.values.checked_sub(page.values);
    left.values = values.ok_or_else(|| "pages have more values than the footer says".to_owned())?;
    Ok(())
}

/// What a page header says of its page.
#[derive(Debug, PartialEq, Eq)]
struct Sizes {
    bytes: u64,
    values: u64,
}

impl Sizes {
    /// Reads the first fields of a header, in Thrift's compact protocol: 1 type, 2 size, 3 compressed size, 4 checksum, then
    /// a struct by the type of the page, which begins with the number of values.
    fn of(mut header: &[u8]) -> Option<Self> {
        const I32: u8 = 5;
        const STRUCT: u8 = 12;
        const DATA_PAGE: u64 = 5;
        const DATA_PAGE_V2: u64 = 8;
        let (mut id, mut size) = (0, None);
        loop {
            let (kind, next) = field(&mut header, id)?;
            id = next;
            match (id, kind) {
                (1 | 3 | 4, I32) => drop(varint(&mut header)?),
                (2, I32) => size = Some(u64::try_from(zigzag(varint(&mut header)?)).ok()?),
                (DATA_PAGE | DATA_PAGE_V2, STRUCT) => {
                    let (I32, 1) = field(&mut header, 0)? else { return None };
                    return Some(Self { bytes: size?, values: u64::try_from(zigzag(varint(&mut header)?)).ok()? });
                }
                // A dictionary's values are counted by its bytes, and an index page is passed over.
                (6 | 7, STRUCT) => return Some(Self { bytes: size?, values: 0 }),
                _ => return None,
            }
        }
    }
}

/// Reads the head of a field whose predecessor has the number `before`: its type and its number.
fn field(bytes: &mut &[u8], before: u64) -> Option<(u8, u64)> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    match first >> 4 {
        0 => Some((first, u64::try_from(zigzag(varint(bytes)?)).ok()?)),
        delta => Some((first & 15, before + u64::from(delta))),
    }
}

/// Reads a number of 7 bits a byte.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Returns the signed number that an unsigned one stands for.
pub(super) const fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data page of 300 bytes (200 compressed) and 7 values, with a checksum.
    const HEADER: &[u8] = &[0x15, 0x00, 0x15, 0xd8, 0x04, 0x15, 0x90, 0x03, 0x15, 0x02, 0x1c, 0x15, 0x0e, 0x15, 0x00];

    #[test]
    fn a_header_says_what_its_page_takes() {
        assert_eq!(Sizes::of(HEADER), Some(Sizes { bytes: 300, values: 7 }));
        // A dictionary page.
        assert_eq!(Sizes::of(&[0x15, 0x04, 0x15, 0x0a, 0x15, 0x0a, 0x4c, 0x15]), Some(Sizes { bytes: 5, values: 0 }));
        // A negative size, and headers that end.
        assert_eq!(Sizes::of(&[0x15, 0x00, 0x15, 0x01, 0x15, 0x00, 0x2c, 0x15, 0x0e]), None);
        assert!((0..13).all(|end| Sizes::of(&HEADER[..end]).is_none()));
    }

    #[test]
    fn numbers_have_up_to_ten_bytes() {
        let mut largest = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 7][..];
        assert_eq!((varint(&mut largest), largest), (Some(u64::MAX), &[7][..]));
        assert_eq!(varint(&mut &[0xff; 11][..]), None);
        assert_eq!([0, 1, 2, u64::MAX].map(zigzag), [0, -1, 1, i64::MIN]);
    }

    #[test]
    fn pages_take_no_more_than_the_footer_promised() {
        let read = |bytes, values| {
            let chunk = Chunk::new(10, Bytes::from_static(HEADER), Limits { bytes, values });
            let mut first = [0];
            chunk.get_read(10).unwrap().read(&mut first).map(|_| first[0]).map_err(|error| error.to_string())
        };
        assert_eq!(read(300, 7), Ok(0x15));
        assert!(read(299, 7).unwrap_err().contains("a page of 300 bytes is more than"));
        assert!(read(300, 6).unwrap_err().contains("more values"));
    }

    #[test]
    fn nothing_outside_of_the_chunk_is_read() {
        let chunk = Chunk::new(10, Bytes::from_static(HEADER), Limits { bytes: 1000, values: 1000 });
        assert!(chunk.get_read(9).is_err());
        assert!(chunk.get_bytes(26, 1).is_err());
        assert!(chunk.get_bytes(u64::MAX, 1).is_err());
        assert_eq!(chunk.get_bytes(24, 1).unwrap(), &HEADER[14..]);
    }
}
