//! A dataset of which a process knows what it is, and that it does not have.

use super::{
    facts::{Facts, key, stack_signal},
    streams::Turns,
};
use crate::{
    error::{Failure, Stage},
    field::Field,
    source::{BytesReader, Reader, Record, Source},
};

/// What is known of a dataset.
#[derive(Debug)]
pub(super) struct KnownDataset {
    len: u64,
    turns: Option<Turns>,
    fields: Vec<Field>,
    quick: bool,
}

impl KnownDataset {
    pub(super) fn new(facts: Facts) -> Self {
        let quick = facts.is_quick();
        Self { len: facts.len(), turns: facts.turns, fields: facts.fields, quick }
    }
}

impl Source for KnownDataset {
    fn len(&self) -> u64 {
        self.len
    }

    fn is_stream(&self) -> bool {
        self.turns.is_some()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        key(self.turns, index)
    }

    fn does_io(&self) -> bool {
        false
    }

    fn is_quick(&self) -> bool {
        self.quick
    }

    fn stack_signal(&self) -> Option<i32> {
        stack_signal()
    }

    fn guesses_room(&self) -> bool {
        true
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(BytesReader::new(|_, _, _| Err(Failure::new(Stage::Read, "the dataset is in the workers alone"))))
    }

    fn field<'a>(&'a self, _field: usize, _index: u64, _record: &'a Record) -> &'a [u8] {
        &[]
    }
}
