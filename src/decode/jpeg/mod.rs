//! JPEG, as much of it as is needed.
//!
//! Most of the time goes into the entropy code, so this is where the decoder differs from others:
//!
//! - Only a region is decoded. Rows above it and blocks beside it are passed over by the lengths of their codes,
//!   several at a time; below it nothing is read. With restart markers whole segments are left out.
//! - One look-up gives two symbols, and leaves no branch but that at the end of the block.
//! - Stuffed bytes are taken out beforehand, so that reading bits takes no branch either.
//!
//! Pixels are those of libjpeg-turbo with its defaults (`islow`, fancy upsampling), bit for bit; the tests compare
//! every layout. Covered are baseline and extended sequential files of 8 bits with one or three components, in one
//! scan or several, with any sampling factors whose ratios are whole. All others are left to another decoder.
//!
//! From bottom to top: [`frame`], [`tables`], [`header`] and [`exif`] read markers, [`huffman`] builds tables of
//! [`symbols`], [`bits`] and [`block`] take the entropy code apart, [`scan`] knows which blocks are needed, [`idct`] (or
//! [`reduced`]) makes them samples, [`plane`] and [`colour`] make samples pixels. [`decoder`] goes through a file with
//! these; [`fallback`] takes the files that it leaves out, and [`format`](self::format) chooses between the two. [`avx2`]
//! holds the unsafe code, all of it.
//!
//! # What was tried
//!
//! Milliseconds per image of 400 photographs (180,000 pixels, 62 KB, 4:2:0, one core of an AMD EPYC with a first-level
//! cache of 32 KiB), with variants beside each other. "Entropy" is the whole image's entropy code.
//!
//! | what | entropy | kept |
//! | --- | --: | --- |
//! | one symbol a look-up, state in memory | 0.502 | |
//! | the same, state in registers | 0.393 | yes |
//! | two symbols a look-up, entries of 8 bytes, 11 bits | 0.302 | |
//! | the same, 10 bits (9 bits: 0.334) | 0.301 | |
//! | two symbols a look-up, entries of 4 bytes, 11 bits | 0.276 | yes |
//! | two images block by block in lock-step, one symbol a look-up (0.326 without) | 0.311 | no: registers run out |
//! | transforming groups of four MCUs rather than rows (0.310 without) | 0.295 | yes |
//! | passing over an image with tables of other files used again (0.225 without) | 0.179 | yes |
//!
//! Building the tables of a photograph takes 0.047 ms, a sixth of the mean crop's 0.281. Reading ahead of the decoder
//! belongs to the worker, which keeps three records ahead: with a cold page cache an image took 0.78 ms where each file
//! was read when its turn came, and 0.63 where the next one had been asked for; asking for four made no difference.

#![expect(
    clippy::inline_always,
    reason = "what is compiled for other instructions must be inlined into a function for them"
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
mod bits;
mod block;
mod body;
mod coefficients;
mod colour;
mod decoder;
mod error;
mod exif;
mod first;
mod format;
mod frame;
mod header;
mod huffman;
mod idct;
mod intervals;
mod inverse;
mod marker;
mod pass;
mod plane;
mod precision;
mod progressive;
mod reduced;
mod refinement;
mod scale;
mod scan;
mod segments;
mod smooth;
mod standard;
mod symbols;
mod tables;
mod vector;
mod walk;

pub(super) use self::{
    format::{Jpeg, OpenJpeg},
    scale::Scale,
};
