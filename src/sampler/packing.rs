//! Which samples come together: in bins of one size, or in batches of like lengths. Pure functions of the lengths.

use std::{cmp::Reverse, collections::BTreeMap};

/// Puts things of these sizes into bins, each into the one that it fills best, the largest first ("best-fit decreasing"). No
/// bin gets more than `most` of them.
///
/// Returns the numbers of the things in each bin, in their order.
pub(super) fn best_fit(sizes: &[u32], room: u32, most: u32) -> Vec<Vec<u32>> {
    let mut bins: Vec<Vec<u32>> = Vec::new();
    let mut by_room: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for thing in largest_first(sizes) {
        let size = sizes[thing as usize];
        let found = by_room.range_mut(size..).next().and_then(|(&left, at)| Some((left, at.pop()?, at.is_empty())));
        let (left, bin) = if let Some((left, bin, was_last)) = found {
            if was_last {
                by_room.remove(&left);
            }
            (left, bin)
        } else {
            bins.push(Vec::new());
            (room, bins.len() as u32 - 1)
        };
        let things = &mut bins[bin as usize];
        things.push(thing);
        if (things.len() as u32) < most {
            by_room.entry(left.saturating_sub(size)).or_default().push(bin);
        }
    }
    in_order(bins)
}

/// As [`best_fit`], but each into the first bin with room for it ("first-fit decreasing").
pub(super) fn first_fit(sizes: &[u32], room: u32, most: u32) -> Vec<Vec<u32>> {
    let mut bins: Vec<Vec<u32>> = vec![Vec::new(); sizes.len()];
    let leaves = sizes.len().next_power_of_two();
    // Each node has the largest room of the bins below it. There are never more bins than things.
    let mut rooms = vec![Some(room); 2 * leaves];
    for thing in largest_first(sizes) {
        let size = sizes[thing as usize];
        let mut node = 1;
        while node < leaves {
            node *= 2;
            node += usize::from(rooms[node].is_none_or(|room| room < size));
        }
        let things = &mut bins[node - leaves];
        things.push(thing);
        let left = rooms[node].map(|room| room.saturating_sub(size));
        rooms[node] = left.filter(|_| (things.len() as u32) < most);
        while node > 1 {
            node /= 2;
            rooms[node] = rooms[2 * node].max(rooms[2 * node + 1]);
        }
    }
    bins.retain(|things| !things.is_empty());
    in_order(bins)
}

fn largest_first(sizes: &[u32]) -> Vec<u32> {
    let mut things: Vec<u32> = (0..sizes.len() as u32).collect();
    things.sort_by_key(|thing| Reverse(sizes[*thing as usize]));
    things
}

fn in_order(mut bins: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    for things in &mut bins {
        things.sort_unstable();
    }
    bins
}

/// Cuts things of these sizes into batches of no more than `most`, one after the other, or from the smallest to the largest.
/// `fits` says whether so many things, of which the largest and all together have these sizes, are one batch.
///
/// Returns the numbers of the things in each batch, in their order.
pub(super) fn batches(sizes: &[u32], sorted: bool, most: u32, fits: impl Fn((u64, u32, u64)) -> bool) -> Vec<Vec<u32>> {
    let mut things: Vec<u32> = (0..sizes.len() as u32).collect();
    if sorted {
        things.sort_by_key(|thing| sizes[*thing as usize]);
    }
    let mut made: Vec<Vec<u32>> = Vec::new();
    let (mut batch, mut largest, mut sum) = (Vec::new(), 0, 0);
    for thing in things {
        let size = sizes[thing as usize];
        let count = batch.len() as u64 + 1;
        if count > 1 && (count > u64::from(most) || !fits((count, size.max(largest), sum + u64::from(size)))) {
            made.push(std::mem::take(&mut batch));
            (largest, sum) = (0, 0);
        }
        batch.push(thing);
        (largest, sum) = (size.max(largest), sum + u64::from(size));
    }
    if !batch.is_empty() {
        made.push(batch);
    }
    in_order(made)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Fit = fn(&[u32], u32, u32) -> Vec<Vec<u32>>;
    const FITS: [Fit; 2] = [best_fit, first_fit];

    #[test]
    fn bins_are_those_of_the_textbook() {
        // Johnson's example: the largest first, 6 4 | 5 4 | 3 3 2 ... into bins of 10.
        assert_eq!(first_fit(&[4, 6, 5, 3, 2], 10, 9), [vec![0, 1], vec![2, 3, 4]]);
        // One goes into the bin that it fills, or into the first one with room for it.
        assert_eq!(best_fit(&[1, 8, 5, 4], 10, 9), [vec![1], vec![0, 2, 3]]);
        assert_eq!(first_fit(&[1, 8, 5, 4], 10, 9), [vec![0, 1], vec![2, 3]]);
        for fit in FITS {
            assert_eq!(fit(&[], 10, 9), Vec::<Vec<u32>>::new());
            assert_eq!(fit(&[0, 0, 0], 10, 2), [vec![0, 1], vec![2]]);
            assert_eq!(fit(&[10], 10, 1), [vec![0]]);
        }
    }

    #[test]
    fn batches_are_of_like_sizes() {
        let padded = |(count, largest, _): (u64, u32, u64)| count * u64::from(largest) <= 12;
        assert_eq!(batches(&[6, 1, 5, 2, 12, 1], true, 9, padded), [vec![1, 3, 5], vec![0, 2], vec![4]]);
        assert_eq!(batches(&[6, 1, 5, 2, 12, 1], false, 9, padded), [vec![0, 1], vec![2, 3], vec![4], vec![5]]);
        let dense = |(_, _, sum): (u64, u32, u64)| sum <= 12;
        assert_eq!(batches(&[6, 1, 5, 2, 12, 1], false, 9, dense), [vec![0, 1, 2], vec![3], vec![4], vec![5]]);
        assert_eq!(batches(&[1; 5], true, 2, padded), [vec![0, 1], vec![2, 3], vec![4]]);
    }

    proptest! {
        #[test]
        fn each_thing_is_in_one_bin_that_has_room(
            sizes in prop::collection::vec(0_u32..=50, 0..200), most in 1_u32..20, sorted: bool,
        ) {
            let cut = batches(&sizes, sorted, most, |(_, _, sum)| sum <= 50);
            for bins in [best_fit(&sizes, 50, most), first_fit(&sizes, 50, most), cut] {
                for bin in &bins {
                    prop_assert!(!bin.is_empty() && bin.len() <= most as usize && bin.is_sorted());
                    prop_assert!(bin.iter().map(|thing| sizes[*thing as usize]).sum::<u32>() <= 50);
                }
                let mut all: Vec<u32> = bins.concat();
                all.sort_unstable();
                prop_assert_eq!(all, (0..sizes.len() as u32).collect::<Vec<_>>());
            }
        }

        /// No more than 11/9 of the bins that there must be, and one.
        #[test]
        fn bins_are_well_filled(sizes in prop::collection::vec(1_u32..=50, 1..300)) {
            let least = sizes.iter().sum::<u32>().div_ceil(50) as usize;
            let large = sizes.iter().filter(|size| **size > 25).count();
            for fit in FITS {
                let bins = fit(&sizes, 50, u32::MAX).len();
                prop_assert!(bins * 9 <= 17 * least.max(large) + 9, "{} bins for {}", bins, least.max(large));
            }
        }
    }
}
