//! Random access to records by index.
//!
//! A source knows nothing of processes, slots or pixels. It is opened once, before the workers are
//! forked, so its index should lie in a few flat buffers that all of them share.

mod access;
mod file;
mod image_folder;
mod path;
mod reader;
mod record;
mod spec;
mod table;

pub use self::{
    access::{Bytes, Source},
    image_folder::ImageFolder,
    reader::{BytesReader, Reader, StreamEnd},
    record::{Payloads, Record},
    spec::SourceSpec,
    table::{BlocksAt, Column, PartsAt, RunsAt, ShardsAt, Stamp, Stored, Table, TableSpec},
};
