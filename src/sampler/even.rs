//! What becomes of samples that cannot be shared out evenly among the ranks.

use serde::{Deserialize, Serialize};

/// What becomes of the samples at the end of an epoch that cannot be shared out evenly among the ranks; as data,
/// `"pad"`, `"drop"` or `"uneven"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Even {
    /// The first samples of the order come again on the ranks that would get fewer, as in torch's `DistributedSampler`.
    #[default]
    Pad,
    /// They are left out: fewer of them than there are ranks.
    Drop,
    /// Each rank gets its own share, and some ranks a row more than others: perhaps a batch more.
    Uneven,
}

impl Even {
    /// Returns how many of so many positions a rank gets.
    pub(super) fn share(self, positions: u64, rank: u32, world_size: u32) -> u64 {
        let (rank, world) = (u64::from(rank), u64::from(world_size));
        match self {
            Self::Pad => positions.div_ceil(world),
            Self::Drop => positions / world,
            Self::Uneven => positions.saturating_sub(rank).div_ceil(world),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_is_spelled_as_in_python() {
        for (even, json) in [(Even::Pad, "\"pad\""), (Even::Drop, "\"drop\""), (Even::Uneven, "\"uneven\"")] {
            assert_eq!(serde_json::to_string(&even).unwrap(), json);
            assert_eq!(serde_json::from_str::<Even>(json).unwrap(), even);
        }
        assert!(serde_json::from_str::<Even>("\"odd\"").is_err());
    }

    #[test]
    fn shares_of_102_samples_on_4_ranks() {
        let of = |even: Even| (0..4).map(|rank| even.share(102, rank, 4)).collect::<Vec<_>>();
        assert_eq!(of(Even::Pad), [26; 4]);
        assert_eq!(of(Even::Drop), [25; 4]);
        assert_eq!(of(Even::Uneven), [26, 26, 25, 25]);
    }
}
