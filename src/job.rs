//! What a loader is to do, as data: it crosses from the trainer to the coordinator as JSON.

mod cut;

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::cut::{CutFields, MarkedField, PaddedField};
use crate::{
    budget::Budget,
    error::{Error, Result},
    pipeline::PipelineSpec,
    rng::Key,
    sampler::{Blocks, Cut, CutSpec, ENDLESS, Even, Given, Order, OrderSpec, Partition, Sampler, Shuffle, Table},
};

/// What becomes of a sample that cannot be read, decoded or transformed.
///
/// Batches stay full and deterministic in each case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OnError {
    /// Its batch raises the error; the iteration can go on with the next batch.
    #[default]
    Raise,
    /// Its row gets the next sample of the epoch's order that works, which so comes twice. With a cut by lengths, its span is left
    /// as padding.
    Skip,
    /// Its row gets a sample drawn from the whole source by (seed, epoch, index). That does not go with a cut by lengths.
    Replace,
}

impl OnError {
    /// Returns the sample that belongs in a row after `attempt` others have been given up.
    pub fn candidate(self, partition: &Partition, batch: u64, row: u32, attempt: u32) -> u64 {
        match self {
            Self::Replace if attempt > 0 => {
                let index = partition.index(batch, row, 0);
                let seed = partition.seed_of(batch, row);
                let mut draws = Key { seed, epoch: partition.epoch(), index }.rng(REPLACE_OP);
                for _ in 1..attempt {
                    draws.below(partition.len());
                }
                draws.below(partition.len())
            }
            Self::Raise | Self::Skip | Self::Replace => partition.index(batch, row, attempt),
        }
    }
}

/// Sets the draws of replacements apart from those of transforms and of the order.
const REPLACE_OP: u64 = u64::MAX - 1;

/// How many samples are tried for one row before its batch fails after all.
pub const MAX_ATTEMPTS: u32 = 16;

/// The most worker processes of a loader, decoding threads of a worker, and decoding threads of all workers.
const MAX_WORKERS: u64 = 1024;
const MAX_THREADS_OF_WORKER: u64 = 256;
const MAX_THREADS: u64 = 4096;

/// The parts of a loader's configuration that the workers and the coordinator need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Options {
    /// Rows of a batch; with a cut, its groups of samples.
    pub batch_size: u32,
    /// How samples become batches, where these are not so many samples each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<CutSpec>,
    /// Whether each epoch has its own random order, and of what.
    pub shuffle: Shuffle,
    /// Another order than those; its table, where it has one, lies in memory beside the description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderSpec>,
    /// The seed of every random choice.
    pub seed: u64,
    /// Whether samples that do not fill a batch on every rank are left out.
    pub drop_last: bool,
    /// What becomes of samples that cannot be shared out evenly among the ranks.
    #[serde(default)]
    pub even: Even,
    /// This trainer's number.
    pub rank: u32,
    /// The number of trainers.
    pub world_size: u32,
    /// Worker processes; 0 means that the trainer does the work itself.
    pub num_workers: u32,
    /// Decoding threads of each worker.
    pub threads_per_worker: u32,
    /// The most bytes that a sample may take while it is made; none for [`Budget::DEFAULT`].
    #[serde(default)]
    pub max_sample_bytes: Option<u64>,
    /// Whether workers that run code of the user are programs of their own, and not forks.
    #[serde(default)]
    pub spawns: bool,
    /// After so many batches' worth of rows, a worker ends and another one takes its seat; none for never.
    #[serde(default)]
    pub worker_batches: Option<u32>,
    /// The same where a worker's own memory has this many bytes.
    #[serde(default)]
    pub worker_memory_limit: Option<u64>,
    /// What becomes of bad samples.
    pub on_error: OnError,
    /// How long a worker may go without finishing a row before it is replaced; as data, in seconds.
    #[serde(with = "seconds")]
    pub stall_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch_size: 1,
            cut: None,
            shuffle: Shuffle::No,
            order: None,
            seed: 0,
            drop_last: false,
            even: Even::Pad,
            rank: 0,
            world_size: 1,
            num_workers: 0,
            threads_per_worker: 1,
            max_sample_bytes: None,
            spawns: false,
            worker_batches: None,
            worker_memory_limit: None,
            on_error: OnError::Raise,
            stall_timeout: Duration::from_mins(1),
        }
    }
}

/// A duration as a number of seconds.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        if seconds >= Duration::MAX.as_secs_f64() {
            // The longest one is not a round number of seconds, and was rounded up.
            return Ok(Duration::MAX);
        }
        Duration::try_from_secs_f64(seconds).map_err(|error| D::Error::custom(format!("{seconds} seconds: {error}")))
    }
}

impl Options {
    /// Checks each value by itself.
    ///
    /// # Errors
    /// [`Error::Config`] that names the option and what it may be.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            ("batch_size", self.batch_size),
            ("threads_per_worker", self.threads_per_worker),
            ("world_size", self.world_size),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(Error::Config(format!("{name} must be at least 1, not 0")));
        }
        if self.rank >= self.world_size {
            return Err(Error::Config(format!("rank {} is not below world_size {}", self.rank, self.world_size)));
        }
        self.validate_threads()?;
        self.validate_cut()?;
        if self.max_sample_bytes == Some(0) {
            return Err(Error::config("max_sample_bytes must be at least 1, not 0"));
        }
        if self.worker_batches == Some(0) {
            return Err(Error::config("worker_batches must be at least 1, not 0"));
        }
        if self.stall_timeout.is_zero() {
            return Err(Error::config("stall_timeout must be more than 0 seconds"));
        }
        Ok(())
    }

    /// So many that all processors of a large machine are busy; more of them do nothing but get in each other's way.
    fn validate_threads(&self) -> Result<()> {
        let Self { num_workers, threads_per_worker, .. } = *self;
        let counts = [
            ("num_workers", u64::from(num_workers), MAX_WORKERS),
            ("threads_per_worker", u64::from(threads_per_worker), MAX_THREADS_OF_WORKER),
            ("num_workers * threads_per_worker", u64::from(num_workers) * u64::from(threads_per_worker), MAX_THREADS),
        ];
        match counts.into_iter().find(|&(_, count, most)| count > most) {
            None => Ok(()),
            Some((name, count, most)) => Err(Error::Config(format!("{name} must be at most {most}, not {count}"))),
        }
    }

    /// Returns the budget of a sample, in bytes.
    pub fn sample_bytes(&self) -> u64 {
        self.max_sample_bytes.unwrap_or(Budget::DEFAULT)
    }

    /// Returns what samples in work may take together, as far as there is to be memory for it: each thread's budget where
    /// one was asked for. By default no more than one sample is supposed to be that large.
    pub fn bytes_in_work(&self) -> u64 {
        let Self { num_workers, threads_per_worker, max_sample_bytes, .. } = *self;
        let threads = u64::from(num_workers.max(1)) * u64::from(threads_per_worker);
        max_sample_bytes.map_or(Budget::DEFAULT, |bytes| bytes.saturating_mul(threads))
    }

    /// Returns in how many pieces of shared memory the order comes.
    pub fn tables(&self) -> usize {
        usize::from(self.order.as_ref().is_some_and(OrderSpec::has_table))
    }

    /// Returns the sampler over a source of `len` samples, which may have blocks; `table` is the order's.
    ///
    /// # Errors
    /// [`Error::Config`] where its blocks are to be shuffled and it has none, or the order or the cut is none of such a
    /// source.
    pub fn sampler(&self, len: u64, blocks: Option<Arc<Blocks>>, table: Option<Table>) -> Result<Sampler> {
        let Self { batch_size, shuffle, seed, drop_last, even, rank, world_size, .. } = *self;
        let order = match (&self.order, shuffle) {
            (Some(order), Shuffle::No) if len != ENDLESS => Order::Given(Given::open(order, table, len)?),
            (Some(_), Shuffle::No) => return Err(Error::config("order is for sources whose samples have numbers")),
            (Some(_), Shuffle::Samples | Shuffle::Blocks) => {
                return Err(Error::config("shuffle must be false where order says the order"));
            }
            (None, Shuffle::No) => Order::Source,
            (None, Shuffle::Samples) => Order::Shuffled,
            (None, Shuffle::Blocks) => Order::Blocks(blocks.ok_or_else(|| {
                Error::config(
                    "shuffle=\"blocks\" is for sources that are read in blocks (Parquet); this one takes True",
                )
            })?),
        };
        let cut = match &self.cut {
            Some(cut) if len == ENDLESS => {
                return Err(Error::Config(format!("{} is for sources whose samples have numbers", cut.name())));
            }
            Some(cut) => Some(Cut::open(cut, len)?),
            None => None,
        };
        let sampler = Sampler { cut, seed, batch_size, drop_last, even, rank, world_size, ..Sampler::new(len, order) };
        match &self.cut {
            Some(cut) if u32::try_from(sampler.positions(0)).is_err() => Err(Error::Config(format!(
                "{}: an epoch must have at most {} samples, not {}",
                cut.name(),
                u32::MAX,
                sampler.positions(0)
            ))),
            Some(_) | None => Ok(sampler),
        }
    }
}

/// Pipeline and options: all that a coordinator must know of a loader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoaderDescription {
    /// What makes a sample; none where the coordinator was forked and has the pipeline already.
    pub pipeline: Option<PipelineSpec>,
    /// In how many pieces of shared memory the functions come that the pipeline calls; none where it calls none, or they come
    /// with the source.
    #[serde(default)]
    pub functions: usize,
    /// How samples become batches.
    pub options: Options,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_threads_than_a_machine_can_use_are_refused() {
        let with = |num_workers, threads_per_worker| {
            Options { num_workers, threads_per_worker, ..Options::default() }
                .validate()
                .map_err(|error| error.to_string())
        };
        for (workers, threads) in [(0, 256), (1024, 4), (16, 256), (1024, 1)] {
            assert_eq!(with(workers, threads), Ok(()));
        }
        assert_eq!(with(0, 5000), Err("threads_per_worker must be at most 256, not 5000".into()));
        assert_eq!(with(1025, 1), Err("num_workers must be at most 1024, not 1025".into()));
        assert_eq!(with(1024, 5), Err("num_workers * threads_per_worker must be at most 4096, not 5120".into()));
        assert_eq!(with(u32::MAX, u32::MAX), Err(format!("num_workers must be at most 1024, not {}", u32::MAX)));
    }
}
