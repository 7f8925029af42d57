//! How samples of known lengths become batches, as data.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};

/// How bins are filled with samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Filling {
    /// The largest sample first, each into the row that it fills best.
    BestFit,
    /// The largest sample first, each into the first row with room for it.
    FirstFit,
    /// One after the other, cut where a row ends.
    Concat,
}

/// What becomes of a sample that is too long for a row or a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TooLong {
    /// There can be no such loader.
    Raise,
    /// Its end is cut off.
    Truncate,
    /// It is left out.
    Drop,
}

/// Which samples come together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Grouping {
    /// As many as fill a row of so many values. A batch has several such rows.
    Packing {
        /// The values of a row.
        seq_len: u32,
        /// How rows are filled.
        strategy: Filling,
    },
    /// As many as have so many values together, with their padding. They are a batch.
    Budget {
        /// The values of a batch.
        max_tokens: u32,
        /// Whether those of a window that are of like lengths come together; else, those that follow each other.
        sorted: bool,
    },
    /// So many of like lengths. They are a batch.
    Buckets {
        /// The longest sample of each bucket, in rising order.
        ends: Vec<u32>,
        /// The samples of a batch of each bucket.
        sizes: Vec<u32>,
        /// Whether samples are padded to the longest one of their bucket, and not of their batch.
        whole: bool,
    },
}

/// A field whose samples have the lengths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutField {
    /// Its name.
    pub name: String,
    /// What stands where there is no value.
    pub pad: f64,
}

/// What a field that no sample has is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mark {
    /// The number of the sample in its row, from 1; 0 for padding.
    SegmentIds,
    /// The number of the value in its sample, from 0; of what is left of one that was cut, in that. 0 for padding.
    PositionIds,
    /// Whether there is a value.
    Mask,
    /// The values of the first field, and -100 for padding, which losses leave out.
    Labels,
}

/// A field that no sample has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkField {
    /// Its name.
    pub name: String,
    /// What it has.
    pub mark: Mark,
}

/// What a user asks for; as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutOptions {
    /// The name that errors have.
    pub name: String,
    /// Which samples come together.
    pub grouping: Grouping,
    /// Whether samples are padded to one length; else, they lie one after the other. Rows that are packed always are.
    pub padding: bool,
    /// Lengths are padded to multiples of this.
    pub multiple: u32,
    /// What becomes of samples that are too long.
    pub too_long: TooLong,
    /// The most samples of a row that is packed, or of another batch.
    pub max_samples: u32,
    /// How many positions of the order are looked at together.
    pub window: u32,
    /// The fields that are cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<CutField>,
    /// The fields that tell of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<MarkField>,
}

/// How the samples of an epoch become batches, where their lengths decide that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LengthCut {
    pub(super) options: CutOptions,
    /// The number of lengths.
    pub(super) samples: u64,
    /// The longest sample.
    pub(super) longest: u32,
    /// The most samples of a group.
    pub(super) most: u32,
    /// As many samples as a group usually has.
    usual: u32,
    /// A hash of the lengths.
    digest: u64,
}

/// Returns the lengths of the first samples, where lengths decide.
pub(super) fn first_of(lengths: &[u32], samples: u64) -> &[u32] {
    &lengths[..lengths.len().min(samples as usize)]
}

impl LengthCut {
    /// The most values of a row, or of a batch.
    const MOST_VALUES: u32 = 1 << 30;

    /// Returns the cut of samples of these lengths.
    ///
    /// # Errors
    /// [`Error::Config`] for numbers that are 0 or too large, buckets out of order, or a sample that is too long.
    pub fn new(options: CutOptions, lengths: &[u32]) -> Result<Self> {
        options.check_fields()?;
        Self::of_rule(options, lengths)
    }

    /// As [`new`](Self::new), of options that need no fields.
    pub(super) fn of_rule(options: CutOptions, lengths: &[u32]) -> Result<Self> {
        let name = options.name.as_str();
        options.check_rule()?;
        if lengths.is_empty() || u32::try_from(lengths.len()).is_err() {
            let count = lengths.len();
            return Err(Error::Config(format!("{name}: lengths must be 1 to {} numbers, not {count}", u32::MAX)));
        }
        let limit = options.limit();
        if options.too_long == TooLong::Raise
            && let Some(at) = lengths.iter().position(|length| *length > limit)
        {
            let (length, others) = (lengths[at], lengths.iter().filter(|length| **length > limit).count() - 1);
            let others = if others == 0 { String::new() } else { format!(", and {others} others too") };
            return Err(Error::Config(format!(
                "{name}: sample {at} has length {length}, and the most is {limit}{others}: raise it, or take \
                 too_long=\"truncate\" or \"drop\""
            )));
        }
        let mut sorted: Vec<u32> = lengths
            .iter()
            .filter(|length| **length <= limit || options.too_long != TooLong::Drop)
            .map(|length| (*length).min(limit))
            .collect();
        sorted.sort_unstable();
        let Some(&longest) = sorted.last() else {
            return Err(Error::Config(format!("{name}: all samples are longer than {limit}, and so left out")));
        };
        let mean = sorted.iter().map(|length| f64::from(*length)).sum::<f64>() / sorted.len() as f64;
        let (most, usual) = options.sizes(&sorted, mean);
        let digest = xxh3_64(bytemuck::cast_slice(lengths));
        Ok(Self { samples: lengths.len() as u64, longest, most, usual, digest, options })
    }

    /// Returns the name that errors have.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Returns what a user has asked for.
    pub fn options(&self) -> &CutOptions {
        &self.options
    }

    /// Returns the length of the longest sample.
    pub fn longest(&self) -> u32 {
        self.longest
    }

    /// Returns a hash of the lengths.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Returns the number of lengths.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// Tells whether samples may be left out of all groups.
    pub(super) fn leaves_out(&self, drop_last: bool) -> bool {
        let by_bucket = match self.options.grouping {
            Grouping::Buckets { .. } => drop_last,
            Grouping::Packing { .. } | Grouping::Budget { .. } => false,
        };
        by_bucket || self.options.too_long == TooLong::Drop
    }

    /// Tells whether a group is a batch; else it is a row, of which a batch has several.
    pub fn groups_are_batches(&self) -> bool {
        match self.options.grouping {
            Grouping::Packing { .. } => false,
            Grouping::Budget { .. } | Grouping::Buckets { .. } => true,
        }
    }

    /// Returns how many samples `groups` groups have at most.
    pub fn most_samples(&self, groups: u32) -> u64 {
        u64::from(self.most) * u64::from(groups)
    }

    /// Returns as many samples as `groups` groups usually have.
    pub fn usual_samples(&self, groups: u32) -> u32 {
        self.usual.saturating_mul(groups)
    }

    /// Returns for how many values of a field a batch of so many groups has room.
    pub fn values(&self, groups: u32) -> u64 {
        let CutOptions { grouping, padding, .. } = &self.options;
        let of_group = match grouping {
            Grouping::Packing { seq_len, .. } => u64::from(*seq_len),
            Grouping::Budget { max_tokens, .. } => u64::from(*max_tokens),
            Grouping::Buckets { ends, sizes, whole } => {
                let room = |(end, size): (&u32, &u32)| {
                    let width = if *padding && *whole { *end } else { (*end).min(self.longest) };
                    u64::from(self.options.padded(width)) * u64::from(*size)
                };
                ends.iter().zip(sizes).map(room).max().unwrap_or(0)
            }
        };
        of_group * u64::from(groups)
    }
}

impl CutOptions {
    /// Returns the options of a cut of one field, padded with zeros, that tells nothing of it; its name is Python's.
    pub fn new(grouping: Grouping, field: impl Into<String>) -> Self {
        let name = match grouping {
            Grouping::Packing { .. } => "Packing",
            Grouping::Budget { .. } => "TokenBudget",
            Grouping::Buckets { .. } => "Buckets",
        };
        Self {
            name: name.to_owned(),
            grouping,
            padding: true,
            multiple: 1,
            too_long: TooLong::Raise,
            max_samples: 1024,
            window: 16_384,
            fields: vec![CutField { name: field.into(), pad: 0.0 }],
            marks: Vec::new(),
        }
    }

    /// Tells whether a sample may go on in the next group.
    pub(super) fn goes_on(&self) -> bool {
        matches!(self.grouping, Grouping::Packing { strategy: Filling::Concat, .. })
    }

    /// Returns what decides which samples come together.
    pub(super) fn rule(&self) -> Self {
        Self { fields: Vec::new(), marks: Vec::new(), ..self.clone() }
    }

    fn check_rule(&self) -> Result<()> {
        let name = &self.name;
        let most = LengthCut::MOST_VALUES;
        let at_least_one =
            |what: &str, value: u32| if (1..=most).contains(&value) { Ok(()) } else { Err((what.to_owned(), value)) };
        let numbers = || -> Result<(), (String, u32)> {
            at_least_one("max_samples", self.max_samples)?;
            at_least_one("window", self.window)?;
            at_least_one("pad_to_multiple_of", self.multiple)?;
            match &self.grouping {
                Grouping::Packing { seq_len, .. } => at_least_one("seq_len", *seq_len),
                Grouping::Budget { max_tokens, .. } => at_least_one("max_tokens", *max_tokens),
                Grouping::Buckets { ends, sizes, .. } => {
                    let each = |what, values: &[u32]| values.iter().try_for_each(|value| at_least_one(what, *value));
                    each("boundaries", ends).and_then(|()| each("batch_sizes", sizes))
                }
            }
        };
        numbers().map_err(|(what, value)| Error::Config(format!("{name}: {what} must be 1 to {most}, not {value}")))?;
        if let Grouping::Buckets { ends, sizes, .. } = &self.grouping {
            if ends.len() != sizes.len() || ends.is_empty() {
                let (ends, sizes) = (ends.len(), sizes.len());
                return Err(Error::Config(format!(
                    "{name}: batch_sizes must be one for each boundary, {ends}, not {sizes}"
                )));
            }
            if !ends.is_sorted_by(|before, after| before < after) {
                return Err(Error::Config(format!("{name}: boundaries must rise, unlike {ends:?}")));
            }
        }
        Ok(())
    }

    fn check_fields(&self) -> Result<()> {
        let name = &self.name;
        if self.fields.is_empty() {
            return Err(Error::Config(format!("{name}: fields must have at least one field")));
        }
        let names: Vec<&str> =
            self.fields.iter().map(|field| &*field.name).chain(self.marks.iter().map(|field| &*field.name)).collect();
        match names.iter().enumerate().find(|&(at, field)| names[..at].contains(field)) {
            Some((_, twice)) => Err(Error::Config(format!("{name}: field `{twice}` is named twice"))),
            None => Ok(()),
        }
    }

    /// Returns the longest sample that is not too long.
    pub(super) fn limit(&self) -> u32 {
        match &self.grouping {
            Grouping::Packing { strategy: Filling::Concat, .. } => u32::MAX,
            Grouping::Packing { seq_len, .. } => *seq_len,
            Grouping::Budget { max_tokens, .. } if self.padding => max_tokens - max_tokens % self.multiple,
            Grouping::Budget { max_tokens, .. } => *max_tokens,
            Grouping::Buckets { ends, .. } => ends.last().copied().unwrap_or(0),
        }
    }

    /// Returns the extent that samples of this length are padded to.
    pub(super) fn padded(&self, length: u32) -> u32 {
        if self.padding { length.next_multiple_of(self.multiple) } else { length }
    }

    /// Tells whether so many samples, the longest of which and all together have these lengths, are one batch of a budget.
    pub(super) fn is_within(&self, max_tokens: u32, (count, longest, sum): (u64, u32, u64)) -> bool {
        let values = if self.padding { count * u64::from(self.padded(longest)) } else { sum };
        values <= u64::from(max_tokens)
    }

    /// Returns how many samples a group has at most and how many usually, of these lengths in rising order.
    fn sizes(&self, sorted: &[u32], mean: f64) -> (u32, u32) {
        let (most, room) = match &self.grouping {
            Grouping::Buckets { sizes, .. } => {
                let largest = sizes.iter().copied().max().unwrap_or(1);
                return (largest, largest);
            }
            Grouping::Packing { strategy, seq_len } => {
                let whole = shortest_that(sorted, |(_, _, sum)| sum <= u64::from(*seq_len));
                // A row may begin and end with a part of a sample.
                let parts = if *strategy == Filling::Concat { 2 } else { 0 };
                (whole.saturating_add(parts), *seq_len)
            }
            Grouping::Budget { max_tokens, .. } => {
                (shortest_that(sorted, |batch| self.is_within(*max_tokens, batch)), *max_tokens)
            }
        };
        let most = most.clamp(1, self.max_samples);
        (most, ((f64::from(room) / mean.max(1.0)) as u32).clamp(1, most))
    }
}

/// Returns how many of the shortest samples are one group, of which is told how many they are, the longest, and all together.
fn shortest_that(sorted: &[u32], fit: impl Fn((u64, u32, u64)) -> bool) -> u32 {
    let mut sum = 0;
    let fitting = sorted.iter().zip(1_u64..).take_while(|&(length, count)| {
        sum += u64::from(*length);
        fit((count, *length, sum))
    });
    u32::try_from(fitting.count()).unwrap_or(u32::MAX)
}
