//! Forks of a process that the interpreter lives in.

#![expect(unsafe_code, reason = "tells the interpreter of forks")]

use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering},
};

use pyo3::{ffi, prelude::*};

use crate::sys::process::{self, ForkHooks};

thread_local! {
    /// Whether the thread that forks had the interpreter's lock before.
    static BEFORE: Cell<Option<ffi::PyGILState_STATE>> = const { Cell::new(None) };
}

/// Tells the interpreter before and after each fork that this library makes.
pub(super) fn tell_of_forks() {
    process::tell_of_forks(ForkHooks { before, parent, child });
}

fn before() {
    // SAFETY: a thread may take the interpreter's lock at any time, and has it when it calls PyOS_BeforeFork; `release`
    // follows in both processes.
    unsafe {
        BEFORE.set(Some(ffi::PyGILState_Ensure()));
        ffi::PyOS_BeforeFork();
    }
}

fn parent() {
    // SAFETY: it follows PyOS_BeforeFork, on the same thread, which still has the lock.
    unsafe { ffi::PyOS_AfterFork_Parent() };
    release();
}

fn child(run: &mut dyn FnMut() -> i32) -> i32 {
    // SAFETY: as above, in the child, whose only thread this is.
    unsafe { ffi::PyOS_AfterFork_Child() };
    release();
    let run = OneThread(run);
    // What waits for work must not keep threads of the user's code from running.
    Python::attach(|py| py.detach(move || run.call()))
}

fn release() {
    if let Some(state) = BEFORE.take() {
        // SAFETY: `before` has taken the lock on this thread.
        unsafe { ffi::PyGILState_Release(state) };
    }
}

/// Something to run on the thread that has it.
struct OneThread<'a>(&'a mut dyn FnMut() -> i32);

// SAFETY: `Python::detach` runs it on the thread that calls it. `Send` only keeps what is bound to the interpreter's lock
// from going along, and a worker's loop attaches again before it touches such things.
unsafe impl Send for OneThread<'_> {}

impl OneThread<'_> {
    fn call(self) -> i32 {
        (self.0)()
    }
}

static LEFT: AtomicBool = AtomicBool::new(false);

/// Notes that this process is a fork that code of the user has made, which is no worker.
#[pyfunction]
pub(super) fn leave_pool() {
    LEFT.store(true, Ordering::Relaxed);
}

/// Ends a fork that code of the user has made of a worker, and that came back instead of ending: it would write to the
/// worker's rows.
pub(super) fn end_if_left() {
    if LEFT.load(Ordering::Relaxed) {
        process::exit_now(0);
    }
}
