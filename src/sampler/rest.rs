//! What is left of an epoch that was begun with other cuts.

use serde::{Deserialize, Serialize};

use super::{
    cut::Ordered,
    cut_spec::{CutSpec, Rule},
    groups::Groups,
    partition::Sampler,
    table::Table,
};
use crate::error::{Error, Result};

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

impl Sampler {
    /// Returns what is left of an epoch by the lengths of all samples, after it was read with other cuts; none where it was not.
    ///
    /// # Errors
    /// [`Error::Config`] for a cut that could not be made, or had fewer groups.
    pub fn rest(&self, epoch: u64, lengths: &[u32], earlier: &[Earlier]) -> Result<Option<Rest>> {
        let mut rest = None;
        let lengths = first_of(lengths, self.samples_in(epoch));
        for Earlier { rule, cursor } in earlier {
            let spec = rule.of(lengths)?;
            let behind = self.ordered(epoch, lengths, rest.as_ref(), |ordered| behind(ordered, &spec, *cursor))?;
            let is_left = |&(_, had): &(u32, &Option<u32>)| had.is_none_or(|had| had < u32::MAX);
            let left = || (0..).zip(&behind).filter(is_left);
            let had = left().next().and_then(|(_, had)| *had).unwrap_or(0);
            rest = Some(Rest { positions: left().map(|(position, _)| position).collect(), had });
        }
        Ok(rest)
    }
}

/// Returns the lengths of the first samples, where lengths decide.
pub(super) fn first_of(lengths: &[u32], samples: u64) -> &[u32] {
    &lengths[..lengths.len().min(samples as usize)]
}

/// Returns what of each position is behind once so many groups of a cut are, as [`Rest::behind`] does.
fn behind(ordered: &Ordered<'_>, spec: &CutSpec, cursor: u64) -> Result<Vec<Option<u32>>> {
    let groups = Groups::of(Table::new(ordered.plan(spec)?.bytes()));
    if cursor > groups.count() {
        let (name, count) = (spec.name(), groups.count());
        return Err(Error::Config(format!("{name}: cursor {cursor}, and the epoch had {count} groups")));
    }
    let mut behind = match ordered.rest {
        Some(rest) => rest.behind(ordered.positions),
        None => vec![None; ordered.positions as usize],
    };
    for group in 0..cursor {
        for member in groups.of_group(group) {
            behind[member.position as usize] = Some(u32::MAX);
        }
        // What follows in the next row.
        let cut = spec.lengths().filter(|cut| cut.options().goes_on());
        for (member, span) in cut.into_iter().flat_map(|cut| groups.of_group(group).zip(cut.spans(&groups, group, 0))) {
            let had = span.skip + span.len;
            behind[member.position as usize] = Some(if had < member.length { had } else { u32::MAX });
        }
    }
    Ok(behind)
}
