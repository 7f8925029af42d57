//! Functions of the user, which transforms call by number.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use pyo3::{
    exceptions::{PyIndexError, PyTypeError},
    intern,
    prelude::*,
    types::PyDict,
};

use super::{
    arrays::{Lease, Memory, Values},
    error::raised,
    forks::end_if_left,
    randomness::Randomness,
};
use crate::{
    drawn,
    error::{Error, Failure, Result, Stage},
    function::{Array, BatchField, Functions, Invocation},
    rng::Key,
    spec::DType,
    sys::{process, report},
};

/// Sets the draws that seed generators for functions apart from all others; and below them, one for each function, those
/// that seed the generators that it has of its own.
const FUNCTIONS_OP: u64 = u64::MAX - (1 << 34);
/// The same for functions that get batches.
const BATCHES_OP: u64 = u64::MAX - (2 << 34);

/// A function of the user.
struct Function {
    /// What is called with an array; and with the axis of its channels, unless it is plain.
    call: Py<PyAny>,
    /// Whether it is the user's own, which gets NumPy arrays and is told nothing else.
    is_plain: bool,
    /// What seeds the generators that the function has of its own, if it has some.
    reseed: Option<Py<PyAny>>,
}

/// The functions of a loader's code.
pub(super) struct UserFunctions {
    functions: Vec<Function>,
    memory: Memory,
    randomness: Option<Randomness>,
    sample: Mutex<Begun>,
    code: Py<PyAny>,
    in_trainer: bool,
}

/// The sample in hand.
#[derive(Default)]
struct Begun {
    key: Option<Key>,
    /// Whether the generators that functions share are seeded for it.
    is_seeded: bool,
}

impl UserFunctions {
    /// Returns the functions of a loader's code.
    ///
    /// `in_trainer` says whether they are called in the trainer's own process, whose generators stay as they are.
    pub(super) fn of(code: &Bound<'_, PyAny>, in_trainer: bool) -> PyResult<Self> {
        let functions = code.getattr("functions")?.try_iter()?.map(|function| Function::of(&function?));
        Ok(Self {
            functions: functions.collect::<PyResult<_>>()?,
            memory: Memory::default(),
            randomness: Randomness::of(code.py(), code)?,
            sample: Mutex::default(),
            code: code.clone().unbind(),
            in_trainer,
        })
    }

    /// Does something with the trainer's own random numbers, where functions run in its process.
    fn each_run(&self, run: impl Fn(&Randomness, Python<'_>) -> PyResult<()>, what: &str) {
        if let (true, Some(randomness)) = (self.in_trainer, &self.randomness)
            && let Err(error) = Python::attach(|py| run(randomness, py))
        {
            report::report(&format!("the random numbers of this process cannot be {what}: {error}"));
        }
    }

    fn function(&self, number: u32) -> PyResult<&Function> {
        let function = self.functions.get(number as usize);
        function.ok_or_else(|| PyIndexError::new_err(format!("the loader has no function {number}")))
    }

    /// Seeds what the next call draws from.
    fn seed(&self, py: Python<'_>, function: &Function, number: u32) -> PyResult<()> {
        let mut begun = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(key) = begun.key else { return Ok(()) };
        if let (Some(randomness), false) = (&self.randomness, begun.is_seeded) {
            randomness.seed(py, key, FUNCTIONS_OP)?;
        }
        begun.is_seeded = true;
        drop(begun);
        self.reseed(py, function, number, key, FUNCTIONS_OP)
    }

    /// Seeds the generators that a function has of its own.
    fn reseed(&self, py: Python<'_>, function: &Function, number: u32, key: Key, op: u64) -> PyResult<()> {
        let (Some(reseed), Some(_)) = (&function.reseed, &self.randomness) else { return Ok(()) };
        // Each function draws other numbers, those of the same object that stands twice too.
        let seed = key.rng(op - 1 - u64::from(number)).below(u64::MAX);
        drawn::tell(|| [("seed", seed.into())]);
        reseed.bind(py).call1((seed,)).map(drop)
    }

    fn call_attached(&self, py: Python<'_>, call: Invocation, argument: Box<dyn Array>) -> PyResult<Values> {
        let function = self.function(call.function)?;
        self.seed(py, function, call.function)?;
        let values = argument.into_any().downcast::<Values>().map_err(|_| other_array())?;
        let array = values.array(py);
        let given = if function.is_plain {
            function.call.bind(py).call1((array,))?
        } else {
            function.call.bind(py).call1((array, call.channel_axis))?
        };
        end_if_left();
        if let Some(values) = Values::of(&given) {
            return Ok(values);
        }
        let module = py.import(intern!(py, "stokehold.user.functions"))?;
        let array = module.call_method1(intern!(py, "given"), (given,))?;
        Values::of(&array).ok_or_else(other_array)
    }

    fn finish_attached(
        &self,
        py: Python<'_>,
        number: u32,
        key: Key,
        rows: usize,
        fields: &mut [BatchField<'_>],
    ) -> PyResult<()> {
        let function = self.function(number)?;
        if let Some(randomness) = &self.randomness {
            randomness.seed(py, key, BATCHES_OP)?;
        }
        self.reseed(py, function, number, key, BATCHES_OP)?;
        let lease = Lease::new(py);
        let batch = PyDict::new(py);
        for BatchField { spec, bytes } in fields {
            batch.set_item(&spec.name, lease.field(spec, rows, bytes)?)?;
        }
        let given = function.call.bind(py).call1((&batch,));
        end_if_left();
        batch.clear();
        let given = given?;
        if !given.is_none() && !given.is(&batch) {
            return Err(PyTypeError::new_err("gave something back, and is to change the arrays of the batch in place"));
        }
        drop(given);
        if lease.is_kept() {
            return Err(PyTypeError::new_err(
                "keeps an array of the batch, whose memory is the trainer's from now on: keep a copy",
            ));
        }
        Ok(())
    }
}

fn other_array() -> PyErr {
    PyTypeError::new_err("an array of somebody else")
}

impl Function {
    fn of(function: &Bound<'_, PyAny>) -> PyResult<Self> {
        let reseed = function.getattr("reseed")?;
        let is_plain = function.getattr("is_plain")?.extract()?;
        let call = if is_plain { function.getattr("function")? } else { function.clone() };
        Ok(Self { call: call.unbind(), is_plain, reseed: (!reseed.is_none()).then(|| reseed.unbind()) })
    }
}

fn failed(py: Python<'_>, error: &PyErr) -> Failure {
    Failure::raised(Stage::Transform, raised(py, error))
}

impl Functions for UserFunctions {
    fn enter(&self, seat: u32) -> Result<()> {
        Python::attach(|py| {
            let code = self.code.bind(py);
            // A dataset of Python begins workers by itself.
            if code.getattr(intern!(py, "dataset")).is_ok_and(|dataset| !dataset.is_none()) {
                return Ok(());
            }
            let entered = py.import("stokehold.user.begin").and_then(|begin| begin.call_method1("enter", (code, seat)));
            entered.map(drop).map_err(|error| {
                let what = "beginning a worker (worker_init)".to_owned();
                Error::Raised { what, raised: Box::new(raised(py, &error)) }
            })
        })
    }

    fn stack_signal(&self) -> Option<i32> {
        Some(process::stack_signal())
    }

    fn enter_run(&self) {
        self.each_run(Randomness::keep, "kept");
    }

    fn leave_run(&self) {
        self.each_run(Randomness::restore, "put back");
    }

    fn begin(&self, key: Key) {
        *self.sample.lock().unwrap_or_else(PoisonError::into_inner) = Begun { key: Some(key), is_seeded: false };
    }

    fn array(&self, dtype: DType, shape: &[usize]) -> Result<Box<dyn Array>, String> {
        Python::attach(|py| match self.memory.array(py, dtype, shape) {
            Ok(values) => Ok(Box::new(values) as Box<dyn Array>),
            Err(error) => Err(error.to_string()),
        })
    }

    fn call(&self, call: Invocation, argument: Box<dyn Array>) -> Result<Box<dyn Array>, Failure> {
        Python::attach(|py| match self.call_attached(py, call, argument) {
            Ok(values) => Ok(Box::new(values) as Box<dyn Array>),
            Err(error) => Err(failed(py, &error)),
        })
    }

    fn finish(&self, function: u32, key: Key, rows: usize, fields: &mut [BatchField<'_>]) -> Result<(), Failure> {
        Python::attach(|py| self.finish_attached(py, function, key, rows, fields).map_err(|error| failed(py, &error)))
    }
}

impl fmt::Debug for UserFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserFunctions").field("functions", &self.functions.len()).finish_non_exhaustive()
    }
}
