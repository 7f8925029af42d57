//! Samples as objects, and what of them the fields are.

use std::sync::Mutex;

use pyo3::{exceptions::PyException, intern, prelude::*};

use super::{
    ahead::Ahead,
    leaf::{Container, ContainerSpec, Leaf, LeafSpec},
    objects::Objects,
};
use crate::{
    error::{Failure, Stage},
    python::{error::raised, forks::end_if_left, randomness::Randomness},
    rng::Key,
};

/// Sets the draws that seed generators for samples apart from all others.
const SEEDS_OP: u64 = u64::MAX - 2;

/// The samples of a dataset.
pub(super) struct Samples {
    dataset: Py<PyAny>,
    has_items: bool,
    /// Whether the samples of a run are made by one call.
    pub(super) by_run: bool,
    /// Whether a sample depends on its epoch: then the dataset is asked for it with that.
    has_epochs: bool,
    leaves: Vec<Leaf>,
    containers: Vec<Container>,
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
    ) -> PyResult<Self> {
        let dataset = code.getattr("dataset")?;
        let has_epochs = dataset.get_type().hasattr("sample_of_epoch")?;
        let randomness = Randomness::of(py, code)?;
        Ok(Self {
            // Seeds are set before each sample: those of a run have to be made one by one then.
            by_run: randomness.is_none() && !has_epochs && dataset.get_type().hasattr("__getitems__")?,
            has_epochs,
            has_items: dataset.get_type().hasattr("__getitem__")?,
            dataset: dataset.unbind(),
            leaves: leaves.into_iter().map(|leaf| Leaf::new(py, leaf)).collect::<PyResult<_>>()?,
            containers: containers.into_iter().map(|each| Container::new(py, each)).collect::<PyResult<_>>()?,
            randomness,
            turn: Mutex::new(()),
            in_trainer: false,
        })
    }

    /// Makes a sample and finds its payloads.
    pub(super) fn read(&self, py: Python<'_>, key: Key, objects: &mut Objects) -> Result<(), Failure> {
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
            randomness.seed(py, key, SEEDS_OP)?;
        }
        let dataset = self.dataset.bind(py);
        if self.has_epochs {
            return dataset.call_method1(intern!(py, "sample_of_epoch"), (key.index, key.epoch));
        }
        if self.has_items {
            return dataset.get_item(key.index);
        }
        dataset.call_method1("__getitems__", ([key.index],))?.get_item(0)
    }
}

/// Returns the failure of a sample whose code raised an exception.
fn failed(py: Python<'_>, error: &PyErr) -> Failure {
    let errno = error
        .is_instance_of::<pyo3::exceptions::PyOSError>(py)
        .then(|| error.value(py).getattr("errno").ok()?.extract::<i32>().ok())
        .flatten();
    Failure { errno, ..Failure::raised(Stage::Read, raised(py, error)) }
}
