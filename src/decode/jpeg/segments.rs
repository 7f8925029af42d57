//! The entropy-coded bytes of a scan, cut at its markers.
//!
//! Source: ITU-T T.81, annexes B.1.1.5 and F.1.2.3; where markers are missing or wrong, what `jdmarker.c` of libjpeg does:
//! it ends a segment at the first marker of any kind, and finds the next segment by the number of the marker.

use super::{
    error::{Damage, Problem, Result},
    marker::{self, Resync, find_marker, resynchronised},
};

/// A segment: the entropy-coded bytes between two markers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    /// The restart interval whose data this is.
    interval: u32,
    /// Where it starts in the file.
    start: usize,
    /// Where it ends in the bytes that were kept.
    end: usize,
}

/// What stands behind a scan's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// A marker.
    #[default]
    Marker,
    /// The end of the file, with the last restart interval begun.
    File,
}

/// The entropy-coded data of a scan without its stuffed zeros, cut at its markers.
///
/// So the bit reader need not look for them.
#[derive(Debug, Default)]
pub(super) struct Segments {
    bytes: Vec<u8>,
    all: Vec<Segment>,
    /// Where in the file the data starts and ends.
    file: std::ops::Range<usize>,
    end: End,
}

impl Segments {
    /// Takes the data of the scan that starts at `start` and has so many restart intervals, 1 where it has no restarts.
    ///
    /// It ends at the marker behind the last interval, or at one that is none of a restart.
    ///
    /// # Errors
    /// For a file that ends before the last interval, unless it is to be padded, and for restart markers out of order
    /// where damage is refused.
    pub(super) fn read(&mut self, data: &[u8], start: usize, intervals: u32, damage: &mut Damage) -> Result<()> {
        self.bytes.clear();
        self.all.clear();
        (self.file, self.end) = (start..data.len(), End::File);
        let (mut at, mut interval) = (start, 0);
        loop {
            let segment = at;
            at = self.take(data, at);
            self.all.push(Segment { interval, start: segment, end: self.bytes.len() });
            loop {
                let Some(&code) = data.get(at + 1) else {
                    return if interval + 1 < intervals { damage.ended(data.len()) } else { Ok(()) };
                };
                if interval + 1 >= intervals {
                    (self.file.end, self.end) = (at, End::Marker);
                    return Ok(());
                }
                let expected = (interval % 8) as u8;
                if code != marker::RST0 + expected {
                    damage.found(Problem::corrupt(at, "a restart marker is missing or out of order"))?;
                }
                match resynchronised(code, expected) {
                    Resync::Here => break,
                    Resync::Later => at = find_marker(data, at + 2).unwrap_or(data.len()),
                    Resync::Empty => interval += 1,
                }
            }
            (at, interval) = (at + 2, interval + 1);
        }
    }

    /// Takes the bytes up to the next marker; returns where it is, or the end of the file.
    fn take(&mut self, data: &[u8], mut at: usize) -> usize {
        loop {
            let rest = &data[at..];
            let Some(length) = memchr::memchr(0xff, rest) else {
                self.bytes.extend_from_slice(rest);
                return data.len();
            };
            self.bytes.extend_from_slice(&rest[..length]);
            at += length;
            match rest.get(length + 1) {
                Some(0) => {
                    self.bytes.push(0xff);
                    at += 2;
                }
                Some(0xff) => at += 1,
                Some(_) => return at,
                None => return data.len(),
            }
        }
    }

    /// Returns where in the file the data ends.
    pub(super) const fn file_end(&self) -> usize {
        self.file.end
    }

    /// Returns what stands behind the data.
    pub(super) const fn end(&self) -> End {
        self.end
    }

    /// Returns the last restart interval, of `interval` and those before it, that has data of its own. One that has
    /// none is read as zeros, or not at all where the one before it was too short.
    pub(super) fn last_with_data(&self, interval: u32) -> u32 {
        self.all[self.number(interval)].interval
    }

    /// Returns the bytes of a restart interval, where it has any of its own.
    #[inline]
    pub(super) fn get(&self, interval: u32) -> Option<&[u8]> {
        let number = self.number(interval);
        let Segment { interval: found, end, .. } = self.all[number];
        (found == interval).then(|| &self.bytes[number.checked_sub(1).map_or(0, |before| self.all[before].end)..end])
    }

    /// Returns the segment of an interval, or else of the last one before that has one.
    fn number(&self, interval: u32) -> usize {
        // Where no marker is missing, the number is the interval.
        match self.all.get(interval as usize) {
            Some(segment) if segment.interval == interval => interval as usize,
            _ => self.all.partition_point(|segment| segment.interval <= interval) - 1,
        }
    }

    /// Tells whether the data of an interval is cut off by the end of the file.
    pub(super) fn is_cut(&self, interval: u32) -> bool {
        self.end == End::File && self.number(interval) + 1 == self.all.len()
    }

    /// Returns where in the file byte `byte` of an interval's data stands.
    pub(super) fn offset(&self, data: &[u8], interval: u32, byte: usize) -> usize {
        let (mut left, mut at) = (byte, self.all[self.number(interval)].start);
        while left > 0 && at < self.file.end {
            // A stuffed zero and a fill byte leave no bytes.
            match (data[at], data.get(at + 1)) {
                (0xff, Some(0)) => (at, left) = (at + 2, left - 1),
                (0xff, Some(0xff)) => at += 1,
                (0xff, _) => break,
                _ => (at, left) = (at + 1, left - 1),
            }
        }
        at
    }
}
