//! Encoded audio to waveforms: WAV, FLAC, MP3 and Ogg Vorbis.
//!
//! The format is found in the first bytes. Whatever a header says is checked against a budget before it is believed, and
//! a file that cannot be decoded whole is an error: there is no half of a clip.

mod clip;
mod headers;
mod resample;

pub use self::{clip::Clip, resample::Kernel};

/// The most samples a second that a file may have.
pub const MAX_RATE: u32 = 768_000;
