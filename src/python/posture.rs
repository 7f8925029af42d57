//! How a process that Python has started behaves as a worker.

use pyo3::prelude::*;

use crate::sys::process::{self, Parent};

/// Makes this process a worker for as long as it lives: it ends when the process that has started it does, at once and
/// whatever it is doing; it goes first where memory runs out; and it takes nobody's processor when it wakes.
#[pyclass(frozen, module = "stokehold._native")]
pub(super) struct Posture;

#[pymethods]
impl Posture {
    /// `parent` is the process that has started this one, `by_main` whether its first thread did, with whose end the
    /// kernel takes the process's end for come.
    #[new]
    fn new(parent: i32, by_main: bool) -> Self {
        process::wake_politely();
        process::go_first();
        let watched = Parent::watch();
        let is_there = if by_main { process::die_with(parent) } else { watched.pid() == parent };
        if !is_there {
            process::exit_now(0);
        }
        if !by_main {
            process::end_with(watched);
        }
        Self
    }
}
