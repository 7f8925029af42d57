//! `AmplitudeToDB`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    op::{OpKey, Operation, Role, SoundOp},
    sound::{Sound, SoundShape, decibels},
};
use crate::budget::Budget;

/// The smallest value that has a logarithm of its own: torchaudio's `amin`.
const LEAST: f32 = 1e-10;

/// What the values of a spectrogram are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AmplitudeType {
    /// Squares of magnitudes.
    #[default]
    Power,
    /// Magnitudes.
    Magnitude,
}

/// Turns a spectrogram to decibels, with the meaning of `torchaudio.transforms.AmplitudeToDB` and its defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AmplitudeToDB {
    /// What the values are.
    pub stype: AmplitudeType,
    /// How far below the sample's greatest value others may lie; none for any.
    pub top_db: Option<f64>,
}

impl Operation for AmplitudeToDB {
    fn check(&self) -> Result<(), String> {
        match self.top_db {
            Some(top) if !(top >= 0.0 && top.is_finite()) => Err(format!("top_db must be 0 or more, not {top}")),
            Some(_) | None => Ok(()),
        }
    }

    fn role(&self) -> Role {
        Role::Sound(Arc::new(self.clone()))
    }
}

impl SoundOp for AmplitudeToDB {
    fn output(&self, input: SoundShape) -> Result<SoundShape, String> {
        input.spectrogram().map(|_| input)
    }

    fn apply(&self, mut sound: Sound, _key: OpKey, _budget: &mut Budget) -> Result<Sound, String> {
        let factor = match self.stype {
            AmplitudeType::Power => 10.0,
            AmplitudeType::Magnitude => 20.0,
        };
        sound.planes.iter_mut().for_each(|plane| decibels(plane, factor, LEAST));
        if let Some(top) = self.top_db {
            let most = sound.planes.iter().flatten().copied().fold(f32::NEG_INFINITY, f32::max);
            let least = (f64::from(most) - top) as f32;
            sound.planes.iter_mut().flatten().for_each(|value| *value = value.max(least));
        }
        Ok(sound)
    }
}
