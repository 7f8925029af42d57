//! What is done to a tensor between decoding and the batch, under torchvision's names and by its rules.
//!
//! A list of operations ([`ops`], one file each) is compiled once into a chain, which knows dtype and shape of its
//! result before the first byte is read. For a sample, first everything is drawn and planned; the plan's first view tells
//! which part of the image is needed. Crops and flips are views, and the last pass flips, casts, normalises and lays
//! out while it writes the batch's row.

mod affine;
mod args;
mod batch;
mod between;
mod blur;
mod boxes;
mod call;
mod canvas;
mod chain;
mod color;
mod edit;
mod elastic;
mod elements;
mod encode;
mod failure;
mod fill;
mod mixture;
mod mosaic;
mod motion;
mod moves;
mod numbered;
mod op;
pub mod ops;
mod output;
mod passes;
mod pixels;
mod plan;
mod render;
mod row;
mod sample;
mod segment;
mod sound;
mod sound_chain;
mod tables;
mod tile;
mod tokenize;
mod value;
mod values;
mod vector;
mod view;
mod write;

pub use self::{
    args::{Interpolation, Layout, PaddingMode},
    batch::{BatchCall, BatchChain, BatchRows, BatchTransform, Mixing, OneHot},
    boxes::BoxFormat,
    chain::Chain,
    ops::Transform,
    pixels::Pixels,
    row::{Rows, SlotRows, slot_row},
    segment::Workspace,
    sound::{MelScale, Sound, SoundPadding, SoundShape},
    sound_chain::SoundChain,
    tables::table_bytes,
    tokenize::{TokenOutput, Tokenize},
    view::Region,
};
pub(crate) use self::{
    between::Between,
    boxes::{BoxSteps, Boxes},
    call::Target,
    chain::{CallInput, Calls},
    failure::failure,
    mosaic::{Drawn, Mosaic},
    moves::Moves,
    numbered::Numbered,
    op::{ImageShape, KeyPointOp, OnMask, Role},
    output::{UNBOUNDED, no_capacity},
    segment::ImageInput,
    tile::{Collage, Tile},
};
