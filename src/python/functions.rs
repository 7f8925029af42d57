//! Functions of the user, which transforms call by number.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use pyo3::{intern, prelude::*};

use super::arrays::{Memory, Values};
use crate::{
    error::{Failure, Stage},
    function::{Array, Functions, Invocation},
    rng::Key,
    spec::DType,
};

/// Sets the draws that seed generators of functions apart from all others.
const FUNCTIONS_OP: u64 = u64::MAX - 3;

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
    /// The sample in hand, as long as generators are not seeded for it.
    begun: Mutex<Option<Key>>,
    key: Mutex<Option<Key>>,
}

impl UserFunctions {
    /// Returns the functions of a loader's code.
    pub(super) fn of(code: &Bound<'_, PyAny>) -> PyResult<Self> {
        let functions = code.getattr("functions")?.try_iter()?.map(|function| {
            let function = function?;
            let reseed = function.getattr("reseed")?;
            let is_plain = function.getattr("is_plain")?.extract()?;
            let call = if is_plain { function.getattr("function")? } else { function };
            let reseed = (!reseed.is_none()).then(|| reseed.unbind());
            Ok(Function { call: call.unbind(), is_plain, reseed })
        });
        let functions = functions.collect::<PyResult<_>>()?;
        Ok(Self { functions, memory: Memory::default(), begun: Mutex::default(), key: Mutex::default() })
    }
}
