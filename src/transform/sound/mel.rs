//! Triangular filters on the mel scale: `torchaudio.functional.melscale_fbanks`.

use serde::{Deserialize, Serialize};

use super::{super::vector::vectorised, fourier::FRAMES};

/// How hertz become mels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MelScale {
    /// 2595 log10(1 + f / 700), as in HTK.
    #[default]
    Htk,
    /// Linear below 1000 Hz and logarithmic above, as in Slaney's Auditory Toolbox.
    Slaney,
}

/// The mels from which Slaney's scale is logarithmic: those of 1000 Hz.
const LOG_MEL: f64 = 15.0;
const LOG_HERTZ: f64 = 1000.0;
/// The hertz of one mel below that.
const HERTZ_OF_MEL: f64 = 200.0 / 3.0;

impl MelScale {
    /// The logarithm of the ratio of one mel to the next on Slaney's scale.
    fn step() -> f64 {
        libm::log(6.4) / 27.0
    }

    fn mels(self, hertz: f64) -> f64 {
        match self {
            Self::Htk => 2595.0 * libm::log10(1.0 + hertz / 700.0),
            Self::Slaney if hertz >= LOG_HERTZ => LOG_MEL + libm::log(hertz / LOG_HERTZ) / Self::step(),
            Self::Slaney => hertz / HERTZ_OF_MEL,
        }
    }

    fn hertz(self, mels: f64) -> f64 {
        match self {
            Self::Htk => 700.0 * (libm::pow(10.0, mels / 2595.0) - 1.0),
            Self::Slaney if mels >= LOG_MEL => LOG_HERTZ * libm::exp(Self::step() * (mels - LOG_MEL)),
            Self::Slaney => mels * HERTZ_OF_MEL,
        }
    }
}

/// The filters.
#[derive(Clone, Debug)]
pub(in crate::transform) struct MelBank {
    /// For each filter, the first frequency that it weighs, and the weights from there on.
    filters: Vec<(usize, Vec<f64>)>,
}

impl MelBank {
    /// Returns `count` filters from `low` to `high` hertz, over `bins` frequencies from 0 to half of `rate`, rounded down.
    /// Their areas are alike where `equal_areas` says so, and else their heights.
    pub(in crate::transform) fn new(
        (low, high): (f64, f64),
        bins: usize,
        count: usize,
        rate: u32,
        scale: MelScale,
        equal_areas: bool,
    ) -> Self {
        let top = f64::from(rate / 2);
        let frequency = |bin: usize| if bins > 1 { top * bin as f64 / (bins - 1) as f64 } else { 0.0 };
        let (first, last) = (scale.mels(low), scale.mels(high));
        let corner = |at: usize| scale.hertz(first + (last - first) * at as f64 / (count + 1) as f64);
        let filter = |number: usize| {
            let [left, middle, right] = [0, 1, 2].map(|at| corner(number + at));
            let area = if equal_areas { 2.0 / (right - left) } else { 1.0 };
            let weight = |bin: usize| {
                let hertz = frequency(bin);
                ((hertz - left) / (middle - left)).min((right - hertz) / (right - middle)).max(0.0) * area
            };
            let start = (0..bins).find(|&bin| weight(bin) > 0.0).unwrap_or(bins);
            (start, (start..bins).map(weight).take_while(|weight| *weight > 0.0).collect())
        };
        Self { filters: (0..count).map(filter).collect() }
    }

    /// Returns how many filters there are.
    pub(in crate::transform) const fn len(&self) -> usize {
        self.filters.len()
    }

    /// Weighs the frequencies of some frames.
    pub(super) fn apply(&self, powers: &[[f64; FRAMES]], mels: &mut [[f64; FRAMES]]) {
        weigh(&self.filters, powers, mels);
    }
}

vectorised! {
    fn weigh(filters: &[(usize, Vec<f64>)], powers: &[[f64; FRAMES]], mels: &mut [[f64; FRAMES]]) {
        for ((start, weights), mel) in filters.iter().zip(mels) {
            let mut sums = [0.0; FRAMES];
            for (weight, powers) in weights.iter().zip(&powers[*start..]) {
                for (sum, power) in sums.iter_mut().zip(powers) {
                    *sum += weight * power;
                }
            }
            *mel = sums;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_their_inverse() {
        for scale in [MelScale::Htk, MelScale::Slaney] {
            for hertz in [0.0, 50.0, 999.0, 1000.0, 1001.0, 22_050.0] {
                assert!((scale.hertz(scale.mels(hertz)) - hertz).abs() < 1e-9, "{scale:?} {hertz}");
            }
        }
        assert!((MelScale::Htk.mels(1000.0) - 999.985_537).abs() < 1e-4);
        assert!((MelScale::Slaney.mels(1000.0) - LOG_MEL).abs() < 1e-12);
    }

    #[test]
    fn filters_overlap_so_that_their_sum_is_one_between_the_first_and_the_last() {
        let bank = MelBank::new((0.0, 8000.0), 513, 20, 16_000, MelScale::Htk, false);
        let powers = vec![[1.0; FRAMES]; 513];
        let mut sums = vec![0.0; 513];
        for (start, weights) in &bank.filters {
            weights.iter().zip(&mut sums[*start..]).for_each(|(weight, sum)| *sum += weight);
        }
        assert!(sums[8..440].iter().all(|sum| (sum - 1.0_f64).abs() < 1e-9), "{sums:?}");
        let mut mels = vec![[0.0; FRAMES]; bank.len()];
        bank.apply(&powers, &mut mels);
        for ((_, weights), mel) in bank.filters.iter().zip(&mels) {
            assert!((weights.iter().sum::<f64>() - mel[FRAMES - 1]).abs() < 1e-12);
        }
    }
}
