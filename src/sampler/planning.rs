//! Planning an epoch: which of its samples make a group.

use super::{
    cut::Ordered,
    cut_spec::CutSpec,
    groups::Groups,
    length_cut::first_of,
    partition::Sampler,
    rest::{Earlier, Rest},
    table::Table,
};
use crate::error::{Error, Result};

impl Sampler {
    /// Returns the groups of an epoch, for [`give_groups`](Self::give_groups): by the lengths of all samples, which are those
    /// that the cut was made with, where it was made with some. Where the epoch was read with `earlier` cuts, they are those of
    /// the rest. None where there is no cut, or its groups are known.
    ///
    /// # Errors
    /// Those of [`rest`](Self::rest), and [`Error::Config`] where the cut keeps samples whole, and one is half read.
    pub fn plan(&self, epoch: u64, lengths: &[u32], earlier: &[Earlier]) -> Result<Option<Vec<u8>>> {
        let Some(cut) = self.cut.as_ref().filter(|cut| !cut.is_known(epoch)) else { return Ok(None) };
        let rest = self.rest(epoch, lengths, earlier)?;
        let spec = cut.spec().of_first(lengths, self.samples_in(epoch))?;
        let plan = self.ordered(epoch, lengths, rest.as_ref(), |ordered| ordered.plan(&spec))?;
        Ok(Some(plan.bytes()))
    }

    /// Calls `with` with what the groups of an epoch, or of its rest, are made of.
    pub(super) fn ordered<T>(
        &self,
        epoch: u64,
        lengths: &[u32],
        rest: Option<&Rest>,
        with: impl FnOnce(&Ordered<'_>) -> T,
    ) -> T {
        let is_known = self.order.is_known(epoch);
        let order = if is_known { self.order.clone() } else { self.order.with_drawn(self.seed, epoch) };
        let Self { len, order, seed, drop_last, .. } = Self { order, ..self.clone() }.of_epoch(epoch);
        let (positions, is_random) = (order.positions(len), order.is_random());
        let order = &order.of_epoch(len, seed, epoch);
        with(&Ordered { order, positions, rest, is_random, lengths, seed, epoch, drop_last })
    }

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
