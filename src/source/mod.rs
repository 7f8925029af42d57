//! Random access to records by index.
//!
//! A source knows nothing of processes, slots or pixels. It is opened once, before the workers are
//! forked, so its index should lie in a few flat buffers that all of them share.

mod access;
mod file;
mod image_folder;
#[cfg(feature = "parquet")]
mod parquet;
mod path;
mod reader;
mod record;
mod spec;
mod table;

#[cfg(feature = "parquet")]
pub use self::parquet::{
    Nulls, Parquet, ParquetColumn, ParquetFile, ParquetRequest, ParquetSpec, ReadFrom, RequestedFile, RowGroup,
};
pub use self::{
    access::{Bytes, Source},
    image_folder::ImageFolder,
    reader::{BytesReader, Reader},
    record::{Payloads, Record},
    spec::SourceSpec,
    table::{Column, RunsAt, Stored, Table},
};
