//! The trainer's side: a loader that hands out batches.

mod batch;
mod batches;
mod builder;
mod columns;
mod description;
mod handle;
mod inline;
mod input;
mod launch;
mod lock;
mod planner;
mod pool;
mod pool_handle;
mod pulse;
mod ranks;
mod resume;
mod shared_cut;
mod shared_order;
mod shared_source;
mod slots;
mod state;
mod stats;
mod table;
mod tick;

pub use self::{
    batch::{Batch, Element, Ragged},
    batches::Batches,
    builder::Builder,
    columns::{BoundingBoxes, Column, Entry, Images, KeyPoints, Lists, Masks, Texts},
    description::Description,
    handle::Loader,
    input::Input,
    launch::{Launch, init, serve_posted_stdin, serve_stdin},
    ranks::{Ranks, auto_workers},
    shared_cut::SharedCut,
    shared_order::SharedOrder,
    shared_source::{Columns, Parts, Runs, Shards, SharedSource, TokenWindows, Values, shared_pieces},
    state::{CutState, OrderState, State},
    stats::Stats,
    table::Table,
    tick::Tick,
};
