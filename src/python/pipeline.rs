//! A pipeline of this crate as a dataset of Python's: samples by index, as arrays.

use std::{cell::RefCell, sync::Arc};

use pyo3::{
    buffer::PyUntypedBuffer,
    prelude::*,
    types::{PyBytes, PyDict, PyString},
};
use serde::Deserialize;

use super::{
    arrays::{Memory, Values},
    functions::UserFunctions,
};
use crate::{
    budget::Budget,
    error::{Error, Failure, Stage},
    field::{Kind, Recipe},
    function::{Array, Functions},
    learn::learn,
    pipeline::{self, Scratch, Times},
    rng::Key,
    source::{Bytes, Record, SourceSpec},
    spec::{DType, FieldSpec},
    transform::Rows,
};

thread_local! {
    /// What this thread uses from sample to sample.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What samples are, as data.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    source: SourceSpec,
    recipe: Recipe,
    seed: u64,
    max_sample_bytes: Option<u64>,
}

/// Samples of a source, with what transforms make of their fields.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct Pipeline {
    inner: pipeline::Pipeline,
    seed: u64,
    memory: Memory,
}

/// Bytes in memory of an object of Python's, which is kept.
struct Shared(PyUntypedBuffer);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        super::buffer::bytes_of(&self.0).unwrap_or_default()
    }
}

#[pymethods]
impl Pipeline {
    /// Opens what a description says, in JSON. `memory` are the pieces of memory that the source lies in; `code` has the functions that transforms
    /// call.
    #[new]
    fn new(
        py: Python<'_>,
        description: &str,
        memory: Vec<Bound<'_, PyAny>>,
        code: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let Description { source, recipe, seed, max_sample_bytes } =
            super::from_json("the description of a pipeline", description)?;
        let shared = |piece| Ok::<_, PyErr>(Arc::new(Shared(PyUntypedBuffer::get(piece)?)) as Bytes);
        let memory = memory.iter().map(shared).collect::<PyResult<Vec<_>>>()?;
        let functions: Arc<dyn Functions> = Arc::new(UserFunctions::of(code, false)?);
        let open = || {
            let source = source.open(&memory)?;
            let recipe = Recipe { unbounded: true, ..recipe };
            let recipe = learn(&source, recipe, &functions, Key { seed, epoch: 0, index: 0 })?;
            let pipeline = pipeline::Pipeline::new(source, &recipe)?.with_functions(functions);
            Ok::<_, Error>(pipeline.with_sample_bytes(max_sample_bytes.unwrap_or(Budget::DEFAULT)))
        };
        Ok(Self { inner: py.detach(open)?, seed, memory: Memory::default() })
    }

    fn __len__(&self) -> usize {
        self.inner.source().len() as usize
    }

    /// Returns a sample of an epoch: its fields by name, as arrays, texts and bytes. `seed` is that of its draws, by default
    /// the description's.
    #[pyo3(signature = (index, epoch, seed = None))]
    fn sample<'py>(&self, py: Python<'py>, index: u64, epoch: u64, seed: Option<u64>) -> PyResult<Bound<'py, PyDict>> {
        let source = self.inner.source();
        if index >= source.len() {
            return Err(pyo3::exceptions::PyIndexError::new_err(format!("there is no sample {index}")));
        }
        let key = Key { seed: seed.unwrap_or(self.seed), epoch, index };
        let arrays = py.detach(|| {
            self.arrays(key).map_err(|failure| Error::Sample(Box::new(failure.of(index, source.key(index)))))
        })?;
        let sample = PyDict::new(py);
        for ((array, field), spec) in arrays.into_iter().zip(self.inner.made()).zip(self.inner.fields()) {
            let array = array.into_bound(py);
            let value = match &field.kind {
                // It is tokens, or what a function made of them.
                Kind::Text(_) if spec.dtype != DType::UInt8 => array,
                Kind::Text(_) => PyString::from_bytes(py, &bytes(&array)?)?.into_any(),
                Kind::Bytes(_) => PyBytes::new(py, &bytes(&array)?).into_any(),
                Kind::Image(_)
                | Kind::Mask(_)
                | Kind::Segmentation(_)
                | Kind::BoundingBoxes(_)
                | Kind::KeyPoints(_)
                | Kind::Tensor(_)
                | Kind::List(_)
                | Kind::Varying(_)
                | Kind::Audio(_)
                | Kind::Object(_)
                | Kind::Label(_) => array,
            };
            sample.set_item(&field.name, value)?;
        }
        Ok(sample)
    }
}

fn bytes(array: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    array.call_method0("tobytes")?.extract()
}

impl Pipeline {
    /// Returns the fields of a sample, in the order of the pipeline.
    fn arrays(&self, key: Key) -> Result<Vec<Py<PyAny>>, Failure> {
        let mut record = Record::default();
        let mut reader = self.inner.reader();
        reader.read(key, &mut record, self.inner.sample_bytes())?;
        let mut rows = ArrayRows { memory: &self.memory, arrays: Vec::new() };
        rows.arrays.resize_with(self.inner.fields().len(), || None);
        SCRATCH
            .with_borrow_mut(|scratch| self.inner.make((0, key), &record, scratch, &mut rows, &mut Times::default()))?;
        let missing = || Failure::new(Stage::Transform, "a field was not filled");
        rows.arrays.into_iter().map(|array| array.map(Values::into_object).ok_or_else(missing)).collect()
    }
}

/// Rows that are arrays, each of its own size.
struct ArrayRows<'a> {
    memory: &'a Memory,
    arrays: Vec<Option<Values>>,
}

impl Rows for ArrayRows<'_> {
    fn begin(&mut self, at: usize, spec: &FieldSpec, shape: &[usize]) -> Result<&mut [u8], Failure> {
        let made = Python::attach(|py| self.memory.array(py, spec.dtype, shape));
        let made = made.map_err(|error| Failure::new(Stage::Transform, error.to_string()))?;
        Ok(self.arrays[at].insert(made).bytes_mut())
    }
}
