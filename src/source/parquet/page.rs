//! Looking at a page before it is decoded.
//!
//! The decoders allocate what some numbers in a page say, and end the process where there is not as much memory.

use ::bytes::Bytes;
use ::parquet::{basic::Encoding, column::page::Page};

use super::chunk::{varint, zigzag};

/// Checks that no page refers to a dictionary that has not come: the decoders panic at one.
pub(super) fn check_dictionary(page: &Page, has_dictionary: &mut bool) -> Result<(), &'static str> {
    let encoding = match page {
        Page::DictionaryPage { .. } => {
            *has_dictionary = true;
            return Ok(());
        }
        Page::DataPage { encoding, .. } | Page::DataPageV2 { encoding, .. } => *encoding,
    };
    let refers = matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY);
    if refers && !*has_dictionary { Err("a page refers to a dictionary, and there is none before it") } else { Ok(()) }
}

/// Checks the counts in a page against those of its header.
pub(super) fn check(page: &Page, levels: (i16, i16)) -> Result<(), String> {
    let (values, encoding, count) = match page {
        Page::DictionaryPage { buf, num_values, .. } => {
            // No value takes less than a byte.
            if u64::from(*num_values) > buf.len() as u64 {
                return Err(format!("a dictionary of {} bytes says that it has {num_values} values", buf.len()));
            }
            return Ok(());
        }
        Page::DataPage { buf, num_values, encoding, def_level_encoding, rep_level_encoding, .. } => {
            let mut values = buf.clone();
            for (level, encoding) in [(levels.0, rep_level_encoding), (levels.1, def_level_encoding)] {
                pass_levels(&mut values, level, *encoding, *num_values).ok_or("a page ends within its levels")?;
            }
            (values, *encoding, *num_values)
        }
        Page::DataPageV2 { buf, num_values, encoding, def_levels_byte_len, rep_levels_byte_len, .. } => {
            let levels = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
            let at =
                usize::try_from(levels).ok().filter(|&at| at <= buf.len()).ok_or("a page ends within its levels")?;
            (buf.slice(at..), *encoding, *num_values)
        }
    };
    let lists = usize::from(matches!(
        encoding,
        Encoding::DELTA_BINARY_PACKED | Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY
    ));
    let lists = lists + usize::from(encoding == Encoding::DELTA_BYTE_ARRAY);
    let mut rest = &values[..];
    for list in 0..lists {
        // A page in which all values are null need not have any.
        if rest.is_empty() && list == 0 {
            break;
        }
        let found = pass_deltas(&mut rest).ok_or("a page ends within its deltas")?;
        if found > u64::from(count) {
            return Err(format!("a page of {count} values says that it has {found} deltas"));
        }
    }
    Ok(())
}

/// Passes over the levels of a data page of the first version.
fn pass_levels(values: &mut Bytes, level: i16, encoding: Encoding, count: u32) -> Option<()> {
    if level == 0 {
        return Some(());
    }
    #[expect(deprecated, reason = "old files have it")]
    let bytes = if encoding == Encoding::BIT_PACKED {
        let bits = u64::from(u16::BITS - level.leading_zeros());
        usize::try_from((u64::from(count) * bits).div_ceil(8)).ok()?
    } else {
        let length = values.get(..4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(length)).ok()?.checked_add(4)?
    };
    *values = values.get(bytes..).map(|rest| values.slice_ref(rest))?;
    Some(())
}

/// Passes over numbers that are packed as deltas, and returns how many there are by their own count.
fn pass_deltas(bytes: &mut &[u8]) -> Option<u64> {
    let (block, minis, count) = (varint(bytes)?, varint(bytes)?, varint(bytes)?);
    let (mut left, in_mini) = (count.saturating_sub(1), block.checked_div(minis)?);
    zigzag(varint(bytes)?);
    if in_mini == 0 {
        return None;
    }
    while left > 0 {
        zigzag(varint(bytes)?);
        let (widths, rest) = bytes.split_at_checked(usize::try_from(minis).ok()?)?;
        *bytes = rest;
        for &width in widths {
            if left == 0 {
                break;
            }
            let packed = usize::try_from(in_mini.checked_mul(u64::from(width))? / 8).ok()?;
            // The last ones may be cut short.
            *bytes = bytes.get(packed..).unwrap_or_default();
            left = left.saturating_sub(in_mini);
        }
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of 128 in 4 parts; so many numbers, the first of which is 7; no bits for each delta.
    fn deltas(count: u8) -> Vec<u8> {
        let header = [0x80, 0x01, 4, count, 14];
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

    #[test]
    fn a_dictionary_comes_before_what_refers_to_it() {
        let dictionary =
            Page::DictionaryPage { buf: vec![0; 8].into(), num_values: 1, encoding: Encoding::PLAIN, is_sorted: false };
        let (plain, refers) = (page(Vec::new(), Encoding::PLAIN, 0), page(Vec::new(), Encoding::RLE_DICTIONARY, 0));
        let mut has_dictionary = false;
        let mut checked = |page| check_dictionary(page, &mut has_dictionary);
        assert_eq!(checked(&plain), Ok(()));
        assert!(checked(&refers).unwrap_err().contains("there is none"));
        assert_eq!((checked(&dictionary), checked(&refers)), (Ok(()), Ok(())));
    }

    #[test]
    fn a_dictionary_has_no_more_values_than_bytes() {
        let page = |num_values| Page::DictionaryPage {
            buf: vec![0; 8].into(),
            num_values,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        assert_eq!(check(&page(8), (0, 0)), Ok(()));
        assert!(check(&page(9), (0, 0)).unwrap_err().contains("9 values"));
    }
}
