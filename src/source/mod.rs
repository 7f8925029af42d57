//! Random access to records by index.
//!
//! A source knows nothing of processes, slots or pixels. It is opened once, before the workers are
//! forked, so its index should lie in a few flat buffers that all of them share.

mod access;
#[cfg(test)]
mod combined_tests;
mod concat;
mod examples;
pub(crate) mod file;
mod image_folder;
mod joined;
pub(crate) mod kept_file;
#[cfg(feature = "parquet")]
mod parquet;
mod path;
mod reader;
mod record;
mod select;
mod spec;
mod store;
mod table;
mod tokens;
mod unpack;
mod values;
mod whole_file;

pub(crate) use self::examples::{CRC_BYTES, FeatureFound, HEAD_BYTES, features_of, masked_crc};
#[cfg(feature = "parquet")]
pub use self::parquet::{
    Nulls, Parquet, ParquetColumn, ParquetFile, ParquetRequest, ParquetSpec, ReadFrom, RequestedFile, RowGroup,
};
pub use self::{
    access::{Bytes, Source},
    concat::Concat,
    examples::{Examples, ExamplesSpec, Feature, Holds},
    image_folder::ImageFolder,
    joined::Joined,
    reader::{BytesReader, Reader, StreamEnd},
    record::{Payloads, Record},
    select::Select,
    spec::SourceSpec,
    table::{BlocksAt, Column, PartsAt, RunsAt, ShardsAt, Stored, Table, TableSpec, WindowsAt},
    tokens::{Tokens, TokensSpec},
    unpack::unpack_zstd,
    values::{Values, values},
};
