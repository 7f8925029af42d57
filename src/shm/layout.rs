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

/// Where the fields of a batch lie in a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchLayout {
    rows: usize,
    fields: Vec<FieldLayout>,
    specs: Vec<FieldSpec>,
}

impl BatchLayout {
    /// Lays out `rows` rows from a byte of a slot on, and returns the byte behind them too; none where that does not fit this
    /// machine.
    fn new(
        start: usize,
        rows: usize,
        specs: &[FieldSpec],
        values: impl Fn(&FieldSpec) -> Option<usize>,
    ) -> Result<Option<(Self, usize)>> {
        let mut end = start;
        let mut fields = Vec::with_capacity(specs.len());
        for spec in specs {
            let region = match values(spec) {
                None => Region::Rows { row_bytes: spec.row_bytes()? },
                Some(values) => Region::Values { value_bytes: spec.entry_bytes(), values },
            };
            let Some(offset) = align(end, FIELD_ALIGN) else { return Ok(None) };
            let Some(behind) = region.bytes(rows).and_then(|size| offset.checked_add(size)) else { return Ok(None) };
            end = behind;
            fields.push(FieldLayout { spec: spec.clone(), offset, region });
        }
        Ok(Some((Self { rows, fields, specs: specs.to_vec() }, end)))
    }

    /// Returns for how many rows there is room.
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
}

/// A slot: a progress byte and the sample's index for each row, then one aligned region for each field. Where batches have
/// one of several variants, the regions of each of them lie in the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotLayout {
    rows: usize,
    indices: usize,
    variants: Vec<BatchLayout>,
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
        Self::laid(&[(rows, specs)], values)
    }

    /// Lays out a slot for a batch of any of these variants, each of which has so many rows of these fields. The slot is as
    /// large as the largest of them needs.
    ///
    /// # Errors
    /// As [`new`](Self::new), and for no variants.
    pub fn of_variants(variants: &[(usize, &[FieldSpec])]) -> Result<Self> {
        Self::laid(variants, |_| None)
    }

    fn laid(variants: &[(usize, &[FieldSpec])], values: impl Fn(&FieldSpec) -> Option<usize>) -> Result<Self> {
        let count = |rows: &usize| *rows > 0 && u32::try_from(*rows).is_ok();
        if let Some((rows, _)) = variants.iter().find(|(rows, _)| !count(rows)) {
            return Err(Error::Config(format!("batch_size must be between 1 and {}, not {rows}", u32::MAX)));
        }
        if variants.is_empty() || variants.iter().any(|(_, specs)| specs.is_empty()) {
            return Err(Error::config("a batch needs at least one field"));
        }
        let too_large = |rows: usize| {
            let advice = if rows > 1 { "; lower batch_size" } else { "" };
            Error::Config(format!("a batch of {rows} rows is too large for this machine{advice}"))
        };
        let rows = variants.iter().map(|(rows, _)| *rows).max().unwrap_or(0);
        let indices = align(rows, 8).ok_or_else(|| too_large(rows))?;
        let start = rows.checked_mul(8).and_then(|size| indices.checked_add(size)).ok_or_else(|| too_large(rows))?;
        let (mut laid, mut bytes) = (Vec::with_capacity(variants.len()), 0);
        for &(rows, specs) in variants {
            let (layout, end) = BatchLayout::new(start, rows, specs, &values)?.ok_or_else(|| too_large(rows))?;
            let end = align(end, SLOT_ALIGN).filter(|&end| isize::try_from(end).is_ok());
            bytes = bytes.max(end.ok_or_else(|| too_large(rows))?);
            laid.push(layout);
        }
        Ok(Self { rows, indices, variants: laid, bytes })
    }

    /// Returns the layout of an arena that has no slots yet, because it is not known what they hold.
    pub fn unknown() -> Self {
        Self { rows: 0, indices: 0, variants: vec![BatchLayout::default()], bytes: SLOT_ALIGN }
    }

    /// Returns how many rows a slot has room for: those of the variant that has most.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns where the fields of a batch lie; of each variant, where there are several.
    pub fn variants(&self) -> &[BatchLayout] {
        &self.variants
    }

    /// Returns name, dtype and shape of a row of each field, in batches of each variant.
    pub fn each_specs(&self) -> Vec<Vec<FieldSpec>> {
        self.variants.iter().map(|variant| variant.specs.clone()).collect()
    }

    /// Returns the fields of the first variant, in the pipeline's order.
    pub fn fields(&self) -> &[FieldLayout] {
        self.variants[0].fields()
    }

    /// Returns name, dtype and shape of a row of each field of the first variant.
    pub fn specs(&self) -> &[FieldSpec] {
        self.variants[0].specs()
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
        assert!(SlotLayout::of_variants(&[]).is_err());
        let small = [field("x", DType::UInt8, &[2])];
        let error = SlotLayout::of_variants(&[(1, &small), (1 << 30, &huge)]).unwrap_err().to_string();
        assert!(error.contains("a batch of 1073741824 rows is too large"), "{error}");
        assert!(SlotLayout::of_variants(&[(1, &small), (0, &small)]).is_err());
    }

    #[test]
    fn a_slot_has_room_for_each_variant() {
        let of = |edge| [field("image", DType::UInt8, &[edge, edge, 3]), field("label", DType::Int64, &[])];
        let (small, large) = (of(4), of(100));
        let layout = SlotLayout::of_variants(&[(64, &small), (8, &large)]).unwrap();
        let [first, second] = layout.variants() else { panic!("{layout:?}") };
        assert_eq!((layout.rows(), first.rows(), second.rows()), (64, 64, 8));
        assert_eq!((first.fields()[0].offset, second.fields()[0].offset), (576, 576));
        assert_eq!((first.fields()[1].offset, second.fields()[1].offset), (3648, 240_576));
        assert_eq!(layout.bytes(), SlotLayout::new(8, &large).unwrap().bytes());
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
