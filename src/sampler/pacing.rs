//! How many of the easiest samples may be drawn after so many positions.

use serde::{Deserialize, Serialize};

/// How the share of the samples that may be drawn rises from its beginning to all of them; as data, `"linear"` or `"root"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Pacing {
    /// By as much in each position.
    Linear,
    /// As the square root does: the share's square rises by as much in each position, so that what a position adds is less the
    /// more there are, and a sample that was added is drawn as often before the next one is.
    Root,
}

/// A pacing over a source and a number of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Paced {
    pub(super) pacing: Pacing,
    /// How many samples there are.
    pub(super) samples: u64,
    /// How many of them, the easiest ones, may be drawn at the beginning: at least one.
    pub(super) first: u64,
    /// After how many positions, of all epochs, all of them may be.
    pub(super) positions: u64,
}

impl Paced {
    /// Returns how many of the easiest samples may be drawn after so many positions: at least one.
    pub(super) fn eligible(&self, position: u128) -> u64 {
        if position >= u128::from(self.positions) {
            return self.samples;
        }
        // Sums, products and roots, which IEEE 754 rounds alike everywhere.
        let (progress, all, first) = (position as f64 / self.positions as f64, self.samples as f64, self.first as f64);
        let eligible = match self.pacing {
            Pacing::Linear => first + (all - first) * progress,
            Pacing::Root => (first * first + (all * all - first * first) * progress).sqrt(),
        };
        (eligible.ceil() as u64).clamp(self.first, self.samples)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_paces_are_those_of_their_formulas() {
        let at = |pacing, position| Paced { pacing, samples: 100, first: 10, positions: 1000 }.eligible(position);
        assert_eq!([0, 1, 500, 999, 1000, u128::MAX].map(|p| at(Pacing::Linear, p)), [10, 11, 55, 100, 100, 100]);
        // The root of 0.01 + 0.99 / 2 is 0.7106.
        assert_eq!([0, 1, 500, 999, 1000, u128::MAX].map(|p| at(Pacing::Root, p)), [10, 11, 72, 100, 100, 100]);
    }

    proptest! {
        #[test]
        fn a_pace_never_falls(
            samples in 1u64..1 << 50, first in 0.0..1.0, positions in 1u64..1 << 60, at in prop::array::uniform2(0.0..1.2), is_root: bool,
        ) {
            let first = ((samples as f64 * first) as u64).max(1);
            let pacing = if is_root { Pacing::Root } else { Pacing::Linear };
            let paced = Paced { pacing, samples, first, positions };
            let mut at = at.map(|share| (positions as f64 * share) as u128);
            at.sort_unstable();
            let [before, after] = at.map(|position| paced.eligible(position));
            prop_assert!(first <= before && before <= after && after <= samples, "{before} {after}");
            prop_assert_eq!(paced.eligible(u128::from(positions)), samples);
        }
    }
}
