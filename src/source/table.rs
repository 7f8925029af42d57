//! Columns by name: files, arrays, lists that vary in length, and parts of shards.

mod column;
mod runs;
mod shards;

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use serde::{Deserialize, Serialize};

pub(super) use self::runs::{check_runs, run, u64_at};
pub use self::{
    column::{BlocksAt, Column, PartsAt, Stored, WindowsAt},
    runs::RunsAt,
    shards::ShardsAt,
};
use self::{
    column::{Found, check},
    runs::{END_BYTES, Part, end},
    shards::{OpenShards, Shards},
};
use super::{
    access::{Bytes, Source},
    reader::Reader,
    record::Record,
    whole_file,
};
use crate::{
    error::{Error, Failure, Result, Stage},
    field::{Field, Payload},
    rng::Key,
};

/// A table as data: where its columns lie in shared bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableSpec {
    /// The number of samples.
    pub len: u64,
    /// The columns.
    pub columns: Vec<Column>,
    /// The shards that columns lie in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<ShardsAt>,
    /// What samples are called, where that is more than their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<RunsAt>,
    /// The names of the classes that a column of labels counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
}

impl TableSpec {
    /// Returns so many samples of these columns.
    pub fn new(len: u64, columns: Vec<Column>) -> Self {
        Self { len, columns, shards: None, keys: None, classes: Vec::new() }
    }

    /// Returns the paths of the shards, which lie in these bytes. They have been checked.
    pub(crate) fn shard_paths<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = &'a Path> {
        let paths = self.shards.map(|shards| (shards.paths, shards.count));
        let numbers = 0..paths.map_or(0, |(_, count)| count);
        numbers.filter_map(move |number| Some(Path::new(OsStr::from_bytes(run(bytes, paths?.0, number)))))
    }
}

/// Columns of equal length: sample `i` is row `i` of each.
///
/// Arrays, lists and the paths of files lie in shared bytes, so that workers which are forked have them in common. The
/// files of a sample, and its parts of shards, are read one after the other into its record; where shards are mapped, a
/// worker finds them in its memory.
pub struct Table {
    spec: TableSpec,
    fields: Vec<Field>,
    shards: Shards,
    /// For each column, where its payload is found.
    found: Vec<Found>,
    /// For each column, the bytes of a row, where they are fixed.
    rows: Vec<usize>,
    /// How many columns are read.
    read: usize,
    bytes: Bytes,
    classes: Vec<OsString>,
}

impl Table {
    /// Opens a table that lies in `bytes`.
    ///
    /// # Errors
    /// [`Config`](Error::Config) where there are no rows, no columns, two columns of one name, columns that reach
    /// beyond the bytes or their shards, or a mask of an image that is none.
    pub fn open(spec: TableSpec, bytes: Bytes) -> Result<Self> {
        let len = spec.len;
        if len == 0 || spec.columns.is_empty() {
            return Err(Error::config("a table needs at least one column and one row"));
        }
        let shared = (*bytes).as_ref();
        let shards = Shards::open(spec.shards, shared)?;
        if spec.keys.is_some_and(|keys| check_runs(keys, 1, len, shared).is_none()) {
            return Err(Error::Config(format!("the keys of {len} samples do not fit their {} bytes", shared.len())));
        }
        let mut names = HashSet::new();
        let (mut found, mut rows) = (Vec::with_capacity(spec.columns.len()), Vec::new());
        let mut read = 0;
        for column in &spec.columns {
            let name = column.field.name.as_str();
            if !names.insert(name) {
                return Err(Error::Config(format!("two columns are named `{name}`: names must differ")));
            }
            found.push(check(column, len, (shared, &shards), &mut read)?);
            rows.push(match column.field.payload()? {
                Payload::Row(row) => row,
                Payload::Encoded | Payload::Entries(_) => 0,
            });
        }
        let fields = spec.columns.iter().map(|column| column.field.clone()).collect();
        let classes = spec.classes.iter().map(OsString::from).collect();
        Ok(Self { spec, fields, shards, found, rows, read, bytes, classes })
    }

    fn shared(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    /// Returns the path that a column of files has for a sample.
    fn path(&self, column: &Column, index: u64) -> Option<&Path> {
        match column.stored {
            Stored::Files(paths) => Some(Path::new(OsStr::from_bytes(run(self.shared(), paths, index)))),
            Stored::Rows(_) | Stored::Runs(_) | Stored::Parts(_) | Stored::Blocks(_) | Stored::Windows(_) => None,
        }
    }

    fn part(&self, column: usize, index: u64) -> Option<Part> {
        self.spec.columns[column].stored.part(self.shared(), index, self.rows[column])
    }

    /// Returns the shard in which a column has a sample's part, and where in it that starts.
    pub(super) fn part_of(&self, column: usize, index: u64) -> Option<(&Path, u64)> {
        let part = self.part(column, index)?;
        Some((self.shards.path(self.shared(), part.shard), part.start))
    }

    /// Returns the number of the shard in which a column has a sample's part.
    pub(super) fn shard_of(&self, column: usize, index: u64) -> Option<u32> {
        Some(self.part(column, index)?.shard)
    }

    /// Reads what a sample has in files and shards.
    fn fetch(&self, index: u64, open: &mut OpenShards, record: &mut Vec<u8>, most: u64) -> Result<(), Failure> {
        record.clear();
        if self.read == 0 {
            return Ok(());
        }
        record.resize(self.read * END_BYTES, 0);
        let mut number = 0;
        for (at, column) in self.spec.columns.iter().enumerate() {
            if let Some(part) = self.part(at, index) {
                self.fetch_part(part, open, record, most).map_err(|mut failure| {
                    let (name, path) = (&column.field.name, self.shards.path(self.shared(), part.shard).display());
                    failure.reason = format!("{name} at byte {} of `{path}`: {}", part.start, failure.reason);
                    failure
                })?;
            } else if let Some(path) = self.path(column, index) {
                whole_file::append(path, record, most).map_err(|mut failure| {
                    if number > 0 {
                        // The sample goes by the name of its first file.
                        failure.reason = format!("{} `{}`: {}", column.field.name, path.display(), failure.reason);
                    }
                    failure
                })?;
            } else {
                continue;
            }
            let end = (record.len() as u64).to_ne_bytes();
            record[number * END_BYTES..(number + 1) * END_BYTES].copy_from_slice(&end);
            number += 1;
        }
        Ok(())
    }

    /// Reads a part, or has its shard mapped.
    fn fetch_part(&self, part: Part, open: &mut OpenShards, record: &mut Vec<u8>, most: u64) -> Result<(), Failure> {
        if self.shards.are_mapped() {
            return self.shards.prepare(self.shared(), part.shard);
        }
        if part.size > most.saturating_sub(record.len() as u64) {
            let reason = format!("it has {} bytes, and max_sample_bytes is {most}", part.size);
            return Err(Failure::new(Stage::Read, reason));
        }
        open.append((&self.shards, self.shared()), part, record)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("len", &self.spec.len).field("fields", &self.fields).finish_non_exhaustive()
    }
}

/// Reads the rows of a table, with shards open.
struct TableReader<'a> {
    table: &'a Table,
    open: OpenShards,
}

impl Reader for TableReader<'_> {
    fn read(&mut self, key: Key, record: &mut Record, most: u64) -> Result<(), Failure> {
        self.table.fetch(key.index, &mut self.open, &mut record.bytes, most)
    }
}

impl Source for Table {
    fn len(&self) -> u64 {
        self.spec.len
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        let file = self.spec.columns.iter().find_map(|column| self.path(column, index));
        if let Some(path) = file {
            return path.to_string_lossy().into_owned();
        }
        let key = self.spec.keys.map(|keys| String::from_utf8_lossy(run(self.shared(), keys, index)).into_owned());
        let key = key.unwrap_or_else(|| format!("row {index}"));
        let part = (0..self.spec.columns.len()).find_map(|column| self.part_of(column, index));
        part.map_or_else(|| key.clone(), |(path, _)| format!("{}: {key}", path.display()))
    }

    fn file(&self, field: usize, index: u64) -> Option<String> {
        Some(self.path(&self.spec.columns[field], index)?.to_string_lossy().into_owned())
    }

    fn classes(&self) -> &[OsString] {
        &self.classes
    }

    fn does_io(&self) -> bool {
        let reads = |column: &Column| match column.stored {
            Stored::Files(_) => true,
            Stored::Parts(_) | Stored::Blocks(_) => self.shards.are_read(),
            Stored::Rows(_) | Stored::Runs(_) | Stored::Windows(_) => false,
        };
        self.spec.columns.iter().any(reads)
    }

    fn enter(&self, _seat: u32) -> Result<()> {
        self.shards.map();
        Ok(())
    }

    fn needs_record(&self, field: usize) -> bool {
        matches!(self.found[field], Found::Read(_))
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(TableReader { table: self, open: OpenShards::default() })
    }

    fn field<'a>(&'a self, field: usize, index: u64, record: &'a Record) -> &'a [u8] {
        let bytes = &record.bytes[..];
        match self.found[field] {
            Found::Read(number) => {
                if self.shards.are_mapped()
                    && let Some(part) = self.part(field, index)
                {
                    return self.shards.mapped(part);
                }
                let ends = RunsAt { offset: 0, ends: 0, longest: 0 };
                let before = number.checked_sub(1).map(|before| end(bytes, ends, before as u64));
                &bytes[before.unwrap_or(self.read * END_BYTES)..end(bytes, ends, number as u64)]
            }
            Found::Row { offset, bytes } => {
                let start = offset + index as usize * bytes;
                &self.shared()[start..start + bytes]
            }
            Found::Run(runs) => run(self.shared(), runs, index),
            Found::Window(at) => {
                let part = at.blocks.part(self.shared(), index, self.rows[field]);
                &self.shared()[at.offset + part.start as usize..][..self.rows[field]]
            }
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
        stamp::Stamp,
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
        let table = Table::open(TableSpec::new(2, columns.to_vec()), Arc::new(bytes)).unwrap();

        let mut record = Record::from(b"old".to_vec());
        table.fetch(0, &mut OpenShards::default(), &mut record.bytes, 100).unwrap();
        let fields: Vec<&[u8]> = (0..4).map(|field| table.field(field, 0, &record)).collect();
        assert_eq!(fields, [b"image a", &[7][..], b"mask", b"123456"]);
        assert_eq!((table.field(3, 1, &Record::default()), table.field(1, 1, &Record::default())), (&[][..], &[8][..]));
        assert_eq!(table.key(1), path("b"));
        assert_eq!((table.file(2, 0), table.file(1, 0)), (Some(path("m")), None));
        assert_eq!(table.fields()[3].to_string(), "pairs: int8[?, 2] with room for 3");
        let failure = table.fetch(1, &mut OpenShards::default(), &mut record.bytes, 100).unwrap_err();
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
            Table::open(TableSpec::new(2, vec![column("x", kind, Stored::Runs(values))]), Arc::new(bytes.clone()))
        };
        assert!(open(values, DType::Int16).is_ok());
        assert!(message(open(values, DType::Int32)).contains("column `x` of 2 rows does not fit"));
        assert!(message(open(RunsAt { offset: values.offset + 1, ..values }, DType::Int16)).contains("does not fit"));
        assert!(message(open(RunsAt { longest: 3, ..values }, DType::Int16)).contains("does not fit"));
        assert!(message(open(RunsAt { ends: usize::MAX, ..values }, DType::Int16)).contains("does not fit"));
        let array = column("x", Tensor { dtype: DType::Int64, shape: vec![2] }, Stored::Rows(0));
        assert!(message(Table::open(TableSpec::new(2, vec![array.clone()]), Arc::new(bytes))).contains("does not fit"));
        let two: Bytes = Arc::new(vec![0; 64]);
        assert!(
            message(Table::open(TableSpec::new(2, vec![array.clone(), array]), two))
                .contains("two columns are named `x`")
        );
    }

    /// Makes shards of these contents in a folder.
    fn shards(folder: &Path, contents: &[&[u8]], mapped: bool, bytes: &mut Vec<u8>) -> ShardsAt {
        let (mut paths, mut stamps) = (Vec::new(), Vec::new());
        for (number, content) in contents.iter().enumerate() {
            let path = folder.join(number.to_string());
            fs::write(&path, content).unwrap();
            let stamp = Stamp::of(&path.metadata().unwrap());
            stamps.extend([stamp.size, stamp.changed].map(u64::to_ne_bytes).concat());
            paths.push(path.to_str().unwrap().to_owned().into_bytes());
        }
        let paths = list(bytes, &paths.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let at = bytes.len();
        bytes.extend(stamps);
        ShardsAt { count: contents.len() as u64, paths, stamps: at, mapped }
    }

    fn add<const SIZE: usize>(bytes: &mut Vec<u8>, numbers: &[[u8; SIZE]]) -> usize {
        let at = bytes.len();
        bytes.extend(numbers.concat());
        at
    }

    /// A table of two samples, of texts and of rows of two numbers, in two shards.
    fn in_shards(folder: &Path, mapped: bool) -> (TableSpec, Vec<u8>) {
        let mut bytes = Vec::new();
        let shards = shards(folder, &[b"..hello", b"bye1234567"], mapped, &mut bytes);
        let parts = PartsAt {
            shards: add(&mut bytes, &[0_u32, 1].map(u32::to_ne_bytes)),
            starts: add(&mut bytes, &[2_u64, 0].map(u64::to_ne_bytes)),
            sizes: add(&mut bytes, &[5_u64, 3].map(u64::to_ne_bytes)),
            longest: 5,
        };
        let blocks = BlocksAt { offset: add(&mut bytes, &[0_u64, 1, 4, 2].map(u64::to_ne_bytes)), count: 1 };
        let columns = vec![
            column("text", numbers(DType::UInt8, &[], 9), Stored::Parts(parts)),
            column("row", Tensor { dtype: DType::UInt8, shape: vec![2] }, Stored::Blocks(blocks)),
        ];
        let keys = list(&mut bytes, &[b"one", b"two"]);
        (TableSpec { shards: Some(shards), keys: Some(keys), ..TableSpec::new(2, columns) }, bytes)
    }

    fn payloads(table: &Table, index: u64) -> Result<Vec<Vec<u8>>, Failure> {
        let mut record = Record::default();
        let key = Key { seed: 0, epoch: 0, index };
        table.reader().read(key, &mut record, 100)?;
        Ok((0..table.fields().len()).map(|field| table.field(field, index, &record).to_vec()).collect())
    }

    #[test]
    fn a_sample_is_its_parts_of_shards_read_or_mapped() {
        for mapped in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let (spec, bytes) = in_shards(folder.path(), mapped);
            let json = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<TableSpec>(&json).unwrap(), spec);
            let table = Table::open(spec, Arc::new(bytes)).unwrap();
            assert_eq!(table.does_io(), !mapped);
            for in_a_worker in [false, true] {
                if in_a_worker {
                    table.enter(0).unwrap();
                }
                assert_eq!(payloads(&table, 0).unwrap(), [&b"hello"[..], b"23"]);
                assert_eq!(payloads(&table, 1).unwrap(), [&b"bye"[..], b"45"]);
            }
            assert_eq!(table.key(1), format!("{}: two", folder.path().join("1").display()));
            let most = table.reader().read(Key { seed: 0, epoch: 0, index: 0 }, &mut Record::default(), 20);
            assert_eq!(most.is_err(), !mapped, "{most:?}");
        }
    }

    #[test]
    fn rows_may_overlap_in_shards_and_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        let shards = shards(folder.path(), &[b"..123456"], false, &mut bytes);
        let pairs = |step: u64| [0, 0, 2, step, 2, 0, 3, step].map(u64::to_ne_bytes);
        let offset = bytes.len();
        bytes.extend(b"xx987654");
        let in_shards = BlocksAt { offset: add(&mut bytes, &pairs(3)), count: 2 };
        let in_memory =
            WindowsAt { blocks: BlocksAt { offset: add(&mut bytes, &pairs(1)), count: 2 }, offset, size: 8 };
        let open = |in_shards, in_memory| {
            let kind = || Tensor { dtype: DType::UInt8, shape: vec![2] };
            let columns =
                vec![column("a", kind(), Stored::Blocks(in_shards)), column("b", kind(), Stored::Windows(in_memory))];
            let spec = TableSpec { shards: Some(shards), ..TableSpec::new(4, columns) };
            assert_eq!(serde_json::from_str::<TableSpec>(&serde_json::to_string(&spec).unwrap()).unwrap(), spec);
            Table::open(spec, Arc::new(bytes.clone()))
        };
        let table = open(in_shards, in_memory).unwrap();
        let all: Vec<_> = (0..4).map(|index| payloads(&table, index).unwrap().concat()).collect();
        assert_eq!(all, [b"1298", b"4587", b"2387", b"5676"].map(|each| each.to_vec()));
        assert!(table.needs_record(0) && !table.needs_record(1));
        let short = WindowsAt { size: 5, ..in_memory };
        assert!(message(open(in_shards, short)).contains("`b` of 4 rows does not fit"));
        let beyond = WindowsAt { offset: usize::MAX, ..in_memory };
        assert!(message(open(in_shards, beyond)).contains("`b` of 4 rows does not fit"));
        let far = BlocksAt { count: 1, ..in_shards };
        assert!(message(open(far, in_memory)).contains("`a` of 4 rows reaches beyond its shards"));
    }

    #[test]
    fn a_shard_that_was_changed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for mapped in [false, true] {
            let (spec, bytes) = in_shards(folder.path(), mapped);
            let table = Table::open(spec, Arc::new(bytes)).unwrap();
            table.enter(0).unwrap();
            fs::write(folder.path().join("0"), "..hell").unwrap();
            let failure = payloads(&table, 0).unwrap_err();
            assert!(failure.reason.contains("text at byte 2 of"), "{}", failure.reason);
            assert!(failure.reason.contains("changed after its index was made: 6 bytes now, 7 then"));
            fs::remove_file(folder.path().join("1")).unwrap();
            let errno = payloads(&table, 1).unwrap_err().errno.map(std::io::Error::from_raw_os_error);
            assert_eq!(errno.map(|error| error.kind()), Some(std::io::ErrorKind::NotFound));
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (spec, bytes) = in_shards(folder.path(), false);
        let changed = |change: &dyn Fn(&mut TableSpec)| {
            let mut spec = spec.clone();
            change(&mut spec);
            message(Table::open(spec, Arc::new(bytes.clone())))
        };
        let parts = |spec: &mut TableSpec, change: &dyn Fn(&mut PartsAt)| {
            if let Stored::Parts(parts) = &mut spec.columns[0].stored {
                change(parts);
            }
        };
        assert!(changed(&|spec| parts(spec, &|at| at.starts = at.sizes + 1)).contains("reaches beyond its shards"));
        assert!(changed(&|spec| parts(spec, &|at| at.longest = 4)).contains("reaches beyond its shards"));
        assert!(changed(&|spec| parts(spec, &|at| at.shards = usize::MAX)).contains("reaches beyond its shards"));
        assert!(changed(&|spec| spec.len = 4).contains("do not fit"));
        assert!(
            changed(&|spec| spec.columns[1].field = Field::new("row", Tensor { dtype: DType::UInt8, shape: vec![7] }))
                .contains("column `row` of 2 rows reaches beyond its shards")
        );
        assert!(changed(&|spec| spec.shards = None).contains("reaches beyond its shards"));
        assert!(changed(&|spec| spec.shards.as_mut().unwrap().stamps = usize::MAX).contains("2 shards do not fit"));
    }
}
