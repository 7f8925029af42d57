//! What a source of the user's code is, learned before there are workers.

use std::{sync::Arc, time::Duration};

use super::posted::Posted;
use crate::{
    error::{Error, Result},
    shm::Mailbox,
    source::Source,
    sys::{
        memory::SharedMemory,
        process::{self, Ended},
        report::report,
    },
    worker::{Learning, OpenCode, OpenedCode},
};

/// The room for what a child learns. Pages that are never written cost nothing.
const FACTS_BYTES: usize = 8 << 20;

/// A source of the user's code.
pub(super) struct Found {
    pub(super) source: Arc<dyn Source>,
    /// What workers are given that cannot be forked from this process, and what is known of the source.
    pub(super) posted: Option<Arc<(Posted, String)>>,
}

/// Opens code and learns what it is. Where workers are not to be forked, or cannot be, because the code has started
/// threads, processes of their own open it instead.
pub(super) fn find(code: &dyn OpenCode, memory: Vec<SharedMemory>, spawns: bool) -> Result<Found> {
    if !spawns {
        let opened = code.open(&memory)?;
        let threads = process::thread_count();
        if threads == 1 {
            let facts = learn_apart(&*opened)?;
            return Ok(Found { source: opened.source(&facts)?, posted: None });
        }
        report(&format!(
            "opening the dataset started {} threads, which no fork has: each worker opens it by itself, as with \
             start=\"spawn\"",
            threads - 1
        ));
    }
    let posted = Posted::new(memory);
    let facts = posted.learn()?;
    Ok(Found { source: code.known(&facts)?, posted: Some(Arc::new((posted, facts))) })
}

/// Learns in a child, which then ends: code may open files at its first sample, which workers must open themselves.
fn learn_apart(code: &dyn OpenedCode) -> Result<String> {
    let mailbox = Mailbox::create(2, FACTS_BYTES)?;
    let parent = process::own_pid();
    let mut child = process::fork_alone(|| {
        if !process::die_with(parent) {
            return 0;
        }
        process::set_name("stokehold-probe");
        let Ok(text) = serde_json::to_string(&Learning::of(code.learn())) else { return 1 };
        let len = mailbox.write(0, &text);
        mailbox.write(1, &len.to_string());
        0
    })?;
    let ended = loop {
        if let Some(ended) = child.wait(Duration::from_secs(1)) {
            break ended;
        }
    };
    if ended != Ended::Exited(0) {
        return Err(Error::Worker(format!("the process that tried samples of the dataset {ended}")));
    }
    let len = mailbox.read(1, 10).trim_end_matches('\0').parse().unwrap_or(0);
    let learning: Learning = serde_json::from_str(&mailbox.read(0, len))
        .map_err(|error| Error::Protocol(format!("what was learned of the dataset: {error}")))?;
    learning.into_facts()
}
