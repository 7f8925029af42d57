//! Parquet files: a sample is a row.
//!
//! Row groups are decoded as a whole, and kept as long as there is room, for the rows that follow. What a file is, and of
//! which kinds its columns are, has been learned in the trainer, by [`ParquetRequest::probe`].

mod ahead;
mod cache;
mod choose;
mod chunk;
mod column;
mod group;
mod groups;
mod hugging_face;
mod layout;
mod page;
mod pages;
mod probe;
mod request;
mod runs;
mod spec;

use std::{ffi::OsString, sync::Arc};

use self::{ahead::Ahead, group::Group, groups::Groups};
pub use self::{
    request::{Nulls, ParquetRequest, RequestedFile},
    spec::{ParquetColumn, ParquetFile, ParquetSpec, ReadFrom, RowGroup},
};
use super::{
    access::Source,
    reader::Reader,
    record::{Payloads, Record},
};
use crate::{
    error::{Error, Failure, Result, Stage},
    field::{Field, Payload},
    rng::Key,
    sampler::Blocks,
    stamp::Stamp,
};

/// Rows of Parquet files.
#[derive(Debug)]
pub struct Parquet {
    groups: Arc<Groups>,
    fields: Vec<Field>,
    classes: Vec<OsString>,
    blocks: Arc<Blocks>,
    /// Whether files of images or sound are among the columns, so that reading ahead pays.
    does_io: bool,
    ahead: Ahead,
}

impl Parquet {
    /// Opens files that have been probed.
    ///
    /// # Errors
    /// [`Config`](Error::Config) where there are no rows, or a file has changed; [`Sys`](Error::Sys) for one that is gone.
    pub fn open(spec: ParquetSpec) -> Result<Self> {
        let (mut numbers, mut ends, mut end, mut largest) = (Vec::new(), Vec::new(), 0_u64, 1);
        for (number, file) in spec.files.iter().enumerate() {
            let metadata = file.path.metadata().map_err(|error| Error::sys(file.path.display().to_string(), error))?;
            let stamp = Stamp::of(&metadata);
            if stamp != file.stamp {
                return Err(Error::Config(format!("{}: {}", file.path.display(), group::changed(file.stamp, stamp))));
            }
            for (group, described) in file.groups.iter().enumerate() {
                end = end.checked_add(described.rows).ok_or_else(|| Error::config("the files have too many rows"))?;
                ends.push(end);
                numbers.push((number as u32, group as u32));
                largest = largest.max(described.bytes);
            }
        }
        if end == 0 {
            return Err(Error::config("the files have no rows"));
        }
        let fields: Vec<Field> = spec.columns.iter().map(|column| column.field.clone()).collect();
        let does_io = fields.iter().any(|field| matches!(field.payload(), Ok(Payload::Encoded)));
        // Two windows fit, so that the next one can begin while rows of the last are still being read.
        let window = (spec.cache_bytes / 2 / largest).max(1);
        let classes = only_classes(&spec);
        let ahead = Ahead::new(window, window.saturating_mul(end) / numbers.len() as u64);
        let groups = Arc::new(Groups::new(spec, numbers));
        Ok(Self { groups, fields, classes, blocks: Arc::new(Blocks { ends, window }), does_io, ahead })
    }

    /// Returns which row group a sample lies in, and which row it is there.
    fn locate(&self, index: u64) -> (usize, usize) {
        let ends = &self.blocks.ends;
        let group = ends.partition_point(|&end| end <= index);
        let start = group.checked_sub(1).map_or(0, |before| ends[before]);
        (group, (index - start) as usize)
    }
}

/// Returns the names of the classes, where one field has any.
fn only_classes(spec: &ParquetSpec) -> Vec<OsString> {
    match spec.classes.values().collect::<Vec<_>>()[..] {
        [names] => names.iter().map(OsString::from).collect(),
        _ => Vec::new(),
    }
}

impl Source for Parquet {
    fn len(&self) -> u64 {
        self.blocks.ends.last().copied().unwrap_or_default()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        let (number, row) = self.locate(index);
        let (path, group) = self.groups.find(number);
        format!("{} row group {group}, row {row}", path.display())
    }

    fn classes(&self) -> &[OsString] {
        &self.classes
    }

    fn blocks(&self) -> Option<Arc<Blocks>> {
        Some(Arc::clone(&self.blocks))
    }

    fn does_io(&self) -> bool {
        self.does_io
    }

    /// A read decodes a row group, as a rule, and others wait for the same one.
    fn waits(&self) -> bool {
        false
    }

    fn looks_ahead(&self) -> u64 {
        if self.groups.are_slow() { self.ahead.rows() } else { 0 }
    }

    fn soon(&self, index: u64) {
        if self.groups.are_slow() {
            self.ahead.decode(&self.groups, self.locate(index).0);
        }
    }

    fn needs_record(&self, _field: usize) -> bool {
        true
    }

    fn guesses_room(&self) -> bool {
        true
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(RowReader { source: self, last: None })
    }

    fn field<'a>(&'a self, field: usize, _index: u64, record: &'a Record) -> &'a [u8] {
        record.payload(field)
    }
}

/// Reads rows; it keeps the group of the last one at hand.
#[derive(Debug)]
struct RowReader<'a> {
    source: &'a Parquet,
    last: Option<(usize, Arc<Group>)>,
}

impl Reader for RowReader<'_> {
    fn read(&mut self, key: Key, record: &mut Record, most: u64) -> Result<(), Failure> {
        let (number, row) = self.source.locate(key.index);
        let group = match self.last.take() {
            Some((last, group)) if last == number => group,
            _ => self.source.groups.get(number)?,
        };
        for (column, field) in group.columns.iter().zip(&self.source.fields) {
            if let Some(fault) = column.fault(row) {
                self.last = Some((number, group));
                return Err(Failure::new(Stage::Decode, format!("column `{}` {fault}", field.name)));
            }
        }
        record.bytes.clear();
        let payloads = record.payloads_mut::<Row>();
        *payloads = Row { group: Some(Arc::clone(&group)), row };
        let bytes = payloads.bytes();
        self.last = Some((number, group));
        if bytes as u64 > most {
            return Err(Failure::new(
                Stage::Read,
                format!("the row has {bytes} bytes, and max_sample_bytes is {most}"),
            ));
        }
        Ok(())
    }
}

/// A row of a group, which it keeps.
#[derive(Debug, Default)]
struct Row {
    group: Option<Arc<Group>>,
    row: usize,
}

impl Payloads for Row {
    fn payload(&self, field: usize) -> &[u8] {
        self.group.as_ref().map_or(&[], |group| group.columns[field].row(self.row))
    }

    fn bytes(&self) -> usize {
        let columns = self.group.iter().flat_map(|group| &group.columns);
        columns.map(|column| column.row(self.row).len()).sum()
    }
}
