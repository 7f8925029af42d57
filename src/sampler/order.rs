//! Which orders of an epoch there are.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    blocks::{BlockOrder, Blocks},
    given::{Given, GivenEpoch},
    permutation::Permutation,
};

/// What a user asks for; as data, `false`, `true` or `"blocks"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Spelled", into = "Spelled")]
#[non_exhaustive]
pub enum Shuffle {
    /// The order of the source.
    #[default]
    No,
    /// A random order of all samples.
    Samples,
    /// A random order of the source's [`Blocks`], and of the samples of some blocks at a time.
    Blocks,
}

impl From<bool> for Shuffle {
    fn from(shuffle: bool) -> Self {
        if shuffle { Self::Samples } else { Self::No }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Spelled {
    Is(bool),
    By(Unit),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unit {
    Blocks,
}

impl From<Spelled> for Shuffle {
    fn from(spelled: Spelled) -> Self {
        match spelled {
            Spelled::Is(shuffle) => shuffle.into(),
            Spelled::By(Unit::Blocks) => Self::Blocks,
        }
    }
}

impl From<Shuffle> for Spelled {
    fn from(shuffle: Shuffle) -> Self {
        match shuffle {
            Shuffle::No => Self::Is(false),
            Shuffle::Samples => Self::Is(true),
            Shuffle::Blocks => Self::By(Unit::Blocks),
        }
    }
}

/// How the samples of every epoch are ordered.
#[derive(Clone, Debug)]
pub enum Order {
    /// As the source has them.
    Source,
    /// Shuffled anew for each epoch.
    Shuffled,
    /// Shuffled anew for each epoch, block by block.
    Blocks(Arc<Blocks>),
    /// As somebody says.
    Given(Given),
}

impl Order {
    /// Tells whether the first samples alone have an order that takes nothing but their number to know.
    pub fn goes_on_when_grown(&self) -> bool {
        match self {
            Self::Source | Self::Shuffled | Self::Blocks(_) => true,
            Self::Given(order) => order.goes_on_when_grown(),
        }
    }

    /// Returns the same order over the first samples alone.
    pub(super) fn of_first(&self, samples: u64) -> Self {
        match self {
            Self::Source | Self::Shuffled | Self::Given(_) => self.clone(),
            Self::Blocks(blocks) => Self::Blocks(Arc::new(blocks.of_first(samples))),
        }
    }

    /// Returns how many positions an epoch has over a source of so many samples.
    pub(super) fn positions(&self, samples: u64) -> u64 {
        match self {
            Self::Source | Self::Shuffled | Self::Blocks(_) => samples,
            Self::Given(order) => order.positions(samples),
        }
    }

    /// Tells whether an epoch has each sample of the source once.
    pub(super) fn is_permutation(&self) -> bool {
        match self {
            Self::Source | Self::Shuffled | Self::Blocks(_) => true,
            Self::Given(_) => false,
        }
    }

    /// Tells whether the order is a random one.
    pub(super) fn is_random(&self) -> bool {
        match self {
            Self::Source => false,
            Self::Shuffled | Self::Blocks(_) => true,
            Self::Given(order) => order.is_random(),
        }
    }

    /// Tells whether it is known which samples an epoch has.
    pub(super) fn is_known(&self, epoch: u64) -> bool {
        match self {
            Self::Source | Self::Shuffled | Self::Blocks(_) => true,
            Self::Given(order) => order.is_known(epoch),
        }
    }

    /// Tells whether it draws the indices of each epoch by itself.
    pub(super) fn draws_indices(&self) -> bool {
        match self {
            Self::Source | Self::Shuffled | Self::Blocks(_) => false,
            Self::Given(order) => order.draws_indices(),
        }
    }

    /// Returns the same order, which knows what an epoch has, as far as it draws that itself.
    pub(super) fn with_drawn(&self, seed: u64, epoch: u64) -> Self {
        match self {
            Self::Source | Self::Shuffled | Self::Blocks(_) => self.clone(),
            Self::Given(order) => Self::Given(order.with_drawn(seed, epoch)),
        }
    }

    /// Tells whether a sample may come twice in an epoch.
    pub fn repeats(&self) -> bool {
        match self {
            Self::Source | Self::Shuffled | Self::Blocks(_) => false,
            Self::Given(order) => order.repeats(),
        }
    }

    /// Returns the order of an epoch over `len` samples.
    pub(super) fn of_epoch(&self, len: u64, seed: u64, epoch: u64) -> EpochOrder {
        match self {
            Self::Source => EpochOrder::Source,
            Self::Shuffled => EpochOrder::Shuffled(Permutation::new(len, seed, epoch)),
            Self::Blocks(blocks) => EpochOrder::Blocks(BlockOrder::new(blocks, seed, epoch)),
            Self::Given(order) => EpochOrder::Given(order.of_epoch(len, seed, epoch)),
        }
    }
}

/// The order of one epoch.
#[derive(Clone, Debug)]
pub(super) enum EpochOrder {
    Source,
    Shuffled(Permutation),
    Blocks(BlockOrder),
    Given(GivenEpoch),
}

impl EpochOrder {
    /// Tells whether samples at positions near each other lie near each other in the source.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Source | Self::Blocks(_) => true,
            Self::Shuffled(_) | Self::Given(_) => false,
        }
    }

    /// Tells whether no other window of blocks begins between a position and the epoch's end, where the order has any.
    pub(super) fn is_near_end(&self, position: u64) -> bool {
        match self {
            Self::Source | Self::Shuffled(_) | Self::Given(_) => true,
            Self::Blocks(order) => order.is_in_last_window(position),
        }
    }

    /// Returns the sample at a position.
    pub(super) fn get(&self, position: u64) -> u64 {
        match self {
            Self::Source => position,
            Self::Shuffled(order) => order.get(position),
            Self::Blocks(order) => order.get(position),
            Self::Given(order) => order.get(position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_spelled_as_in_python() {
        for (shuffle, json) in [(Shuffle::No, "false"), (Shuffle::Samples, "true"), (Shuffle::Blocks, "\"blocks\"")] {
            assert_eq!(serde_json::to_string(&shuffle).unwrap(), json);
            assert_eq!(serde_json::from_str::<Shuffle>(json).unwrap(), shuffle);
        }
        assert!(serde_json::from_str::<Shuffle>("\"rows\"").is_err());
    }
}
