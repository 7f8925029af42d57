//! Columns by name: files, arrays, and lists that vary in length.

use std::{collections::HashSet, ffi::OsStr, fmt, os::unix::ffi::OsStrExt, path::Path};

use serde::{Deserialize, Serialize};

use super::{Bytes, Places, Source, SourceField, file};
use crate::{
    error::{Error, Failure, Result},
    spec::{DType, FieldSpec, Ragged},
};

/// One column of a [`Table`]: where its values lie in the shared bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// The field's name.
    pub name: String,
    /// What it holds.
    #[serde(flatten)]
    pub kind: ColumnKind,
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "column")]
pub enum ColumnKind {
    /// Paths of image files.
    Images {
        /// The paths.
        paths: List,
    },
    /// Paths of files of class indices that belong to the image of another column.
    Masks {
        /// The paths.
        paths: List,
        /// The image's column.
        image: String,
    },
    /// A row of fixed shape for each sample.
    Array {
        /// The type of its elements.
        dtype: DType,
        /// The shape of one row.
        shape: Vec<usize>,
        /// Where the C-contiguous array starts.
        offset: usize,
    },
    /// Entries of fixed shape, for each sample as many as it has.
    Lists {
        /// The type of an entry's elements.
        dtype: DType,
        /// The shape of one entry.
        shape: Vec<usize>,
        /// The entries.
        values: List,
        /// Where the entries lie, if they are places.
        #[serde(default)]
        within: Option<Within>,
    },
}

/// The image that the entries of a list lie in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Within {
    /// The image's column.
    pub image: String,
    /// What the entries are.
    #[serde(flatten)]
    pub places: Places,
}

/// Runs of bytes of varying length, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Where the first run starts.
    pub offset: usize,
    /// Where the runs' ends lie: one `u64` a sample, counted from `offset`, in native byte order.
    pub ends: usize,
    /// The bytes of the longest run.
    pub longest: usize,
}

impl Column {
    /// Returns the field that the column becomes.
    pub fn field(&self) -> SourceField {
        let name = self.name.clone();
        match &self.kind {
            ColumnKind::Images { .. } => SourceField::EncodedImage { name },
            ColumnKind::Masks { image, .. } => SourceField::EncodedMask { name, image: image.clone() },
            ColumnKind::Array { dtype, shape, .. } => SourceField::Tensor(FieldSpec::new(name, *dtype, &shape[..])),
            ColumnKind::Lists { dtype, shape, values, within } => {
                let spec = FieldSpec::new(name, *dtype, &shape[..]);
                let capacity = values.longest / spec.row_bytes().unwrap_or(1).max(1);
                let spec = FieldSpec { ragged: Some(Ragged { axes: 1, capacity }), ..spec };
                match within {
                    None => SourceField::Tensor(spec),
                    Some(Within { image, places }) => {
                        SourceField::Places { spec, places: *places, image: image.clone() }
                    }
                }
            }
        }
    }
}

/// Columns of equal length: sample `i` is row `i` of each.
///
/// Arrays, lists and the paths of files lie in shared bytes, so that workers which are forked have them in common. The
/// files of a sample are read one after the other into its record.
pub struct Table {
    len: u64,
    columns: Vec<Column>,
    fields: Vec<SourceField>,
    /// For each column, its number among those of files.
    files: Vec<Option<usize>>,
    file_columns: usize,
    bytes: Bytes,
}

/// What stands in a record before the files: where each of them ends.
const END_BYTES: usize = 8;

impl Table {
    /// Opens `len` rows of `columns`, which lie in `bytes`.
    ///
    /// # Errors
    /// [`Config`](Error::Config) where there are no rows, no columns, two columns of one name, no bytes, columns that
    /// reach beyond them, or a mask of an image that is none.
    pub fn open(len: u64, columns: &[Column], bytes: Option<Bytes>) -> Result<Self> {
        let bytes = bytes.ok_or_else(|| Error::config("the table's bytes are missing"))?;
        if len == 0 || columns.is_empty() {
            return Err(Error::config("a table needs at least one column and one row"));
        }
        let mut names = HashSet::new();
        for column in columns {
            if !names.insert(column.name.as_str()) {
                return Err(Error::Config(format!("two columns are named `{}`: names must differ", column.name)));
            }
        }
        let mut files = Vec::with_capacity(columns.len());
        let mut file_columns = 0;
        for column in columns {
            check(column, len, (*bytes).as_ref())?;
            let is_file = matches!(column.kind, ColumnKind::Images { .. } | ColumnKind::Masks { .. });
            files.push(is_file.then_some(file_columns));
            file_columns += usize::from(is_file);
        }
        let fields = columns.iter().map(Column::field).collect();
        Ok(Self { len, columns: columns.to_vec(), fields, files, file_columns, bytes })
    }

    fn shared(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    /// Returns the path that a column of files has for a sample.
    fn path(&self, column: &Column, index: u64) -> Option<&Path> {
        match &column.kind {
            ColumnKind::Images { paths } | ColumnKind::Masks { paths, .. } => {
                Some(Path::new(OsStr::from_bytes(run(self.shared(), *paths, index))))
            }
            ColumnKind::Array { .. } | ColumnKind::Lists { .. } => None,
        }
    }
}

fn end(bytes: &[u8], list: List, index: u64) -> usize {
    let at = list.ends + index as usize * END_BYTES;
    bytes[at..at + END_BYTES].try_into().map_or(0, |bytes| u64::from_ne_bytes(bytes) as usize)
}

/// Returns the bytes that a list has for a sample.
fn run(bytes: &[u8], list: List, index: u64) -> &[u8] {
    let start = index.checked_sub(1).map_or(0, |before| end(bytes, list, before));
    &bytes[list.offset + start..list.offset + end(bytes, list, index)]
}

/// Checks that a column lies in the bytes, with all that it points to.
fn check(column: &Column, len: u64, bytes: &[u8]) -> Result<()> {
    let name = &column.name;
    let outside = || Error::Config(format!("column `{name}` of {len} rows does not fit its {} bytes", bytes.len()));
    let rows = usize::try_from(len).map_err(|_| outside())?;
    let fits = |size: Option<usize>, offset: usize| {
        size.and_then(|size| size.checked_add(offset)).is_some_and(|end| end <= bytes.len())
    };
    match &column.kind {
        ColumnKind::Array { dtype, shape, offset } => {
            let row = FieldSpec::new(name, *dtype, &shape[..]).row_bytes()?;
            if !fits(rows.checked_mul(row), *offset) {
                return Err(outside());
            }
        }
        ColumnKind::Images { paths: list }
        | ColumnKind::Masks { paths: list, .. }
        | ColumnKind::Lists { values: list, .. } => {
            if !fits(rows.checked_mul(END_BYTES), list.ends) {
                return Err(outside());
            }
            let entry = match &column.kind {
                ColumnKind::Lists { dtype, shape, .. } => FieldSpec::new(name, *dtype, &shape[..]).row_bytes()?,
                _ => 1,
            };
            if entry == 0 {
                return Err(Error::Config(format!("column `{name}` has entries of no size")));
            }
            let mut before = 0;
            for index in 0..len {
                let end = end(bytes, *list, index);
                let size = end.checked_sub(before).filter(|size| *size <= list.longest && size % entry == 0);
                if size.is_none() || !fits(Some(end), list.offset) {
                    return Err(outside());
                }
                before = end;
            }
        }
    }
    Ok(())
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

    fn fields(&self) -> &[SourceField] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        let path = self.columns.iter().find_map(|column| self.path(column, index));
        path.map_or_else(|| format!("row {index}"), |path| path.to_string_lossy().into_owned())
    }

    fn does_io(&self) -> bool {
        self.file_columns > 0
    }

    fn fetch(&self, index: u64, record: &mut Vec<u8>) -> Result<(), Failure> {
        record.clear();
        record.resize(self.file_columns * END_BYTES, 0);
        let files = self.columns.iter().filter_map(|column| Some((column, self.path(column, index)?)));
        for (number, (column, path)) in files.enumerate() {
            file::append(path, record).map_err(|mut failure| {
                if number > 0 {
                    // The sample goes by the name of its first file.
                    failure.reason = format!("{} `{}`: {}", column.name, path.display(), failure.reason);
                }
                failure
            })?;
            let end = (record.len() as u64).to_ne_bytes();
            record[number * END_BYTES..(number + 1) * END_BYTES].copy_from_slice(&end);
        }
        Ok(())
    }

    fn field<'a>(&'a self, field: usize, index: u64, record: &'a [u8]) -> &'a [u8] {
        if let Some(number) = self.files[field] {
            let ends = List { offset: 0, ends: 0, longest: 0 };
            let start =
                number.checked_sub(1).map_or(self.file_columns * END_BYTES, |before| end(record, ends, before as u64));
            return &record[start..end(record, ends, number as u64)];
        }
        match &self.columns[field].kind {
            ColumnKind::Array { offset, .. } => {
                let SourceField::Tensor(spec) = &self.fields[field] else { return &[] };
                let row = spec.row_bytes().unwrap_or(0);
                let start = offset + index as usize * row;
                &self.shared()[start..start + row]
            }
            ColumnKind::Lists { values: list, .. }
            | ColumnKind::Images { paths: list }
            | ColumnKind::Masks { paths: list, .. } => run(self.shared(), *list, index),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use super::*;

    /// Lays runs of bytes out behind their ends.
    fn list(bytes: &mut Vec<u8>, runs: &[&[u8]]) -> List {
        let ends = bytes.len();
        let mut end = 0_u64;
        for run in runs {
            end += run.len() as u64;
            bytes.extend(end.to_ne_bytes());
        }
        let offset = bytes.len();
        bytes.extend(runs.concat());
        List { offset, ends, longest: runs.iter().map(|run| run.len()).max().unwrap_or(0) }
    }

    fn column(name: &str, kind: ColumnKind) -> Column {
        Column { name: name.to_owned(), kind }
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
            column("image", ColumnKind::Images { paths: images }),
            column("x", ColumnKind::Array { dtype: DType::UInt8, shape: vec![], offset }),
            column("mask", ColumnKind::Masks { paths: masks, image: "image".to_owned() }),
            column("pairs", ColumnKind::Lists { dtype: DType::Int8, shape: vec![2], values, within: None }),
        ];
        let json = serde_json::to_string(&columns).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Column>>(&json).unwrap(), columns);
        let table = Table::open(2, &columns, Some(Arc::new(bytes))).unwrap();

        let mut record = b"old".to_vec();
        table.fetch(0, &mut record).unwrap();
        let fields: Vec<&[u8]> = (0..4).map(|field| table.field(field, 0, &record)).collect();
        assert_eq!(fields, [b"image a", &[7][..], b"mask", b"123456"]);
        assert_eq!((table.field(3, 1, &[]), table.field(1, 1, &[])), (&[][..], &[8][..]));
        assert_eq!(table.key(1), path("b"));
        assert_eq!(table.fields()[3].to_string(), "pairs: int8[?, 2] with room for 3");
        let failure = table.fetch(1, &mut record).unwrap_err();
        let kind = failure.errno.map(|errno| std::io::Error::from_raw_os_error(errno).kind());
        assert_eq!(kind, Some(std::io::ErrorKind::NotFound));
        assert!(failure.reason.starts_with(&format!("mask `{}`: ", path("gone"))), "{}", failure.reason);
    }

    #[test]
    fn columns_that_do_not_fit_are_refused() {
        let mut bytes = Vec::new();
        let values = list(&mut bytes, &[b"1234", b"56"]);
        let open = |values, dtype| {
            let kind = ColumnKind::Lists { dtype, shape: vec![], values, within: None };
            Table::open(2, &[column("x", kind)], Some(Arc::new(bytes.clone())))
        };
        assert!(open(values, DType::Int16).is_ok());
        assert!(message(open(values, DType::Int32)).contains("column `x` of 2 rows does not fit"));
        assert!(message(open(List { offset: values.offset + 1, ..values }, DType::Int16)).contains("does not fit"));
        assert!(message(open(List { longest: 3, ..values }, DType::Int16)).contains("does not fit"));
        assert!(message(open(List { ends: usize::MAX, ..values }, DType::Int16)).contains("does not fit"));
        let array = column("x", ColumnKind::Array { dtype: DType::Int64, shape: vec![2], offset: 0 });
        assert!(message(Table::open(2, std::slice::from_ref(&array), Some(Arc::new(bytes)))).contains("does not fit"));
        let two: Bytes = Arc::new(vec![0; 64]);
        assert!(message(Table::open(2, &[array.clone(), array], Some(two))).contains("two columns are named `x`"));
    }
}
