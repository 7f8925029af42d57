//! Samples as objects, and what of them the fields are.

use std::sync::{Mutex, PoisonError};

use pyo3::{exceptions::PyException, intern, prelude::*};

use super::{
    ahead::Ahead,
    leaf::{Container, ContainerSpec, Leaf, LeafSpec},
    objects::Objects,
    streams::{Stream, Turns},
};
use crate::{
    drawn,
    error::{Failure, Stage},
    python::{
        error::failed,
        forks::end_if_left,
        randomness::{Randomness, SEEDS_OP},
    },
    rng::Key,
};

/// How a dataset is asked for one sample.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    /// With its epoch, on which it depends.
    Epoch,
    Item,
    /// As the only one of several.
    Items,
}

/// The samples of a dataset.
pub(super) struct Samples {
    dataset: Py<PyAny>,
    call: Call,
    /// Whether the samples of a run are made by one call.
    pub(super) by_run: bool,
    leaves: Vec<Leaf>,
    containers: Vec<Container>,
    /// Of a dataset that is iterated.
    pub(super) stream: Option<Mutex<Stream>>,
    pub(super) randomness: Option<Randomness>,
    /// Held while a sample is made, by threads that do not hold the interpreter's lock for a whole run: another one would draw
    /// from the sample's random numbers.
    pub(super) turn: Mutex<()>,
    /// Whether they are made in the trainer's own process.
    pub(super) in_trainer: bool,
}

impl Samples {
    pub(super) fn new(
        py: Python<'_>,
        code: &Bound<'_, PyAny>,
        leaves: Vec<LeafSpec>,
        containers: Vec<ContainerSpec>,
        turns: Option<Turns>,
    ) -> PyResult<Self> {
        let dataset = code.getattr("dataset")?;
        let kind = dataset.get_type();
        let call = if kind.hasattr("sample_of_epoch")? {
            Call::Epoch
        } else if kind.hasattr("__getitem__")? {
            Call::Item
        } else {
            Call::Items
        };
        let randomness = Randomness::of(py, code)?;
        let stream = turns.map(|turns| Stream::of(py, code, turns)).transpose()?;
        Ok(Self {
            // Seeds are set before each sample: those of a run have to be made one by one then.
            by_run: randomness.is_none()
                && stream.is_none()
                && call != Call::Epoch
                && dataset.get_type().hasattr("__getitems__")?,
            call,
            dataset: dataset.unbind(),
            leaves: leaves.into_iter().map(|leaf| Leaf::new(py, leaf)).collect::<PyResult<_>>()?,
            containers: containers.into_iter().map(|each| Container::new(py, each)).collect::<PyResult<_>>()?,
            randomness,
            stream: stream.map(Mutex::new),
            turn: Mutex::new(()),
            in_trainer: false,
        })
    }

    /// Makes a sample and finds its payloads.
    pub(super) fn read(&self, py: Python<'_>, key: Key, objects: &mut Objects) -> Result<(), Failure> {
        if let Some(stream) = &self.stream {
            let sample =
                stream.lock().unwrap_or_else(PoisonError::into_inner).next(py, key, self.randomness.as_ref())?;
            return self.find(&sample, objects);
        }
        let made = self.make(py, key);
        end_if_left();
        self.find(&made.map_err(|error| failed(py, &error))?, objects)
    }

    /// Finds the payloads of a sample that has been made.
    pub(super) fn find(&self, sample: &Bound<'_, PyAny>, objects: &mut Objects) -> Result<(), Failure> {
        self.containers.iter().try_for_each(|container| container.check(sample))?;
        self.leaves.iter().try_for_each(|leaf| leaf.add(sample, objects))
    }

    /// Makes the samples of a run by one call. Where that raises an exception, each is to be made by itself, so that it is known
    /// which is to blame.
    pub(super) fn make_run(&self, py: Python<'_>, keys: &[Key]) -> Ahead {
        let indices: Vec<u64> = keys.iter().map(|key| key.index).collect();
        let made = self.dataset.bind(py).call_method1(intern!(py, "__getitems__"), (indices,)).and_then(|samples| {
            let samples: Vec<Py<PyAny>> =
                samples.try_iter()?.map(|each| each.map(Bound::unbind)).collect::<PyResult<_>>()?;
            Ok(samples)
        });
        end_if_left();
        match made {
            Ok(samples) if samples.len() == keys.len() => Ahead::of(keys, samples.into_iter().map(Ok)),
            Ok(samples) => {
                let reason = format!("__getitems__ gave {} samples for {} indices", samples.len(), keys.len());
                let failure = Failure::new(Stage::Read, reason);
                Ahead::of(keys, std::iter::repeat_n(failure, keys.len()).map(Err))
            }
            Err(error) if error.is_instance_of::<PyException>(py) => Ahead::default(),
            Err(error) => {
                let failure = failed(py, &error);
                Ahead::of(keys, std::iter::repeat_n(failure, keys.len()).map(Err))
            }
        }
    }

    fn make<'py>(&self, py: Python<'py>, key: Key) -> PyResult<Bound<'py, PyAny>> {
        if let Some(randomness) = &self.randomness {
            drawn::of("", "seeds", || randomness.seed(py, key, SEEDS_OP))?;
        }
        let dataset = self.dataset.bind(py);
        match self.call {
            Call::Epoch => dataset.call_method1(intern!(py, "sample_of_epoch"), (key.index, key.epoch, key.seed)),
            Call::Item => dataset.get_item(key.index),
            Call::Items => dataset.call_method1(intern!(py, "__getitems__"), ([key.index],))?.get_item(0),
        }
    }
}
