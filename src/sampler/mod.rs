//! The order of samples as a pure function of (seed, epoch, position), and how ranks and batches cut it.
//!
//! Nothing here depends on workers: any process can compute which sample belongs in which row.

mod audit;
mod blocks;
mod curriculum;
mod even;
mod given;
mod lists;
mod mixture;
mod mixture_spec;
mod order;
mod order_spec;
mod pacing;
mod partition;
mod permutation;
mod shares;
mod table;
mod weighted;
mod weighted_once;
mod weights;

pub use self::{
    audit::{Audit, Fault, RankShare},
    blocks::Blocks,
    even::Even,
    given::Given,
    order::{Order, Shuffle},
    order_spec::OrderSpec,
    pacing::Pacing,
    partition::{ENDLESS, Partition, Sampler},
    permutation::Permutation,
    shares::Shares,
    table::Table,
};
