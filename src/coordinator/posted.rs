//! Starting workers that are programs of their own.

use std::{os::fd::AsFd, sync::Arc, time::Duration};

use crate::{
    error::{Error, Result},
    protocol::{Channel, Command, Incoming, Report},
    shm::{Arena, Mailbox},
    sys::{
        memory::SharedMemory,
        process::{self, Child},
        report,
    },
    worker::{Answer, Learning, Place, Posting, Question},
};

/// Tells the program that it is to be a worker.
const WORKER: (&std::ffi::CStr, &std::ffi::CStr) = (c"STOKEHOLD_WORKER", c"1");
/// The room for what a worker is told. Pages that are never written cost nothing.
const POSTING_BYTES: usize = 8 << 20;

/// What workers that are not forked are given, in pieces of shared memory: the code.
#[derive(Debug)]
pub(super) struct Posted {
    code: Vec<Arc<SharedMemory>>,
    /// The memory of the source, where that is no code.
    data: Vec<Arc<SharedMemory>>,
    /// The memory of the order's table.
    tables: Vec<Arc<SharedMemory>>,
    question: Question,
}

impl Posted {
    pub(super) fn new(
        code: Vec<Arc<SharedMemory>>,
        data: Vec<Arc<SharedMemory>>,
        tables: Vec<Arc<SharedMemory>>,
        question: Question,
    ) -> Self {
        Self { code, data, tables, question }
    }

    /// Starts a worker at the other end of this channel.
    pub(super) fn start(
        &self,
        ours: &Channel<Command, Report>,
        theirs: &Channel<Report, Command>,
        place: Option<(Place, &Mailbox, &Arena)>,
    ) -> Result<(Child, Mailbox)> {
        let (program, args) = process::own_program()?;
        let output = report::pipe_end().ok_or_else(|| Error::Worker("there is no pipe for reports".into()))?;
        let child = process::spawn(&program, &args, WORKER, theirs.as_fd(), output)?;
        let told = Mailbox::create(1, POSTING_BYTES)?;
        let (place, rest) = place.map_or((None, None), |(place, mailbox, arena)| (Some(place), Some((mailbox, arena))));
        let text = serde_json::to_string(&Posting {
            pieces: self.code.len(),
            data: self.data.len(),
            question: self.question.clone(),
            place,
        })
        .map_err(|error| Error::Protocol(error.to_string()))?;
        ours.send_with(&Command::Post { len: told.write(0, &text) }, told.memory().as_fd())?;
        for piece in self.code.iter().chain(&self.data) {
            ours.send_with(&Command::Memory, piece.as_fd())?;
        }
        if let Some((mailbox, arena)) = rest {
            ours.send_with(&Command::Memory, mailbox.memory().as_fd())?;
            for segment in arena.segments() {
                ours.send_with(&Command::Segment, segment.as_fd())?;
            }
            for table in &self.tables {
                ours.send_with(&Command::Memory, table.as_fd())?;
            }
        }
        Ok((child, told))
    }

    /// Has a process of its own learn what the source is.
    pub(super) fn learn(&self) -> Result<Answer> {
        let (ours, theirs) = Channel::<Command, Report>::pair()?;
        let (mut child, told) = self.start(&ours, &theirs, None)?;
        drop(theirs);
        let answer = ours.recv(true);
        let ended = child.end(Duration::from_secs(1));
        let Ok(Incoming::Message(Report::Learned { len })) = answer else {
            let how = ended.map_or_else(|| "hung up".to_owned(), |ended| ended.to_string());
            return Err(Error::Worker(format!("the process that tried samples of the dataset {how}")));
        };
        let learning: Learning = serde_json::from_str(&told.read(0, len))
            .map_err(|error| Error::Protocol(format!("what was learned of the dataset: {error}")))?;
        learning.into_answer()
    }
}
