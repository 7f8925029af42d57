//! Samples as objects, and what of them the fields are.

use std::sync::Mutex;

use pyo3::prelude::*;

use super::{
    leaf::{Container, ContainerSpec, Leaf, LeafSpec},
    objects::Objects,
    randomness::Randomness,
};
use crate::{
    error::{Failure, Stage},
    python::{error::raised, forks::end_if_left},
    rng::Key,
};

/// The samples of a dataset.
pub(super) struct Samples {
    dataset: Py<PyAny>,
    has_items: bool,
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
        Ok(Self {
            has_items: dataset.get_type().hasattr("__getitem__")?,
            dataset: dataset.unbind(),
            leaves: leaves.into_iter().map(|leaf| Leaf::new(py, leaf)).collect::<PyResult<_>>()?,
            containers: containers.into_iter().map(|each| Container::new(py, each)).collect::<PyResult<_>>()?,
            randomness: Randomness::of(py, code)?,
            turn: Mutex::new(()),
            in_trainer: false,
        })
    }

    /// Makes a sample and finds its payloads.
    pub(super) fn read(&self, py: Python<'_>, key: Key, objects: &mut Objects) -> Result<(), Failure> {
        let made = self.make(py, key);
        end_if_left();
        let sample = made.map_err(|error| failed(py, &error))?;
        self.containers.iter().try_for_each(|container| container.check(&sample))?;
        self.leaves.iter().try_for_each(|leaf| leaf.add(&sample, objects))
    }

    fn make<'py>(&self, py: Python<'py>, key: Key) -> PyResult<Bound<'py, PyAny>> {
        if let Some(randomness) = &self.randomness {
            randomness.seed(py, key)?;
        }
        let dataset = self.dataset.bind(py);
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
