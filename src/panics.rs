//! Panics as values, and where their messages go.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook},
};

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Runs something that may panic, and returns the panic's message if it does. What it was working on is to be given up.
///
/// # Errors
/// The message.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    let before = CATCHING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    CATCHING.set(before);
    result.map_err(|panic| text_of(&*panic).to_owned())
}

/// From now on gives the messages of this process's panics to `report`, a line each. Those that are [`caught`] are
/// returned there and go nowhere else.
///
/// The standard library would write them to standard error, and wait there if nobody reads it.
pub fn report_with(report: fn(&str)) {
    set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        if !CATCHING.get() {
            let at = panic.location().map_or_else(|| "an unknown line".to_owned(), ToString::to_string);
            report(&format!("panicked at {at}: {}", text_of(panic.payload())));
        }
    }));
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
