//! What a batch looks like before the first byte is read: dtypes, shapes, names.

use std::{fmt, ops::Range};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Failure, Result, Room, Stage};

/// The type of one element, under NumPy's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each variant is the type it names")]
#[non_exhaustive]
pub enum DType {
    Bool,
    UInt8,
    Int8,
    UInt16,
    Int16,
    UInt32,
    Int32,
    UInt64,
    Int64,
    Float16,
    BFloat16,
    Float32,
    Float64,
}

impl DType {
    /// Every dtype.
    pub const ALL: [Self; 13] = [
        Self::Bool,
        Self::UInt8,
        Self::Int8,
        Self::UInt16,
        Self::Int16,
        Self::UInt32,
        Self::Int32,
        Self::UInt64,
        Self::Int64,
        Self::Float16,
        Self::BFloat16,
        Self::Float32,
        Self::Float64,
    ];

    /// Returns NumPy's name of the dtype (`ml_dtypes`' for `bfloat16`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::UInt8 => "uint8",
            Self::Int8 => "int8",
            Self::UInt16 => "uint16",
            Self::Int16 => "int16",
            Self::UInt32 => "uint32",
            Self::Int32 => "int32",
            Self::UInt64 => "uint64",
            Self::Int64 => "int64",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        }
    }

    /// Returns the size of one element in bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::Bool | Self::UInt8 | Self::Int8 => 1,
            Self::UInt16 | Self::Int16 | Self::Float16 | Self::BFloat16 => 2,
            Self::UInt32 | Self::Int32 | Self::Float32 => 4,
            Self::UInt64 | Self::Int64 | Self::Float64 => 8,
        }
    }

    /// Tells whether the dtype is a floating-point one.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::Float16 | Self::BFloat16 | Self::Float32 | Self::Float64)
    }

    /// Returns the bytes of an element of this value, in native byte order; none where it has none such: whole numbers are
    /// kept exactly, others as nearly as may be.
    pub fn encoded(self, value: f64) -> Option<Vec<u8>> {
        // What is no whole number has a fraction, or none that is a number.
        let whole = (value.fract() == 0.0).then_some(value as i128);
        macro_rules! whole {
            ($type:ty) => {
                whole.and_then(|whole| <$type>::try_from(whole).ok()).map(|whole| whole.to_ne_bytes().to_vec())
            };
        }
        match self {
            Self::Bool => [0.0, 1.0].contains(&value).then(|| vec![value as u8]),
            Self::UInt8 => whole!(u8),
            Self::Int8 => whole!(i8),
            Self::UInt16 => whole!(u16),
            Self::Int16 => whole!(i16),
            Self::UInt32 => whole!(u32),
            Self::Int32 => whole!(i32),
            Self::UInt64 => whole!(u64),
            Self::Int64 => whole!(i64),
            Self::Float16 => Some(half::f16::from_f64(value).to_ne_bytes().to_vec()),
            Self::BFloat16 => Some(half::bf16::from_f64(value).to_ne_bytes().to_vec()),
            Self::Float32 => Some((value as f32).to_ne_bytes().to_vec()),
            Self::Float64 => Some(value.to_ne_bytes().to_vec()),
        }
    }

    /// Returns the dtype with this name.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that is none.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::Config(format!("unknown dtype `{name}`; known are {known}"))
        })
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One field of a sample: its name, dtype and shape. A batch adds the row axis in front.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldSpec {
    /// The field's name.
    pub name: String,
    /// The type of its elements.
    pub dtype: DType,
    /// The shape of one sample; empty for a scalar. Of a ragged field, the part that does not vary.
    pub shape: Vec<usize>,
    /// The axes that vary from sample to sample, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ragged: Option<Ragged>,
}

/// The leading axes of a field that vary from sample to sample, and the room for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ragged {
    /// How many axes vary: 1 for a list, 2 for an image of (height, width), 3 for one whose channels vary too.
    pub axes: usize,
    /// How many positions along them a row has room for, their extents multiplied: entries of a list, pixels of an
    /// image, values of one whose channels vary too.
    pub capacity: usize,
}

/// A row of a ragged field begins with its extents, 8 native-endian bytes each, in a header of this size; its values
/// follow, and the row is padded to a multiple of it. So each row lies at a place that is known before any other is
/// made, its values are as aligned as a field, and it can be done again without a trace of what it held.
pub const RAGGED_HEADER: usize = 64;

impl FieldSpec {
    /// Returns the spec of a field whose shape is fixed.
    pub fn new(name: impl Into<String>, dtype: DType, shape: impl Into<Vec<usize>>) -> Self {
        Self { name: name.into(), dtype, shape: shape.into(), ragged: None }
    }

    /// Returns the bytes of one sample's field in a slot.
    ///
    /// # Errors
    /// [`Error::Config`] where the product of the shape overflows.
    pub fn row_bytes(&self) -> Result<usize> {
        let values = self.checked_entry_bytes().and_then(|bytes| match self.ragged {
            None => Some(bytes),
            Some(Ragged { capacity, .. }) => bytes
                .checked_mul(capacity)
                .and_then(|bytes| bytes.checked_add(RAGGED_HEADER)?.checked_next_multiple_of(RAGGED_HEADER)),
        });
        values.filter(|&bytes| isize::try_from(bytes).is_ok()).ok_or_else(|| {
            Error::Config(format!("field `{}` of shape {:?} is too large for this machine", self.name, self.shape))
        })
    }

    /// Returns the bytes of what does not vary: a whole sample, or one position of a ragged one.
    fn checked_entry_bytes(&self) -> Option<usize> {
        self.shape.iter().try_fold(self.dtype.size(), |bytes, &extent| bytes.checked_mul(extent))
    }

    /// Returns the bytes of one entry of a list, at least one so that lengths can be divided by it.
    pub fn entry_bytes(&self) -> usize {
        self.checked_entry_bytes().unwrap_or(usize::MAX).max(1)
    }

    /// Writes the extents of a ragged row, and returns the place of its values, which are to be written whole.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage where the field is not ragged in as many axes, or its capacity is too small,
    /// which then says how much it must be.
    pub fn begin_row<'a>(&self, row: &'a mut [u8], extents: &[usize]) -> Result<&'a mut [u8], Failure> {
        let (Some(Ragged { axes, capacity }), Some(entry)) = (self.ragged, self.checked_entry_bytes()) else {
            return Err(unwritable(format!("field `{}` has a fixed shape", self.name)));
        };
        if axes != extents.len() || row.len() < RAGGED_HEADER {
            return Err(unwritable(format!("field `{}` varies in {axes} axes, not {}", self.name, extents.len())));
        }
        let places = extents.iter().try_fold(1_usize, |places, &extent| places.checked_mul(extent));
        let Some(fitting) = places.filter(|&places| places <= capacity) else {
            let room = Room { field: self.name.clone(), places: places.unwrap_or(usize::MAX) };
            return Err(Failure { room: Some(Box::new(room)), ..unwritable(self.too_long(extents, axes, capacity)) });
        };
        let (header, values) = row.split_at_mut(RAGGED_HEADER);
        for (extent, place) in extents.iter().zip(header.chunks_exact_mut(8)) {
            place.copy_from_slice(&(*extent as u64).to_ne_bytes());
        }
        let too_short = || unwritable(format!("a row of field `{}` is too short", self.name));
        values.get_mut(..fitting * entry).ok_or_else(too_short)
    }

    fn too_long(&self, extents: &[usize], axes: usize, capacity: usize) -> String {
        let extents: Vec<String> = extents.iter().map(usize::to_string).collect();
        let what = match axes {
            1 => "entries",
            2 => "pixels",
            _ => "values",
        };
        format!(
            "field `{}` needs room for {} {what}, and its capacity is {capacity}: raise capacity[{:?}]",
            self.name,
            extents.join("x"),
            self.name
        )
    }

    /// Returns the shape of a ragged row and where in the row its values lie. A row that no one has written properly
    /// counts as empty.
    pub fn read_row(&self, row: &[u8]) -> (Vec<usize>, Range<usize>) {
        let Ragged { axes, capacity } = self.ragged.unwrap_or(Ragged { axes: 0, capacity: 1 });
        let mut shape: Vec<usize> = row
            .chunks_exact(8)
            .take(axes)
            .map(|bytes| bytes.try_into().map_or(0, |bytes| u64::from_ne_bytes(bytes) as usize))
            .collect();
        let places = shape.iter().try_fold(1_usize, |places, &extent| places.checked_mul(extent));
        let places = places.filter(|&places| places <= capacity).unwrap_or_else(|| {
            shape.fill(0);
            0
        });
        shape.extend(&self.shape);
        let end = RAGGED_HEADER + places * self.checked_entry_bytes().unwrap_or(0);
        (shape, RAGGED_HEADER..end)
    }
}

fn unwritable(reason: String) -> Failure {
    Failure::new(Stage::Transform, reason)
}

impl fmt::Display for FieldSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Ragged { axes, capacity }) = self.ragged else {
            return write!(f, "{}: {}{:?}", self.name, self.dtype, self.shape);
        };
        let shape = (0..axes).map(|_| "?".to_owned()).chain(self.shape.iter().map(usize::to_string));
        let shape = shape.collect::<Vec<_>>().join(", ");
        write!(f, "{}: {}[{shape}] with room for {capacity}", self.name, self.dtype)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn boxes(capacity: usize) -> FieldSpec {
        FieldSpec { ragged: Some(Ragged { axes: 1, capacity }), ..FieldSpec::new("boxes", DType::Float32, [4]) }
    }

    #[test]
    fn values_are_encoded_where_a_dtype_has_them() {
        assert_eq!(DType::Int16.encoded(-100.0), Some((-100_i16).to_ne_bytes().to_vec()));
        assert_eq!(DType::Float32.encoded(0.5), Some(0.5_f32.to_ne_bytes().to_vec()));
        assert_eq!(DType::Bool.encoded(1.0), Some(vec![1]));
        for (dtype, value) in [(DType::UInt8, -100.0), (DType::UInt8, 256.0), (DType::Int64, 0.5), (DType::Bool, 2.0)] {
            assert_eq!(dtype.encoded(value), None, "{dtype} {value}");
        }
        for dtype in DType::ALL {
            assert_eq!(dtype.encoded(1.0).map(|bytes| bytes.len()), Some(dtype.size()));
            assert_eq!(dtype.encoded(f64::NAN).is_some(), dtype.is_float());
        }
    }

    #[test]
    fn a_row_over_its_capacity_is_an_error_that_says_what_to_raise() {
        let spec = boxes(3);
        let mut row = vec![7; spec.row_bytes().unwrap()];
        let Failure { reason, room, .. } = spec.begin_row(&mut row, &[4]).unwrap_err();
        assert_eq!(room, Some(Box::new(Room { field: "boxes".into(), places: 4 })));
        assert_eq!(reason, "field `boxes` needs room for 4 entries, and its capacity is 3: raise capacity[\"boxes\"]");
        assert!(spec.begin_row(&mut row, &[1, 1]).is_err());
        let image = FieldSpec { ragged: Some(Ragged { axes: 2, capacity: 10 }), ..boxes(1) };
        assert!(image.begin_row(&mut row, &[usize::MAX, 2]).unwrap_err().reason.contains("2 pixels"));
        assert_eq!(image.to_string(), "boxes: float32[?, ?, 4] with room for 10");
    }

    #[test]
    fn a_header_that_cannot_be_true_is_an_empty_row() {
        let spec = boxes(3);
        assert_eq!(spec.read_row(&vec![0xff; spec.row_bytes().unwrap()]), (vec![0, 4], 64..64));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_whatever_was_there(capacity in 0..20_usize, filled in 0..20_usize, old: u8) {
            prop_assume!(filled <= capacity);
            let spec = boxes(capacity);
            let mut row = vec![old; spec.row_bytes().unwrap()];
            prop_assert_eq!(row.len() % 64, 0);
            spec.begin_row(&mut row, &[filled]).unwrap().fill(!old);
            let (shape, values) = spec.read_row(&row);
            prop_assert_eq!(shape, vec![filled, 4]);
            prop_assert_eq!(&row[values], &vec![!old; filled * 16][..]);
        }
    }
}
