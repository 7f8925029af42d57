//! Where the samples of a cut lie among the values of their batch.

use std::ops::Range;

use super::{
    groups::Groups,
    length_cut::{Grouping, LengthCut},
    partition::Partition,
};

/// Where a sample lies among the values of its batch, and which part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// Its first value, counted in values.
    pub start: u64,
    /// How many values it has there.
    pub len: u32,
    /// How many values of padding follow them.
    pub padding: u32,
    /// Which of its values is the first one there.
    pub skip: u32,
    /// How many values the whole sample has.
    pub whole: u32,
    /// Its number in its row, from 1.
    pub segment: u32,
}

impl Span {
    /// Returns how many values and values of padding there are.
    pub fn extent(&self) -> u64 {
        u64::from(self.len) + u64::from(self.padding)
    }
}

/// Which sample of which group belongs in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// Which group of the batch.
    pub(super) nth: u32,
    /// Its number in the epoch, or one behind its end where it begins again.
    pub(super) unit: u64,
    /// The number of the member among those of all groups.
    pub(super) member: u64,
}

impl Partition {
    /// Returns the groups of a batch.
    pub(super) fn groups_in(&self, batch: u64) -> impl Iterator<Item = u64> {
        (0..self.units_in(batch)).map(move |nth| self.wrapped(self.unit(batch, nth)))
    }

    /// Returns which sample of which group belongs in a row; the first one of the epoch in a row that there is not.
    pub(super) fn spot(&self, groups: &Groups, batch: u64, row: u32) -> Spot {
        let mut left = row;
        for (nth, group) in (0..).zip(self.groups_in(batch)) {
            let size = groups.size(group);
            if left < size {
                let member = groups.start(group) + u64::from(left);
                return Spot { nth, unit: self.unit(batch, nth), member };
            }
            left -= size;
        }
        Spot { nth: 0, unit: 0, member: 0 }
    }

    /// Returns the cut and the groups, where samples have spans.
    pub(super) fn spanned(&self) -> Option<(&LengthCut, &Groups)> {
        Some((self.sampler.cut.as_ref()?.spec().lengths()?, self.groups.as_ref()?))
    }

    /// Returns where the sample of a row lies among the values of its batch; none where lengths cut nothing.
    pub fn span(&self, batch: u64, row: u32) -> Option<Span> {
        let (spec, groups) = self.spanned()?;
        let spot = self.spot(groups, batch, row);
        let group = self.wrapped(spot.unit);
        let mut spans = spec.spans(groups, group, spot.nth);
        spans.nth((spot.member - groups.start(group)) as usize)
    }

    /// Returns where the samples of all rows lie; none where lengths cut nothing.
    pub fn spans(&self, batch: u64) -> Option<Vec<Span>> {
        let (spec, groups) = self.spanned()?;
        let of_group = |(nth, group)| spec.spans(groups, group, nth);
        Some((0..).zip(self.groups_in(batch)).flat_map(of_group).collect())
    }

    /// Returns the values of some rows of a batch, those of one after those of the other; none where lengths cut nothing. No two
    /// rows of a batch have values in common.
    pub fn ranges(&self, batch: u64, rows: Range<u32>) -> Option<Vec<Range<usize>>> {
        let range = |span: &Span| span.start as usize..(span.start + span.extent()) as usize;
        let spans = self.spans(batch)?;
        let rows = rows.start as usize..(rows.end as usize).min(spans.len());
        Some(spans.get(rows).unwrap_or_default().iter().map(range).collect())
    }

    /// Returns the leading axes that a batch of cut fields has: rows and values of each, or values that lie one after the
    /// other. None where lengths cut nothing.
    pub fn extents(&self, batch: u64) -> Option<Vec<usize>> {
        let (spec, groups) = self.spanned()?;
        let values = |span: &Span| span.start + span.extent();
        let last = || self.span(batch, self.rows(batch).checked_sub(1)?);
        let all = last().as_ref().map_or(0, values) as usize;
        Some(match spec.options.grouping {
            Grouping::Packing { seq_len, .. } => vec![self.units_in(batch) as usize, seq_len as usize],
            Grouping::Budget { .. } | Grouping::Buckets { .. } if spec.options.padding => {
                let rows = self.rows(batch) as usize;
                let width = self.groups_in(batch).map(|group| width(spec, groups, group)).max().unwrap_or(0);
                vec![rows, width as usize]
            }
            Grouping::Budget { .. } | Grouping::Buckets { .. } => vec![all],
        })
    }
}

impl LengthCut {
    /// Returns where the samples of a group lie, which is the `nth` of its batch.
    pub(super) fn spans<'a>(&self, groups: &'a Groups, group: u64, nth: u32) -> impl Iterator<Item = Span> + use<'a> {
        Spans::of(self, groups, group, nth.into())
    }
}

/// Returns the extent that the samples of a group are padded to.
fn width(spec: &LengthCut, groups: &Groups, group: u64) -> u32 {
    let options = &spec.options;
    let limit = options.limit();
    let longest = groups.of_group(group).map(|member| member.length.min(limit)).max().unwrap_or(0);
    match &options.grouping {
        Grouping::Packing { seq_len, .. } => *seq_len,
        Grouping::Buckets { ends, whole: true, .. } => {
            let bucket = ends.partition_point(|end| *end < longest);
            options.padded(ends.get(bucket).copied().unwrap_or(longest))
        }
        Grouping::Budget { .. } | Grouping::Buckets { .. } => options.padded(longest),
    }
}

/// The spans of a group's samples, one after the other.
struct Spans<'a> {
    groups: &'a Groups,
    limit: u32,
    /// Where padding goes.
    by: Padding,
    next: u64,
    end: u64,
    skip: u32,
    start: u64,
    segment: u32,
}

enum Padding {
    /// Behind the last sample, up to this value.
    Last(u64),
    /// Behind each sample, up to this extent.
    Each(u32),
    Nowhere,
}

impl<'a> Spans<'a> {
    fn of(spec: &LengthCut, groups: &'a Groups, group: u64, nth: u64) -> Self {
        let options = &spec.options;
        let (by, start) = match options.grouping {
            Grouping::Packing { seq_len, .. } => {
                let seq_len = u64::from(seq_len);
                (Padding::Last((nth + 1) * seq_len), nth * seq_len)
            }
            Grouping::Budget { .. } | Grouping::Buckets { .. } if options.padding => {
                (Padding::Each(width(spec, groups, group)), 0)
            }
            Grouping::Budget { .. } | Grouping::Buckets { .. } => (Padding::Nowhere, 0),
        };
        let next = groups.start(group);
        let (end, skip) = (next + u64::from(groups.size(group)), groups.skip(group));
        Self { groups, limit: options.limit(), by, next, end, skip, start, segment: 0 }
    }
}

impl Iterator for Spans<'_> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        if self.next == self.end {
            return None;
        }
        let whole = self.groups.member(self.next).length;
        self.next += 1;
        self.segment += 1;
        let skip = std::mem::take(&mut self.skip);
        let len = whole.saturating_sub(skip).min(self.limit);
        let (len, padding) = match self.by {
            Padding::Last(end) => {
                let room = end - self.start;
                let len = u64::from(len).min(room);
                (len as u32, if self.next == self.end { (room - len) as u32 } else { 0 })
            }
            Padding::Each(width) => (len, width - len),
            Padding::Nowhere => (len, 0),
        };
        let span = Span { start: self.start, len, padding, skip, whole, segment: self.segment };
        self.start += span.extent();
        Some(span)
    }
}
