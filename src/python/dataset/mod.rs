//! Any dataset of Python's as a source: samples are objects, and rows are copied from their memory.

mod ahead;
mod facts;
mod known;
mod leaf;
mod objects;
mod reader;
mod samples;
mod streams;

use std::{fmt, os::fd::RawFd, sync::Arc, time::Instant};

use pyo3::prelude::*;

use self::{
    facts::{Facts, key, stack_signal},
    known::KnownDataset,
    reader::DatasetReader,
    samples::Samples,
    streams::Turns,
};
use super::{error::raised, randomness::Randomness};
use crate::{
    error::{Error, Result},
    field::Field,
    source::{Reader, Record, Source},
};

/// Any object with a length and items, as a source.
pub(super) struct Dataset {
    code: Py<PyAny>,
    samples: Samples,
    len: u64,
    turns: Option<Turns>,
    fields: Vec<Field>,
    descriptors: Vec<RawFd>,
    quick: bool,
}

impl Dataset {
    /// Returns the dataset of a loader's code, whose fields are learned in this process, the trainer's.
    pub(super) fn learned(py: Python<'_>, code: &Bound<'_, PyAny>) -> PyResult<Self> {
        let randomness = Randomness::of(py, code)?;
        if let Some(randomness) = &randomness {
            randomness.keep(py)?;
        }
        let facts = learn(py, code);
        if let Some(randomness) = &randomness {
            randomness.restore(py)?;
        }
        let mut dataset = Self::new(py, code, &facts?, Vec::new())?;
        dataset.samples.in_trainer = true;
        Ok(dataset)
    }

    /// Returns the dataset of a loader's code, of which this much is known; `descriptors` are those that it has open.
    pub(super) fn new(py: Python<'_>, code: &Bound<'_, PyAny>, facts: &str, descriptors: Vec<RawFd>) -> PyResult<Self> {
        let facts: Facts = super::from_json("what was learned of a dataset", facts)?;
        let (quick, len) = (facts.is_quick(), facts.len());
        let Facts { turns, fields, leaves, containers, .. } = facts;
        Ok(Self {
            samples: Samples::new(py, code, leaves, containers, turns)?,
            code: code.clone().unbind(),
            len,
            turns,
            fields,
            descriptors,
            quick,
        })
    }
}

/// Returns the source of a dataset of which this much is known, and that this process does not have.
pub(super) fn known(facts: &str) -> Result<Arc<dyn Source>> {
    let facts: Facts = serde_json::from_str(facts)
        .map_err(|error| Error::Protocol(format!("what was learned of the dataset: {error}")))?;
    Ok(Arc::new(KnownDataset::new(facts)))
}

/// Begins a worker's process.
pub(super) fn enter(py: Python<'_>, code: &Py<PyAny>, seat: u32) -> PyResult<()> {
    py.import("stokehold.user.begin")?.call_method1("enter", (code, seat)).map(drop)
}

/// Tries samples, and returns what they say, as text.
pub(super) fn learn(py: Python<'_>, code: &Bound<'_, PyAny>) -> PyResult<String> {
    let module = py.import("stokehold.user.learn")?;
    let facts = module.call_method1("learn", (code,))?;
    if !facts.contains("seconds")? {
        let begun = Instant::now();
        // The first call has paid for what is made lazily. Where it raises now, it takes what it takes.
        code.call_method1("sample", (0,)).ok();
        facts.set_item("seconds", begun.elapsed().as_secs_f64())?;
    }
    py.import("json")?.call_method1("dumps", (facts,))?.extract()
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset").field("len", &self.len).field("fields", &self.fields).finish_non_exhaustive()
    }
}

impl Source for Dataset {
    fn len(&self) -> u64 {
        self.len
    }

    fn is_stream(&self) -> bool {
        self.turns.is_some()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        key(self.turns, index)
    }

    fn descriptors(&self) -> Vec<RawFd> {
        self.descriptors.clone()
    }

    fn does_io(&self) -> bool {
        false
    }

    fn is_quick(&self) -> bool {
        self.quick
    }

    fn runs_code(&self) -> bool {
        true
    }

    fn stack_signal(&self) -> Option<i32> {
        stack_signal()
    }

    fn guesses_room(&self) -> bool {
        true
    }

    fn enter(&self, seat: u32) -> Result<()> {
        Python::attach(|py| match enter(py, &self.code, seat) {
            Ok(()) => Ok(()),
            Err(error) => {
                let what = "beginning a worker (worker_init)".to_owned();
                Err(Error::Raised { what, raised: Box::new(raised(py, &error)) })
            }
        })
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(DatasetReader::new(&self.samples))
    }

    fn field<'a>(&'a self, field: usize, _index: u64, record: &'a Record) -> &'a [u8] {
        record.payload(field)
    }
}
