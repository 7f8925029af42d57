//! Small sources for tests of what combines them.

use std::sync::Arc;

use super::{Column, RunsAt, Source, Stored, Table, TableSpec};
use crate::{
    field::{Field, Image, Tensor},
    spec::DType,
};

/// Returns a source with a byte for each sample, in the field `x`.
pub(super) fn numbers(values: &[u8]) -> Arc<dyn Source> {
    named("x", values)
}

/// Returns a source with a byte for each sample.
pub(super) fn named(name: &str, values: &[u8]) -> Arc<dyn Source> {
    let field = Field::new(name, Tensor { dtype: DType::UInt8, shape: vec![] });
    let columns = vec![Column { field, stored: Stored::Rows(0) }];
    Arc::new(Table::open(TableSpec::new(values.len() as u64, columns), Arc::new(values.to_vec())).unwrap())
}

/// Returns a source with a file for each sample.
pub(super) fn files(name: &str, paths: &[&str]) -> Arc<dyn Source> {
    let mut bytes = Vec::new();
    let mut end = 0;
    for path in paths {
        end += path.len() as u64;
        bytes.extend(end.to_ne_bytes());
    }
    let longest = paths.iter().map(|path| path.len()).max().unwrap_or(0);
    let runs = RunsAt { offset: bytes.len(), ends: 0, longest };
    bytes.extend(paths.concat().into_bytes());
    let columns = vec![Column { field: Field::new(name, Image::default()), stored: Stored::Files(runs) }];
    Arc::new(Table::open(TableSpec::new(paths.len() as u64, columns), Arc::new(bytes)).unwrap())
}
