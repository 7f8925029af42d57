//! Texts as the tokens that they are made of.

use std::{sync::Arc, time::Instant};

use super::fill::{Fill, Sample};
use crate::{
    error::{Failure, Result},
    spec::{DType, FieldSpec},
    tokenizer::{Side, Tokenizer, Tokens},
    transform::{Calls, TokenOutput, Tokenize, Workspace, failure},
};

/// Makes tokens of a text once, and fills the rows of all fields that are made of them.
#[derive(Debug)]
pub(super) struct TokensFill {
    /// A field that has the text as its payload.
    at: usize,
    tokenizer: Arc<Tokenizer>,
    rows: Vec<Row>,
}

/// One of those fields.
#[derive(Debug)]
pub(super) struct Row {
    /// Its index among the fields.
    pub(super) at: usize,
    /// The field and its transform, as an error names them.
    pub(super) by: String,
    pub(super) tokenize: Tokenize,
    /// What stands where there is no token.
    pub(super) pad: i64,
    pub(super) made: Made,
}

/// What becomes of the values of a row.
#[derive(Debug)]
pub(super) enum Made {
    /// They are the row.
    Row(FieldSpec),
    /// A function gets them.
    Given(Calls),
}

impl TokensFill {
    /// Returns what fills the rows of a field.
    pub(super) fn new(tokenizer: Arc<Tokenizer>, row: Row) -> Self {
        Self { at: row.at, tokenizer, rows: vec![row] }
    }

    /// Tells whether the tokens of a text are the same for another field.
    pub(super) fn takes(&self, other: &Self) -> bool {
        self.tokenizer.encoding() == other.tokenizer.encoding()
    }

    /// Adds the rows of such a field.
    pub(super) fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
    }

    fn fill_rows(&self, sample: &mut Sample<'_>) -> Result<(), Failure> {
        let by = self.rows.first().map_or("", |row| &row.by);
        let data = sample.payload(self.at);
        let text = str::from_utf8(data).map_err(|error| {
            let offset = Some(error.valid_up_to() as u64);
            Failure { offset, ..failure(format!("{by}: the text is no UTF-8")) }
        })?;
        let failed = |what| failure(format!("{by}: {what}"));
        sample.take(self.tokenizer.memory(data.len()), "tokenizing")?;
        let labels = self.rows.iter().any(|row| row.tokenize.output == TokenOutput::Labels);
        let text = self.tokenizer.text(text, labels).map_err(failed)?;
        let longer = text.text.len().saturating_sub(data.len());
        sample.take(self.tokenizer.memory(longer), "tokenizing")?;
        let tokens = self.tokenizer.encode(&text).map_err(failed)?;
        self.rows.iter().try_for_each(|row| row.fill(&tokens, sample))
    }
}

impl Fill for TokensFill {
    fn fill(&self, sample: &mut Sample<'_>) -> Result<(), Failure> {
        let start = Instant::now();
        let filled = self.fill_rows(sample);
        sample.times.transform += start.elapsed();
        filled
    }
}

impl Row {
    fn fill(&self, tokens: &Tokens, sample: &mut Sample<'_>) -> Result<(), Failure> {
        let Tokenize { dtype, max_length, padding, .. } = self.tokenize;
        let values = self.tokenize.values(tokens);
        if let Some(most) = max_length.filter(|most| values.len() > *most) {
            let len = values.len();
            return Err(failure(format!("{}: the text has {len} tokens, and max_length is {most}", self.by)));
        }
        if dtype == DType::Int32
            && let Some(value) = values.clone().find(|value| i32::try_from(*value).is_err())
        {
            return Err(failure(format!("{}: token {value} is no int32", self.by)));
        }
        let shape = [max_length.filter(|_| padding).unwrap_or_else(|| values.len())];
        let calls = match &self.made {
            Made::Row(spec) => {
                self.write(values, sample.begin(self.at, spec, &shape)?);
                return Ok(());
            }
            Made::Given(calls) => calls,
        };
        let mut space = sample.scratch.take::<Workspace>();
        let mut target = sample.target(self.at);
        let filled = target.array(dtype, &shape).and_then(|mut array| {
            self.write(values, array.bytes_mut());
            calls.run(array, &mut space, &mut target)
        });
        sample.scratch.put(space);
        filled
    }

    /// Writes every byte of a row.
    fn write(&self, values: impl ExactSizeIterator<Item = i64>, row: &mut [u8]) {
        let size = self.tokenize.dtype.size();
        let spare = row.len() - values.len() * size;
        let (padding, places) = match self.tokenize.padding_side {
            Side::Left => row.split_at_mut(spare),
            Side::Right => {
                let (places, padding) = row.split_at_mut(values.len() * size);
                (padding, places)
            }
        };
        // All are known to fit.
        let put = |place: &mut [u8], value: i64| match size {
            4 => place.copy_from_slice(&(value as i32).to_ne_bytes()),
            _ => place.copy_from_slice(&value.to_ne_bytes()),
        };
        places.chunks_exact_mut(size).zip(values).for_each(|(place, value)| put(place, value));
        padding.chunks_exact_mut(size).for_each(|place| put(place, self.pad));
    }
}
