//! Waveforms to spectrograms: `torch.stft`, and what `torchaudio.functional.spectrogram` makes of it.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use super::{
    fourier::{Complex, FRAMES, Fourier},
    lanes::{self, LANES, Lanes, Reals, Work},
    mel::MelBank,
};

/// Where a frame's index beyond an end of the waveform leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SoundPadding {
    /// To its mirror, without the end itself.
    #[default]
    Reflect,
    /// To silence.
    Constant,
    /// To the end.
    Replicate,
}

/// What is made of the magnitude of a frequency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::transform) enum Power {
    /// It stays.
    Magnitude,
    /// Its square.
    Energy,
    /// A power of its square.
    OfEnergy(f64),
}

/// How waveforms become spectrograms.
#[derive(Clone, Debug)]
pub(in crate::transform) struct Spectrum {
    fourier: Fourier,
    /// As long as a frame.
    window: Vec<f64>,
    hop: usize,
    /// Silence on each side.
    pad: usize,
    /// What the ends are continued by, half a frame on each side.
    center: Option<SoundPadding>,
    power: Power,
    /// What energies are multiplied by.
    scale: f64,
}

impl Spectrum {
    /// Returns the spectrograms of frames as long as a window, that lie `hop` samples apart.
    pub(in crate::transform) fn new(
        window: Vec<f64>,
        hop: usize,
        pad: usize,
        center: Option<SoundPadding>,
        power: Power,
        scale: f64,
    ) -> Self {
        Self { fourier: Fourier::new(window.len()), window, hop, pad, center, power, scale }
    }

    /// Returns a period of Hann's window, of so many samples, in the middle of a frame.
    pub(in crate::transform) fn hann(len: usize, frame: usize) -> Vec<f64> {
        let mut window = vec![0.0; frame];
        // That of one sample is 1, as in PyTorch.
        let value = |at: usize| if len == 1 { 1.0 } else { 0.5 - 0.5 * libm::cos(TAU * at as f64 / len as f64) };
        window[(frame - len) / 2..].iter_mut().take(len).enumerate().for_each(|(at, place)| *place = value(at));
        window
    }

    /// Returns how many frequencies there are.
    pub(in crate::transform) fn bins(&self) -> usize {
        self.fourier.len() / 2 + 1
    }

    /// Returns how many frames a waveform has.
    ///
    /// # Errors
    /// The reason, where it is too short to have one.
    pub(in crate::transform) fn frames(&self, samples: usize) -> Result<usize, String> {
        let (len, half) = (self.fourier.len(), self.fourier.len() / 2);
        let silent = samples + 2 * self.pad;
        if self.center == Some(SoundPadding::Reflect) && half > 0 && silent <= half {
            return Err(format!("a waveform of {silent} samples cannot be mirrored {half} beyond its ends"));
        }
        let padded = silent + self.center.map_or(0, |_| 2 * half);
        if padded < len {
            return Err(format!("a waveform of {padded} samples has no frame of n_fft={len}"));
        }
        Ok((padded - len) / self.hop + 1)
    }

    /// Returns the bytes that it takes to make a spectrogram of `rows` values a frame.
    pub(in crate::transform) fn bytes(&self, samples: usize, frames: usize, rows: usize) -> u64 {
        let (len, values) = (self.fourier.len() as u64, frames as u64 * rows as u64);
        let padded = samples as u64 + 2 * self.pad as u64 + len;
        let space = (2 * size_of::<Complex>() + size_of::<[f64; FRAMES]>() + size_of::<f32>()) as u64 * len;
        (padded + values) * size_of::<f32>() as u64 + space
    }

    /// Returns the waveform with what lies beyond its ends.
    fn padded(&self, samples: &[f32]) -> Vec<f32> {
        let half = self.center.map_or(0, |_| self.fourier.len() / 2) as isize;
        let (pad, len) = (self.pad as isize, (samples.len() + 2 * self.pad) as isize);
        let at = |place: isize| samples.get((place - pad) as usize).copied().unwrap_or_default();
        let place = |place: isize| match self.center {
            Some(SoundPadding::Reflect) if place < 0 => at(-place),
            Some(SoundPadding::Reflect) if place >= len => at(2 * (len - 1) - place),
            Some(SoundPadding::Replicate) => at(place.clamp(0, len - 1)),
            Some(SoundPadding::Reflect | SoundPadding::Constant) | None => at(place),
        };
        let before = (-half..pad).map(place);
        let mut padded: Vec<f32> = Vec::with_capacity((len + 2 * half) as usize);
        padded.extend(before);
        padded.extend_from_slice(samples);
        padded.extend((pad + samples.len() as isize..len + half).map(place));
        padded
    }

    /// Returns the spectrogram of a waveform that has so many frames: the frequencies of each frame, or what filters make
    /// of them.
    pub(in crate::transform) fn run(&self, samples: &[f32], frames: usize, mel: Option<&MelBank>) -> Vec<f32> {
        let padded = self.padded(samples);
        let rows = mel.map_or_else(|| self.bins(), MelBank::len);
        let mut space = Space::of(self);
        let mut mels = vec![[0.0; FRAMES]; mel.map_or(0, MelBank::len)];
        let mut made = vec![0.0; frames * rows];
        for (number, out) in made.chunks_mut(FRAMES * rows).enumerate() {
            let samples = &padded[number * FRAMES * self.hop..];
            lanes::widest(SomeFrames { spectrum: self, samples, count: out.len() / rows, space: &mut space });
            let found = if let Some(mel) = mel {
                mel.apply(&space.powers, &mut mels);
                &mels
            } else {
                &space.powers
            };
            for (frame, out) in out.chunks_exact_mut(rows).enumerate() {
                out.iter_mut().zip(found).for_each(|(out, values)| *out = values[frame] as f32);
            }
        }
        made
    }
}

/// What frames are computed in.
struct Space {
    signals: Vec<Complex>,
    spare: Vec<Complex>,
    /// For each frequency, what is found for each frame.
    powers: Vec<[f64; FRAMES]>,
    /// A frame of it.
    silence: Vec<f32>,
}

impl Space {
    fn of(spectrum: &Spectrum) -> Self {
        let len = spectrum.fourier.len();
        let signals = vec![Complex::default(); len];
        Self { spare: signals.clone(), signals, powers: vec![[0.0; FRAMES]; spectrum.bins()], silence: vec![0.0; len] }
    }
}

/// What computes the first `count` frames of a waveform, at most [`FRAMES`].
struct SomeFrames<'a> {
    spectrum: &'a Spectrum,
    samples: &'a [f32],
    count: usize,
    space: &'a mut Space,
}

#[expect(clippy::inline_always, reason = "these are the bodies of vectorised loops")]
impl SomeFrames<'_> {
    /// Lays the frames, each by the window, side by side. Places that are left have silence.
    #[inline(always)]
    fn window(&mut self) {
        let Self { spectrum, samples, count, space } = self;
        let Space { signals, silence, .. } = &mut **space;
        let len = spectrum.fourier.len();
        let frames: [&[f32]; FRAMES] =
            std::array::from_fn(
                |frame| {
                    if frame < *count { &samples[frame * spectrum.hop..][..len] } else { &silence[..len] }
                },
            );
        for ((at, signal), weight) in signals.iter_mut().enumerate().zip(&spectrum.window) {
            signal.re = std::array::from_fn(|lane| f64::from(frames[lane][at]) * weight);
            signal.im = std::array::from_fn(|lane| f64::from(frames[LANES + lane][at]) * weight);
        }
    }

    /// Finds the powers of the frames by their transform.
    #[inline(always)]
    fn powers(&mut self, lanes: impl Lanes) {
        let Space { signals, powers, .. } = &mut *self.space;
        let (len, scale) = (self.spectrum.fourier.len(), self.spectrum.scale * 0.25);
        for (bin, powers) in powers.iter_mut().enumerate() {
            // The transforms of two real signals are the even and the odd part of that of one complex signal.
            let mirror = if bin == 0 { 0 } else { len - bin };
            let (one, other) = (signals[bin].taken(lanes), signals[mirror].taken(lanes));
            let (sum, difference) = (one.plus(other), one.minus(other));
            let real = sum.re.squared().plus(difference.im.squared()).times(scale);
            let imaginary = sum.im.squared().plus(difference.re.squared()).times(scale);
            powers[..LANES].copy_from_slice(&real.numbers());
            powers[LANES..].copy_from_slice(&imaginary.numbers());
            match self.spectrum.power {
                Power::Energy => {}
                Power::Magnitude => powers.iter_mut().for_each(|power| *power = power.sqrt()),
                Power::OfEnergy(exponent) => powers.iter_mut().for_each(|power| *power = libm::pow(*power, exponent)),
            }
        }
    }
}

impl Work for SomeFrames<'_> {
    #[expect(clippy::inline_always, reason = "it is the body of vectorised loops")]
    #[inline(always)]
    fn with(mut self, lanes: impl Lanes) {
        self.window();
        self.spectrum.fourier.run(lanes, &mut self.space.signals, &mut self.space.spare);
        self.powers(lanes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::lanes::Portable, *};

    proptest! {
        #[test]
        fn all_vectors_give_the_same_bits(len in 1_usize..130, hop in 1_usize..50, count in 1..=FRAMES, power in 0..3) {
            let power = [Power::Magnitude, Power::Energy, Power::OfEnergy(0.7)][power as usize];
            let spectrum = Spectrum::new(Spectrum::hann(len, len), hop, 0, None, power, 0.3);
            let samples: Vec<f32> =
                (0..len + hop * FRAMES).map(|at| (at * 7919 % 2003) as f32 / 1001.5 - 1.0).collect();
            let powers = |work: fn(SomeFrames<'_>)| {
                let mut space = Space::of(&spectrum);
                work(SomeFrames { spectrum: &spectrum, samples: &samples, count, space: &mut space });
                space.powers.iter().flatten().map(|power| power.to_bits()).collect::<Vec<_>>()
            };
            prop_assert_eq!(powers(|frames| lanes::widest(frames)), powers(|frames| frames.with(Portable)));
        }
    }
}
