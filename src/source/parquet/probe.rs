//! Reading footers, and describing the files by them.

#![expect(clippy::wildcard_enum_match_arm, reason = "the types are Arrow's: all others are no lists")]

use std::path::Path;

use ::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use arrow_schema::DataType;
use serde_json::Value;

use super::{
    choose::{Chosen, type_at},
    group::{self, Opened, Read, leaf},
    layout::Layout,
    request::{ParquetRequest, RequestedFile},
    spec::{ParquetColumn, ParquetFile, ParquetSpec, ReadFrom, RowGroup},
};
use crate::{
    error::{Error, Failure, Result},
    field::Kind,
    source::store::{self, Stored},
};

/// How many rows tell how long texts and lists are.
const PROBED_ROWS: u64 = 1000;

/// What a view of a text or of bytes takes beside them.
const VIEW_BYTES: u64 = 16;

/// A file with its footer.
struct Probed {
    file: Box<dyn Stored>,
    metadata: ArrowReaderMetadata,
}

impl ParquetRequest {
    /// Reads the footers of all files, and of the first rows how long texts and lists are.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for no files, a file that is no Parquet file or whose columns are others than those of the
    /// first, a column that is not there or that a batch cannot hold, or a row group that is larger than the cache;
    /// [`Sys`](Error::Sys) for a file that cannot be read.
    pub fn probe(&self) -> Result<ParquetSpec> {
        let first = self.files.first().ok_or_else(|| Error::config("Parquet needs at least one file"))?;
        let probed = Probed::of(&first.path)?;
        let (chosen, classes) = self.choose(&probed.metadata).map_err(at(&first.path))?;
        self.check_names(&chosen)?;
        let mut files = Vec::with_capacity(self.files.len());
        for requested in &self.files {
            let probed = Probed::of(&requested.path)?;
            files.push(self.describe(requested, &probed, &chosen).map_err(at(&requested.path))?);
        }
        let mut columns: Vec<ParquetColumn> = chosen.into_iter().map(|chosen| chosen.column).collect();
        self.add_partitions(&mut columns)?;
        self.add_validity(&mut columns);
        let mut spec = ParquetSpec { files, columns, classes, cache_bytes: self.cache_bytes };
        make_room(&mut spec)?;
        Ok(spec)
    }

    /// Describes a file, whose columns must be those that were chosen.
    fn describe(&self, requested: &RequestedFile, probed: &Probed, chosen: &[Chosen]) -> Result<ParquetFile, String> {
        let schema = probed.metadata.schema();
        let mut leaves = Vec::with_capacity(chosen.len());
        for Chosen { column, path, data_type } in chosen {
            let name = path.join(".");
            let fault = |reason: String| format!("column `{name}` {reason}");
            let own = type_at(schema.fields(), path)
                .ok_or_else(|| fault("is not there, and the first file has it".into()))?;
            if !is_read_alike(&own, data_type) {
                return Err(fault(format!("is {own}, and {data_type} in the first file")));
            }
            let width =
                Layout::of(&own).map_err(fault)?.element.dtype().map_or(VIEW_BYTES, |dtype| dtype.size() as u64);
            let is_view = !matches!(column.field.kind, Kind::Tensor(_) | Kind::List(_) | Kind::Label(_));
            leaves.push((leaf(&probed.metadata, path).map_err(fault)?, width, is_view));
        }
        let mut groups = Vec::new();
        for (number, group) in probed.metadata.metadata().row_groups().iter().enumerate() {
            let rows = u64::try_from(group.num_rows())
                .map_err(|_| format!("row group {number} has {} rows", group.num_rows()))?;
            let bytes = leaves.iter().try_fold(0_u64, |sum, &(leaf, width, is_view)| {
                let chunk = group.column(leaf);
                let pages = u64::try_from(chunk.uncompressed_size()).ok()?;
                let values = u64::try_from(chunk.num_values()).ok()?.checked_mul(width)?;
                sum.checked_add(if is_view { pages.checked_add(values)? } else { pages.max(values) })
            });
            let bytes = bytes.ok_or_else(|| format!("row group {number} has no size that a file can have"))?;
            if bytes > self.cache_bytes {
                return Err(format!(
                    "row group {number} takes {bytes} bytes once it is decoded, and cache is {}: raise it, choose fewer \
                     columns, or write smaller row groups",
                    self.cache_bytes
                ));
            }
            groups.push(RowGroup { rows, bytes });
        }
        let partitions = requested.partitions.iter().map(partition_bytes).collect();
        Ok(ParquetFile { path: requested.path.clone(), stamp: probed.file.stamp(), groups, partitions })
    }
}

impl Probed {
    fn of(path: &Path) -> Result<Self> {
        let file = store::of(path).open(path).map_err(|failure| unread(path, failure))?;
        let metadata = group::footer(&*file).map_err(at(path))?;
        Ok(Self { file, metadata })
    }
}

fn unread(path: &Path, failure: Failure) -> Error {
    match failure.errno {
        Some(errno) => Error::sys(path.display().to_string(), std::io::Error::from_raw_os_error(errno)),
        None => at(path)(failure.reason),
    }
}

/// Names the file in what is wrong with it.
fn at(path: &Path) -> impl FnOnce(String) -> Error {
    move |reason| Error::Config(format!("Parquet: {}: {reason}", path.display()))
}

/// Returns the bytes of a partition's value.
fn partition_bytes(value: &Value) -> Option<Vec<u8>> {
    match (value.as_i64(), value.as_str()) {
        (Some(number), _) => Some(number.to_ne_bytes().to_vec()),
        (None, Some(text)) => Some(text.as_bytes().to_vec()),
        (None, None) => None,
    }
}

/// Makes room for texts and lists, by the length of those in the first rows and half as much again.
fn make_room(spec: &mut ParquetSpec) -> Result<()> {
    let Some(described) = spec.files.iter().find(|file| file.groups.iter().any(|group| group.rows > 0)) else {
        return Err(Error::config("Parquet: the files have no rows"));
    };
    let Probed { file, metadata } = Probed::of(&described.path)?;
    let opened = Opened { file: &*file, metadata: &metadata, most: spec.cache_bytes };
    let (number, rows) = (0..)
        .zip(&described.groups)
        .find(|(_, group)| group.rows > 0)
        .map_or((0, 0), |(number, group)| (number, group.rows.min(PROBED_ROWS) as usize));
    for column in &mut spec.columns {
        let longest = match (&column.field.kind, &column.from) {
            (Kind::Text(_) | Kind::List(_) | Kind::Bytes(_), ReadFrom::Column(path)) => {
                // What is wrong there is told for the sample that it is wrong with.
                let probed = opened.column((number, path), column, rows, &mut Read::default());
                probed.map_or(0, |probed| probed.longest(rows)) * 3 / 2
            }
            (Kind::Text(_), ReadFrom::Partition(at)) => {
                let values = spec.files.iter().filter_map(|file| file.partitions.get(*at)?.as_ref());
                values.map(Vec::len).max().unwrap_or(0)
            }
            (_, ReadFrom::Column(_) | ReadFrom::Partition(_) | ReadFrom::Validity(_)) => continue,
        };
        column.field.make_room(longest.max(64));
    }
    Ok(())
}

/// Tells whether columns of these types are read in the same way.
fn is_read_alike(one: &DataType, other: &DataType) -> bool {
    /// Takes lists off a type.
    fn element(data_type: &DataType) -> &DataType {
        match data_type {
            DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
                element(field.data_type())
            }
            other => other,
        }
    }
    Layout::of(one) == Layout::of(other) && element(one) == element(other)
}
