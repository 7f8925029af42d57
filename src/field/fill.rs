//! Filling the rows of one sample.

use std::{
    fmt::{self, Debug},
    time::Duration,
};

use super::scratch::Scratch;
use crate::{
    budget::Budget,
    counters::Counters,
    error::{Failure, Stage},
    function::{Functions, Learned},
    geometry::Size,
    rng::Key,
    spec::FieldSpec,
    transform::{Drawn, Moves, Rows, Target, table_bytes},
};

/// The part of a sample's budget that the weights of a resize may take: a sixteenth.
const TABLES_PART: u64 = 16;

/// Fills rows of a field, and of those that follow it.
pub(super) trait Fill: Debug + Send + Sync {
    /// Fills the rows of one sample: every byte of them.
    fn fill(&self, sample: &mut Sample<'_>) -> Result<(), Failure>;
}

/// Fills rows of a field that follows an image.
pub(super) trait Follow: Debug + Send + Sync {
    /// Fills the rows of one sample, whose image's geometry made these moves.
    fn fill(&self, sample: &mut Sample<'_>, moves: &Moves) -> Result<(), Failure>;
}

/// Fills rows of a field with an entry for each box.
pub(super) trait GoWithBoxes: Debug + Send + Sync {
    /// Fills the row of one sample with the entries whose boxes are kept.
    fn fill(&self, sample: &mut Sample<'_>, moves: &Moves, kept: &Kept) -> Result<(), Failure>;
}

/// Which boxes of a sample are kept, part by part.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Those of all parts.
    pub(super) all: Vec<bool>,
    /// Where those of each part end.
    pub(super) ends: Vec<usize>,
}

impl Kept {
    /// Forgets all boxes.
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.ends.clear();
    }

    /// Ends a part.
    pub(super) fn end_part(&mut self) {
        self.ends.push(self.all.len());
    }

    /// Returns those of a part.
    pub(super) fn part(&self, number: usize) -> &[bool] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[start..self.ends[number]]
    }
}

/// The sample in hand.
pub struct Sample<'a> {
    /// Whose randomness it has.
    pub key: Key,
    /// The samples of the source that it is made of: itself, and others that a mosaic puts beside it.
    pub parts: &'a [u64],
    /// What the source gives for each part, by its number, and each field.
    pub payload: &'a dyn Fn(usize, usize) -> &'a [u8],
    /// What was drawn for the mosaic, where it is one.
    pub(crate) mosaic: Option<Drawn>,
    /// One row for each field.
    pub rows: &'a mut dyn Rows,
    /// Buffers of this thread.
    pub scratch: &'a mut Scratch,
    /// What the stages take.
    pub times: &'a mut Times,
    /// The stage in work, for an error that does not say it.
    pub stage: &'a mut Stage,
    /// What of the sample's budget is left: the record has its part.
    pub budget: Budget,
    /// The functions that are called, where there are any.
    pub functions: Option<&'a dyn Functions>,
    /// What functions were seen to give of which that was not known.
    pub learned: &'a mut Vec<Learned>,
}

impl<'a> Sample<'a> {
    /// Returns what the source gives for a field.
    pub(super) fn payload(&self, at: usize) -> &'a [u8] {
        (self.payload)(0, at)
    }

    /// Returns what the source gives for a field of a part.
    pub(super) fn payload_of(&self, part: usize, at: usize) -> &'a [u8] {
        (self.payload)(part, at)
    }

    /// Says of which part a failure is.
    pub(super) fn in_part(&self, part: usize, failure: Failure) -> Failure {
        match self.parts.get(part) {
            Some(index) if part > 0 => failure.in_mosaic(*index),
            Some(_) | None => failure,
        }
    }

    /// Takes bytes of the sample's budget, before they are allocated.
    pub(super) fn take(&mut self, bytes: u64, what: &str) -> Result<(), Failure> {
        self.budget.take(bytes, what).map_err(|reason| Failure::new(*self.stage, reason))
    }

    /// Takes what it takes to resize an image, whose pixels have so many bytes.
    pub(super) fn take_resize(&mut self, from: Size, to: Size, pixel: usize) -> Result<(), Failure> {
        // Weights are worth memory in proportion to pixels only; one of a very long edge is hardly an image.
        let (tables, most) = (table_bytes(from, to), self.budget.limit() / TABLES_PART);
        if tables > most {
            let Size { height, width } = from;
            let reason = format!(
                "resizing {width}x{height} pixels needs {tables} bytes of weights, and a {TABLES_PART}th of \
                 max_sample_bytes is {most}"
            );
            return Err(Failure::new(*self.stage, reason));
        }
        // The result, and before it the image that has the result's width already.
        let half = Size { height: from.height, width: to.width };
        let pixels = to.area().saturating_add(half.area()).saturating_mul(pixel as u64);
        self.take(tables.saturating_add(pixels), "resizing")
    }

    /// Returns the place for the values of a field's row, of this shape.
    pub(super) fn begin(&mut self, at: usize, spec: &FieldSpec, shape: &[usize]) -> Result<&mut [u8], Failure> {
        self.rows.begin(at, spec, shape)
    }

    /// Returns what the row of a field is made with where functions may be called.
    pub(super) fn target(&mut self, at: usize) -> Target<'_> {
        let Self { key, rows, functions, budget, learned, .. } = self;
        Target { key: *key, rows: &mut **rows, at, functions: *functions, budget, learned }
    }
}

impl Debug for Sample<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sample").field("key", &self.key).field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// The time that stages took and what they counted, in all calls that added to it.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// Decoding.
    pub decode: Duration,
    /// Transforming, with the write to the row.
    pub transform: Duration,
    /// What was counted, under the names of [`counters`](super::counters).
    pub counters: Counters,
}
