//! Parquet files: a sample is a row.
//!
//! Row groups are decoded as a whole, and kept as long as there is room, for the rows that follow. What a file is, and of
//! which kinds its columns are, has been learned in the trainer, by [`ParquetRequest::probe`].

mod cache;
mod choose;
mod chunk;
mod column;
mod group;
mod hugging_face;
mod layout;
mod pages;
mod probe;
mod request;
mod spec;

use std::{
    ffi::OsString,
    sync::{Arc, Mutex, PoisonError},
};

use self::{
    cache::{Cache, Decoded},
    group::{Group, Opened},
};
pub use self::{
    request::{Nulls, ParquetRequest, RequestedFile},
    spec::{ParquetColumn, ParquetFile, ParquetSpec, ReadFrom, RowGroup},
};
use super::{
    access::Source,
    reader::Reader,
    record::{Payloads, Record},
    stamp::Stamp,
};
use crate::{
    error::{Error, Failure, Result, Stage},
    field::{Field, Payload},
    rng::Key,
    sampler::Blocks,
};

/// Rows of Parquet files.
#[derive(Debug)]
pub struct Parquet {
    spec: ParquetSpec,
    fields: Vec<Field>,
    classes: Vec<OsString>,
    /// Each row group: its file, and its number there.
    groups: Vec<(u32, u32)>,
    blocks: Arc<Blocks>,
    /// Whether files of images or sound are among the columns, so that reading ahead pays.
    does_io: bool,
    cache: Mutex<Cache>,
}

impl Parquet {
    /// Opens files that have been probed.
    ///
    /// # Errors
    /// [`Config`](Error::Config) where there are no rows, or a file has changed; [`Sys`](Error::Sys) for one that is gone.
    pub fn open(spec: ParquetSpec) -> Result<Self> {
        let (mut groups, mut ends, mut end, mut largest) = (Vec::new(), Vec::new(), 0_u64, 1);
        for (number, file) in spec.files.iter().enumerate() {
            let metadata = file.path.metadata().map_err(|error| Error::sys(file.path.display().to_string(), error))?;
            let stamp = Stamp::of(&metadata);
            if stamp != file.stamp {
                return Err(Error::Config(format!("{}: {}", file.path.display(), group::changed(file.stamp, stamp))));
            }
            for (group, described) in file.groups.iter().enumerate() {
                end = end.checked_add(described.rows).ok_or_else(|| Error::config("the files have too many rows"))?;
                ends.push(end);
                groups.push((number as u32, group as u32));
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
        Ok(Self {
            fields,
            classes: only_classes(&spec),
            groups,
            blocks: Arc::new(Blocks { ends, window }),
            does_io,
            cache: Mutex::default(),
            spec,
        })
    }

    /// Returns which row group a sample lies in, and which row it is there.
    fn locate(&self, index: u64) -> (usize, usize) {
        let ends = &self.blocks.ends;
        let group = ends.partition_point(|&end| end <= index);
        let start = group.checked_sub(1).map_or(0, |before| ends[before]);
        (group, (index - start) as usize)
    }

    /// Returns a row group, which is decoded where it is not kept.
    fn group(&self, number: usize) -> Decoded {
        // Threads that want the same group wait for it here. After a panic the cache is as it was.
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(decoded) = cache.get(number) {
            return decoded;
        }
        let (file, group) = (self.groups[number].0 as usize, self.groups[number].1 as usize);
        cache.make_room(self.spec.files[file].groups[group].bytes, self.spec.cache_bytes);
        let decoded = self.decode(&mut cache, file, group).map(Arc::new);
        // What the system could not do, it may do the next time.
        if decoded.as_ref().map_or_else(|failure| failure.stage == Stage::Decode, |_| true) {
            cache.put(number, decoded.clone());
        }
        decoded
    }

    fn decode(&self, cache: &mut Cache, number: usize, group: usize) -> Result<Group, Failure> {
        let described = &self.spec.files[number];
        let (file, stamp) = group::open(&described.path)?;
        if stamp != described.stamp {
            return Err(Failure::new(Stage::Read, group::changed(described.stamp, stamp)));
        }
        let size = stamp.size;
        let metadata = cache
            .footer(number, || group::footer(&file, size).map_err(|reason| Failure::new(Stage::Decode, reason)))?;
        let opened = Opened { file: &file, size, metadata: &metadata, most: self.spec.cache_bytes };
        opened.group(described, group, &self.spec.columns)
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
        let (file, group) = self.groups[number];
        format!("{} row group {group}, row {row}", self.spec.files[file as usize].path.display())
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
            _ => self.source.group(number)?,
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
