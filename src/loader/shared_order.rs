//! Orders of the trainer, with their tables where workers can see them.

use std::sync::Arc;

use super::shared_source::{bytes_of, shared};
use crate::{
    error::Result,
    sampler::{OrderSpec, Pacing, Table},
    sys::{limits, memory::SharedMemory},
};

/// An order of the samples of an epoch, beside those of [`Shuffle`](crate::Shuffle): which sample comes at a position is a
/// function of the seed, the epoch and the position.
///
/// Its table, where it has one, is made and shared once, here. Loaders over the same value share it.
#[derive(Clone, Debug)]
pub struct SharedOrder {
    spec: OrderSpec,
    memory: Option<Arc<SharedMemory>>,
}

impl SharedOrder {
    fn over((spec, table): (OrderSpec, Vec<u8>)) -> Result<Self> {
        let memory = if spec.has_table() { Some(shared(&table)?) } else { None };
        Ok(Self { spec, memory })
    }

    /// Draws each of `num_samples` positions by weight, with replacement, as torch's `WeightedRandomSampler` does; by default
    /// as many as there are weights, one for each sample of the source.
    ///
    /// The table takes 16 bytes for each weight, a draw the same time however many there are.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for weights that are negative, infinite, not numbers or all 0, or for no
    /// positions; [`Error::Memory`](crate::Error::Memory) where the table does not fit under a limit of this process.
    pub fn weighted(weights: &[f64], num_samples: Option<u64>) -> Result<Self> {
        Self::over(OrderSpec::weighted(weights, num_samples)?)
    }

    /// Draws `num_samples` positions by weight, without replacement, anew in each epoch; by default all samples whose weight is
    /// above 0. The first sample is drawn by weight, and each next one by weight among the others.
    ///
    /// The table takes 8 bytes for each weight, and each epoch 8 for each position, which the trainer makes before it begins.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for weights as above, for no positions, or for more than there are weights above 0;
    /// [`Error::Memory`](crate::Error::Memory) where the table does not fit under a limit of this process.
    pub fn weighted_once(weights: &[f64], num_samples: Option<u64>) -> Result<Self> {
        Self::over(OrderSpec::weighted_once(weights, num_samples)?)
    }

    /// Draws the easiest samples first, by a number for each sample of the source. `start`, above 0 and at most 1, is the share of
    /// them that may be drawn at the beginning; it rises as `pacing` says, and after `epochs` epochs of `num_samples` positions,
    /// by default one for each sample, all may be: competence-based curriculum learning of Platanios et al. (NAACL 2019).
    /// Samples as easy as each other may be drawn from the same position on. Once all may be, each comes once in as many
    /// positions as there are samples.
    ///
    /// The table takes 16 bytes for each sample.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where there are no difficulties, or one is infinite or not a number, for no
    /// positions, and where `start` or `epochs` are out of range; [`Error::Memory`](crate::Error::Memory) where the table does not
    /// fit under a limit of this process.
    pub fn curriculum(
        difficulty: &[f64],
        pacing: Pacing,
        (start, epochs): (f64, f64),
        num_samples: Option<u64>,
    ) -> Result<Self> {
        Self::over(OrderSpec::curriculum(difficulty, pacing, (start, epochs), num_samples)?)
    }

    /// Gives each sample of a shuffled order `times` times in a row, so that several ranks get it: the repeated augmentation
    /// of Hoffer et al. ("Augment your batch", CVPR 2020), as the `RASampler` of `DeiT` has it. An epoch has the first
    /// `num_samples` positions of that, by default all of them.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for no times, or no positions.
    pub fn repeated(times: u64, num_samples: Option<u64>) -> Result<Self> {
        Self::over(OrderSpec::repeated(times, num_samples)?)
    }

    /// Gives the samples of these indices, in their order, in every epoch.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where there are none; [`Error::Memory`](crate::Error::Memory) where they do not
    /// fit under a limit of this process.
    pub fn explicit(indices: &[u64]) -> Result<Self> {
        Self::over(OrderSpec::explicit(indices)?)
    }

    /// Gives the samples of so many indices, which are others in each epoch: [`Loader::give`](super::Loader::give) takes them,
    /// before an epoch begins.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where there are none.
    pub fn listed(indices: u64) -> Result<Self> {
        Self::over(OrderSpec::listed(indices)?)
    }

    /// Mixes parts of a source, which lie one after the other and are so long, by weight. The first n positions of an epoch
    /// have within 1 of n times its weight of each part; its samples come in passes over the part, shuffled each by itself,
    /// which go on from epoch to epoch. An epoch has `num_samples` positions, by default as many as there are samples.
    ///
    /// The table takes a byte for each position, and 8 for each part at every 256th.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for no parts or more than 256, not a weight for each, one that is not above 0,
    /// or an empty part; [`Error::Memory`](crate::Error::Memory) where the table does not fit under a limit of this process.
    pub fn mixture(weights: &[f64], lengths: &[u64], num_samples: Option<u64>) -> Result<Self> {
        Self::scheduled_mixture(&[(0, weights.to_vec())], lengths, num_samples)
    }

    /// The same with weights that hold from an epoch on, until the next ones do; those of epoch 0 come first. Passes go on where
    /// weights change. A state may be continued with other weights of epochs that had not begun. Where there are several, a weight
    /// may be 0, but not all of an epoch or of a part.
    ///
    /// The weights of each epoch take a table as above.
    ///
    /// # Errors
    /// As above; and [`Error::Config`](crate::Error::Config) where the epochs do not rise from 0.
    pub fn scheduled_mixture(stages: &[(u64, Vec<f64>)], lengths: &[u64], num_samples: Option<u64>) -> Result<Self> {
        let positions =
            num_samples.unwrap_or_else(|| lengths.iter().fold(0, |sum, length| sum.saturating_add(*length)));
        let bytes = OrderSpec::mixture_bytes(lengths.len(), positions, stages.len());
        limits::check_memory(bytes, "the table of a mixture", "take a smaller num_samples, and more epochs")?;
        Self::over(OrderSpec::scheduled_mixture(stages, lengths, num_samples)?)
    }

    /// Returns the order as data.
    pub(super) fn spec(&self) -> &OrderSpec {
        &self.spec
    }

    /// Returns the memory that the table lies in.
    pub(super) fn memory(&self) -> Option<&Arc<SharedMemory>> {
        self.memory.as_ref()
    }

    /// Returns the table.
    pub(super) fn table(&self) -> Option<Table> {
        self.memory.as_ref().map(|memory| Table::over(bytes_of(memory)))
    }
}
