//! The notes that workers write beside their rows: how far each one is. They are hints.

use super::event::RowInHand;
use crate::{
    protocol::Run,
    shm::{Arena, Progress},
};

/// Returns the rows of some runs that are this far, by their worker's notes.
pub(super) fn rows_at(runs: &[Run], arena: &Arena, wanted: Progress) -> Vec<RowInHand> {
    let rows = |&Run { slot, first_row, rows }: &Run| {
        let progress = arena.progress(slot, first_row as usize..(first_row + rows) as usize).unwrap_or_default();
        let at = (first_row..).zip(progress).filter(move |(_, progress)| *progress == wanted);
        at.filter_map(move |(row, _)| Some(RowInHand { slot, row, index: arena.index(slot, row).ok()? }))
    };
    runs.iter().flat_map(rows).collect()
}
