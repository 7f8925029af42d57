//! Where the streams of an epoch end.

use crate::sampler::Partition;

/// The streams of an epoch, as far as it is known where they end.
#[derive(Debug)]
pub(super) struct Streams {
    /// The turn of the partition's first batch.
    first: u64,
    /// How many batches the stream of each seat has, where that is known.
    ends: Vec<Option<u64>>,
}

impl Streams {
    pub(super) fn new(partition: &Partition, seats: u32) -> Self {
        Self { first: partition.turn(0), ends: vec![None; seats as usize] }
    }

    /// Returns whose turn a batch is, and how many of that seat come before it.
    fn at(&self, batch: u64) -> (usize, u64) {
        let (turn, seats) = (self.first + batch, self.ends.len() as u64);
        ((turn % seats) as usize, turn / seats)
    }

    /// Returns the seat whose batch this is.
    pub(super) fn seat(&self, batch: u64) -> u32 {
        self.at(batch).0 as u32
    }

    /// Notes that this batch of a stream is its last one, or that it is not there any more.
    pub(super) fn end_at(&mut self, batch: u64, is_there: bool) {
        let (seat, before) = self.at(batch);
        let end = before + u64::from(is_there);
        self.ends[seat] = Some(self.ends[seat].map_or(end, |known| known.min(end)));
    }

    /// Tells whether a batch stands behind the end of its stream.
    pub(super) fn is_past(&self, batch: u64) -> bool {
        let (seat, before) = self.at(batch);
        self.ends[seat].is_some_and(|end| before >= end)
    }

    /// Tells whether it is known where each stream ends.
    pub(super) fn have_ended(&self) -> bool {
        self.ends.iter().all(Option::is_some)
    }

    /// Tells whether there is no batch from this one on.
    pub(super) fn are_over(&self, from: u64) -> bool {
        self.have_ended() && (from..from + self.ends.len() as u64).all(|batch| self.is_past(batch))
    }
}
