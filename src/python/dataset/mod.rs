//! Any dataset of Python's as a source: samples are objects, and rows are copied from their memory.

mod leaf;
mod objects;
mod reader;
mod samples;

use std::{fmt, os::fd::RawFd, time::Instant};

use pyo3::{prelude::*, types::PyDict};
use serde::Deserialize;

use self::{
    leaf::{ContainerSpec, LeafSpec},
    reader::DatasetReader,
    samples::Samples,
};
use super::{error::raised, randomness::Randomness};
use crate::{
    error::{Error, Result},
    field::Field,
    shm::Mailbox,
    source::{Reader, Record, Source},
    sys::process::{self, Ended},
};

/// What samples say about a dataset.
#[derive(Deserialize)]
struct Facts {
    samples: u64,
    fields: Vec<Field>,
    leaves: Vec<LeafSpec>,
    containers: Vec<ContainerSpec>,
}

/// What the child that tries samples says.
#[derive(Deserialize, serde::Serialize)]
enum Told {
    Facts(String, f64),
    Raised(crate::error::Raised),
}

/// Any object with a length and items, as a source.
pub(super) struct Dataset {
    code: Py<PyAny>,
    samples: Samples,
    len: u64,
    fields: Vec<Field>,
    descriptors: Vec<RawFd>,
    quick: bool,
}

/// Up to so many seconds, a sample takes about as long as a message.
const QUICK_SECONDS: f64 = 20e-6;
/// The room for what a child learns. Pages that are never written cost nothing.
const FACTS_BYTES: usize = 8 << 20;

impl Dataset {
    /// Returns the dataset of a loader's code, whose fields are learned in this process.
    pub(super) fn learned(py: Python<'_>, code: &Bound<'_, PyAny>) -> PyResult<Self> {
        let randomness = Randomness::of(py, code)?;
        if let Some(randomness) = &randomness {
            randomness.keep(py)?;
        }
        let learned = learn(py, code);
        if let Some(randomness) = &randomness {
            randomness.restore(py)?;
        }
        let (facts, seconds) = learned?;
        let mut dataset = Self::of(py, code, &facts, seconds, Vec::new())?;
        dataset.samples.in_trainer = true;
        Ok(dataset)
    }

    /// Returns the dataset of a loader's code, whose fields are learned in a child of this process, which then ends: a
    /// dataset may open files at its first sample, which workers must open themselves.
    pub(super) fn probed(py: Python<'_>, code: &Bound<'_, PyAny>, descriptors: Vec<RawFd>) -> Result<Self> {
        let what = || "trying samples of the dataset".to_owned();
        let told = probe(code)?;
        match told {
            Told::Raised(raised) => Err(Error::Raised { what: what(), raised: Box::new(raised) }),
            Told::Facts(facts, seconds) => Self::of(py, code, &facts, seconds, descriptors)
                .map_err(|error| Error::Raised { what: what(), raised: Box::new(raised(py, &error)) }),
        }
    }

    fn of(
        py: Python<'_>,
        code: &Bound<'_, PyAny>,
        facts: &str,
        seconds: f64,
        descriptors: Vec<RawFd>,
    ) -> PyResult<Self> {
        let Facts { samples, fields, leaves, containers } = super::from_json("what was learned of a dataset", facts)?;
        Ok(Self {
            samples: Samples::new(py, code, leaves, containers)?,
            code: code.clone().unbind(),
            len: samples,
            fields,
            descriptors,
            quick: seconds < QUICK_SECONDS,
        })
    }
}

fn enter(py: Python<'_>, code: &Py<PyAny>, seat: u32) -> PyResult<()> {
    py.import("stokehold.user.begin")?.call_method1("enter", (code, seat)).map(drop)
}

/// Tries samples, and returns what they say, and how long one took.
fn learn(py: Python<'_>, code: &Bound<'_, PyAny>) -> PyResult<(String, f64)> {
    let module = py.import("stokehold.user.learn")?;
    let sample = code.getattr("sample")?;
    let facts = module.call_method1("learn", (code, &sample))?;
    let begun = Instant::now();
    // The first call has paid for what is made lazily.
    sample.call1((0,)).ok();
    let seconds = begun.elapsed().as_secs_f64();
    let kwargs = PyDict::new(py);
    kwargs.set_item("allow_nan", false)?;
    let text = py.import("json")?.call_method("dumps", (facts,), Some(&kwargs))?.extract::<String>()?;
    Ok((text, seconds))
}

fn probe(code: &Bound<'_, PyAny>) -> Result<Told> {
    let py = code.py();
    let mailbox = Mailbox::create(2, FACTS_BYTES)?;
    let parent = process::own_pid();
    let code = code.clone().unbind();
    let tell = || {
        if !process::die_with(parent) {
            return 0;
        }
        process::set_name("stokehold-probe");
        let told = Python::attach(|py| match learn(py, code.bind(py)) {
            Ok((facts, seconds)) => Told::Facts(facts, seconds),
            Err(error) => Told::Raised(raised(py, &error)),
        });
        let Ok(text) = serde_json::to_string(&told) else { return 1 };
        let len = mailbox.write(0, &text);
        mailbox.write(1, &len.to_string());
        0
    };
    let mut child = process::fork_alone(tell)?;
    let ended = py.detach(|| {
        loop {
            if let Some(ended) = child.wait(std::time::Duration::from_secs(1)) {
                break ended;
            }
        }
    });
    if ended != Ended::Exited(0) {
        return Err(Error::Worker(format!("the process that tried samples of the dataset {ended}")));
    }
    let len = mailbox.read(1, 10).trim_end_matches('\0').parse().unwrap_or(0);
    serde_json::from_str(&mailbox.read(0, len))
        .map_err(|error| Error::Protocol(format!("what was learned of the dataset: {error}")))
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

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        format!("dataset[{index}]")
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
