//! The order of samples as a pure function of (seed, epoch, position), and how ranks and batches cut it.
//!
//! Nothing here depends on workers: any process can compute which sample belongs in which row.

mod audit;
mod blocks;
mod even;
mod order;
mod partition;
mod permutation;
mod shares;

pub use self::{
    audit::{Audit, Fault, RankShare},
    blocks::Blocks,
    even::Even,
    order::{Order, Shuffle},
    partition::{ENDLESS, Partition, Sampler},
    permutation::Permutation,
    shares::Shares,
};
