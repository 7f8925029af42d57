//! Datasets that are iterated: where in its stream a process is.

use pyo3::{exceptions::PyStopIteration, intern, prelude::*};
use serde::Deserialize;

use crate::{
    error::{Failure, Stage},
    python::{
        error::failed,
        forks::end_if_left,
        randomness::{Randomness, SEEDS_OP},
    },
    rng::Key,
    source::StreamEnd,
    sys::report,
};

/// Sets the seeds of streams apart from all other draws.
const STREAMS_OP: u64 = u64::MAX - 4;

/// How the samples of all streams are counted: a batch of each stream after the other, and the ranks in turn.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Turns {
    batch_size: u64,
    /// How many streams there are on each rank.
    streams: u64,
    world_size: u64,
}

impl Turns {
    /// Returns of which stream a sample is, and how many of it come before.
    fn of(self, index: u64) -> (u64, u64) {
        let nth = index / self.world_size;
        let (turn, row) = (nth / self.batch_size, nth % self.batch_size);
        (turn % self.streams, turn / self.streams * self.batch_size + row)
    }

    /// Returns the number of a sample at a position of the stream that another one is of.
    fn index(self, other: u64, position: u64) -> u64 {
        let turn = position / self.batch_size * self.streams + self.of(other).0;
        (turn * self.batch_size + position % self.batch_size) * self.world_size + other % self.world_size
    }

    /// Returns whose random numbers a sample draws: those of its position, rank and stream.
    fn key(self, key: Key) -> Key {
        let (stream, position) = self.of(key.index);
        let whose = key.index % self.world_size * self.streams + stream;
        let seed = Key { index: whose, ..key }.rng(STREAMS_OP).below(u64::MAX);
        Key { seed, index: position, ..key }
    }

    /// Returns what to call a sample in an error.
    pub(super) fn name(self, index: u64) -> String {
        let (stream, position) = self.of(index);
        format!("sample {position} of stream {stream}")
    }
}

/// Where a process is in its stream.
#[derive(Debug, Default)]
struct Reached {
    epoch: Option<u64>,
    /// How many samples have been asked for.
    position: u64,
    is_begun: bool,
    /// Whether the last sample has failed.
    has_failed: bool,
    end: Option<StreamEnd>,
}

/// The stream of this process: what iterates over the dataset.
pub(super) struct Stream {
    samples: Py<PyAny>,
    turns: Turns,
    reached: Reached,
    /// Whether the last sample that was asked for is behind the end.
    is_past: bool,
}

impl Stream {
    /// Returns the stream of a process over the dataset of a loader's code.
    pub(super) fn of(py: Python<'_>, code: &Bound<'_, PyAny>, turns: Turns) -> PyResult<Self> {
        let samples = py.import("stokehold.user.streams")?.getattr("Stream")?.call1((code,))?.unbind();
        Ok(Self { samples, turns, reached: Reached::default(), is_past: false })
    }

    /// Returns the sample that has to be asked for before this one; none where this one is next.
    pub(super) fn behind(&mut self, key: Key) -> Option<Key> {
        let (_, position) = self.turns.of(key.index);
        if self.reached.epoch != Some(key.epoch) || self.reached.position > position {
            self.reached = Reached { epoch: Some(key.epoch), ..Reached::default() };
        }
        let is_behind = self.reached.end.is_none() && self.reached.position < position;
        is_behind.then(|| Key { index: self.turns.index(key.index, self.reached.position), ..key })
    }

    /// Tells how the stream has ended, where the last sample that was asked for is behind that.
    pub(super) fn ended(&self) -> Option<StreamEnd> {
        self.reached.end.filter(|_| self.is_past)
    }

    /// Asks for this sample, which is next.
    pub(super) fn next<'py>(
        &mut self,
        py: Python<'py>,
        key: Key,
        randomness: Option<&Randomness>,
    ) -> Result<Bound<'py, PyAny>, Failure> {
        self.is_past = self.reached.end.is_some();
        if self.is_past {
            return Err(over());
        }
        let samples = self.samples.bind(py);
        if !self.reached.is_begun {
            self.reached.is_begun = true;
            let seeded = randomness.map_or(Ok(()), |randomness| {
                // What is drawn for the whole stream is set apart from what its samples draw.
                let key = self.turns.key(key);
                randomness.seed(py, Key { index: u64::MAX, ..key }, SEEDS_OP)
            });
            if let Err(error) = seeded.and_then(|()| samples.call_method1(intern!(py, "begin"), (key.epoch,)).map(drop))
            {
                end_if_left();
                // It would raise that for each sample.
                self.reached.end = Some(StreamEnd::Clean);
                return Err(failed(py, &error));
            }
        }
        let made = randomness
            .map_or(Ok(()), |randomness| randomness.seed(py, self.turns.key(key), SEEDS_OP))
            .and_then(|()| samples.call_method0(intern!(py, "next")));
        end_if_left();
        self.reached.position += 1;
        match made {
            Ok(sample) => {
                self.reached.has_failed = false;
                Ok(sample)
            }
            Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
                self.reached.end = Some(self.end(py));
                self.is_past = true;
                Err(over())
            }
            Err(error) => {
                self.reached.has_failed = true;
                Err(failed(py, &error))
            }
        }
    }

    /// Tells how the stream has ended, now that it has.
    fn end(&self, py: Python<'_>) -> StreamEnd {
        if !self.reached.has_failed {
            return StreamEnd::Clean;
        }
        let is_generator = self.samples.call_method0(py, intern!(py, "is_generator")).and_then(|is| is.extract(py));
        if is_generator.unwrap_or(false) {
            return StreamEnd::Broken;
        }
        report::report(
            "the iterator of the dataset ended right behind a sample that had failed: if that has ended it, what its worker had \
             left of the epoch is lost",
        );
        StreamEnd::Clean
    }
}

fn over() -> Failure {
    Failure::new(Stage::Read, "the stream has ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_counted_in_turn_and_back() {
        for turns in [(1, 1, 1), (4, 3, 1), (3, 2, 4)] {
            let turns = Turns { batch_size: turns.0, streams: turns.1, world_size: turns.2 };
            for index in 0..200 {
                assert_eq!(turns.index(index, turns.of(index).1), index);
            }
        }
        let turns = Turns { batch_size: 2, streams: 2, world_size: 1 };
        let found: Vec<_> = (0..8).map(|index| turns.of(index)).collect();
        assert_eq!(found, [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3)]);
    }

    #[test]
    fn ranks_streams_and_positions_draw_differently() {
        let turns = Turns { batch_size: 2, streams: 2, world_size: 2 };
        let keys: Vec<Key> = (0..16).map(|index| turns.key(Key { seed: 1, epoch: 0, index })).collect();
        for (at, key) in keys.iter().enumerate() {
            assert!(keys[..at].iter().all(|other| other != key), "{key:?}");
        }
    }
}
