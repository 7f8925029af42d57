//! Trying code of the user in a process that then ends: what it opens, imports or changes is gone with it.

use std::time::Duration;

use pyo3::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    coordinator::PoolError,
    error::{Error, Result},
    shm::Mailbox,
    sys::process::{self, Ended},
};

/// The room for what a child learns. Pages that are never written cost nothing.
const TOLD_BYTES: usize = 8 << 20;

/// What the child says.
#[derive(Deserialize, Serialize)]
enum Told {
    Learned(String),
    Failed(PoolError),
}

/// Runs something in a child of this process, which has one thread, and returns the text that it gives; `what` is tried.
pub(super) fn in_child(what: &str, run: impl FnOnce() -> Result<String>) -> Result<String> {
    let mailbox = Mailbox::create(2, TOLD_BYTES)?;
    let parent = process::own_pid();
    let mut run = Some(run);
    let mut tell = || {
        if !process::die_with(parent) {
            return 0;
        }
        process::set_name("stokehold-probe");
        let told = run.take().map(|run| run().map_or_else(|error| Told::Failed(failure(error)), Told::Learned));
        let Ok(text) = serde_json::to_string(&told) else { return 1 };
        let len = mailbox.write(0, &text);
        mailbox.write(1, &len.to_string());
        0
    };
    let mut child = process::fork_alone(&mut tell)?;
    let ended = Python::attach(|py| {
        py.detach(|| {
            loop {
                if let Some(ended) = child.wait(Duration::from_secs(1)) {
                    break ended;
                }
            }
        })
    });
    if ended != Ended::Exited(0) {
        return Err(Error::Worker(format!("the process that tried {what} {ended}")));
    }
    let len = mailbox.read(1, 10).trim_end_matches('\0').parse().unwrap_or(0);
    match serde_json::from_str(&mailbox.read(0, len)) {
        Ok(Some(Told::Learned(text))) => Ok(text),
        Ok(Some(Told::Failed(error))) => Err(error.into()),
        Ok(None) => Err(Error::Protocol(format!("nothing was learned of {what}"))),
        Err(error) => Err(Error::Protocol(format!("what was learned of {what}: {error}"))),
    }
}

/// Returns an error as it crosses processes: an exception of the user's as such.
fn failure(error: Error) -> PoolError {
    let error = match error {
        Error::Sample(sample) if sample.raised.is_some() => {
            let what = format!("cannot {} sample {} (`{}`)", sample.stage, sample.index, sample.key);
            sample
                .raised
                .map_or_else(|| Error::Worker(what.clone()), |raised| Error::Raised { what: what.clone(), raised })
        }
        other => other,
    };
    PoolError::from(&error)
}
