//! The child that fills slots.
//!
//! A worker receives runs of rows, makes each row's sample and writes it in place. Where samples come from a
//! device, one thread reads ahead while the worker's own rayon pool decodes. A worker ends when the coordinator
//! does: when its socket closes, or when the kernel kills it.

mod code;
mod fill;
mod in_flight;
mod learning;
mod reads;
mod report;
mod running;
mod serve;
mod spanned;
mod spawned;
mod stream;
mod term;

/// Runs that a worker may have at once: one in work and one waiting, so that it never idles for a message.
pub const LANES: usize = 2;

/// The most runs that a worker may have at once: where reads take long, one waits for many of them.
pub const MOST_LANES: usize = 32;

pub use self::{
    code::{OpenCode, OpenedCode},
    fill::{Candidate, Filler, RowTask},
    learning::{Answer, Learning, Question},
    reads::SLOW_READ,
    report::{Made, Quarantine, RowFailure, RunReport},
    serve::{Worker, take_in},
    spawned::{Place, Posting, serve_posted},
    term::{TERM_OVER, Term},
};
