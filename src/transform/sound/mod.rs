//! What is done to sound: waveforms become spectrograms, and these others, by torchaudio's formulas.
//!
//! The operations themselves, with their arguments, are in [`ops`](super::ops). Sums are in `float64` and in one order, the
//! sine and the cosine are those of `libm`, the logarithm of decibels is our own, and each number is rounded once, when it
//! is stored: the result has the same bits on every machine.

mod decibels;
mod fourier;
mod lanes;
mod mel;
mod spectrum;

use bytemuck::cast_slice;

pub(super) use self::{
    decibels::decibels,
    mel::MelBank,
    spectrum::{Power, Spectrum},
};
pub use self::{mel::MelScale, spectrum::SoundPadding};

/// Sound: a waveform, or a spectrogram, of one channel or several.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// The frequencies of a spectrogram; none for a waveform.
    pub bins: Option<usize>,
    /// The values of each channel, all as many. Those of a frame of a spectrogram stand side by side.
    pub planes: Vec<Vec<f32>>,
}

/// What is known of sound before it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoundShape {
    /// Samples a second of the waveform.
    pub rate: u32,
    /// How many channels there are.
    pub channels: usize,
    /// The samples, or the frames of a spectrogram, where all clips have as many.
    pub rows: Option<usize>,
    /// The frequencies of a spectrogram; none for a waveform.
    pub bins: Option<usize>,
}

impl SoundShape {
    /// Returns the extents behind the first one, which is that of the samples or frames.
    pub fn entry(&self) -> Vec<usize> {
        self.bins.into_iter().chain((self.channels > 1).then_some(self.channels)).collect()
    }

    /// Returns the frequencies of a spectrogram, and refuses a waveform.
    pub(super) fn spectrogram(&self) -> Result<usize, String> {
        self.bins.ok_or_else(|| "takes a spectrogram: put Spectrogram or MelSpectrogram before it".to_owned())
    }
}

impl Sound {
    /// Returns how many samples or frames there are.
    pub fn rows(&self) -> usize {
        self.planes.first().map_or(0, Vec::len) / self.bins.unwrap_or(1).max(1)
    }

    /// Returns the whole shape: (samples) or (frames, frequencies), and behind these the channels where there are several.
    pub fn shape(&self) -> Vec<usize> {
        let channels = (self.planes.len() > 1).then_some(self.planes.len());
        [self.rows()].into_iter().chain(self.bins).chain(channels).collect()
    }

    /// Writes the values to a row that has as many, in the order of its [`shape`](Self::shape).
    pub fn write(&self, row: &mut [u8]) {
        if let [plane] = &self.planes[..] {
            row.copy_from_slice(cast_slice(plane));
            return;
        }
        for (at, entry) in row.chunks_exact_mut(size_of::<f32>() * self.planes.len()).enumerate() {
            for (place, plane) in entry.chunks_exact_mut(size_of::<f32>()).zip(&self.planes) {
                place.copy_from_slice(&plane[at].to_ne_bytes());
            }
        }
    }
}
