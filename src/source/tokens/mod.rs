//! Windows of files of tokens: a sample is so many tokens that follow each other, and for each of them the next one.
//!
//! The windows lie in shards, as the only column of a [`Table`]; each is read as a whole, one token more than a sample has.
//! Whoever reads it widens the tokens once, so that the tokens and their targets are parts of one run of numbers.

mod segments;
mod spec;
mod widen;

use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

pub use self::spec::TokensSpec;
use self::{segments::Segments, widen::Widening};
use super::{
    access::{Bytes, Source},
    reader::Reader,
    record::Record,
    table::{BlocksAt, Stored, Table, check_runs, run},
};
use crate::{
    error::{Error, Failure, Result, Stage},
    field::Field,
    rng::Key,
};

/// A source of windows of tokens.
pub struct Tokens {
    spec: TokensSpec,
    windows: Table,
    fields: Vec<Field>,
    /// How many tokens a sample has.
    len: usize,
    widening: Widening,
    documents: Option<Bytes>,
    /// Where the windows lie, and the bytes that say so.
    at: (BlocksAt, Bytes),
}

impl Tokens {
    /// Opens windows of tokens that lie in shards, whose index is in `bytes`; `documents` has where these start.
    ///
    /// # Errors
    /// Those of [`Table::open`]; [`Config`](Error::Config) where the windows are no rows of tokens, or it is not known where
    /// documents start and fields need that.
    pub fn open(spec: TokensSpec, bytes: Bytes, documents: Option<Bytes>) -> Result<Self> {
        let none = || Error::config("windows of tokens are one column of rows of numbers, two or more each, in blocks");
        let (dtype, len) = spec.row().ok_or_else(none)?;
        let Stored::Blocks(blocks) = spec.windows.columns[0].stored else { return Err(none()) };
        let widening = Widening::of(dtype, spec.output, spec.limit)?;
        let shards = spec.windows.shards.map_or(0, |shards| shards.count);
        let fits = match (&documents, spec.documents) {
            (Some(documents), Some(runs)) => {
                check_runs(runs, segments::START_BYTES, shards, (**documents).as_ref()).is_some()
            }
            (None, None) => !spec.segments || spec.separator.is_some(),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !fits {
            return Err(Error::config("segments need a separator, or where the documents of each file start"));
        }
        let windows = Table::open(spec.windows.clone(), Bytes::clone(&bytes))?;
        let fields = spec.fields();
        Ok(Self { windows, fields, len, widening, documents, at: (blocks, bytes), spec })
    }

    /// Makes a sample of the window that was read, of no more than `most` bytes.
    fn widen(&self, index: u64, window: &[u8], record: &mut Vec<u8>, most: u64) -> Result<(), Failure> {
        let tokens = (self.len + 1) * self.widening.output;
        let bytes = tokens + if self.spec.segments { 2 * self.len * segments::BYTES } else { 0 };
        if bytes as u64 > most {
            let reason = format!("the window takes {bytes} bytes, and max_sample_bytes is {most}");
            return Err(Failure::new(Stage::Read, reason));
        }
        record.resize(bytes, 0);
        self.widening.widen(window, &mut record[..tokens]).map_err(|(at, token)| self.refused(index, at, token))?;
        if self.spec.segments {
            let (ids, positions) = record[tokens..].split_at_mut(self.len * segments::BYTES);
            let mut segments = Segments::new(ids, positions);
            if let (Some(documents), Some(runs)) = (&self.documents, self.spec.documents) {
                let shard = self.windows.shard_of(0, index).unwrap_or(0);
                let start = self.windows.part_of(0, index).map_or(0, |(_, start)| start);
                let starts = run((**documents).as_ref(), runs, u64::from(shard));
                segments.by_starts(starts, start, self.widening.input);
            } else if let Some(separator) = self.spec.separator {
                segments.by_separator(window, self.widening, separator);
            }
            segments.end();
        }
        Ok(())
    }

    /// Returns what is wrong with a token of a window.
    #[cold]
    fn refused(&self, index: u64, at: usize, token: i64) -> Failure {
        let (path, start) = self.windows.part_of(0, index).unwrap_or_else(|| (Path::new(""), 0));
        let byte = start + (at * self.widening.input) as u64;
        let reason = format!(
            "the token at byte {byte} of `{}` is {token}, and tokens are from 0 to {} (vocab_size, or what output holds)",
            path.display(),
            self.spec.limit.saturating_sub(1)
        );
        Failure::new(Stage::Decode, reason)
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("windows", &self.windows).field("spec", &self.spec).finish_non_exhaustive()
    }
}

struct TokenReader<'a> {
    source: &'a Tokens,
    windows: Box<dyn Reader + 'a>,
    window: Record,
}

impl Reader for TokenReader<'_> {
    fn read(&mut self, key: Key, record: &mut Record, most: u64) -> Result<(), Failure> {
        self.windows.read(key, &mut self.window, most)?;
        let window = self.source.windows.field(0, key.index, &self.window);
        self.source.widen(key.index, window, &mut record.bytes, most)
    }
}

impl Source for Tokens {
    fn len(&self) -> u64 {
        self.windows.len()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        let part = self.windows.part_of(0, index);
        let named = |(path, start): (&Path, u64)| format!("{}: tokens from byte {start} on", path.display());
        part.map_or_else(|| format!("window {index}"), named)
    }

    fn identity(&self, samples: u64) -> u64 {
        let (blocks, bytes) = &self.at;
        let mut hash = Xxh3::new();
        if let Some((dtype, len)) = self.spec.row() {
            hash.update(dtype.name().as_bytes());
            hash.update(&(len as u64).to_le_bytes());
        }
        hash.update(blocks.described((**bytes).as_ref(), samples));
        hash.digest()
    }

    fn does_io(&self) -> bool {
        self.windows.does_io()
    }

    // A window is a few KiB, and mostly in the kernel's memory: handing it from thread to thread would take longer than
    // reading it.
    fn is_quick(&self) -> bool {
        true
    }

    fn enter(&self, seat: u32) -> Result<()> {
        self.windows.enter(seat)
    }

    fn needs_record(&self, _field: usize) -> bool {
        true
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(TokenReader { source: self, windows: self.windows.reader(), window: Record::default() })
    }

    fn field<'a>(&'a self, field: usize, _index: u64, record: &'a Record) -> &'a [u8] {
        let (size, tokens) = (self.widening.output, (self.len + 1) * self.widening.output);
        let ids = self.len * segments::BYTES;
        let (start, bytes) = match field {
            0 => (0, self.len * size),
            1 => (size, self.len * size),
            2 => (tokens, ids),
            _ => (tokens + ids, ids),
        };
        &record.bytes[start..start + bytes]
    }
}

#[cfg(test)]
mod tests;
