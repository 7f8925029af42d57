//! Columns by name: files, arrays, and lists that vary in length.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    access::{Bytes, Source},
    file,
    reader::{BytesReader, Reader},
    record::Record,
};
use crate::{
    error::{Error, Failure, Result},
    field::{Field, Payload},
};

/// One column of a [`Table`]: a field, and where its payload lies in the shared bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The field.
    #[serde(flatten)]
    pub field: Field,
    /// What the column holds.
    pub stored: Stored,
}

/// What a column holds for each sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stored {
    /// The path of a file.
    Files(RunsAt),
    /// A row of fixed size, in a C-contiguous array that starts at this offset.
    Rows(usize),
    /// Bytes: a list's entries, or a file's bytes.
    Runs(RunsAt),
}

/// Runs of bytes of varying length, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsAt {
    /// Where the first run starts.
    pub offset: usize,
    /// Where the runs' ends lie: one `u64` a sample, counted from `offset`, in native byte order.
    pub ends: usize,
    /// The bytes of the longest run.
    pub longest: usize,
}

/// Columns of equal length: sample `i` is row `i` of each.
///
/// Arrays, lists and the paths of files lie in shared bytes, so that workers which are forked have them in common. The
/// files of a sample are read one after the other into its record.
pub struct Table {
    len: u64,
    columns: Vec<Column>,
    fields: Vec<Field>,
    /// For each column, where its payload is found.
    found: Vec<Found>,
    file_columns: usize,
    bytes: Bytes,
    classes: Vec<OsString>,
}

/// Where the payload of a column is found.
#[derive(Clone, Copy, Debug)]
enum Found {
    /// In the record: this file of it.
    File(usize),
    /// In the shared bytes: rows of this many bytes, from this offset on.
    Row { offset: usize, bytes: usize },
    /// In the shared bytes: runs.
    Run(RunsAt),
}

/// What stands in a record before the files: where each of them ends.
const END_BYTES: usize = 8;

impl Table {
    /// Opens `len` rows of `columns`, which lie in `bytes`.
    ///
    /// # Errors
    /// [`Config`](Error::Config) where there are no rows, no columns, two columns of one name, columns that reach
    /// beyond the bytes, or a mask of an image that is none.
    pub fn open(len: u64, columns: &[Column], bytes: Bytes) -> Result<Self> {
        if len == 0 || columns.is_empty() {
            return Err(Error::config("a table needs at least one column and one row"));
        }
        let mut names = HashSet::new();
        let mut found = Vec::with_capacity(columns.len());
        let mut file_columns = 0;
        for column in columns {
            let name = column.field.name.as_str();
            if !names.insert(name) {
                return Err(Error::Config(format!("two columns are named `{name}`: names must differ")));
            }
            found.push(check(column, len, (*bytes).as_ref(), &mut file_columns)?);
        }
        let fields = columns.iter().map(|column| column.field.clone()).collect();
        Ok(Self { len, columns: columns.to_vec(), fields, found, file_columns, bytes, classes: Vec::new() })
    }

    /// Sets the names of the classes that its labels count. Default: none.
    #[must_use]
    pub fn with_classes(self, classes: Vec<OsString>) -> Self {
        Self { classes, ..self }
    }

    fn shared(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    /// Returns the path that a column of files has for a sample.
    fn path(&self, column: &Column, index: u64) -> Option<&Path> {
        match column.stored {
            Stored::Files(paths) => Some(Path::new(OsStr::from_bytes(run(self.shared(), paths, index)))),
            Stored::Rows(_) | Stored::Runs(_) => None,
        }
    }

    /// Reads the files of a sample.
    fn fetch(&self, index: u64, record: &mut Vec<u8>, most: u64) -> Result<(), Failure> {
        record.clear();
        record.resize(self.file_columns * END_BYTES, 0);
        let files = self.columns.iter().filter_map(|column| Some((column, self.path(column, index)?)));
        for (number, (column, path)) in files.enumerate() {
            file::append(path, record, most).map_err(|mut failure| {
                if number > 0 {
                    // The sample goes by the name of its first file.
                    failure.reason = format!("{} `{}`: {}", column.field.name, path.display(), failure.reason);
                }
                failure
            })?;
            let end = (record.len() as u64).to_ne_bytes();
            record[number * END_BYTES..(number + 1) * END_BYTES].copy_from_slice(&end);
        }
        Ok(())
    }
}

fn end(bytes: &[u8], runs: RunsAt, index: u64) -> usize {
    let at = runs.ends + index as usize * END_BYTES;
    bytes[at..at + END_BYTES].try_into().map_or(0, |bytes| u64::from_ne_bytes(bytes) as usize)
}

/// Returns the run of a sample.
fn run(bytes: &[u8], runs: RunsAt, index: u64) -> &[u8] {
    let start = index.checked_sub(1).map_or(0, |before| end(bytes, runs, before));
    &bytes[runs.offset + start..runs.offset + end(bytes, runs, index)]
}

/// Checks that a column lies in the bytes, with all that it points to, and returns where its payload is found. `files`
/// counts the columns of files.
fn check(column: &Column, len: u64, bytes: &[u8], files: &mut usize) -> Result<Found> {
    let Column { field, stored } = column;
    let name = &field.name;
    let outside = || Error::Config(format!("column `{name}` of {len} rows does not fit its {} bytes", bytes.len()));
    match (field.payload()?, *stored) {
        (Payload::Encoded, Stored::Runs(runs)) => {
            check_runs(runs, 1, len, bytes).ok_or_else(outside)?;
            Ok(Found::Run(runs))
        }
        (Payload::Encoded, Stored::Files(runs)) => {
            check_runs(runs, 1, len, bytes).ok_or_else(outside)?;
            *files += 1;
            Ok(Found::File(*files - 1))
        }
        (Payload::Row(row), Stored::Rows(offset)) => {
            let size = usize::try_from(len).ok().and_then(|rows| rows.checked_mul(row));
            fits(size, offset, bytes).ok_or_else(outside)?;
            Ok(Found::Row { offset, bytes: row })
        }
        (Payload::Entries(entry), Stored::Runs(runs)) => {
            check_runs(runs, entry, len, bytes).ok_or_else(outside)?;
            Ok(Found::Run(runs))
        }
        (payload, stored) => {
            Err(Error::Config(format!("column `{name}` holds {stored:?}, and its field is {payload:?}")))
        }
    }
}

fn fits(size: Option<usize>, offset: usize, bytes: &[u8]) -> Option<()> {
    (size?.checked_add(offset)? <= bytes.len()).then_some(())
}

/// Checks that all runs lie in the bytes and hold whole entries.
fn check_runs(runs: RunsAt, entry: usize, len: u64, bytes: &[u8]) -> Option<()> {
    fits(usize::try_from(len).ok()?.checked_mul(END_BYTES), runs.ends, bytes)?;
    let mut before = 0;
    for index in 0..len {
        let end = end(bytes, runs, index);
        let size = end.checked_sub(before)?;
        if size > runs.longest || size % entry != 0 {
            return None;
        }
        fits(Some(end), runs.offset, bytes)?;
        before = end;
    }
    Some(())
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("len", &self.len).field("fields", &self.fields).finish_non_exhaustive()
    }
}

impl Source for Table {
    fn len(&self) -> u64 {
        self.len
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        let path = self.columns.iter().find_map(|column| self.path(column, index));
        path.map_or_else(|| format!("row {index}"), |path| path.to_string_lossy().into_owned())
    }

    fn classes(&self) -> &[OsString] {
        &self.classes
    }

    fn does_io(&self) -> bool {
        self.file_columns > 0
    }

    fn needs_record(&self, field: usize) -> bool {
        matches!(self.found[field], Found::File(_))
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(BytesReader::new(|index, bytes, most| self.fetch(index, bytes, most)))
    }

    fn field<'a>(&'a self, field: usize, index: u64, record: &'a Record) -> &'a [u8] {
        let bytes = &record.bytes[..];
        match self.found[field] {
            Found::File(number) => {
                let ends = RunsAt { offset: 0, ends: 0, longest: 0 };
                let before = number.checked_sub(1).map(|before| end(bytes, ends, before as u64));
                &bytes[before.unwrap_or(self.file_columns * END_BYTES)..end(bytes, ends, number as u64)]
            }
            Found::Row { offset, bytes } => {
                let start = offset + index as usize * bytes;
                &self.shared()[start..start + bytes]
            }
            Found::Run(runs) => run(self.shared(), runs, index),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use super::*;
    use crate::{
        field::{Image, Kind, List, Mask, Tensor},
        spec::DType,
    };

    /// Lays runs of bytes out behind their ends.
    fn list(bytes: &mut Vec<u8>, runs: &[&[u8]]) -> RunsAt {
        let ends = bytes.len();
        let mut end = 0_u64;
        for run in runs {
            end += run.len() as u64;
            bytes.extend(end.to_ne_bytes());
        }
        let offset = bytes.len();
        bytes.extend(runs.concat());
        RunsAt { offset, ends, longest: runs.iter().map(|run| run.len()).max().unwrap_or(0) }
    }

    fn column(name: &str, kind: impl Into<Kind>, stored: Stored) -> Column {
        Column { field: Field::new(name, kind), stored }
    }

    fn numbers(dtype: DType, shape: &[usize], capacity: usize) -> List {
        List { dtype, shape: shape.to_vec(), capacity }
    }

    fn message(result: Result<Table>) -> String {
        match result {
            Err(Error::Config(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_sample_is_its_files_and_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        for (name, text) in [("a", "image a"), ("b", "b"), ("m", "mask")] {
            fs::write(path(name), text).unwrap();
        }
        let mut bytes = Vec::new();
        let images = list(&mut bytes, &[path("a").as_bytes(), path("b").as_bytes()]);
        let masks = list(&mut bytes, &[path("m").as_bytes(), path("gone").as_bytes()]);
        let values = list(&mut bytes, &[b"123456", b""]);
        let offset = bytes.len();
        bytes.extend([7, 8]);
        let columns = [
            column("image", Image::default(), Stored::Files(images)),
            column("x", Tensor { dtype: DType::UInt8, shape: vec![] }, Stored::Rows(offset)),
            column("mask", Mask::of("image"), Stored::Files(masks)),
            column("pairs", numbers(DType::Int8, &[2], 3), Stored::Runs(values)),
        ];
        let json = serde_json::to_string(&columns).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Column>>(&json).unwrap(), columns);
        let table = Table::open(2, &columns, Arc::new(bytes)).unwrap();

        let mut record = Record::from(b"old".to_vec());
        table.fetch(0, &mut record.bytes, 100).unwrap();
        let fields: Vec<&[u8]> = (0..4).map(|field| table.field(field, 0, &record)).collect();
        assert_eq!(fields, [b"image a", &[7][..], b"mask", b"123456"]);
        assert_eq!((table.field(3, 1, &Record::default()), table.field(1, 1, &Record::default())), (&[][..], &[8][..]));
        assert_eq!(table.key(1), path("b"));
        assert_eq!(table.fields()[3].to_string(), "pairs: int8[?, 2] with room for 3");
        let failure = table.fetch(1, &mut record.bytes, 100).unwrap_err();
        let kind = failure.errno.map(|errno| std::io::Error::from_raw_os_error(errno).kind());
        assert_eq!(kind, Some(std::io::ErrorKind::NotFound));
        assert!(failure.reason.starts_with(&format!("mask `{}`: ", path("gone"))), "{}", failure.reason);
    }

    #[test]
    fn columns_that_do_not_fit_are_refused() {
        let mut bytes = Vec::new();
        let values = list(&mut bytes, &[b"1234", b"56"]);
        let open = |values, dtype| {
            let kind = numbers(dtype, &[], 4);
            Table::open(2, &[column("x", kind, Stored::Runs(values))], Arc::new(bytes.clone()))
        };
        assert!(open(values, DType::Int16).is_ok());
        assert!(message(open(values, DType::Int32)).contains("column `x` of 2 rows does not fit"));
        assert!(message(open(RunsAt { offset: values.offset + 1, ..values }, DType::Int16)).contains("does not fit"));
        assert!(message(open(RunsAt { longest: 3, ..values }, DType::Int16)).contains("does not fit"));
        assert!(message(open(RunsAt { ends: usize::MAX, ..values }, DType::Int16)).contains("does not fit"));
        let array = column("x", Tensor { dtype: DType::Int64, shape: vec![2] }, Stored::Rows(0));
        assert!(message(Table::open(2, std::slice::from_ref(&array), Arc::new(bytes))).contains("does not fit"));
        let two: Bytes = Arc::new(vec![0; 64]);
        assert!(message(Table::open(2, &[array.clone(), array], two)).contains("two columns are named `x`"));
    }
}
