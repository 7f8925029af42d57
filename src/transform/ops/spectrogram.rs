//! `Spectrogram` and `MelSpectrogram`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    op::{OpKey, Operation, Role, SoundOp},
    sound::{MelBank, MelScale, Power, Sound, SoundPadding, SoundShape, Spectrum},
};
use crate::budget::Budget;

/// The longest frame.
const MAX_FFT: u32 = 65_536;
/// The most filters, and the largest of other numbers of samples.
const MAX_SAMPLES: u32 = 1 << 24;

/// Whether a spectrogram is divided by something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Normalized {
    /// By the root of the sum of the window's squares, or by nothing.
    Flag(bool),
    /// By what the word says.
    By(NormalizedBy),
}

/// What a spectrogram is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NormalizedBy {
    /// The root of the sum of the window's squares.
    Window,
    /// The root of the number of samples in a frame.
    FrameLength,
}

/// How the filters of a mel scale are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MelNorm {
    /// To the same area.
    Slaney,
}

/// Makes a spectrogram of a waveform, with the meaning of `torchaudio.transforms.Spectrogram` and its defaults; the window is
/// Hann's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Spectrogram {
    /// The samples of a frame.
    pub n_fft: u32,
    /// The samples of the window; none for those of a frame.
    pub win_length: Option<u32>,
    /// The samples from one frame to the next; none for half of a window.
    pub hop_length: Option<u32>,
    /// Silence on each side, in samples.
    pub pad: u32,
    /// The power of magnitudes.
    pub power: f64,
    /// Whether it is divided by something.
    pub normalized: Normalized,
    /// Whether the first frame's middle is the first sample; else its first sample is.
    pub center: bool,
    /// What lies beyond the ends where frames are centred.
    pub pad_mode: SoundPadding,
}

/// Makes a spectrogram on a mel scale, with the meaning of `torchaudio.transforms.MelSpectrogram` and its defaults; the
/// window is Hann's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MelSpectrogram {
    /// Samples a second, which must be those of the waveform.
    pub sample_rate: u32,
    /// The samples of a frame.
    pub n_fft: u32,
    /// The samples of the window; none for those of a frame.
    pub win_length: Option<u32>,
    /// The samples from one frame to the next; none for half of a window.
    pub hop_length: Option<u32>,
    /// The lowest frequency, in hertz.
    pub f_min: f64,
    /// The highest frequency; none for half of the sample rate.
    pub f_max: Option<f64>,
    /// Silence on each side, in samples.
    pub pad: u32,
    /// How many filters there are.
    pub n_mels: u32,
    /// The power of magnitudes.
    pub power: f64,
    /// Whether the spectrogram is divided by something.
    pub normalized: Normalized,
    /// Whether the first frame's middle is the first sample; else its first sample is.
    pub center: bool,
    /// What lies beyond the ends where frames are centred.
    pub pad_mode: SoundPadding,
    /// How filters are normalised, if they are.
    pub norm: Option<MelNorm>,
    /// The scale.
    pub mel_scale: MelScale,
}

impl Spectrogram {
    /// Returns the samples of the window, and those from one frame to the next.
    fn lengths(&self) -> (u32, u32) {
        let window = self.win_length.unwrap_or(self.n_fft);
        (window, self.hop_length.unwrap_or(window / 2))
    }

    fn spectrum(&self) -> Spectrum {
        let (window, hop) = self.lengths();
        let by = match self.normalized {
            Normalized::Flag(false) => None,
            Normalized::Flag(true) => Some(NormalizedBy::Window),
            Normalized::By(by) => Some(by),
        };
        let window = Spectrum::hann(window as usize, self.n_fft as usize);
        let scale = match by {
            None => 1.0,
            Some(NormalizedBy::Window) => 1.0 / window.iter().map(|weight| weight * weight).sum::<f64>(),
            Some(NormalizedBy::FrameLength) => 1.0 / f64::from(self.n_fft),
        };
        let power = match self.power {
            1.0 => Power::Magnitude,
            2.0 => Power::Energy,
            other => Power::OfEnergy(other / 2.0),
        };
        let center = self.center.then_some(self.pad_mode);
        Spectrum::new(window, hop as usize, self.pad as usize, center, power, scale)
    }
}

impl MelSpectrogram {
    fn spectrogram(&self) -> Spectrogram {
        let Self { n_fft, win_length, hop_length, pad, power, normalized, center, pad_mode, .. } = *self;
        Spectrogram { n_fft, win_length, hop_length, pad, power, normalized, center, pad_mode }
    }

    fn band(&self) -> (f64, f64) {
        (self.f_min, self.f_max.unwrap_or_else(|| f64::from(self.sample_rate / 2)))
    }
}

impl Operation for Spectrogram {
    fn check(&self) -> Result<(), String> {
        let Self { n_fft, pad, power, .. } = *self;
        let (window, hop) = self.lengths();
        if !(1..=MAX_FFT).contains(&n_fft) {
            return Err(format!("n_fft must be 1 to {MAX_FFT}, not {n_fft}"));
        }
        if !(1..=n_fft).contains(&window) {
            return Err(format!("win_length must be 1 to n_fft, {n_fft}, not {window}"));
        }
        if !(1..=MAX_SAMPLES).contains(&hop) {
            let default = if self.hop_length.is_none() { ", half of win_length" } else { "" };
            return Err(format!("hop_length must be 1 to {MAX_SAMPLES}, not {hop}{default}"));
        }
        if pad > MAX_SAMPLES {
            return Err(format!("pad must be at most {MAX_SAMPLES}, not {pad}"));
        }
        if !(power > 0.0 && power.is_finite()) {
            return Err(format!("power must be positive, not {power}"));
        }
        // The window of two samples is 0 and 1, that of one sample is 1: there is always something to divide by.
        Ok(())
    }

    fn role(&self) -> Role {
        Role::Sound(Arc::new(Made { spectrum: self.spectrum(), mel: None, rate: None }))
    }
}

impl Operation for MelSpectrogram {
    fn check(&self) -> Result<(), String> {
        self.spectrogram().check()?;
        let ((low, high), n_mels) = (self.band(), self.n_mels);
        if self.sample_rate == 0 {
            return Err("sample_rate must be 1 or more, not 0".to_owned());
        }
        if !(1..=MAX_FFT).contains(&n_mels) {
            return Err(format!("n_mels must be 1 to {MAX_FFT}, not {n_mels}"));
        }
        if !(low >= 0.0 && low < high && high.is_finite()) {
            return Err(format!("f_min must be 0 or more, and less than f_max, not {low} to {high}"));
        }
        Ok(())
    }

    fn role(&self) -> Role {
        let spectrum = self.spectrogram().spectrum();
        let equal_areas = self.norm == Some(MelNorm::Slaney);
        let (bins, count) = (spectrum.bins(), self.n_mels as usize);
        let mel = MelBank::new(self.band(), bins, count, self.sample_rate, self.mel_scale, equal_areas);
        Role::Sound(Arc::new(Made { spectrum, mel: Some(mel), rate: Some(self.sample_rate) }))
    }
}

/// The compiled operation.
#[derive(Debug)]
struct Made {
    spectrum: Spectrum,
    mel: Option<MelBank>,
    /// The samples a second that it is for, where that matters.
    rate: Option<u32>,
}

impl Made {
    fn bins(&self) -> usize {
        self.mel.as_ref().map_or_else(|| self.spectrum.bins(), MelBank::len)
    }
}

impl SoundOp for Made {
    fn output(&self, input: SoundShape) -> Result<SoundShape, String> {
        if input.bins.is_some() {
            return Err("takes a waveform, and a spectrogram comes before it".to_owned());
        }
        if let Some(rate) = self.rate.filter(|rate| *rate != input.rate) {
            return Err(format!("has sample_rate={rate}, and the waveform {} samples a second", input.rate));
        }
        let frames = input.rows.map(|samples| self.spectrum.frames(samples)).transpose();
        let rows = frames.map_err(|what| format!("cannot be done: {what}"))?;
        Ok(SoundShape { rows, bins: Some(self.bins()), ..input })
    }

    fn apply(&self, sound: Sound, _key: OpKey, budget: &mut Budget) -> Result<Sound, String> {
        let (samples, bins) = (sound.rows(), self.bins());
        let frames = self.spectrum.frames(samples)?;
        let bytes = self.spectrum.bytes(samples, frames, bins);
        budget.take(bytes.saturating_mul(sound.planes.len() as u64), "a spectrogram")?;
        let made = |plane: &Vec<f32>| self.spectrum.run(plane, frames, self.mel.as_ref());
        Ok(Sound { bins: Some(bins), planes: sound.planes.iter().map(made).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Transform, *};
    use crate::{rng::Key, transform::SoundChain};

    fn made(transform: impl Into<Transform>, samples: Vec<f32>) -> Sound {
        let shape = SoundShape { rate: 16_000, channels: 1, rows: Some(samples.len()), bins: None };
        let chain = SoundChain::of_waveforms("x", shape, &[transform.into()]).unwrap();
        let sound = Sound { bins: None, planes: vec![samples] };
        let made = chain.run(sound, Key { seed: 0, epoch: 0, index: 0 }, &mut Budget::new(1 << 30)).unwrap();
        let output = chain.output();
        assert_eq!((output.rows, output.bins), (Some(made.rows()), made.bins));
        made
    }

    #[test]
    fn a_tone_is_found_where_it_is() {
        let tone = (0..4000).map(|at| libm::cos(std::f64::consts::TAU * f64::from(at) / 16.0) as f32).collect();
        let made = made(Spectrogram::new().n_fft(64), tone);
        assert_eq!((made.rows(), made.bins), (126, Some(33)));
        for frame in made.planes[0].chunks_exact(33).take(120).skip(3) {
            let most = (0..33).max_by(|one, other| frame[*one].total_cmp(&frame[*other]));
            // Hann's window halves the amplitude, and a real tone has half of its magnitude below zero.
            assert_eq!(most, Some(4));
            assert!((frame[4] - 256.0).abs() < 1e-3, "{}", frame[4]);
        }
    }

    #[test]
    fn every_number_of_frames_gives_the_frames_of_more() {
        let noise: Vec<f32> = (0..3000).map(|at| ((at * 7919 % 2003) as f32) / 1000.0 - 1.0).collect();
        let spectrogram = || Spectrogram::new().n_fft(50).hop_length(10).center(false);
        let all = made(spectrogram(), noise.clone());
        for frames in 1..20 {
            let some = made(spectrogram(), noise[..50 + 10 * (frames - 1)].to_vec());
            assert_eq!(some.planes[0][..], all.planes[0][..frames * 26], "{frames}");
        }
    }

    /// Bits that are the same on every machine, and in every release.
    #[test]
    fn the_bits_of_a_spectrogram_never_change() {
        let noise: Vec<f32> = (0..2000).map(|at| ((at * 7919 % 2003) as f32) / 1000.0 - 1.0).collect();
        let mels = made(MelSpectrogram::new().n_mels(5), noise);
        let bits: Vec<u32> = mels.planes[0][..5].iter().map(|value| value.to_bits()).collect();
        assert_eq!(bits, GOLDEN);
    }

    const GOLDEN: [u32; 5] = [1_158_784_463, 1_166_057_138, 1_152_219_792, 1_147_544_569, 1_144_841_603];
}
