//! A loader, as Python holds it.

use std::{
    ffi::{CString, OsString},
    os::unix::ffi::OsStrExt,
    sync::Arc,
};

use pyo3::{
    buffer::{PyBuffer, PyUntypedBuffer},
    exceptions::PyValueError,
    prelude::*,
    pybacked::PyBackedBytes,
    types::{PyDict, PyList},
};

use super::{
    batch::Batch,
    code::{Opener, shared},
    cut::Cut,
    dataset::Dataset,
    forks,
    functions::UserFunctions,
    order::Order,
    source::Source,
};
use crate::{
    drawn,
    error::{Error, Result, SampleError},
    loader::{self, Builder, Description, Input, Launch},
    sampler::{Audit, Fault},
    spec::FieldSpec,
};

#[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough over lifetimes")]
fn check_signals() -> PyResult<()> {
    Python::attach(|py| py.check_signals())
}

/// Calls into the core while the interpreter is detached, and looks at Python's signals, and does what else there is to do,
/// whenever the core asks.
fn waiting<T: Send>(
    py: Python<'_>,
    run: impl FnOnce(loader::Tick<'_>) -> Result<T> + Send,
    mut tick: impl FnMut() -> PyResult<()> + Send,
) -> PyResult<T> {
    let mut interrupted = None;
    let result = py.detach(|| {
        run(&mut || {
            check_signals().and_then(|()| tick()).map_err(|error| {
                interrupted = Some(error);
                Error::Usage("interrupted".into())
            })
        })
    });
    match interrupted {
        Some(error) => Err(error),
        None => Ok(result?),
    }
}

/// A field: name, dtype, shape with None for an axis that varies, capacity.
type FieldArgs = (String, &'static str, Vec<Option<usize>>, Option<usize>);

/// The code of a loader; and its pickle and the buffers that lie apart, unless it is used in this process or forks of it.
type CodeArgs<'py> = (Bound<'py, PyAny>, Option<(PyBackedBytes, Vec<Bound<'py, PyAny>>)>);

/// What an audit has found.
type AuditArgs = (Vec<(u64, u64, u64, u64)>, u64, u64, Vec<String>);

/// The native loader; see `stokehold.Loader`.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct Loader {
    loader: loader::Loader,
    report: Py<PyAny>,
}

impl Loader {
    /// Passes on what coordinator and workers have reported.
    fn report(&self) -> PyResult<()> {
        let lines = self.loader.take_reports();
        if lines.is_empty() {
            return Ok(());
        }
        Python::attach(|py| lines.into_iter().try_for_each(|line| self.report.call1(py, (line,)).map(drop)))
    }

    /// Calls into the core, and passes on what is reported before and meanwhile.
    fn waiting<T: Send>(&self, py: Python<'_>, run: impl FnOnce(loader::Tick<'_>) -> Result<T> + Send) -> PyResult<T> {
        // Not afterwards: an error of the reporting would take the place of a batch.
        self.report()?;
        waiting(py, run, || self.report())
    }
}

#[pymethods]
impl Loader {
    /// Starts what a description says, in JSON, over a source, unless that is the dataset of `code`. `code` is the
    /// loader's code, and what it is packed into where workers are to have it. `coordinator` is the interpreter, its
    /// arguments, and what to tell where that is no interpreter; `report` is
    /// called with each line that coordinator and workers report, while the loader is looked after. Of `plan`, the order
    /// is that of samples, where that is none of those that the description names; the cut says how they become batches,
    /// where their lengths decide that.
    #[new]
    fn new(
        py: Python<'_>,
        description: &str,
        source: Option<&Bound<'_, Source>>,
        code: Option<CodeArgs<'_>>,
        coordinator: (OsString, Vec<OsString>, String),
        report: Py<PyAny>,
        plan: (Option<Bound<'_, Order>>, Option<Bound<'_, Cut>>),
    ) -> PyResult<Self> {
        let description: Description = super::from_json("a loader's description", description)?;
        let source = source.map(|source| Input::Shared(source.get().0.clone()));
        let is_data = source.is_some();
        let is_here = description.options.num_workers == 0;
        let mut launched = launch(coordinator)?;
        let (given, here, pieces) = match code {
            None => (source, None, None),
            Some((code, None)) if is_here => {
                let dataset = |code| Ok::<_, PyErr>(Input::Custom(Arc::new(Dataset::learned(py, code)?)));
                (if is_data { source } else { Some(dataset(&code)?) }, Some(code), None)
            }
            Some((code, None)) => {
                forks::tell_of_forks();
                launched = Launch::ForkWith(Arc::new(Opener::Given(code.unbind())));
                (if is_data { source } else { Some(Input::Code(Vec::new())) }, None, is_data.then(Vec::new))
            }
            Some((_, Some((pickle, buffers)))) => {
                let buffers = buffers.iter().map(PyUntypedBuffer::get).collect::<PyResult<Vec<_>>>()?;
                let pieces = shared(py, &pickle, &buffers)?;
                if is_data { (source, None, Some(pieces)) } else { (Some(Input::Code(pieces)), None, None) }
            }
        };
        let mut builder =
            Builder::described(description, given.ok_or_else(|| Error::config("a loader needs a source"))?)
                .launch(launched);
        let (order, cut) = plan;
        if let Some(order) = order {
            builder = builder.order(order.get().0.clone());
        }
        if let Some(cut) = cut {
            builder = builder.cut(cut.get().0.clone());
        }
        if let Some(code) = here {
            builder = builder.functions(Arc::new(UserFunctions::of(&code, true)?));
        } else if let Some(pieces) = pieces {
            builder = builder.code(pieces);
        }
        waiting(py, |tick| builder.build_with(tick), || Ok(())).map(|loader| Self { loader, report })
    }

    /// The fields of a batch: (name, dtype, shape of one row, capacity), None for axes that vary from row to row or from
    /// batch to batch, and no capacity where no rows vary.
    #[getter]
    fn fields(&self) -> Vec<FieldArgs> {
        let variants = self.loader.variants();
        let field = |(at, field): (usize, &FieldSpec)| {
            let varying = std::iter::repeat_n(None, field.ragged.map_or(0, |ragged| ragged.axes));
            let is_one = |(axis, extent): (usize, &usize)| {
                variants.iter().all(|fields| fields[at].shape[axis] == *extent).then_some(*extent)
            };
            let shape = varying.chain(field.shape.iter().enumerate().map(is_one)).collect();
            (field.name.clone(), field.dtype.name(), shape, field.ragged.map(|ragged| ragged.capacity))
        };
        self.loader.spec().iter().enumerate().map(field).collect()
    }

    /// What each rank gets of an epoch (batches, rows, those that come again, the hash of its indices), the samples that none
    /// gets, how many faults there are, and the first of them; None of streams.
    fn audit(&self, py: Python<'_>, epoch: u64) -> Option<AuditArgs> {
        let Audit { ranks, left_out, faults, fault_count, .. } = py.detach(|| self.loader.audit(epoch))?;
        let ranks = ranks.iter().map(|rank| (rank.batches, rank.rows, rank.padding, rank.digest)).collect();
        Some((ranks, left_out, fault_count, faults.iter().map(Fault::to_string).collect()))
    }

    /// The number of samples of the source.
    #[getter]
    fn samples(&self) -> u64 {
        self.loader.samples()
    }

    /// Returns the number of samples that the source had in an epoch, and how many the epoch gives, over all ranks.
    fn counts_of(&self, epoch: u64) -> (u64, u64) {
        (self.loader.samples_in(epoch), self.loader.positions(epoch))
    }

    /// How many samples the source had up to which epoch, where that were fewer.
    #[getter]
    fn grown(&self) -> Vec<(u64, u64)> {
        self.loader.grown()
    }

    /// Takes what another loader over the same source has of that.
    fn set_grown(&self, py: Python<'_>, grown: Vec<(u64, u64)>) -> PyResult<()> {
        Ok(py.detach(|| self.loader.set_grown(&grown))?)
    }

    /// Whether the order may give a sample more than once in an epoch.
    #[getter]
    fn repeats(&self) -> bool {
        self.loader.repeats()
    }

    /// The names of the classes.
    #[getter]
    fn classes(&self) -> Vec<OsString> {
        self.loader.classes().to_vec()
    }

    /// Returns the number of batches of an epoch; 0 where its indices were to be given and are not.
    fn batches_of(&self, py: Python<'_>, epoch: u64) -> u64 {
        py.detach(|| self.loader.batches_of(epoch))
    }

    /// Of all ranks in a whole epoch: rows that come again, samples that are left out, the fewest and the most batches; None
    /// where nobody knows.
    #[getter]
    fn shares(&self) -> Option<(u64, u64, u64, u64)> {
        let shares = self.loader.shares()?;
        Some((shares.padding, shares.left_out, shares.fewest_batches, shares.most_batches))
    }

    /// The current epoch, or the next one if none is going on.
    #[getter]
    fn epoch(&self, py: Python<'_>) -> u64 {
        // Another thread may make a batch of a Python dataset meanwhile, which takes the interpreter's lock.
        py.detach(|| self.loader.epoch())
    }

    /// How many batches are still to come of the current epoch, or of the next one if none is going on.
    #[getter]
    fn remaining(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.loader.remaining())
    }

    /// Returns how many batches of an iteration are still to come.
    fn remaining_of(&self, py: Python<'_>, iteration: u64) -> u64 {
        py.detach(|| self.loader.remaining_of(iteration))
    }

    /// Takes the indices of an epoch, of an order that has others in each.
    fn give(&self, py: Python<'_>, epoch: u64, indices: PyBuffer<u64>) -> PyResult<()> {
        let indices = indices.to_vec(py)?;
        Ok(py.detach(|| self.loader.give(epoch, &indices))?)
    }

    /// Makes the next iteration begin at a position of an epoch.
    #[pyo3(signature = (epoch, position, earlier=None))]
    fn go_to(&self, py: Python<'_>, epoch: u64, position: u64, earlier: Option<&str>) -> PyResult<()> {
        let earlier = earlier.map_or(Ok(Vec::new()), serde_json::from_str);
        let earlier = earlier.map_err(|error| Error::Protocol(error.to_string()))?;
        py.detach(|| self.loader.go_to(epoch, position, earlier));
        Ok(())
    }

    /// The cuts that an epoch was read with before a state of it was loaded, as JSON.
    fn earlier(&self, py: Python<'_>, epoch: u64) -> PyResult<String> {
        serde_json::to_string(&py.detach(|| self.loader.earlier(epoch)))
            .map_err(|error| Error::Protocol(error.to_string()).into())
    }

    /// The epoch that the next iteration begins with.
    #[getter]
    fn upcoming(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.loader.upcoming())
    }

    /// Begins an epoch and returns the iteration's number.
    fn begin(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(py.detach(|| self.loader.begin())?)
    }

    /// Returns the next batch of an iteration, or None at its end.
    fn next(&self, py: Python<'_>, iteration: u64) -> PyResult<Option<Batch>> {
        Ok(self.waiting(py, |tick| self.loader.next(iteration, tick))?.map(Batch))
    }

    /// Returns the next batch with what is drawn for it meanwhile in this thread, as JSON: of each transform its field, its
    /// name and its parameters.
    fn next_with_drawn(&self, py: Python<'_>, iteration: u64) -> PyResult<(Option<Batch>, String)> {
        let (batch, drawn) = self.waiting(py, |tick| {
            let (batch, drawn) = drawn::listen(|| self.loader.next(iteration, tick));
            Ok((batch?, drawn))
        })?;
        let drawn = serde_json::to_string(&drawn).map_err(|error| Error::Protocol(error.to_string()))?;
        Ok((batch.map(Batch), drawn))
    }

    /// Makes the next iteration begin with this epoch.
    fn set_epoch(&self, py: Python<'_>, epoch: u64) {
        py.detach(|| self.loader.set_epoch(epoch));
    }

    /// Returns the loader's state as JSON.
    fn state(&self, py: Python<'_>) -> PyResult<String> {
        serde_json::to_string(&py.detach(|| self.loader.state()))
            .map_err(|error| Error::Protocol(error.to_string()).into())
    }

    /// Loads a state from JSON; `grown` where the source may have more samples than it had.
    fn load_state(&self, py: Python<'_>, state: &str, grown: bool) -> PyResult<()> {
        let none = |_| {
            let given: String = state.chars().take(100).collect();
            let what = "Loader.load_state_dict: state_dict is not a loader's state, which state_dict() returns";
            Error::Config(format!("{what}, but {given}"))
        };
        let state = serde_json::from_str(state).map_err(none)?;
        if grown {
            return self.waiting(py, |tick| self.loader.load_grown_state(&state, tick));
        }
        Ok(py.detach(|| self.loader.load_state(&state))?)
    }

    /// Returns what the loader has done so far.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.waiting(py, |tick| self.loader.stats(tick))?;
        let dict = PyDict::new(py);
        dict.set_item("batches", stats.batches)?;
        dict.set_item("samples", stats.samples)?;
        dict.set_item("wait_seconds", stats.wait.as_secs_f64())?;
        dict.set_item("ready_slots", stats.ready_slots)?;
        dict.set_item("slots", stats.slots)?;
        dict.set_item("held_slots", stats.held_slots)?;
        dict.set_item("arena_bytes", stats.arena_bytes)?;
        dict.set_item("read_seconds", stats.read_seconds)?;
        dict.set_item("decode_seconds", stats.decode_seconds)?;
        dict.set_item("transform_seconds", stats.transform_seconds)?;
        for (name, count) in stats.counters {
            dict.set_item(name, count)?;
        }
        dict.set_item("restarts", stats.restarts)?;
        dict.set_item("failed_samples", stats.failed_samples)?;
        dict.set_item("quarantine", list(py, stats.quarantine.iter().map(|error| failure(py, error)))?)?;
        dict.set_item("endings", stats.endings)?;
        let workers = stats.workers.iter().map(|&(seat, pid)| {
            let worker = PyDict::new(py);
            worker.set_item("worker", seat)?;
            worker.set_item("pid", pid)?;
            Ok(worker)
        });
        dict.set_item("workers", list(py, workers)?)?;
        dict.set_item("coordinator_pid", stats.coordinator_pid)?;
        Ok(dict)
    }

    /// Ends the pool.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.loader.close());
        self.report()
    }
}

fn list<'py>(
    py: Python<'py>,
    items: impl Iterator<Item = PyResult<Bound<'py, PyDict>>>,
) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, items.collect::<PyResult<Vec<_>>>()?)
}

fn failure<'py>(py: Python<'py>, error: &SampleError) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("index", error.index)?;
    dict.set_item("key", &error.key)?;
    dict.set_item("stage", error.stage.to_string())?;
    dict.set_item("reason", &error.reason)?;
    dict.set_item("worker", error.worker)?;
    Ok(dict)
}

fn launch((interpreter, args, advice): (OsString, Vec<OsString>, String)) -> PyResult<Launch> {
    let text = |text: &OsString| CString::new(text.as_bytes()).map_err(|_| PyValueError::new_err("a path has no NUL"));
    let program = text(&interpreter)?;
    let args = std::iter::once(&interpreter).chain(&args).map(text).collect::<PyResult<Vec<_>>>()?;
    Ok(Launch::Program { program, args, advice })
}
