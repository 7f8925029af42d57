//! `TimeMasking` and `FrequencyMasking`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::check_probability,
    op::{OpKey, Operation, Role, SoundOp},
    sound::{Sound, SoundShape},
};
use crate::{drawn, budget::Budget, rng::Draws};

/// Sets frames of a spectrogram that follow each other to 0, with the meaning of `torchaudio.transforms.TimeMasking`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TimeMasking {
    /// The number of frames is below this one.
    pub time_mask_param: u32,
    /// Whether each channel has frames of its own.
    #[serde(default)]
    pub iid_masks: bool,
    /// The largest part of all frames.
    #[serde(default = "whole")]
    pub p: f64,
}

/// Sets frequencies of a spectrogram that follow each other to 0, with the meaning of
/// `torchaudio.transforms.FrequencyMasking`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FrequencyMasking {
    /// The number of frequencies is below this one.
    pub freq_mask_param: u32,
    /// Whether each channel has frequencies of its own.
    #[serde(default)]
    pub iid_masks: bool,
}

const fn whole() -> f64 {
    1.0
}

impl Operation for TimeMasking {
    fn check(&self) -> Result<(), String> {
        check_probability(self.p)
    }

    fn role(&self) -> Role {
        Role::Sound(Arc::new(self.clone()))
    }
}

impl Operation for FrequencyMasking {
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn role(&self) -> Role {
        Role::Sound(Arc::new(self.clone()))
    }
}

/// Draws where a mask begins and ends in so many entries, as `torchaudio.functional.mask_along_axis`.
fn masked_entries(draws: &mut Draws, most: u32, entries: usize) -> (usize, usize) {
    let value = draws.unit() * f64::from(most);
    let start = draws.unit() * (entries as f64 - value);
    // A mask that is longer than the axis may begin before it.
    let (start, value) = (start as i64, value as i64);
    let within = |place: i64| place.clamp(0, entries as i64) as usize;
    (within(start), within(start + value))
}

/// Does something to each plane of a spectrogram, with a mask drawn for all of them, or for each.
fn masked(
    sound: &mut Sound,
    key: OpKey,
    iid_masks: bool,
    (most, entries): (u32, usize),
    mask: impl Fn(&mut [f32], (usize, usize)),
) {
    // As torchaudio, which draws nothing where nothing is masked.
    if most < 1 {
        return;
    }
    let mut draws = key.draws();
    let mut bounds = masked_entries(&mut draws, most, entries);
    for (number, plane) in sound.planes.iter_mut().enumerate() {
        if iid_masks && number > 0 {
            bounds = masked_entries(&mut draws, most, entries);
        }
        let (start, end) = bounds;
        let tell = || drawn::tell(|| [("mask_start", start.into()), ("mask_end", end.into())]);
        if iid_masks {
            drawn::of("", "channel", tell);
        } else if number == 0 {
            tell();
        }
        mask(plane, bounds);
    }
}

impl SoundOp for TimeMasking {
    fn output(&self, input: SoundShape) -> Result<SoundShape, String> {
        input.spectrogram().map(|_| input)
    }

    fn apply(&self, mut sound: Sound, key: OpKey, _budget: &mut Budget) -> Result<Sound, String> {
        let (frames, bins) = (sound.rows(), sound.bins.unwrap_or(1));
        let most = if self.p < 1.0 { (frames as f64 * self.p) as u32 } else { self.time_mask_param };
        let most = most.min(self.time_mask_param);
        masked(&mut sound, key, self.iid_masks, (most, frames), |plane, (start, end)| {
            plane[start * bins..end * bins].fill(0.0);
        });
        Ok(sound)
    }
}

impl SoundOp for FrequencyMasking {
    fn output(&self, input: SoundShape) -> Result<SoundShape, String> {
        input.spectrogram().map(|_| input)
    }

    fn apply(&self, mut sound: Sound, key: OpKey, _budget: &mut Budget) -> Result<Sound, String> {
        let bins = sound.bins.unwrap_or(1);
        masked(&mut sound, key, self.iid_masks, (self.freq_mask_param, bins), |plane, (start, end)| {
            plane.chunks_exact_mut(bins).for_each(|frame| frame[start..end].fill(0.0));
        });
        Ok(sound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;

    fn sound(frames: usize, channels: usize) -> Sound {
        Sound { bins: Some(8), planes: vec![vec![1.0; frames * 8]; channels] }
    }

    fn key(index: u64) -> OpKey {
        OpKey { key: Key { seed: 0, epoch: 0, index }, op: 3 }
    }

    /// Returns for each channel, which frames or frequencies are 0.
    fn zeros(op: &dyn SoundOp, frames: usize, channels: usize, index: u64, along_time: bool) -> Vec<Vec<usize>> {
        let made = op.apply(sound(frames, channels), key(index), &mut Budget::new(1)).unwrap();
        let places = if along_time { frames } else { 8 };
        let of = |plane: &Vec<f32>| {
            let value = |place: usize, other: usize| if along_time { plane[place * 8 + other] } else { plane[other * 8 + place] };
            let others = if along_time { 8 } else { frames };
            (0..places)
                .filter(|&place| {
                    let silent = (0..others).filter(|&other| value(place, other) == 0.0).count();
                    assert!(silent == 0 || silent == others, "a part of one");
                    silent > 0
                })
                .collect()
        };
        made.planes.iter().map(of).collect()
    }

    #[test]
    fn masks_are_one_run_below_the_bound() {
        let (time, frequency) = (
            TimeMasking { time_mask_param: 5, iid_masks: false, p: 1.0 },
            FrequencyMasking { freq_mask_param: 4, iid_masks: false },
        );
        let mut widths = std::collections::BTreeSet::new();
        for index in 0..200 {
            for (op, along_time, most) in [(&time as &dyn SoundOp, true, 5), (&frequency, false, 4)] {
                let [one, other] = &zeros(op, 20, 2, index, along_time)[..] else { panic!("two channels") };
                assert_eq!(one, other);
                assert!(one.len() < most && one.windows(2).all(|pair| pair[1] == pair[0] + 1), "{one:?}");
                widths.insert((along_time, one.len()));
            }
        }
        assert_eq!(widths.len(), 5 + 4);
    }

    #[test]
    fn a_mask_has_at_most_its_part_of_all_frames() {
        let op = TimeMasking { time_mask_param: 100, iid_masks: false, p: 0.25 };
        assert!((0..100).all(|index| zeros(&op, 20, 1, index, true)[0].len() < 5));
        let none = TimeMasking { time_mask_param: 100, iid_masks: false, p: 0.0 };
        assert!((0..100).all(|index| zeros(&none, 20, 1, index, true)[0].is_empty()));
    }

    #[test]
    fn channels_have_masks_of_their_own_where_that_is_asked_for() {
        let op = TimeMasking { time_mask_param: 10, iid_masks: true, p: 1.0 };
        let differ = (0..50).filter(|&index| {
            let found = zeros(&op, 20, 2, index, true);
            found[0] != found[1]
        });
        assert!(differ.count() > 40);
    }

    #[test]
    fn a_bound_beyond_the_axis_may_mask_all_of_it() {
        let op = FrequencyMasking { freq_mask_param: 100, iid_masks: false };
        let lens: std::collections::BTreeSet<usize> =
            (0..100).map(|index| zeros(&op, 3, 1, index, false)[0].len()).collect();
        assert!(lens.contains(&8), "{lens:?}");
    }
}
