//! The child that fills slots.
//!
//! A worker receives runs of rows, makes each row's sample and writes it in place. Where samples come from a
//! device, one thread reads ahead while the worker's own rayon pool decodes. A worker ends when the coordinator
//! does, whichever of the two signs it sees first: the end of its socket, or the signal that the kernel sends.

mod fill;
mod serve;

pub use self::{
    fill::{Candidate, Filler, Job as RowJob, Quarantine, RowFailure, RunText, Tally},
    serve::{Worker, run},
};
