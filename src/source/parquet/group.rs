//! Reading and decoding row groups.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use ::parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader},
        parquet_to_arrow_field_levels,
    },
    file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetStatisticsPolicy},
};
use arrow_array::{Array, ArrayRef, cast::AsArray};
use arrow_buffer::NullBuffer;
use arrow_select::concat::concat;

use super::{
    chunk::{Chunk, Footer, Limits, read_range},
    column::Column,
    layout::with_views,
    pages::OneChunk,
    spec::{ParquetColumn, ParquetFile, ReadFrom},
};
use crate::{
    error::{Failure, Stage},
    panics,
    source::store::Stored,
    stamp::Stamp,
};

/// The rows of a group, decoded: a column for each field.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) columns: Vec<Column>,
    /// The memory that it takes.
    pub(super) bytes: u64,
}

/// What reading took, without decoding.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Read {
    pub(super) bytes: u64,
    pub(super) took: Duration,
}

/// Says that a file is another one than it was.
pub(super) fn changed(old: Stamp, new: Stamp) -> String {
    let what = if old.size == new.size {
        "is as long as it was".to_owned()
    } else {
        format!("had {} bytes, has {}", old.size, new.size)
    };
    format!("the file has changed since the source was made ({what}): make the source again")
}

/// Reads the footer of a file, without statistics; texts and binaries are to be read as views.
///
/// # Errors
/// What is wrong with it, a fragment.
pub(super) fn footer(file: &dyn Stored) -> Result<ArrowReaderMetadata, String> {
    let options = || {
        ArrowReaderOptions::new()
            .with_page_index_policy(PageIndexPolicy::Skip)
            .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
            .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
            .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll)
    };
    let load = || {
        let metadata = ArrowReaderMetadata::load(&Footer(file), options())?;
        let schema = with_views(metadata.schema());
        ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options().with_schema(Arc::new(schema)))
    };
    let loaded = panics::caught(load).map_err(|panic| format!("its footer cannot be read: panicked: {panic}"))?;
    loaded.map_err(|error| format!("its footer cannot be read: {}", plainly(error)))
}

/// Returns an error's text as a fragment, without the kinds of error that the crates say first.
fn plainly(error: impl fmt::Display) -> String {
    const KINDS: [&str; 6] = ["Parquet argument error: ", "Parquet error: ", "Arrow: ", "EOF: ", "External: ", "NYI: "];
    let text = error.to_string();
    let mut rest = text.as_str();
    while let Some(shorter) = KINDS.iter().find_map(|kind| rest.strip_prefix(kind)) {
        rest = shorter;
    }
    rest.trim_end_matches('.').to_owned()
}

/// A file with its footer, of which a row group is decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened<'a> {
    pub(super) file: &'a dyn Stored,
    pub(super) metadata: &'a ArrowReaderMetadata,
    /// The most bytes that a group's pages may take.
    pub(super) most: u64,
}

impl Opened<'_> {
    /// Decodes the columns of a row group, and returns with it what reading them took.
    ///
    /// # Errors
    /// A [`Failure`] that names the column. A panic becomes one too.
    pub(super) fn group(
        &self,
        described: &ParquetFile,
        number: usize,
        columns: &[ParquetColumn],
    ) -> Result<(Group, Read), Failure> {
        let rows = described.groups[number].rows as usize;
        let mut read = Read::default();
        let mut decoded: Vec<Column> = Vec::with_capacity(columns.len());
        for column in columns {
            decoded.push(match &column.from {
                ReadFrom::Column(path) => self.column((number, path), column, rows, &mut read)?,
                ReadFrom::Partition(at) => partition(described, *at, column)?,
                ReadFrom::Validity(of) => Column::validity(&decoded[*of], rows),
            });
        }
        let bytes = decoded.iter().map(|column| column.bytes() as u64).sum();
        Ok((Group { columns: decoded, bytes }, read))
    }

    /// Decodes the first `rows` rows of a column of a row group, and adds to `read` what reading it took.
    ///
    /// # Errors
    /// A [`Failure`] that names the column. A panic becomes one too.
    pub(super) fn column(
        &self,
        (group, path): (usize, &[String]),
        column: &ParquetColumn,
        rows: usize,
        read: &mut Read,
    ) -> Result<Column, Failure> {
        let failed = |reason| Failure::new(Stage::Decode, format!("column `{}`: {reason}", path.join(".")));
        let chunk = leaf(self.metadata, path).map(|leaf| self.metadata.metadata().row_group(group).column(leaf));
        let chunk = chunk.map_err(failed)?;
        let (start, bytes) = byte_range(chunk, self.file.stamp().size).map_err(failed)?;
        let begun = Instant::now();
        let bytes = read_range(self.file, start, bytes)?;
        read.took += begun.elapsed();
        read.bytes += bytes.len() as u64;
        let chunk = Chunk::new(start, bytes, Limits { bytes: self.most, values: chunk.num_values().max(0) as u64 });
        let decode = || {
            let (array, outer) = self.array(chunk, group, path, rows)?;
            if array.len() != rows {
                return Err(format!("has {} rows, and its row group {rows}", array.len()));
            }
            Column::of(&array, outer.as_ref(), &column.field, column.fill.as_deref())
        };
        panics::caught(decode).unwrap_or_else(|panic| Err(format!("decoding panicked: {panic}"))).map_err(failed)
    }

    /// Decodes rows of a column chunk, and returns with them the rows that are null because what they stand in is.
    fn array(
        &self,
        chunk: Chunk,
        group: usize,
        path: &[String],
        rows: usize,
    ) -> Result<(ArrayRef, Option<NullBuffer>), String> {
        let schema = self.metadata.parquet_schema();
        let mask = ProjectionMask::leaves(schema, [leaf(self.metadata, path)?]);
        let hint = self.metadata.schema().fields();
        let levels = parquet_to_arrow_field_levels(schema, mask, Some(hint)).map_err(plainly)?;
        let chunk = OneChunk { chunk, metadata: self.metadata, group };
        let reader = ParquetRecordBatchReader::try_new_with_row_groups(&levels, &chunk, rows, None).map_err(plainly)?;
        let (mut parts, mut read) = (Vec::new(), 0);
        for batch in reader {
            let batch = batch.map_err(plainly)?;
            read += batch.num_rows();
            parts.push(ArrayRef::clone(batch.columns().first().ok_or("is not there")?));
            if read >= rows {
                break;
            }
        }
        let whole = match &parts[..] {
            [one] => ArrayRef::clone(one),
            parts => {
                let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
                concat(&parts).map_err(plainly)?
            }
        };
        descend(whole, &path[1..])
    }
}

/// Returns the partition column of a file, of which all rows are the same.
fn partition(file: &ParquetFile, at: usize, column: &ParquetColumn) -> Result<Column, Failure> {
    let value = file.partitions.get(at).and_then(Option::as_ref).or(column.fill.as_ref());
    value.map(|value| Column::constant(value.clone())).ok_or_else(|| {
        let name = &column.field.name;
        Failure::new(Stage::Decode, format!("column `{name}` is null; nulls=\"fill\" would put a value there"))
    })
}

/// Returns what a path leads to within structs.
fn descend(array: ArrayRef, path: &[String]) -> Result<(ArrayRef, Option<NullBuffer>), String> {
    path.iter().try_fold((array, None), |(array, outer), name| {
        let within = array.as_struct_opt().ok_or("is no struct")?;
        let outer = NullBuffer::union(outer.as_ref(), within.nulls());
        let inner = within.column_by_name(name).ok_or_else(|| format!("has no `{name}`"))?;
        Ok((ArrayRef::clone(inner), outer))
    })
}

/// Returns the number of the one leaf column that a path leads to.
///
/// # Errors
/// A fragment, where there is none or several.
pub(super) fn leaf(metadata: &ArrowReaderMetadata, path: &[String]) -> Result<usize, String> {
    let columns = metadata.parquet_schema().columns();
    let mut found = (0..columns.len()).filter(|&at| columns[at].path().parts().starts_with(path));
    match (found.next(), found.next()) {
        (Some(leaf), None) => Ok(leaf),
        (None, _) => Err("is not there".to_owned()),
        (Some(_), Some(_)) => Err("holds several columns".to_owned()),
    }
}

/// Returns where in a file of `size` bytes a column chunk begins and how long it is.
fn byte_range(chunk: &ColumnChunkMetaData, size: u64) -> Result<(u64, usize), String> {
    if let Some(other) = chunk.file_path() {
        return Err(format!("lies in another file, `{other}`, which is not read"));
    }
    let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
    let range = u64::try_from(start).ok().zip(u64::try_from(chunk.compressed_size()).ok());
    match range.filter(|(start, bytes)| start.checked_add(*bytes).is_some_and(|end| end <= size)) {
        Some((start, bytes)) => Ok((start, bytes as usize)),
        None => Err(format!("has {} bytes at {start} of a file of {size}", chunk.compressed_size())),
    }
}
