//! Orders that are given as such, beside those that [`Shuffle`](super::Shuffle) names: as data, with the table of each.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::{mixture::Turns, weighted};
use crate::error::{Error, Result};

/// An order as data. Where it needs a table, that lies in memory beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderSpec {
    pub(super) kind: OrderKind,
    /// A hash of the kind and of the table.
    digest: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum OrderKind {
    /// Samples are drawn by weight, with replacement.
    Weighted { weights: u64, num_samples: u64 },
    /// Each sample of a shuffled order comes some times in a row.
    Repeated { times: u64, num_samples: Option<u64> },
    /// The samples of a list.
    Explicit { indices: u64, largest: u64, repeats: bool },
    /// The samples of a list of so many indices that each epoch has of its own.
    Listed { indices: u64 },
    /// Parts of the source in turn, by weight.
    Mixture { lengths: Vec<u64>, counts: Vec<u64> },
}

/// Each constructor returns the order, and the bytes of its table.
impl OrderSpec {
    /// The most parts of a mixture.
    const MOST_PARTS: usize = 256;

    fn new(kind: OrderKind, table: &[u8]) -> Self {
        let mut hash = Xxh3::new();
        hash.update(serde_json::to_string(&kind).unwrap_or_default().as_bytes());
        hash.update(table);
        Self { digest: hash.digest(), kind }
    }

    /// Draws each of `num_samples` positions, by default as many as there are weights, by weight and with replacement.
    ///
    /// # Errors
    /// [`Error::Config`] where there are no weights, one is negative, infinite or not a number, or all are 0; or for no
    /// positions.
    pub fn weighted(weights: &[f64], num_samples: Option<u64>) -> Result<(Self, Vec<u8>)> {
        check_weights("Weighted", weights, |weight| weight >= 0.0, "0 or more")?;
        if weights.iter().all(|weight| *weight == 0.0) {
            let what = if weights.is_empty() { "there is none" } else { "all are 0" };
            return Err(Error::Config(format!("Weighted: weights must have one above 0, and {what}")));
        }
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

    /// Mixes parts of a source, which lie one after the other and are so long, by weight, over `num_samples` positions; by
    /// default as many as the source has samples.
    ///
    /// # Errors
    /// [`Error::Config`] where there are no parts or more than 256, not a weight for each, one that is not above 0, or an
    /// empty part.
    pub fn mixture(weights: &[f64], lengths: &[u64], num_samples: Option<u64>) -> Result<(Self, Vec<u8>)> {
        let (parts, most) = (lengths.len(), Self::MOST_PARTS);
        if weights.len() != parts {
            let given = weights.len();
            return Err(Error::Config(format!(
                "Mixture: weights must be one for each part of the source, {parts}, not {given}"
            )));
        }
        if parts == 0 || parts > most {
            return Err(Error::Config(format!("Mixture: weights must be 1 to {most}, not {parts}")));
        }
        check_weights("Mixture", weights, |weight| weight > 0.0, "more than 0: leave a part out that is not to come")?;
        if let Some(at) = lengths.iter().position(|length| *length == 0) {
            return Err(Error::Config(format!("Mixture: lengths[{at}] must be 1 or more, not 0")));
        }
        let samples = lengths.iter().try_fold(0_u64, |sum, length| sum.checked_add(*length));
        let samples = samples.ok_or_else(|| Error::config("Mixture: lengths are too large"))?;
        let num_samples = positive("Mixture", num_samples)?.unwrap_or(samples);
        let Turns { table, counts } = Turns::new(weights, num_samples);
        Ok((Self::new(OrderKind::Mixture { lengths: lengths.into(), counts }, &table), table))
    }

    /// Returns how many bytes the table of a mixture has, of so many parts and positions.
    pub fn mixture_bytes(parts: usize, num_samples: u64) -> u64 {
        Turns::bytes(parts, num_samples)
    }

    /// Returns the name of the order.
    pub fn name(&self) -> &'static str {
        match self.kind {
            OrderKind::Weighted { .. } => "Weighted",
            OrderKind::Repeated { .. } => "Repeated",
            OrderKind::Explicit { .. } | OrderKind::Listed { .. } => "Explicit",
            OrderKind::Mixture { .. } => "Mixture",
        }
    }

    /// Returns what tells it from another order.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Tells whether it has a table.
    pub fn has_table(&self) -> bool {
        match self.kind {
            OrderKind::Repeated { .. } | OrderKind::Listed { .. } => false,
            OrderKind::Weighted { .. } | OrderKind::Explicit { .. } | OrderKind::Mixture { .. } => true,
        }
    }

    /// Returns the bytes of its table.
    pub(super) fn table_bytes(&self) -> u64 {
        match &self.kind {
            OrderKind::Repeated { .. } | OrderKind::Listed { .. } => 0,
            OrderKind::Weighted { weights, .. } => weights * 16,
            OrderKind::Explicit { indices, .. } => indices * 8,
            OrderKind::Mixture { lengths, counts } => Turns::bytes(lengths.len(), counts.iter().sum()),
        }
    }

    /// Checks that it is one of a source of so many samples.
    pub(super) fn check(&self, samples: u64) -> Result<()> {
        let what = match &self.kind {
            OrderKind::Weighted { weights, .. } if *weights != samples => format!(
                "Weighted with {weights} weights, and the source has {samples} samples: give one weight for each"
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
            | OrderKind::Repeated { .. }
            | OrderKind::Explicit { .. }
            | OrderKind::Listed { .. }
            | OrderKind::Mixture { .. } => return Ok(()),
        };
        Err(Error::Config(format!("Loader: order is {what}")))
    }
}

/// Returns how many positions there are to be, unless that is none.
fn positive(name: &str, num_samples: Option<u64>) -> Result<Option<u64>> {
    if num_samples == Some(0) {
        return Err(Error::Config(format!("{name}: num_samples must be 1 or more, not 0")));
    }
    Ok(num_samples)
}

fn check_weights(name: &str, weights: &[f64], allowed: fn(f64) -> bool, meaning: &str) -> Result<()> {
    match weights.iter().position(|weight| !weight.is_finite() || !allowed(*weight)) {
        None => Ok(()),
        Some(at) => {
            Err(Error::Config(format!("{name}: weights[{at}] must be a finite number, {meaning}, not {}", weights[at])))
        }
    }
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
