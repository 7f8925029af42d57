//! A data-loader worker pool for deep learning.
//!
//! A coordinator process forks workers; they read, decode and transform samples straight into slots in shared
//! memory, and say so with 64-byte messages over sockets; the training loop gets views of the slot. Nothing is
//! pickled and nothing is copied.
//!
//! ```no_run
//! use ndarray::ArrayView4;
//! use stokehold::{Input, Loader, Transform};
//!
//! fn main() -> stokehold::Result<()> {
//!     // A loader starts this program again as its coordinator, so this comes first.
//!     stokehold::init();
//!     let loader = Loader::builder(Input::image_folder("train"))
//!         .transforms("image", [Transform::random_resized_crop(224), Transform::random_horizontal_flip()])
//!         .batch_size(64)
//!         .shuffle(true)
//!         .num_workers(2)
//!         .build()?;
//!     for batch in &loader {
//!         let batch = batch?;
//!         let images: ArrayView4<u8> = batch.view("image")?; // (64, 224, 224, 3)
//!         println!("{} images of {:?}", images.len_of(ndarray::Axis(0)), batch.indices());
//!     }
//!     Ok(())
//! }
//! ```
//!
//! What a batch holds is a function of (seed, epoch, index) alone: never of the number of workers, of a worker that
//! was killed, or of where an epoch was resumed. Transforms of whole batches add the position of the batch's
//! first row in the epoch's order.
//!
//! Modules are declared lowest first, and use only those above them; a test enforces that. Those that this documentation
//! does not show are there for the benchmarks and tests of the crate, and change without notice.

#[doc(hidden)]
pub mod budget;
#[doc(hidden)]
pub mod buffer;
#[doc(hidden)]
pub mod counters;
#[doc(hidden)]
pub mod descriptor;
pub mod error;
pub mod geometry;
#[doc(hidden)]
pub mod panics;
pub mod spec;
#[doc(hidden)]
pub mod stamp;

#[doc(hidden)]
pub mod pixel;

#[doc(hidden)]
pub mod drawn;
pub mod rng;
#[doc(hidden)]
pub mod sampler;

pub mod function;

#[doc(hidden)]
pub mod sys;

#[doc(hidden)]
pub mod shm;

#[doc(hidden)]
pub mod protocol;

pub mod decode;

pub mod tokenizer;

pub mod transform;

pub mod field;

pub mod source;

#[doc(hidden)]
pub mod pipeline;

#[doc(hidden)]
pub mod learn;

#[doc(hidden)]
pub mod job;

#[doc(hidden)]
pub mod worker;

#[doc(hidden)]
pub mod coordinator;

pub mod loader;

pub mod index;

#[cfg(feature = "python")]
mod python;

pub use crate::{
    decode::{Corrupt, Cutout, DecodeImage, Mode, Truncated, decode_jpeg},
    error::{Error, Result, SampleError, Stage},
    field::{Field, Kind},
    geometry::{Rect, Size},
    index::CocoDetection,
    job::{OnError, Options},
    loader::{
        Batch, BoundingBoxes, Builder, Column, Columns, CutState, Description, Element, Entry, Images, Input,
        KeyPoints, Launch, Lists, Loader, Masks, OrderState, Parts, Ragged, Ranks, Runs, Shards, SharedCut,
        SharedOrder, SharedSource, State, Stats, Table, Texts, Values, init,
    },
    sampler::{
        Audit, CutField, CutOptions, Earlier, Even, Fault, Filling, Grouping, Mark, MarkField, MultiScale, Pacing,
        RankShare, Rule, Shares, Shuffle, Span, TooLong,
    },
    source::{Source, SourceSpec},
    spec::{DType, FieldSpec},
    transform::{BatchTransform, BoxFormat, Mixing, TokenOutput, Transform},
};

/// The name of [`SharedSource`] when it held arrays alone.
#[deprecated(note = "it is `SharedSource`, which holds any source")]
pub type SharedArrays = SharedSource;
