//! The operations on sound of a field, checked and compiled once.

use std::sync::Arc;

use crate::{
    budget::Budget,
    drawn,
    error::{Error, Failure, Result},
    rng::Key,
    transform::{
        failure::failure,
        numbered::Numbered,
        op::{OpKey, Role, SoundOp},
        ops::Transform,
        sound::{Sound, SoundShape},
    },
};

/// The compiled operations of sound.
#[derive(Clone, Debug)]
pub struct SoundChain {
    /// The field's name.
    name: Arc<str>,
    steps: Vec<Step>,
    output: SoundShape,
}

#[derive(Clone, Debug)]
struct Step {
    name: &'static str,
    op: u64,
    sound_op: Arc<dyn SoundOp>,
}

impl SoundChain {
    /// Compiles the transforms of waveforms.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for an argument out of range, or a transform that cannot take what comes before it.
    pub fn of_waveforms(name: &str, waveform: SoundShape, transforms: &[Transform]) -> Result<Self> {
        Self::compile(name, waveform, &Numbered::list(name, name, transforms)?)
    }

    /// Compiles operations.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for an operation that cannot take what comes before it.
    pub(crate) fn compile(name: &str, waveform: SoundShape, ops: &[Numbered]) -> Result<Self> {
        let (mut steps, mut output) = (Vec::with_capacity(ops.len()), waveform);
        for op in ops {
            let refused =
                |what: &str| Error::Config(format!("field `{name}`: transform {}: {} {what}", op.at, op.name));
            let sound_op = match &op.role {
                Role::Sound(sound_op) => Arc::clone(sound_op),
                Role::Decoding(_)
                | Role::Pixels(_)
                | Role::Row(_)
                | Role::Samples(_)
                | Role::Call(_)
                | Role::Boxes(_)
                | Role::KeyPoints(_) => return Err(refused("takes images, not audio")),
                Role::Text(_) => return Err(refused("takes texts, not audio")),
            };
            output = sound_op.output(output).map_err(|what| refused(&what))?;
            steps.push(Step { name: op.name, op: op.op, sound_op });
        }
        Ok(Self { name: name.into(), steps, output })
    }

    /// Returns the field's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what comes out.
    pub const fn output(&self) -> SoundShape {
        self.output
    }

    /// Does to a sample's sound what there is to do.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage, for sound that an operation cannot take, or where there is no budget for it.
    pub fn run(&self, mut sound: Sound, key: Key, budget: &mut Budget) -> Result<Sound, Failure> {
        for Step { name, op, sound_op } in &self.steps {
            let made = drawn::of(&self.name, name, || sound_op.apply(sound, OpKey { key, op: *op }, budget));
            sound = made.map_err(|what| failure(format!("{name}: {what}")))?;
        }
        Ok(sound)
    }
}
