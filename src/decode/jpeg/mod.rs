//! JPEG, as much of it as is needed.
//!
//! Most of the time goes into the entropy code, so this is where the decoder differs from others:
//!
//! - Only a region is decoded. Rows above it and blocks beside it are passed over by the lengths of their codes,
//!   several at a time; below it nothing is read. With restart markers whole segments are left out.
//! - One look-up gives two symbols, and leaves no branch but that at the end of the block.
//! - Stuffed bytes are taken out beforehand, so that reading bits takes no branch either.
//!
//! Pixels are those of libjpeg-turbo with its defaults (`islow`, fancy upsampling, block smoothing), bit for bit; the
//! tests compare every layout. Covered are sequential and progressive files of 8 bits with one, three or four components,
//! with any scans, and any sampling factors whose ratios are whole. All others are errors that name the process.
//!
//! From bottom to top: [`frame`], [`tables`] and [`header`] read markers, [`huffman`] builds tables of
//! [`symbols`], [`segments`] and [`bits`] take the entropy code apart. Of a sequential scan, [`scan`] knows which blocks
//! are needed and [`block`] reads them. Of a progressive one, [`walk`] goes through its MCUs, [`first`] and [`refinement`]
//! read a block's part in it, [`pass`](self::pass) knows which of them; [`progressive`] reads all scans into
//! [`coefficients`], knows from [`precision`] what is missing, and [`smooth`] estimates that. [`idct`] (or [`reduced`])
//! makes coefficients samples, [`plane`] and [`colour`] make samples pixels. [`decoder`] goes through a file with these.
//! [`avx2`] holds the unsafe code, all of it.
//!
//! # Progressive files
//!
//! All of a scan's code above the region's end has to be read, since the code of a later scan depends on which
//! coefficients are not zero. So that is kept for every block, in one word; coefficients are kept for the region alone,
//! and for two blocks around it, whose means smoothing looks at. With the word, a refinement reads the bits of all
//! coefficients that a symbol passes over at once, and finds the symbol's zero without a loop (`pdep`).
//!
//! Milliseconds per image of 24 photographs (500x400, 47 KB, 4:2:0, Pillow's scans), least of 12 rounds, on one core of a
//! busy Intel Xeon of 2.1 GHz (Sapphire Rapids), alternating with libjpeg-turbo (simplejpeg 1.9.0) in one process:
//!
//! | what | ms |
//! | --- | --: |
//! | libjpeg-turbo, whole | 2.52 |
//! | whole | 1.71 |
//! | random crops as in W1, mean | 1.22 |
//! | the entropy code alone, which is the limit for a crop at the lower edge | 1.23 |
//! | the same photographs as sequential files, whole | 0.74 |
//! | whole, without vector instructions and `pdep`, the zero found bit by bit from the top | 3.50 |
//! | the same, from the bottom (alone) | 22.6 |
//!
//! Damage is read through as libjpeg does it, with the same pixels: [`marker`] and [`body`] say what of a marker segment is
//! an error, [`segments`] finds restart intervals again where markers are missing, [`error`] keeps count. Two things are
//! otherwise. Where libjpeg-turbo meets two fill bytes before a stuffed zero, it may leave coefficients behind that are in
//! no data. And of a file that ends behind its last block without any marker, it may or may not ask for eight bytes more.
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
mod scan;
mod segments;
mod smooth;
mod standard;
mod symbols;
mod tables;
mod vector;
mod walk;

pub(super) use self::format::{Jpeg, OpenJpeg};
