//! Where everything lies in a slot. Pure arithmetic, the same in every process.

use crate::{
    error::{Error, Result},
    spec::FieldSpec,
};

/// What DLPack asks of a tensor's first byte, and what JAX needs to take it without a copy.
const FIELD_ALIGN: usize = 64;
/// Slots begin on a page, so that pages are never shared by two owners.
const SLOT_ALIGN: usize = 4096;

/// How far a row is. A worker writes it beside the row; after a worker's death, it tells what it had in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Progress {
    /// Not begun.
    Waiting = 0,
    /// Being read or decoded right now.
    InHand = 1,
    /// Read, and waiting to be decoded.
    Fetched = 2,
    /// Written, or given up with an error.
    Done = 3,
}

impl From<u8> for Progress {
    /// Anything that no worker writes counts as in hand, the cautious reading.
    fn from(byte: u8) -> Self {
        match byte {
            0 => Self::Waiting,
            2 => Self::Fetched,
            3 => Self::Done,
            _ => Self::InHand,
        }
    }
}

/// Where one field lies in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldLayout {
    /// Name, dtype and shape of one row.
    pub spec: FieldSpec,
    /// Where its region begins, from the slot's first byte.
    pub offset: usize,
    /// What lies there.
    pub region: Region,
}

/// What lies in the region of a field, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// Rows of this size, one after the other.
    Rows {
        /// The size of a row.
        row_bytes: usize,
    },
    /// Values, among which each row has a span that is told with the row.
    Values {
        /// The size of a value.
        value_bytes: usize,
        /// For how many there is room.
        values: usize,
    },
}

impl Region {
    /// Returns its size, with room for so many rows.
    fn bytes(self, rows: usize) -> Option<usize> {
        match self {
            Self::Rows { row_bytes } => row_bytes.checked_mul(rows),
            Self::Values { value_bytes, values } => value_bytes.checked_mul(values),
        }
    }

    /// Returns about how many bytes a row has, of so many.
    pub fn row_bytes(self, rows: usize) -> usize {
        match self {
            Self::Rows { row_bytes } => row_bytes,
            Self::Values { value_bytes, values } => value_bytes * values / rows.max(1),
        }
    }
}

/// A slot: a progress byte and the sample's index for each row, then one aligned region for each field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotLayout {
    rows: usize,
    indices: usize,
    fields: Vec<FieldLayout>,
    specs: Vec<FieldSpec>,
    bytes: usize,
}

impl SlotLayout {
    /// Lays out a slot of `rows` rows.
    ///
    /// # Errors
    /// [`Error::Config`] for no rows, no fields, or sizes whose sum does not fit this machine.
    pub fn new(rows: usize, specs: &[FieldSpec]) -> Result<Self> {
        Self::with_values(rows, specs, |_| None)
    }

    /// Lays out a slot of `rows` rows, and of so many values of some fields: those that `values` says.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_values(rows: usize, specs: &[FieldSpec], values: impl Fn(&FieldSpec) -> Option<usize>) -> Result<Self> {
        if rows == 0 || u32::try_from(rows).is_err() {
            return Err(Error::Config(format!("batch_size must be between 1 and {}, not {rows}", u32::MAX)));
        }
        if specs.is_empty() {
            return Err(Error::config("a batch needs at least one field"));
        }
        let too_large = || {
            let advice = if rows > 1 { "; lower batch_size" } else { "" };
            Error::Config(format!("a batch of {rows} rows is too large for this machine{advice}"))
        };
        let indices = align(rows, 8).ok_or_else(too_large)?;
        let mut end = rows.checked_mul(8).and_then(|size| indices.checked_add(size)).ok_or_else(too_large)?;
        let mut fields = Vec::with_capacity(specs.len());
        for spec in specs {
            let region = match values(spec) {
                None => Region::Rows { row_bytes: spec.row_bytes()? },
                Some(values) => Region::Values { value_bytes: spec.entry_bytes(), values },
            };
            let offset = align(end, FIELD_ALIGN).ok_or_else(too_large)?;
            end = region.bytes(rows).and_then(|size| offset.checked_add(size)).ok_or_else(too_large)?;
            fields.push(FieldLayout { spec: spec.clone(), offset, region });
        }
        let bytes = align(end, SLOT_ALIGN).filter(|&bytes| isize::try_from(bytes).is_ok()).ok_or_else(too_large)?;
        Ok(Self { rows, indices, fields, specs: specs.to_vec(), bytes })
    }

    /// Returns the layout of an arena that has no slots yet, because it is not known what they hold.
    pub fn unknown() -> Self {
        Self { rows: 0, indices: 0, fields: Vec::new(), specs: Vec::new(), bytes: SLOT_ALIGN }
    }

    /// Returns how many rows a slot has room for.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the fields, in the pipeline's order.
    pub fn fields(&self) -> &[FieldLayout] {
        &self.fields
    }

    /// Returns name, dtype and shape of a row of each field.
    pub fn specs(&self) -> &[FieldSpec] {
        &self.specs
    }

    /// Returns the size of a slot in bytes, a whole number of pages.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the offset of a row's progress byte; those of all rows lie one after the other.
    pub(super) fn progress(&self, row: usize) -> usize {
        debug_assert!(row < self.rows, "row {row} of {}", self.rows);
        row
    }

    /// Returns the offset of a row's sample index.
    pub(super) fn index(&self, row: usize) -> usize {
        debug_assert!(row < self.rows, "row {row} of {}", self.rows);
        self.indices + 8 * row
    }
}

fn align(offset: usize, to: usize) -> Option<usize> {
    offset.checked_next_multiple_of(to)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spec::DType;

    fn field(name: &str, dtype: DType, shape: &[usize]) -> FieldSpec {
        FieldSpec::new(name, dtype, shape)
    }

    #[test]
    fn an_image_batch_lies_as_expected() {
        let specs = [field("image", DType::UInt8, &[224, 224, 3]), field("label", DType::Int64, &[])];
        let layout = SlotLayout::new(64, &specs).unwrap();
        assert_eq!(layout.fields()[0].offset, 576);
        assert_eq!(layout.fields()[1].offset, 576 + 64 * 150_528);
        assert_eq!(layout.bytes() % 4096, 0);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let huge = [field("x", DType::Float64, &[1 << 40])];
        assert!(SlotLayout::new(1 << 30, &huge).unwrap_err().to_string().contains("lower batch_size"));
        assert!(SlotLayout::new(0, &huge).is_err());
        assert!(SlotLayout::new(1, &[]).is_err());
    }

    proptest! {
        #[test]
        fn regions_never_overlap(
            rows in 1usize..300, shapes in prop::collection::vec(prop::collection::vec(0usize..20, 0..4), 1..6), values in 0usize..3000,
        ) {
            let specs: Vec<_> = shapes.iter().enumerate()
                .map(|(i, shape)| field(&i.to_string(), DType::ALL[i % DType::ALL.len()], shape)).collect();
            let layout = SlotLayout::with_values(rows, &specs, |spec| (spec.name == "1").then_some(values)).unwrap();
            let mut end = layout.index(rows - 1) + 8;
            prop_assert!(layout.progress(rows - 1) < layout.index(0));
            for field in layout.fields() {
                prop_assert!(field.offset >= end);
                prop_assert_eq!(field.offset % FIELD_ALIGN, 0);
                end = field.offset + field.region.bytes(rows).unwrap();
            }
            prop_assert!(end <= layout.bytes());
        }
    }
}
