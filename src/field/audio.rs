//! Encoded audio.

use serde::{Deserialize, Serialize};

use super::kind::{FieldKind, Payload, Request, Role};
use crate::{
    error::Result,
    function::ArraySpec,
    spec::{DType, FieldSpec, Ragged},
    transform::{self, Between, CallInput, Calls, SoundChain, SoundShape, UNBOUNDED},
};

/// An audio file's bytes, decoded to `float32` (samples,), or (samples, channels) where there are several; transforms make
/// spectrograms of that.
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
    /// Returns what a clip is before there are transforms.
    fn waveform(&self) -> SoundShape {
        let rows = (self.samples > 0).then_some(self.samples);
        SoundShape { rate: self.sample_rate, channels: self.channels, rows, bins: None }
    }

    /// Returns what rows of such sound look like.
    fn rows(&self, request: Request<'_>, sound: SoundShape) -> Result<FieldSpec> {
        let name = request.name;
        if let Some(rows) = sound.rows {
            request.without_capacity()?;
            let shape: Vec<usize> = [rows].into_iter().chain(sound.entry()).collect();
            return Ok(FieldSpec::new(name, DType::Float32, shape));
        }
        // That of the field counts samples.
        let own = (self.capacity > 0 && sound.bins.is_none()).then_some(self.capacity);
        let unbounded = request.unbounded.then_some(UNBOUNDED);
        let Some(capacity) = request.capacity.or(own).or(unbounded) else {
            let what = if sound.bins.is_some() { "frames" } else { "samples" };
            return Err(request.refused(format!(
                "its clips keep their own lengths: give the loader capacity={{{name:?}: the most {what} of one}}, or the \
                 column samples="
            )));
        };
        let spec = FieldSpec::new(name, DType::Float32, sound.entry());
        Ok(FieldSpec { ragged: Some(Ragged { axes: 1, capacity }), ..spec })
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
        if self.sample_rate == 0 || self.channels == 0 {
            return Err(request.refused("audio has one channel and one sample a second, or more"));
        }
        let end = request.ops.iter().position(|op| matches!(op.role, transform::Role::Call(_)));
        let (ops, called) = request.ops.split_at(end.unwrap_or(request.ops.len()));
        let chain = SoundChain::compile(request.name, self.waveform(), ops)?;
        let sound = chain.output();
        if called.is_empty() {
            let spec = self.rows(request, sound)?;
            spec.row_bytes()?;
            return filled(self, request, chain, (spec.clone(), Row::Values(spec)));
        }
        let shape = [sound.rows].into_iter().chain(sound.entry().into_iter().map(Some)).collect();
        let given = Between { spec: ArraySpec { dtype: DType::Float32, shape }, layout: None };
        let Request { name, capacity, unbounded, .. } = request;
        let (calls, spec) =
            Calls::compile(CallInput { name, capacity, unbounded, is_followed: false }, given, called)?;
        filled(self, request, chain, (spec, Row::Called(calls)))
    }

    fn describe(&self, name: &str) -> String {
        format!("{name}: encoded audio")
    }
}

/// What becomes of sound that all transforms have been done to.
#[derive(Debug)]
#[cfg_attr(not(feature = "audio"), expect(dead_code, reason = "nothing fills rows of audio then"))]
enum Row {
    /// It is written to rows that look so.
    Values(FieldSpec),
    /// A function gets it.
    Called(Calls),
}

/// Returns what fills the rows.
#[cfg(feature = "audio")]
#[expect(clippy::unnecessary_wraps, reason = "it fails where audio is not built in")]
fn filled(audio: &Audio, request: Request<'_>, chain: SoundChain, rows: (FieldSpec, Row)) -> Result<(FieldSpec, Role)> {
    let (spec, row) = rows;
    let fill = fill::AudioFill { at: request.at, audio: audio.clone(), chain, row };
    Ok((spec, Role::Alone(Box::new(fill))))
}

#[cfg(not(feature = "audio"))]
fn filled(_: &Audio, request: Request<'_>, _: SoundChain, _: (FieldSpec, Row)) -> Result<(FieldSpec, Role)> {
    Err(request.refused("this program was built without the feature `audio`"))
}

#[cfg(feature = "audio")]
mod fill {
    use std::time::Instant;

    use super::{Audio, Row};
    use crate::{
        decode::audio::{Clip, Kernel},
        drawn,
        error::{Failure, Stage},
        field::fill::{Fill, Sample},
        spec::DType,
        transform::{Sound, SoundChain, Workspace},
    };

    /// What a draw for a crop is keyed with beside the field: a number that no operation has.
    const CROP: u64 = 1 << 40;

    #[derive(Debug)]
    pub(super) struct AudioFill {
        pub(super) at: usize,
        pub(super) audio: Audio,
        pub(super) chain: SoundChain,
        pub(super) row: Row,
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
            let waveform = Sound { bins: None, planes: self.cut(planes, sample)? };
            let sound = self.chain.run(waveform, sample.key, &mut sample.budget)?;
            self.write(&sound, sample)?;
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

        /// Returns the part of a clip that is wanted, or the clip with silence behind it.
        fn cut(&self, mut planes: Vec<Vec<f32>>, sample: &mut Sample<'_>) -> Result<Vec<Vec<f32>>, Failure> {
            let Audio { samples, random_crop, .. } = self.audio;
            let spare = planes.first().map_or(0, Vec::len).saturating_sub(samples) as u64;
            if samples == 0 {
                return Ok(planes);
            }
            if spare == 0 {
                sample.take((samples * planes.len() * size_of::<f32>()) as u64, "the silence behind a clip")?;
            }
            let first = if random_crop && spare > 0 {
                let first = sample.key.rng(CROP + self.at as u64).below(spare + 1);
                drawn::of(self.chain.name(), "Audio", || drawn::tell(|| [("start", first.into())]));
                first as usize
            } else {
                0
            };
            for plane in &mut planes {
                plane.drain(..first);
                plane.resize(samples, 0.0);
            }
            Ok(planes)
        }

        fn write(&self, sound: &Sound, sample: &mut Sample<'_>) -> Result<(), Failure> {
            match &self.row {
                Row::Values(spec) => {
                    sound.write(sample.begin(self.at, spec, &sound.shape())?);
                    Ok(())
                }
                Row::Called(calls) => {
                    let mut space = sample.scratch.take::<Workspace>();
                    let mut target = sample.target(self.at);
                    let called = target.array(DType::Float32, &sound.shape()).and_then(|mut array| {
                        sound.write(array.bytes_mut());
                        calls.run(array, &mut space, &mut target)
                    });
                    sample.scratch.put(space);
                    called
                }
            }
        }
    }
}
