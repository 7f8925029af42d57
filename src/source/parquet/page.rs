//! Looking at a page before it is decoded.
//!
//! The decoders allocate what some numbers in a page say, and end the process where there is not as much memory. They panic
//! where others are wrong.

use ::bytes::Bytes;
use ::parquet::{
    basic::{Encoding, Type},
    column::page::Page,
    schema::types::ColumnDescriptor,
};

use super::{
    chunk::{varint, zigzag},
    runs::{Runs, unpacked},
};

/// The pages of a column chunk, as far as they were looked at.
#[derive(Debug)]
pub(super) struct Pages {
    /// The largest repetition and definition level.
    levels: (i16, i16),
    physical: Type,
    /// How many values the dictionary has, where there was one.
    dictionary: Option<u32>,
}

/// The parts of a data page.
struct Parts {
    /// Its definition levels, where there are any that are written in runs.
    defined: Option<Bytes>,
    values: Bytes,
    encoding: Encoding,
    /// Its values, nulls among them.
    count: u32,
}

impl Pages {
    pub(super) fn new(column: &ColumnDescriptor) -> Self {
        let levels = (column.max_rep_level(), column.max_def_level());
        Self { levels, physical: column.physical_type(), dictionary: None }
    }

    /// Looks at the next page: whether what its decoder relies on is so.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub(super) fn check(&mut self, page: &Page) -> Result<(), String> {
        let parts = match page {
            Page::DictionaryPage { buf, num_values, .. } => {
                // No value takes less than a byte.
                if u64::from(*num_values) > buf.len() as u64 {
                    return Err(format!("a dictionary of {} bytes says that it has {num_values} values", buf.len()));
                }
                self.dictionary = Some(*num_values);
                return Ok(());
            }
            Page::DataPage { buf, num_values, encoding, def_level_encoding, rep_level_encoding, .. } => {
                let mut rest = buf.clone();
                take_levels(&mut rest, self.levels.0, *rep_level_encoding, *num_values)?;
                let defined = take_levels(&mut rest, self.levels.1, *def_level_encoding, *num_values)?;
                Parts { defined, values: rest, encoding: *encoding, count: *num_values }
            }
            Page::DataPageV2 { buf, num_values, encoding, def_levels_byte_len, rep_levels_byte_len, .. } => {
                let ends = [
                    u64::from(*rep_levels_byte_len),
                    u64::from(*rep_levels_byte_len) + u64::from(*def_levels_byte_len),
                ];
                let [start, end] = ends.map(|end| usize::try_from(end).unwrap_or(usize::MAX));
                let defined = buf.get(start..end).ok_or(ENDS_IN_LEVELS)?;
                let defined = (self.levels.1 > 0).then(|| buf.slice_ref(defined));
                Parts { defined, values: buf.slice(end..), encoding: *encoding, count: *num_values }
            }
        };
        let count = u64::from(parts.count);
        if self.defined(&parts).is_some_and(|levels| !levels.are_there(count)) {
            return Err("a page ends within a run of levels".to_owned());
        }
        #[expect(deprecated, reason = "old files have some")]
        match parts.encoding {
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => self.check_indices(&parts),
            Encoding::BYTE_STREAM_SPLIT => self.check_streams(&parts),
            // A page in which all values are null need not have any.
            Encoding::DELTA_BINARY_PACKED if parts.values.is_empty() => Ok(()),
            Encoding::DELTA_BINARY_PACKED => deltas(&mut &parts.values[..], parts.count, false).map(drop),
            Encoding::DELTA_LENGTH_BYTE_ARRAY => check_lengths(&parts, false),
            Encoding::DELTA_BYTE_ARRAY => check_lengths(&parts, true),
            Encoding::PLAIN | Encoding::RLE | Encoding::BIT_PACKED | Encoding::ALP => Ok(()),
        }
    }

    fn defined<'a>(&self, parts: &'a Parts) -> Option<Runs<'a>> {
        parts.defined.as_ref().map(|bytes| Runs { bytes, bits: bits_of(self.levels.1) })
    }

    /// Returns how many values of a page are no nulls, at most.
    fn present(&self, parts: &Parts) -> u64 {
        let count = u64::from(parts.count);
        self.defined(parts)
            .and_then(|levels| levels.at_least(self.levels.1.unsigned_abs().into(), count))
            .unwrap_or(count)
    }

    /// Checks that indices are of a dictionary that has come: decoders panic where there is none, and those of values of a fixed
    /// length at an index behind its end.
    fn check_indices(&self, parts: &Parts) -> Result<(), String> {
        let Some(len) = self.dictionary else {
            return Err("a page refers to a dictionary, and there is none before it".to_owned());
        };
        if self.physical != Type::FIXED_LEN_BYTE_ARRAY {
            return Ok(());
        }
        let present = self.present(parts);
        // What is wrong with the number of bits itself, the decoder says.
        let Some((&bits, bytes)) = parts.values.split_first().filter(|(bits, _)| **bits <= 32 && present > 0) else {
            return Ok(());
        };
        let largest =
            Runs { bytes, bits: bits.into() }.largest(present).ok_or("a page ends within a run of indices")?;
        if largest < u64::from(len) {
            return Ok(());
        }
        Err(format!("a page refers to value {largest} of a dictionary of {len}"))
    }

    /// Checks that a page in streams, one for each byte of a number, has as many numbers as it says: the decoder panics where it
    /// has fewer.
    fn check_streams(&self, parts: &Parts) -> Result<(), String> {
        let width = match self.physical {
            Type::INT32 | Type::FLOAT => 4,
            Type::INT64 | Type::DOUBLE => 8,
            // Others are refused by their decoders, or checked there.
            Type::BOOLEAN | Type::INT96 | Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY => return Ok(()),
        };
        let (present, there) = (self.present(parts), parts.values.len() / width);
        if present <= there as u64 {
            return Ok(());
        }
        Err(format!("a page of {present} numbers has bytes for {there}"))
    }
}

/// Checks the lengths of values that are written as deltas: a decoder that adds a negative one panics, and one that shares more
/// with the value before than that has would give other bytes.
fn check_lengths(parts: &Parts, has_prefixes: bool) -> Result<(), String> {
    let mut rest = &parts.values[..];
    // A page in which all values are null need not have any.
    if rest.is_empty() {
        return Ok(());
    }
    let mut lengths = || deltas(&mut rest, parts.count, true);
    let shared = if has_prefixes { lengths()? } else { Vec::new() };
    let mut before = 0;
    for (number, own) in lengths()?.into_iter().enumerate() {
        let shared = shared.get(number).copied().unwrap_or(0);
        let len = i64::from(shared) + i64::from(own);
        if own < 0 || shared < 0 || i64::from(shared) > before {
            return Err(format!("a page says that a value has {own} bytes, after {shared} of one of {before}"));
        }
        before = len;
    }
    Ok(())
}

const ENDS_IN_LEVELS: &str = "a page ends within its levels";

/// Returns the bits of each level, of which this is the largest.
const fn bits_of(level: i16) -> u32 {
    u16::BITS - level.leading_zeros()
}

/// Takes the levels off a data page of the first version; returns them where they are written in runs.
fn take_levels(values: &mut Bytes, level: i16, encoding: Encoding, count: u32) -> Result<Option<Bytes>, String> {
    if level == 0 {
        return Ok(None);
    }
    #[expect(deprecated, reason = "old files have it")]
    let (start, bytes) = if encoding == Encoding::BIT_PACKED {
        (None, usize::try_from((u64::from(count) * u64::from(bits_of(level))).div_ceil(8)).ok())
    } else {
        let length = values.first_chunk().map(|length| u32::from_le_bytes(*length));
        (Some(4), length.and_then(|length| usize::try_from(length).ok()?.checked_add(4)))
    };
    let end = bytes.filter(|&end| end <= values.len()).ok_or(ENDS_IN_LEVELS)?;
    let levels = values.split_to(end);
    Ok(start.map(|start| levels.slice(start..)))
}

const ENDS_IN_DELTAS: &str = "a page ends within its deltas";

/// Passes over numbers that are packed as deltas, of a page of so many values, and returns them where they are to be kept: they
/// have 32 bits.
fn deltas(bytes: &mut &[u8], values: u32, keep: bool) -> Result<Vec<i32>, String> {
    let mut number = || varint(bytes).ok_or(ENDS_IN_DELTAS);
    let (block, minis, count) = (number()?, number()?, number()?);
    let mut value = zigzag(number()?) as i32;
    let in_mini = block.checked_div(minis).filter(|&in_mini| in_mini > 0).ok_or(ENDS_IN_DELTAS)?;
    if count > u64::from(values) {
        return Err(format!("a page of {values} values says that it has {count} deltas"));
    }
    let mut kept = Vec::new();
    kept.extend((keep && count > 0).then_some(value));
    let mut left = count.saturating_sub(1);
    while left > 0 {
        let least = zigzag(varint(bytes).ok_or(ENDS_IN_DELTAS)?) as i32;
        let minis = usize::try_from(minis).unwrap_or(usize::MAX);
        let (widths, rest) = bytes.split_at_checked(minis).ok_or(ENDS_IN_DELTAS)?;
        *bytes = rest;
        for &width in widths {
            if left == 0 {
                break;
            }
            let packed = in_mini.checked_mul(u64::from(width)).and_then(|bits| usize::try_from(bits / 8).ok());
            // The last ones may be cut short.
            let (mini, rest) = bytes.split_at_checked(packed.ok_or(ENDS_IN_DELTAS)?).unwrap_or((bytes, &[]));
            let used = in_mini.min(left);
            if keep {
                let bits = u32::from(width);
                if bits > i32::BITS {
                    return Err(format!("a page has lengths of {bits} bits"));
                }
                kept.extend(unpacked(mini, bits, used).map(|delta| {
                    value = value.wrapping_add(least).wrapping_add(delta as u32 as i32);
                    value
                }));
            }
            *bytes = rest;
            left -= used;
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a page of a column with these largest levels.
    fn check(page: &Page, levels: (i16, i16)) -> Result<(), String> {
        Pages { levels, physical: Type::INT32, dictionary: None }.check(page)
    }

    /// Blocks of 128 in 4 parts; so many numbers, all zero; no bits for each delta.
    fn deltas(count: u8) -> Vec<u8> {
        let header = [0x80, 0x01, 4, count, 0];
        let blocks = usize::from(count.saturating_sub(1)).div_ceil(128);
        header.into_iter().chain([0, 0, 0, 0, 0].repeat(blocks)).collect()
    }

    fn page(bytes: Vec<u8>, encoding: Encoding, num_values: u32) -> Page {
        Page::DataPageV2 {
            buf: bytes.into(),
            num_values,
            encoding,
            num_nulls: 0,
            num_rows: num_values,
            def_levels_byte_len: 0,
            rep_levels_byte_len: 0,
            is_compressed: false,
            statistics: None,
        }
    }

    #[test]
    fn deltas_are_no_more_than_the_page_has_values() {
        let lengths = |count, values| check(&page(deltas(count), Encoding::DELTA_LENGTH_BYTE_ARRAY, values), (0, 0));
        assert_eq!(lengths(100, 100), Ok(()));
        assert_eq!(lengths(100, 99), Err("a page of 99 values says that it has 100 deltas".into()));
        let both = |first, second, values| {
            let bytes = [deltas(first), deltas(second)].concat();
            check(&page(bytes, Encoding::DELTA_BYTE_ARRAY, values), (0, 0))
        };
        assert_eq!(both(100, 100, 100), Ok(()));
        assert_eq!(both(100, 101, 100), Err("a page of 100 values says that it has 101 deltas".into()));
        let cut = page(vec![0x80, 1, 4], Encoding::DELTA_BINARY_PACKED, 5);
        assert_eq!(check(&cut, (0, 0)), Err("a page ends within its deltas".into()));
        assert_eq!(check(&page(Vec::new(), Encoding::DELTA_BINARY_PACKED, 5), (0, 0)), Ok(()));
    }

    #[test]
    fn lengths_are_of_what_there_is() {
        // So many numbers, one block of 128 in 4 parts: the first one, and what each is more than the one before.
        let list = |first: u8, more: u8, count: u8| vec![0x80, 0x01, 4, count, first, more, 0, 0, 0, 0];
        let check = |lists: &[Vec<u8>], encoding| check(&page(lists.concat(), encoding, 3), (0, 0));
        // Zigzag: 2 is one, 1 is minus one.
        assert_eq!(check(&[list(4, 1, 3)], Encoding::DELTA_LENGTH_BYTE_ARRAY), Ok(()));
        let failed = check(&[list(2, 1, 3)], Encoding::DELTA_LENGTH_BYTE_ARRAY);
        assert_eq!(failed, Err("a page says that a value has -1 bytes, after 0 of one of 0".into()));
        // Shared with the value before: 0, 1, 2; own: 1 each.
        assert_eq!(check(&[list(0, 2, 3), list(2, 0, 3)], Encoding::DELTA_BYTE_ARRAY), Ok(()));
        let failed = check(&[list(0, 4, 3), list(2, 0, 3)], Encoding::DELTA_BYTE_ARRAY);
        assert_eq!(failed, Err("a page says that a value has 1 bytes, after 2 of one of 1".into()));
    }

    #[test]
    fn numbers_are_the_sums_of_their_deltas() {
        // Five numbers: 7, and 1 + (2, 0, 3, 1) of two bits each.
        let mut bytes = &[0x80, 0x01, 4, 5, 14, 2, 2, 0, 0, 0, 0b0111_0010, 0, 0, 0, 0, 0, 0, 0, 9][..];
        assert_eq!(super::deltas(&mut bytes, 5, true), Ok(vec![7, 10, 11, 15, 17]));
        assert_eq!(bytes, [9]);
    }

    #[test]
    fn levels_are_passed_over() {
        let bytes = [&[2, 0, 0, 0, 9, 9][..], &deltas(3)].concat();
        let page = |num_values| Page::DataPage {
            buf: bytes.clone().into(),
            num_values,
            encoding: Encoding::DELTA_BINARY_PACKED,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        assert_eq!(check(&page(3), (0, 1)), Ok(()));
        assert!(check(&page(2), (0, 1)).is_err());
        assert_eq!(check(&page(3), (1, 1)), Err("a page ends within its levels".into()));
    }

    fn dictionary(num_values: u32) -> Page {
        Page::DictionaryPage { buf: vec![0; 8].into(), num_values, encoding: Encoding::PLAIN, is_sorted: false }
    }

    #[test]
    fn a_dictionary_comes_before_what_refers_to_it() {
        let (plain, refers) = (page(Vec::new(), Encoding::PLAIN, 0), page(Vec::new(), Encoding::RLE_DICTIONARY, 0));
        let mut pages = Pages { levels: (0, 0), physical: Type::INT32, dictionary: None };
        assert_eq!(pages.check(&plain), Ok(()));
        assert!(pages.check(&refers).unwrap_err().contains("there is none"));
        assert_eq!((pages.check(&dictionary(1)), pages.check(&refers)), (Ok(()), Ok(())));
    }

    #[test]
    fn indices_of_values_of_a_fixed_length_are_in_their_dictionary() {
        // Indices of two bits, packed: 0, 1, 2, 3 and four zeros.
        let refers = |values| page(vec![2, 3, 0b1110_0100, 0], Encoding::RLE_DICTIONARY, values);
        let checked = |values, len, physical| {
            let mut pages = Pages { levels: (0, 0), physical, dictionary: None };
            pages.check(&dictionary(len)).and_then(|()| pages.check(&refers(values)))
        };
        let fixed = Type::FIXED_LEN_BYTE_ARRAY;
        assert_eq!((checked(4, 4, fixed), checked(3, 3, fixed)), (Ok(()), Ok(())));
        assert_eq!(checked(4, 3, fixed), Err("a page refers to value 3 of a dictionary of 3".into()));
        assert_eq!(checked(9, 4, fixed), Ok(()));
        // Their decoder says it by itself.
        assert_eq!(checked(4, 3, Type::INT32), Ok(()));
    }

    /// A page of levels of one bit, packed, with values behind them.
    fn leveled(levels: &[u8], values: &[u8], encoding: Encoding, num_values: u32) -> Page {
        let Page::DataPageV2 { num_nulls, num_rows, is_compressed, statistics, .. } =
            page(Vec::new(), encoding, num_values)
        else {
            unreachable!("pages are of the second version")
        };
        let buf = [levels, values].concat().into();
        let (def_levels_byte_len, rep_levels_byte_len) = (levels.len() as u32, 0);
        Page::DataPageV2 {
            buf,
            num_values,
            encoding,
            num_nulls,
            num_rows,
            def_levels_byte_len,
            rep_levels_byte_len,
            is_compressed,
            statistics,
        }
    }

    #[test]
    fn levels_that_are_packed_are_there() {
        let page = |levels, num_values| leveled(levels, &[0; 64], Encoding::PLAIN, num_values);
        assert_eq!(check(&page(&[5, 0xff, 0xff], 16), (0, 1)), Ok(()));
        assert_eq!(check(&page(&[5, 0xff], 8), (0, 1)), Ok(()));
        assert_eq!(check(&page(&[5, 0xff], 9), (0, 1)), Err("a page ends within a run of levels".into()));
        assert_eq!(check(&page(&[5], 1), (0, 1)), Err("a page ends within a run of levels".into()));
    }

    #[test]
    fn streams_of_bytes_hold_all_numbers_that_are_no_nulls() {
        // Levels of eight values, of which three are there.
        let levels = &[3, 0b0001_0011][..];
        let page = |bytes: usize| leveled(levels, &vec![0; bytes], Encoding::BYTE_STREAM_SPLIT, 8);
        assert_eq!(check(&page(12), (0, 1)), Ok(()));
        assert_eq!(check(&page(11), (0, 1)), Err("a page of 3 numbers has bytes for 2".into()));
        assert!(check(&page(12), (0, 0)).is_err());
    }

    #[test]
    fn a_dictionary_has_no_more_values_than_bytes() {
        assert_eq!(check(&dictionary(8), (0, 0)), Ok(()));
        assert!(check(&dictionary(9), (0, 0)).unwrap_err().contains("9 values"));
    }
}
