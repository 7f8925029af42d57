//! The groups of an epoch, as one piece of memory that all processes share: which positions come together.

use super::table::Table;

/// A sample of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Where it stands in the epoch's order.
    pub(super) position: u32,
    /// How long the whole sample is; 0 where lengths decide nothing.
    pub(super) length: u32,
}

/// Groups that are being made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Where the members of each group end.
    ends: Vec<u32>,
    /// What of the first member of each group an earlier one has.
    skips: Vec<u32>,
    members: Vec<Member>,
}

impl Plan {
    /// Adds a group, of whose first member an earlier one has so much.
    pub(super) fn push(&mut self, members: impl IntoIterator<Item = Member>, skip: u32) {
        self.members.extend(members);
        self.ends.push(self.members.len() as u32);
        self.skips.push(skip);
    }

    /// Returns the memory of the groups.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let words = self.ends.iter().chain(&self.skips).copied();
        let words = words.chain(self.members.iter().flat_map(|member| [member.position, member.length]));
        let header = (self.ends.len() as u64).to_ne_bytes();
        header.into_iter().chain(words.flat_map(u32::to_ne_bytes)).collect()
    }
}

/// The groups of an epoch.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    table: Table,
    count: u64,
}

impl Groups {
    const HEADER: u64 = size_of::<u64>() as u64;

    /// Returns the groups that lie in a table, which a [`Plan`] has made.
    pub(super) fn of(table: Table) -> Self {
        let count = table.word(0);
        Self { table, count }
    }

    /// Returns no groups.
    pub(super) fn none() -> Self {
        Self::of(Table::new(Vec::new()))
    }

    /// Returns the number of groups.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Returns the number of members of all groups.
    pub(super) fn members(&self) -> u64 {
        self.count.checked_sub(1).map_or(0, |last| self.end(last))
    }

    /// Returns the `u32` of this number behind the header.
    fn half(&self, number: u64) -> u32 {
        self.table.half_at((Self::HEADER + 4 * number) as usize)
    }

    fn end(&self, group: u64) -> u64 {
        self.half(group).into()
    }

    /// Returns the number of the first member of a group, among those of all groups.
    pub(super) fn start(&self, group: u64) -> u64 {
        group.checked_sub(1).map_or(0, |before| self.end(before))
    }

    /// Returns how many members a group has.
    pub(super) fn size(&self, group: u64) -> u32 {
        self.end(group).saturating_sub(self.start(group)) as u32
    }

    /// Returns what of the first member of a group an earlier one has.
    pub(super) fn skip(&self, group: u64) -> u32 {
        self.half(self.count + group)
    }

    /// Returns the member of this number, among those of all groups.
    pub(super) fn member(&self, number: u64) -> Member {
        let at = 2 * (self.count + number);
        Member { position: self.half(at), length: self.half(at + 1) }
    }

    /// Returns the members of a group.
    pub(super) fn of_group(&self, group: u64) -> impl Iterator<Item = Member> {
        (self.start(group)..self.end(group)).map(|number| self.member(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_as_they_were_written() {
        let member = |position, length| Member { position, length };
        let lists = [vec![member(3, 9), member(1, 0)], vec![], vec![member(1, 7)]];
        let mut plan = Plan::default();
        lists.iter().zip([0, 0, 4]).for_each(|(list, skip)| plan.push(list.iter().copied(), skip));
        let groups = Groups::of(Table::new(plan.bytes()));
        assert_eq!((groups.count(), groups.members()), (3, 3));
        for (group, list) in (0..).zip(&lists) {
            assert_eq!(&groups.of_group(group).collect::<Vec<_>>(), list);
            assert_eq!(groups.size(group) as usize, list.len());
        }
        assert_eq!([0, 1, 2].map(|group| (groups.start(group), groups.skip(group))), [(0, 0), (2, 0), (2, 4)]);
        assert_eq!((Groups::none().count(), Groups::none().members()), (0, 0));
    }
}
