//! What is left of an epoch that was begun with other cuts.

use serde::{Deserialize, Serialize};

use super::cut_spec::Rule;

/// A cut with which an epoch was begun, or continued, before another one took its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// What it was.
    pub rule: Rule,
    /// How many of its groups are behind.
    pub cursor: u64,
}

/// The positions of an epoch that are left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// In rising order.
    pub(super) positions: Vec<u32>,
    /// How many values of the sample at the first one are behind.
    pub(super) had: u32,
}

impl Rest {
    /// Returns what of each position of the epoch is behind: all of it, some of its values, or nothing.
    pub(super) fn behind(&self, positions: u64) -> Vec<Option<u32>> {
        let mut behind = vec![Some(u32::MAX); positions as usize];
        self.positions.iter().for_each(|&position| behind[position as usize] = None);
        if let Some(&first) = self.positions.first().filter(|_| self.had > 0) {
            behind[first as usize] = Some(self.had);
        }
        behind
    }
}
