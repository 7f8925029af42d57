//! Encoded audio.

use serde::{Deserialize, Serialize};

use super::kind::{FieldKind, Payload, Request, Role};
use crate::{
    error::Result,
    spec::{DType, FieldSpec, Ragged},
};

/// An audio file's bytes, decoded to `float32` (samples,), or (samples, channels) where there are several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audio {
    /// Samples a second, to which files of another rate are resampled.
    pub sample_rate: u32,
    /// Channels: 1 for the mean of all that a file has, or just as many as each file must have.
    pub channels: usize,
    /// The samples of each row, to which clips are cut or padded with silence; 0 where each keeps its own.
    #[serde(default)]
    pub samples: usize,
    /// Whether the part of a longer clip is drawn; else it is the beginning.
    #[serde(default)]
    pub random_crop: bool,
    /// The samples that a row has room for, where each clip keeps its own length.
    #[serde(default)]
    pub capacity: usize,
}

/// What may be counted while rows are filled.
pub(super) const COUNTERS: &[&str] = &[];

impl Audio {
    fn spec(&self, name: &str, capacity: usize) -> FieldSpec {
        let channels = (self.channels > 1).then_some(self.channels);
        if self.samples > 0 {
            let shape: Vec<usize> = [self.samples].into_iter().chain(channels).collect();
            return FieldSpec::new(name, DType::Float32, shape);
        }
        let spec = FieldSpec::new(name, DType::Float32, channels.into_iter().collect::<Vec<_>>());
        FieldSpec { ragged: Some(Ragged { axes: 1, capacity }), ..spec }
    }
}

impl FieldKind for Audio {
    fn payload(&self, _name: &str) -> Result<Payload> {
        Ok(Payload::Encoded)
    }

    fn image(&self) -> Option<&str> {
        None
    }

    fn make_room(&mut self, _longest: usize) {}

    fn capacity_mut(&mut self) -> Option<&mut usize> {
        Some(&mut self.capacity)
    }

    fn compile(&self, request: Request<'_>) -> Result<(FieldSpec, Role)> {
        request.alone("it is audio")?;
        request.without_ops("takes images, not audio")?;
        if self.sample_rate == 0 || self.channels == 0 {
            return Err(request.refused("audio has one channel and one sample a second, or more"));
        }
        if self.samples > 0 {
            request.without_capacity()?;
        }
        let capacity = request.capacity.unwrap_or(self.capacity);
        if self.samples == 0 && capacity == 0 {
            return Err(request.refused(format!(
                "its clips keep their own lengths: give the loader capacity={{{:?}: the most samples of one}}, or the \
                 column samples=",
                request.name
            )));
        }
        let spec = self.spec(request.name, capacity);
        spec.row_bytes()?;
        filled(self, request, spec)
    }

    fn describe(&self, name: &str) -> String {
        format!("{name}: encoded audio")
    }
}

/// Returns what fills the rows.
#[cfg(feature = "audio")]
#[expect(clippy::unnecessary_wraps, reason = "it fails where audio is not built in")]
fn filled(audio: &Audio, request: Request<'_>, spec: FieldSpec) -> Result<(FieldSpec, Role)> {
    let fill = fill::AudioFill { at: request.at, audio: audio.clone(), spec: spec.clone() };
    Ok((spec, Role::Alone(Box::new(fill))))
}

#[cfg(not(feature = "audio"))]
fn filled(_audio: &Audio, request: Request<'_>, _spec: FieldSpec) -> Result<(FieldSpec, Role)> {
    Err(request.refused("this program was built without the feature `audio`"))
}

#[cfg(feature = "audio")]
mod fill {
    use std::time::Instant;

    use super::Audio;
    use crate::{
        decode::audio::{Clip, Kernel},
        error::{Failure, Stage},
        field::fill::{Fill, Sample},
        spec::FieldSpec,
    };

    /// What a draw for a crop is keyed with beside the field: a number that no operation has.
    const CROP: u64 = 1 << 40;

    #[derive(Debug)]
    pub(super) struct AudioFill {
        pub(super) at: usize,
        pub(super) audio: Audio,
        pub(super) spec: FieldSpec,
    }

    impl Fill for AudioFill {
        fn fill(&self, sample: &mut Sample<'_>) -> Result<(), Failure> {
            self.fill_row(sample).map_err(|failure| failure.in_field(self.at))
        }
    }

    impl AudioFill {
        fn fill_row(&self, sample: &mut Sample<'_>) -> Result<(), Failure> {
            let start = Instant::now();
            *sample.stage = Stage::Decode;
            let clip = Clip::decode(sample.payload(self.at), self.audio.channels, &mut sample.budget)?;
            let until = Instant::now();
            sample.times.decode += until - start;
            *sample.stage = Stage::Transform;
            let planes = self.resampled(clip, sample)?;
            self.write(&planes, sample)?;
            sample.times.transform += until.elapsed();
            Ok(())
        }

        fn resampled(&self, clip: Clip, sample: &mut Sample<'_>) -> Result<Vec<Vec<f32>>, Failure> {
            let Clip { rate, planes } = clip;
            let to = self.audio.sample_rate;
            if rate == to {
                return Ok(planes);
            }
            let len = Kernel::len_of(rate, to, planes.first().map_or(0, Vec::len)) as u64;
            let bytes = len.saturating_mul((planes.len() * size_of::<f32>()) as u64);
            sample.take(Kernel::bytes(rate, to).saturating_add(bytes), "resampling")?;
            let mut kept = sample.scratch.take::<Option<Kernel>>();
            let kernel = kept.take().filter(|kernel| kernel.is_of(rate, to)).unwrap_or_else(|| Kernel::new(rate, to));
            let resampled = planes.iter().map(|plane| kernel.apply(plane)).collect();
            *kept = Some(kernel);
            sample.scratch.put(kept);
            Ok(resampled)
        }

        fn write(&self, planes: &[Vec<f32>], sample: &mut Sample<'_>) -> Result<(), Failure> {
            let len = planes.first().map_or(0, Vec::len);
            let Audio { samples, random_crop, .. } = self.audio;
            let rows = if samples > 0 { samples } else { len };
            let spare = len.saturating_sub(rows) as u64;
            let first = if random_crop && spare > 0 {
                sample.key.rng(CROP + self.at as u64).below(spare + 1) as usize
            } else {
                0
            };
            let taken = rows.min(len - first);
            let shape = if planes.len() > 1 { vec![rows, planes.len()] } else { vec![rows] };
            let row = sample.begin(self.at, &self.spec, &shape)?;
            let (values, silence) = row.split_at_mut(taken * planes.len() * size_of::<f32>());
            silence.fill(0);
            for (position, frame) in values.chunks_exact_mut(planes.len() * size_of::<f32>()).enumerate() {
                for (place, plane) in frame.chunks_exact_mut(size_of::<f32>()).zip(planes) {
                    place.copy_from_slice(&plane[first + position].to_ne_bytes());
                }
            }
            Ok(())
        }
    }
}
