//! Learning what code of the user makes of samples, before there are slots.

#![expect(unsafe_code, reason = "reads bytes that the trainer has written")]

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::code::OpenedCode;
use crate::{
    error::{Error, Result},
    field::{Compiled, Recipe},
    learn::learn,
    rng::Key,
    shm::SharedBytes,
    source::{Bytes, Source, SourceSpec},
    sys::memory::SharedMemory,
};

/// What is asked of code: what to learn, and from which samples.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Question {
    /// The source, where it is no code itself.
    pub native: Option<SourceSpec>,
    /// What is made of the samples, as far as that is known.
    pub recipe: Recipe,
    /// The seed of random choices.
    pub seed: u64,
}

/// What was learned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// What is known of the source; nothing where it is no code.
    pub facts: String,
    /// What is made of the samples.
    pub recipe: Recipe,
}

impl Question {
    /// Opens the source, where it is no code, from the pieces of memory that it lies in.
    ///
    /// # Errors
    /// Those of [`SourceSpec::open`].
    pub fn open(&self, memory: &[Arc<SharedMemory>]) -> Result<Option<Arc<dyn Source>>> {
        let memory: Vec<_> = memory.iter().map(|memory| Arc::new(shared_bytes(memory)) as Bytes).collect();
        self.native.as_ref().map(|spec| spec.open(&memory)).transpose()
    }

    /// Tells whether there is nothing to be learned.
    pub fn is_answered(&self) -> bool {
        self.native.is_some() && !self.recipe.has_unknown()
    }

    /// Learns by running the code in this process. `native` is the source, where it is no code.
    ///
    /// # Errors
    /// Those of [`OpenedCode::learn`] and [`learn`].
    pub fn answer(self, code: &dyn OpenedCode, native: Option<Arc<dyn Source>>) -> Result<Answer> {
        let Self { recipe, seed, .. } = self;
        let (facts, source) = if let Some(source) = native {
            // Such a process is as a worker is, its first one: functions may need that.
            code.functions()?.enter(0)?;
            (String::new(), source)
        } else {
            let facts = code.learn()?;
            let source = code.source(&facts)?;
            (facts, source)
        };
        // A mistake is told before functions are tried.
        recipe.each_variant().iter().try_for_each(|variant| Compiled::of(source.fields(), variant).map(drop))?;
        let recipe = if recipe.has_unknown() {
            learn(&source, recipe, &code.functions()?, Key { seed, epoch: 0, index: 0 })?
        } else {
            recipe
        };
        Ok(Answer { facts, recipe })
    }
}

/// Returns memory of a source, or of the order's table, as bytes.
pub(super) fn shared_bytes(memory: &Arc<SharedMemory>) -> SharedBytes {
    // SAFETY: the trainer filled the memory before it sent the descriptor, and keeps no way to write to it.
    unsafe { SharedBytes::new(Arc::clone(memory)) }
}

/// What a process that was to learn something says of it.
#[derive(Debug, Serialize, Deserialize)]
pub enum Learning {
    /// What it has learned.
    Answer(Box<Answer>),
    /// The exception that was raised, while what was being done.
    Raised(String, crate::error::Raised),
    /// Another reason.
    Failed(String),
}

impl Learning {
    /// Returns what came of learning, in a form that crosses processes.
    pub fn of(learned: Result<Answer>) -> Self {
        match learned {
            Ok(answer) => Self::Answer(Box::new(answer)),
            Err(Error::Raised { what, raised }) => Self::Raised(what, *raised),
            Err(Error::Sample(sample)) => {
                let what = format!("trying to {} sample {} (`{}`)", sample.stage, sample.index, sample.key);
                let failed = Self::Failed(sample.to_string());
                sample.raised.map_or(failed, |raised| Self::Raised(what, *raised))
            }
            Err(error) => Self::Failed(error.to_string()),
        }
    }

    /// Returns what came of it.
    ///
    /// # Errors
    /// That of the process that learned.
    pub fn into_answer(self) -> Result<Answer> {
        match self {
            Self::Answer(answer) => Ok(*answer),
            Self::Raised(what, raised) => Err(Error::Raised { what, raised: Box::new(raised) }),
            Self::Failed(reason) => Err(Error::Config(reason)),
        }
    }
}
