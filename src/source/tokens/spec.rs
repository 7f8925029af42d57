//! Windows of tokens as data.

use serde::{Deserialize, Serialize};

use crate::{
    field::{Field, Kind, Tensor},
    source::{RunsAt, TableSpec},
    spec::DType,
};

/// Windows of tokens as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokensSpec {
    /// Where the windows lie: rows of one token more than a sample has, in blocks of shards, in the only column.
    pub windows: TableSpec,
    /// The dtype of tokens in a batch: `int64` or `int32`.
    pub output: DType,
    /// The first number that is no token.
    pub limit: u64,
    /// The token that ends a document, where that tells where documents start.
    pub separator: Option<u32>,
    /// Whether there are fields that say which tokens are of one document.
    pub segments: bool,
    /// For each shard, the bytes at which its documents start, in rising order, one `u64` each: where they lie in a piece of
    /// memory of their own.
    pub documents: Option<RunsAt>,
}

impl TokensSpec {
    /// Returns the dtype of the tokens in their files, and how many a sample has; none where there is no such column.
    pub(super) fn row(&self) -> Option<(DType, usize)> {
        let [column] = &self.windows.columns[..] else { return None };
        let Kind::Tensor(Tensor { dtype, shape }) = &column.field.kind else { return None };
        let [len] = shape[..] else { return None };
        (len > 1).then_some((*dtype, len - 1))
    }

    /// Returns the fields of a sample: `tokens` and `targets`, and `segment_ids` and `position_ids`.
    pub fn fields(&self) -> Vec<Field> {
        let len = self.row().map_or(0, |(_, len)| len);
        let field = |name, dtype| Field::new(name, Tensor { dtype, shape: vec![len] });
        let mut fields = vec![field("tokens", self.output), field("targets", self.output)];
        if self.segments {
            fields.extend(["segment_ids", "position_ids"].map(|name| field(name, DType::Int32)));
        }
        fields
    }
}
