//! Indices of files that hold many samples: what lies where, found once and then kept on disk; and annotation files.
//!
//! An index is a [`SharedSource`](crate::loader::SharedSource) whose columns lie in shards: whoever reads samples needs
//! nothing of this module. It is built by the trainer, in parallel over the shards.

mod cache;
mod coco;
mod features;
mod numpy;
mod shards;
mod take;
mod tar;
mod tf_record;
mod web_dataset;

pub use self::{
    cache::Cache,
    coco::CocoDetection,
    features::{TakeFeature, Wanted},
    take::{Member, Take},
    tf_record::TfRecord,
    web_dataset::{Missing, WebDataset},
};

/// Is told how many of so many shards are done.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);
