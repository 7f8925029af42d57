//! Random numbers of a sample: what Python, NumPy and PyTorch draw is a function of the sample's key.

use pyo3::{intern, prelude::*, sync::PyOnceLock};

use crate::{drawn, rng::Key};

/// Sets the draws that seed generators for samples apart from all others.
pub(super) const SEEDS_OP: u64 = u64::MAX - 2;

/// The generators that code of users draws from without naming one: those of `random`, NumPy and PyTorch.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct Randomness {
    /// `random.seed`, without what it does for seeds that are no numbers.
    random_seed: Py<PyAny>,
    random: Py<PyAny>,
    numpy_seed: Py<PyAny>,
    modules: Py<PyAny>,
    torch_seed: PyOnceLock<Py<PyAny>>,
    /// What the trainer's own generators were before samples were made in its process.
    kept: Py<PyAny>,
}

impl Randomness {
    /// Returns the generators, if samples of this code are to have random numbers of their own.
    pub(super) fn of(py: Python<'_>, code: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let has_own = code.getattr("rng")?.extract::<String>()? == "sample";
        has_own.then(|| Self::new(py)).transpose()
    }

    /// Seeds the generators for a sample; `op` sets these seeds apart from all others.
    ///
    /// All of them have 32 bits of seed: more change nothing for two of them, and take longer for the third.
    pub(super) fn seed(&self, py: Python<'_>, key: Key, op: u64) -> PyResult<()> {
        let mut draws = key.rng(op);
        let mut seed = || draws.below(1 << 32) as u32;
        let (random, numpy, torch) = (seed(), seed(), seed());
        drawn::tell(|| [("random", random.into()), ("numpy", numpy.into()), ("torch", torch.into())]);
        let instance = self.random.bind(py);
        self.random_seed.bind(py).call1((instance, random))?;
        // Of a pair of normal numbers, the second one is kept.
        instance.setattr(intern!(py, "gauss_next"), py.None())?;
        self.numpy_seed.bind(py).call1((numpy,))?;
        if let Some(seed) = self.torch(py)? {
            seed.call1((torch,))?;
        }
        Ok(())
    }

    /// Returns what seeds PyTorch's generator, once PyTorch is imported.
    fn torch<'py>(&self, py: Python<'py>) -> PyResult<Option<&Bound<'py, PyAny>>> {
        if let Some(seed) = self.torch_seed.get(py) {
            return Ok(Some(seed.bind(py)));
        }
        let modules = self.modules.bind(py);
        if !modules.contains(intern!(py, "torch"))? {
            return Ok(None);
        }
        let torch = modules.get_item(intern!(py, "torch"))?;
        // While it is being imported it has none.
        let Ok(generator) = torch.getattr(intern!(py, "default_generator")) else { return Ok(None) };
        let seed = generator.getattr(intern!(py, "manual_seed"))?.unbind();
        Ok(Some(self.torch_seed.get_or_init(py, || seed).bind(py)))
    }
}

#[pymethods]
impl Randomness {
    /// Finds the generators.
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self {
            random_seed: py.import("_random")?.getattr("Random")?.getattr("seed")?.unbind(),
            random: py.import("random")?.getattr("_inst")?.unbind(),
            numpy_seed: py.import("numpy.random")?.getattr("seed")?.unbind(),
            modules: py.import("sys")?.getattr("modules")?.unbind(),
            torch_seed: PyOnceLock::new(),
            kept: py.import("stokehold.user.kept")?.getattr("Kept")?.call0()?.unbind(),
        })
    }

    /// Seeds the generators for a sample of a dataset.
    fn begin_sample(&self, py: Python<'_>, seed: u64, epoch: u64, index: u64) -> PyResult<()> {
        self.seed(py, Key { seed, epoch, index }, SEEDS_OP)
    }

    /// Keeps the generators' states: samples are made in the trainer's process.
    pub(super) fn keep(&self, py: Python<'_>) -> PyResult<()> {
        self.kept.bind(py).call_method0(intern!(py, "keep")).map(drop)
    }

    /// Puts the states back that were kept.
    pub(super) fn restore(&self, py: Python<'_>) -> PyResult<()> {
        self.kept.bind(py).call_method0(intern!(py, "restore")).map(drop)
    }
}
