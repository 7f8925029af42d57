//! The stretches of a scan between restart markers.

use std::ops::Range;

use super::bits::{Bits, Segments};

/// Cuts the first `mcus` MCUs of a scan at its restart markers, of which there is one after `length` MCUs each, or none.
///
/// Returns number, MCUs and bits of each interval; no bits where the data has fewer intervals.
pub(super) fn intervals(
    segments: &Segments,
    length: u32,
    mcus: u32,
) -> impl Iterator<Item = (usize, Range<u32>, Option<Bits<'_>>)> {
    let length = if length == 0 { mcus.max(1) } else { length };
    (0..mcus.div_ceil(length)).map(move |number| {
        let range = number * length..(number * length).saturating_add(length).min(mcus);
        (number as usize, range, segments.get(number as usize).map(Bits::new))
    })
}

/// Cuts MCUs of a scan that has `width` of them to a row at the ends of rows: row, and columns.
#[inline(always)]
pub(super) fn by_rows(mcus: Range<u32>, width: u32) -> impl Iterator<Item = (u32, Range<u32>)> {
    let rows = mcus.start / width..mcus.end.div_ceil(width);
    rows.map(move |row| {
        let first = row * width;
        (row, mcus.start.max(first) - first..mcus.end.min(first + width) - first)
    })
}
