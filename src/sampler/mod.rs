//! The order of samples as a pure function of (seed, epoch, position), and how ranks and batches cut it.
//!
//! Nothing here depends on workers: any process can compute which sample belongs in which row.

mod audit;
mod blocks;
mod curriculum;
mod cut;
mod cut_spec;
mod even;
mod given;
mod groups;
mod grown;
mod length_cut;
mod lists;
mod mixture;
mod mixture_spec;
mod multi_scale;
mod order;
mod order_spec;
mod pacing;
mod packing;
mod partition;
mod permutation;
mod planning;
mod rest;
mod shares;
mod spans;
mod table;
mod weighted;
mod weighted_once;
mod weights;

pub use self::{
    audit::{Audit, Fault, RankShare},
    blocks::Blocks,
    cut::Cut,
    cut_spec::{CutSpec, Rule},
    even::Even,
    given::Given,
    grown::Grown,
    length_cut::{CutField, CutOptions, Filling, Grouping, LengthCut, Mark, MarkField, TooLong},
    lists::KEPT_EPOCHS,
    multi_scale::MultiScale,
    order::{Order, Shuffle},
    order_spec::OrderSpec,
    pacing::Pacing,
    partition::{ENDLESS, Partition, Sampler},
    permutation::Permutation,
    rest::{Earlier, Rest},
    shares::Shares,
    spans::Span,
    table::Table,
};
