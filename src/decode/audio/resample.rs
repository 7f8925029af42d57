//! Waveforms at another rate, by a windowed sinc.

use std::f64::consts::PI;

/// The zeros of the sinc on each side of its middle: torchaudio's `lowpass_filter_width`.
const ZEROS: f64 = 6.0;
/// The part of the highest frequency that passes: torchaudio's `rolloff`.
const ROLLOFF: f64 = 0.99;

/// The weights that take a waveform from one rate to another: those of `torchaudio.functional.resample` with its defaults,
/// in `float64`. Weights that the window makes 0 are left out. Sums are in `float64` too, in one order, with the sine and
/// cosine of `libm`: the result has the same bits on every machine.
#[derive(Clone, Debug)]
pub struct Kernel {
    rates: (u32, u32),
    /// Both rates, divided by what divides both.
    from: usize,
    to: usize,
    /// For each sample between two whole periods: the place of its first weight, and its weights.
    phases: Vec<(isize, Vec<f64>)>,
}

impl Kernel {
    /// Returns the weights between two rates, which are not 0.
    pub fn new(from: u32, to: u32) -> Self {
        let (rates, (from, to)) = ((from, to), reduced(from, to));
        let (wide, base) = (f64::from(from), f64::from(from.min(to)) * ROLLOFF);
        let width = (ZEROS * wide / base).ceil();
        let phases = (0..to).map(|phase| {
            let middle = f64::from(phase) / f64::from(to);
            let first = ((middle - ZEROS / base) * wide).floor().max(-width);
            let last = ((middle + ZEROS / base) * wide).ceil().min(width + wide - 1.0);
            let weight = |place: isize| {
                let t = ((place as f64 / wide - middle) * base).clamp(-ZEROS, ZEROS);
                let window = libm::cos(t * PI / ZEROS / 2.0);
                let sinc = if t == 0.0 { 1.0 } else { libm::sin(t * PI) / (t * PI) };
                sinc * window * window * base / wide
            };
            (first as isize, (first as isize..=last as isize).map(weight).collect())
        });
        Self { rates, from: from as usize, to: to as usize, phases: phases.collect() }
    }

    /// Returns about how many bytes the weights between two rates take, at least.
    pub fn bytes(from: u32, to: u32) -> u64 {
        let (from, to) = reduced(from, to);
        let taps = (2.0 * ZEROS * f64::from(from) / (f64::from(from.min(to)) * ROLLOFF)).ceil() as u64 + 3;
        u64::from(to) * (taps * size_of::<f64>() as u64 + size_of::<(isize, Vec<f64>)>() as u64)
    }

    /// Tells whether these are the weights between two rates.
    pub fn is_of(&self, from: u32, to: u32) -> bool {
        self.rates == (from, to)
    }

    /// Returns how many samples become of so many: as long in time, rounded up.
    pub fn len_of(from: u32, to: u32, samples: usize) -> usize {
        (samples as u128 * u128::from(to)).div_ceil(u128::from(from)) as usize
    }

    /// Returns a waveform at the other rate. There is silence before and after it.
    pub fn apply(&self, samples: &[f32]) -> Vec<f32> {
        let len = Self::len_of(self.rates.0, self.rates.1, samples.len());
        let at = |position: usize| {
            let (first, weights) = &self.phases[position % self.to];
            let start = (position / self.to * self.from) as isize + first;
            // Weights before the waveform meet nothing, as do those behind it, where the other side ends first.
            let skipped = (-start).max(0) as usize;
            let rest = samples.get(start.max(0) as usize..).unwrap_or_default();
            let weights = weights.get(skipped..).unwrap_or_default();
            weights.iter().zip(rest).map(|(weight, sample)| weight * f64::from(*sample)).sum::<f64>() as f32
        };
        (0..len).map(at).collect()
    }
}

/// Returns both divided by what divides both.
const fn reduced(from: u32, to: u32) -> (u32, u32) {
    let (mut a, mut b) = (from, to);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    (from / a, to / a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_time() {
        for (from, to, samples) in [(44_100, 16_000, 44_100), (8000, 16_000, 3), (3, 2, 1), (16_000, 11_025, 1001)] {
            let expected = (samples as f64 * f64::from(to) / f64::from(from)).ceil() as usize;
            assert_eq!(Kernel::new(from, to).apply(&vec![0.5; samples]).len(), expected, "{from} {to}");
        }
    }

    #[test]
    fn a_constant_stays_one() {
        for (from, to) in [(44_100, 16_000), (8000, 48_000), (16_000, 11_025)] {
            let made = Kernel::new(from, to).apply(&vec![0.5; 4000]);
            // What a sinc of six zeros that is cut by a window lets through of a constant is 1 to within 1 %.
            assert!(made[200..made.len() - 200].iter().all(|made| (made - 0.5).abs() < 0.005), "{from} {to}");
        }
    }
}
