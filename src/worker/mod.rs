//! The child that fills slots.
//!
//! A worker receives runs of rows, makes each row's sample and writes it in place. Where samples come from a
//! device, one thread reads ahead while the worker's own rayon pool decodes. A worker ends when the coordinator
//! does: when its socket closes, or when the kernel kills it.

mod fill;
mod in_flight;
mod report;
mod serve;

pub use self::{
    fill::{Candidate, Filler, RowTask},
    report::{Quarantine, RowFailure, RunReport},
    serve::Worker,
};
