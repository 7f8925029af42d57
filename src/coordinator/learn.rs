//! What code of the user makes of samples, learned before there are workers.

use std::{sync::Arc, time::Duration};

use super::{posted::Posted, received::pieces, wire::Learned};
use crate::{
    error::{Error, Result},
    job::Options,
    pipeline::{Pipeline, PipelineSpec},
    protocol::{Channel, Reply, Request},
    shm::Mailbox,
    source::{Source, SourceSpec},
    sys::{
        memory::SharedMemory,
        process::{self, Ended},
        report::report,
    },
    worker::{Answer, Learning, OpenCode, OpenedCode, Question},
};

/// The room for what a child learns. Pages that are never written cost nothing.
const ANSWER_BYTES: usize = 8 << 20;

/// What a trainer asks for.
pub(super) struct Asked {
    question: Question,
    /// The code, in pieces.
    code: Vec<Arc<SharedMemory>>,
    /// The memory of a source that is no code.
    data: Vec<Arc<SharedMemory>>,
    /// The memory of the order's table.
    tables: Vec<Arc<SharedMemory>>,
    sample_bytes: u64,
}

impl Asked {
    /// Receives what goes with a description; `functions` is the number of pieces of code beside a source that is none;
    /// the memory of the order's table has been received.
    pub(super) fn receive(
        channel: &Channel<Reply, Request>,
        spec: PipelineSpec,
        (functions, tables): (usize, Vec<Arc<SharedMemory>>),
        options: &Options,
    ) -> Result<Self> {
        let PipelineSpec { source, recipe } = spec;
        let (count, native) =
            if let SourceSpec::Code { pieces } = source { (pieces, None) } else { (functions, Some(source)) };
        let code = pieces(channel, count)?;
        let data = pieces(channel, native.as_ref().map_or(0, SourceSpec::pieces))?;
        let question = Question { native, recipe, seed: options.seed };
        Ok(Self { question, code, data, tables, sample_bytes: options.sample_bytes() })
    }
}

/// A pipeline with code of the user in it.
pub(super) struct Found {
    pub(super) pipeline: Pipeline,
    pub(super) learned: Learned,
    /// What workers are given that cannot be forked from this process, and what is known of the source.
    pub(super) posted: Option<Arc<(Posted, String)>>,
}

/// Opens code and learns what it is. Where workers are not to be forked, or cannot be, because the code has started
/// threads, processes of their own open it instead.
pub(super) fn find(code: &dyn OpenCode, asked: Asked, spawns: bool) -> Result<Found> {
    let Asked { question, code: memory, data, tables, sample_bytes } = asked;
    let native = question.open(&data)?;
    if !spawns {
        let opened = code.open(&memory)?;
        let threads = process::thread_count();
        if threads == 1 {
            let functions = opened.functions()?;
            let Answer { facts, recipe } = if question.is_answered() {
                Answer { facts: String::new(), recipe: question.recipe }
            } else {
                learn_apart(&*opened, question, native.clone())?
            };
            let source = native.map_or_else(|| opened.source(&facts), Ok)?;
            let learned = Learned { fields: source.fields().to_vec(), recipe };
            let pipeline = Pipeline::new(source, &learned.recipe)?.with_functions(functions);
            return Ok(Found { pipeline: pipeline.with_sample_bytes(sample_bytes), learned, posted: None });
        }
        report(&format!(
            "opening the loader's code started {} threads, which no fork has: each worker opens it by itself, as with \
             start=\"spawn\"",
            threads - 1
        ));
    }
    let posted = Posted::new(memory, data, tables, question);
    let Answer { facts, recipe } = posted.learn()?;
    let source: Arc<dyn Source> = native.map_or_else(|| code.known(&facts), Ok)?;
    let learned = Learned { fields: source.fields().to_vec(), recipe };
    let pipeline = Pipeline::new(source, &learned.recipe)?.with_sample_bytes(sample_bytes);
    Ok(Found { pipeline, learned, posted: Some(Arc::new((posted, facts))) })
}

/// Learns in a child, which then ends: code may open files at its first sample, which workers must open themselves.
fn learn_apart(code: &dyn OpenedCode, question: Question, native: Option<Arc<dyn Source>>) -> Result<Answer> {
    let mailbox = Mailbox::create(2, ANSWER_BYTES)?;
    let parent = process::own_pid();
    let mut child = process::fork_alone(|| {
        if !process::die_with(parent) {
            return 0;
        }
        process::set_name("stokehold-probe");
        let answered = question.answer(code, native);
        let Ok(text) = serde_json::to_string(&Learning::of(answered)) else { return 1 };
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
    learning.into_answer()
}
