//! Orders that are given as such, beside those that [`Shuffle`](super::Shuffle) names: as data, with the table of each.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::{
    mixture::{Stage, Turns},
    pacing::Paced,
    weighted,
    weights::check_drawn,
};
use crate::error::{Error, Result};

/// An order as data. Where it needs a table, that lies in memory beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderSpec {
    pub(super) kind: OrderKind,
    /// A hash of the kind and of the table, as far as they are those of epoch 0.
    digest: u64,
    /// The same as far as they are those of an epoch from which on the order is another one, and of all before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    later: Vec<(u64, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum OrderKind {
    /// Samples are drawn by weight, with replacement.
    Weighted { weights: u64, num_samples: u64 },
    /// Samples are drawn by weight, without replacement: a list that each epoch has of its own.
    WeightedOnce { weights: u64, num_samples: u64 },
    /// The easiest samples first.
    Curriculum { paced: Paced, num_samples: u64 },
    /// Each sample of a shuffled order comes some times in a row.
    Repeated { times: u64, num_samples: Option<u64> },
    /// The samples of a list.
    Explicit { indices: u64, largest: u64, repeats: bool },
    /// The samples of a list of so many indices that each epoch has of its own.
    Listed { indices: u64 },
    /// Parts of the source in turn, by weight; `later` are the weights that hold from later epochs on.
    Mixture {
        lengths: Vec<u64>,
        counts: Vec<u64>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        later: Vec<Stage>,
    },
}

/// Each constructor returns the order, and the bytes of its table.
impl OrderSpec {
    pub(super) fn new(kind: OrderKind, table: &[u8]) -> Self {
        let mut hash = Xxh3::new();
        hash.update(serde_json::to_string(&kind).unwrap_or_default().as_bytes());
        hash.update(table);
        Self { digest: hash.digest(), kind, later: Vec::new() }
    }

    /// Returns the same order, which was such a one before an epoch.
    pub(super) fn after(self, epoch: u64, before: Self) -> Self {
        let later = before.later.into_iter().chain([(epoch, self.digest)]).collect();
        Self { digest: before.digest, later, ..self }
    }

    /// Draws each of `num_samples` positions, by default as many as there are weights, by weight and with replacement.
    ///
    /// # Errors
    /// [`Error::Config`] where there are no weights, one is negative, infinite or not a number, or all are 0; or for no
    /// positions.
    pub fn weighted(weights: &[f64], num_samples: Option<u64>) -> Result<(Self, Vec<u8>)> {
        check_drawn("Weighted: weights", weights)?;
        let count = weights.len() as u64;
        let num_samples = positive("Weighted", num_samples)?.unwrap_or(count);
        let table = bytemuck::cast_slice(&weighted::table(weights)).to_vec();
        Ok((Self::new(OrderKind::Weighted { weights: count, num_samples }, &table), table))
    }

    /// Gives each sample of a shuffled order `times` times in a row; the first `num_samples` positions of that, by default all.
    ///
    /// # Errors
    /// [`Error::Config`] for no times, or no positions.
    pub fn repeated(times: u64, num_samples: Option<u64>) -> Result<(Self, Vec<u8>)> {
        if times == 0 {
            return Err(Error::config("Repeated: times must be 1 or more, not 0"));
        }
        let num_samples = positive("Repeated", num_samples)?;
        Ok((Self::new(OrderKind::Repeated { times, num_samples }, &[]), Vec::new()))
    }

    /// Gives the samples of these indices, in their order, in every epoch.
    ///
    /// # Errors
    /// [`Error::Config`] where there are none.
    pub fn explicit(indices: &[u64]) -> Result<(Self, Vec<u8>)> {
        let Some(&largest) = indices.iter().max() else {
            return Err(Error::config("Explicit: indices must have at least one index"));
        };
        let kind = OrderKind::Explicit { indices: indices.len() as u64, largest, repeats: repeats(indices, largest) };
        let table: Vec<u8> = bytemuck::cast_slice(indices).to_vec();
        Ok((Self::new(kind, &table), table))
    }

    /// Gives the samples of so many indices, which are to be given for each epoch; see [`Given::give`](super::Given::give).
    ///
    /// # Errors
    /// [`Error::Config`] where there are none.
    pub fn listed(indices: u64) -> Result<(Self, Vec<u8>)> {
        if indices == 0 {
            return Err(Error::config("Explicit: indices must have at least one index"));
        }
        Ok((Self::new(OrderKind::Listed { indices }, &[]), Vec::new()))
    }

    /// Returns the name of the order.
    pub fn name(&self) -> &'static str {
        match self.kind {
            OrderKind::Weighted { .. } | OrderKind::WeightedOnce { .. } => "Weighted",
            OrderKind::Curriculum { .. } => "Curriculum",
            OrderKind::Repeated { .. } => "Repeated",
            OrderKind::Explicit { .. } | OrderKind::Listed { .. } => "Explicit",
            OrderKind::Mixture { .. } => "Mixture",
        }
    }

    /// Returns what tells it from another order, as far as an epoch and those before it go.
    pub fn digest(&self, epoch: u64) -> u64 {
        self.later.iter().rev().find(|(first, _)| *first <= epoch).map_or(self.digest, |(_, digest)| *digest)
    }

    /// Tells whether it has a table.
    pub fn has_table(&self) -> bool {
        match self.kind {
            OrderKind::Repeated { .. } | OrderKind::Listed { .. } => false,
            OrderKind::Weighted { .. }
            | OrderKind::WeightedOnce { .. }
            | OrderKind::Curriculum { .. }
            | OrderKind::Explicit { .. }
            | OrderKind::Mixture { .. } => true,
        }
    }

    /// Returns how many indices each epoch has of its own, where it has.
    pub(super) fn indices_of_an_epoch(&self) -> Option<u64> {
        match self.kind {
            OrderKind::Listed { indices } => Some(indices),
            OrderKind::WeightedOnce { num_samples, .. } => Some(num_samples),
            OrderKind::Weighted { .. }
            | OrderKind::Curriculum { .. }
            | OrderKind::Repeated { .. }
            | OrderKind::Explicit { .. }
            | OrderKind::Mixture { .. } => None,
        }
    }

    /// Returns the bytes of its table.
    pub(super) fn table_bytes(&self) -> u64 {
        match &self.kind {
            OrderKind::Repeated { .. } | OrderKind::Listed { .. } => 0,
            OrderKind::Weighted { weights: pairs, .. }
            | OrderKind::Curriculum { paced: Paced { samples: pairs, .. }, .. } => pairs * 16,
            OrderKind::WeightedOnce { weights: words, .. } | OrderKind::Explicit { indices: words, .. } => words * 8,
            OrderKind::Mixture { lengths, counts, later } => {
                Turns::bytes(lengths.len(), counts.iter().sum()).saturating_mul(1 + later.len() as u64)
            }
        }
    }

    /// Checks that it is one of a source of so many samples.
    pub(super) fn check(&self, samples: u64) -> Result<()> {
        let what = match &self.kind {
            OrderKind::Weighted { weights, .. } | OrderKind::WeightedOnce { weights, .. } if *weights != samples => {
                format!(
                    "Weighted with {weights} weights, and the source has {samples} samples: give one weight for each"
                )
            }
            OrderKind::Curriculum { paced: Paced { samples: given, .. }, .. } if *given != samples => format!(
                "Curriculum with the difficulty of {given} samples, and the source has {samples}: give one number for each"
            ),
            OrderKind::Repeated { times, num_samples: Some(most) } if *most > samples.saturating_mul(*times) => {
                format!(
                    "Repeated with num_samples={most}, and {samples} samples, each {times} times, are {}",
                    samples.saturating_mul(*times)
                )
            }
            OrderKind::Explicit { largest, .. } if *largest >= samples => {
                format!("Explicit with the index {largest}, and the source has {samples} samples, from 0")
            }
            OrderKind::Mixture { lengths, .. } if lengths.iter().sum::<u64>() != samples => format!(
                "Mixture of parts of {} samples together, and the source has {samples}",
                lengths.iter().sum::<u64>()
            ),
            OrderKind::Weighted { .. }
            | OrderKind::WeightedOnce { .. }
            | OrderKind::Curriculum { .. }
            | OrderKind::Repeated { .. }
            | OrderKind::Explicit { .. }
            | OrderKind::Listed { .. }
            | OrderKind::Mixture { .. } => return Ok(()),
        };
        Err(Error::Config(format!("Loader: order is {what}")))
    }
}

/// Returns how many positions there are to be, unless that is none.
pub(super) fn positive(name: &str, num_samples: Option<u64>) -> Result<Option<u64>> {
    if num_samples == Some(0) {
        return Err(Error::Config(format!("{name}: num_samples must be 1 or more, not 0")));
    }
    Ok(num_samples)
}

/// Tells whether an index, none of which is above `largest`, comes twice.
fn repeats(indices: &[u64], largest: u64) -> bool {
    // More indices than numbers there are; else a bit for each number would be wasted on few indices of a large source.
    if indices.len() as u64 > largest.saturating_add(1) {
        return true;
    }
    if largest / 64 > indices.len() as u64 {
        let mut sorted = indices.to_vec();
        sorted.sort_unstable();
        return sorted.windows(2).any(|pair| pair[0] == pair[1]);
    }
    let mut seen = vec![0_u64; (largest / 64 + 1) as usize];
    indices.iter().any(|index| {
        let (word, bit) = (&mut seen[(index / 64) as usize], 1 << (index % 64));
        let is_seen = *word & bit != 0;
        *word |= bit;
        is_seen
    })
}
