//! How samples become batches where these are not so many samples each, as data.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    length_cut::{CutOptions, LengthCut, first_of},
    multi_scale::MultiScale,
};
use crate::error::Result;

/// How the samples of an epoch become groups, each of which is a batch or a part of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutSpec {
    /// By their lengths.
    Lengths(LengthCut),
    /// By the variant of each batch.
    Variants(MultiScale),
}

/// What decides which samples come together, but for their lengths: a [`CutSpec`] as a state tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// What a cut by lengths was told, without fields.
    Lengths(CutOptions),
    /// By the variant of each batch.
    Variants(MultiScale),
}

impl Rule {
    /// Returns the cut of samples of these lengths.
    ///
    /// # Errors
    /// Those of [`LengthCut::new`] and [`MultiScale::new`].
    pub(super) fn of(&self, lengths: &[u32]) -> Result<CutSpec> {
        Ok(match self {
            Self::Lengths(options) => CutSpec::Lengths(LengthCut::of_rule(options.clone(), lengths)?),
            Self::Variants(cut) => CutSpec::Variants(cut.checked()?),
        })
    }
}

impl CutSpec {
    /// Returns the name that errors have.
    pub fn name(&self) -> &str {
        match self {
            Self::Lengths(cut) => cut.name(),
            Self::Variants(cut) => cut.name(),
        }
    }

    /// Returns what decides which samples come together, but for their lengths.
    pub fn rule(&self) -> Rule {
        match self {
            Self::Lengths(cut) => Rule::Lengths(cut.options().rule()),
            Self::Variants(cut) => Rule::Variants(cut.clone()),
        }
    }

    /// Returns the cut by lengths, if it is one.
    pub fn lengths(&self) -> Option<&LengthCut> {
        match self {
            Self::Lengths(cut) => Some(cut),
            Self::Variants(_) => None,
        }
    }

    /// Returns the cut whose batches have variants, if it is one.
    pub fn variants(&self) -> Option<&MultiScale> {
        match self {
            Self::Lengths(_) => None,
            Self::Variants(cut) => Some(cut),
        }
    }

    /// Returns the same cut of the first samples of those whose lengths these are.
    ///
    /// # Errors
    /// Those of [`LengthCut::new`].
    pub fn of_first(&self, lengths: &[u32], samples: u64) -> Result<Cow<'_, Self>> {
        match self {
            Self::Lengths(cut) if cut.samples() != samples => {
                let cut = LengthCut::new(cut.options().clone(), first_of(lengths, samples))?;
                Ok(Cow::Owned(Self::Lengths(cut)))
            }
            Self::Lengths(_) | Self::Variants(_) => Ok(Cow::Borrowed(self)),
        }
    }

    /// Tells whether samples may be left out of all groups.
    pub(super) fn leaves_out(&self, drop_last: bool) -> bool {
        match self {
            Self::Lengths(cut) => cut.leaves_out(drop_last),
            Self::Variants(_) => drop_last,
        }
    }

    /// Tells whether a group is a batch; else it is a row, of which a batch has several.
    pub fn groups_are_batches(&self) -> bool {
        match self {
            Self::Lengths(cut) => cut.groups_are_batches(),
            Self::Variants(_) => true,
        }
    }

    /// Returns as many samples as `groups` groups usually have.
    pub(super) fn usual_samples(&self, groups: u32) -> u32 {
        match self {
            Self::Lengths(cut) => cut.usual_samples(groups),
            Self::Variants(cut) => cut.usual_samples().saturating_mul(groups),
        }
    }
}
