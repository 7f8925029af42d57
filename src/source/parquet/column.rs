//! A column of a decoded row group: the bytes of each of its rows.

#![expect(clippy::wildcard_enum_match_arm, reason = "the types are Arrow's: those that are not listed are of one kind")]

use arrow_array::{Array, ArrayRef, BinaryViewArray, cast::AsArray};
use arrow_buffer::{Buffer, NullBuffer};
use arrow_schema::DataType;

use super::layout::{Element, Layout};
use crate::field::{Field, Kind};

/// The rows of one field.
#[derive(Debug)]
pub(super) struct Column {
    values: Values,
    /// Rows that are null.
    nulls: Option<NullBuffer>,
    /// What stands for a row that is null; none where that is a bad sample.
    filled: Option<Vec<u8>>,
    /// For each row what is wrong with it, where anything is with any.
    wrong: Option<Vec<Wrong>>,
}

#[derive(Debug)]
enum Values {
    /// Elements of so many bytes, within axes.
    Elements { axes: Vec<Axis>, bytes: Buffer, width: usize },
    /// Texts or bytes.
    Views(BinaryViewArray),
    /// The same for all rows.
    Constant(Vec<u8>),
}

/// An axis of nested values.
#[derive(Debug)]
enum Axis {
    /// Each list has so many.
    Fixed(usize),
    /// List `i` goes from offset `i` to the next.
    Varies(Vec<usize>),
}

/// What is wrong with a row that is no null itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wrong {
    #[default]
    Nothing,
    /// It has a null in a list.
    NullInside,
    /// A list in it has another length than the field's shape says.
    Length,
}

/// What a field's rows must look like.
#[derive(Clone, Copy, Debug)]
struct Expected<'a> {
    /// Whether the outermost axis may have any length.
    is_list: bool,
    /// The extents of the other axes.
    shape: &'a [usize],
    /// Whether elements become `int64`.
    is_label: bool,
}

impl Expected<'_> {
    fn of(kind: &Kind) -> Option<Expected<'_>> {
        match kind {
            Kind::Tensor(tensor) => Some(Expected { is_list: false, shape: &tensor.shape, is_label: false }),
            Kind::List(list) => Some(Expected { is_list: true, shape: &list.shape, is_label: false }),
            Kind::Bytes(_) | Kind::Image(_) | Kind::Audio(_) => {
                Some(Expected { is_list: true, shape: &[], is_label: false })
            }
            Kind::Label(_) => Some(Expected { is_list: false, shape: &[], is_label: true }),
            Kind::Text(_)
            | Kind::Mask(_)
            | Kind::Segmentation(_)
            | Kind::BoundingBoxes(_)
            | Kind::KeyPoints(_)
            | Kind::Varying(_)
            | Kind::Object(_) => None,
        }
    }
}

impl Column {
    /// Returns the column of a field, whose values are these. `outer` are the rows that are null because what they stand in
    /// is, and `fill` is what stands for a null element.
    ///
    /// # Errors
    /// Where the values are none of this field, a fragment.
    pub(super) fn of(
        array: &ArrayRef,
        outer: Option<&NullBuffer>,
        field: &Field,
        fill: Option<&[u8]>,
    ) -> Result<Self, String> {
        let nulls = NullBuffer::union(array.logical_nulls().as_ref(), outer).filter(|nulls| nulls.null_count() > 0);
        let layout = Layout::of(array.data_type())?;
        if layout.element.dtype().is_none() {
            let views = match layout.element {
                Element::Text => array.as_string_view().clone().to_binary_view(),
                Element::Binary | Element::Number(_) | Element::Count32 => array.as_binary_view().clone(),
            };
            return Ok(Self { values: Values::Views(views), nulls, filled: fill.map(<[u8]>::to_vec), wrong: None });
        }
        let expected = Expected::of(&field.kind).ok_or_else(|| format!("holds no {field}"))?;
        let (axes, elements) = unfold(array);
        let (mut bytes, width) = values_of(&elements, expected.is_label)?;
        let of_row = |fill: &[u8]| fill.repeat(expected.shape.iter().product());
        let filled = fill.map(|fill| if expected.is_list { Vec::new() } else { of_row(fill) });
        let mut wrong = None;
        if let Some(inside) = elements.logical_nulls().filter(|nulls| nulls.null_count() > 0 && !axes.is_empty()) {
            match fill {
                Some(fill) => bytes = filled_elements(&bytes, &inside, fill),
                None => mark(&mut wrong, array.len(), Wrong::NullInside, |row| {
                    let (start, end) = range(&axes, row);
                    (start..end).any(|at| inside.is_null(at))
                }),
            }
        }
        let extents =
            expected.is_list.then_some(None).into_iter().chain(expected.shape.iter().map(|&extent| Some(extent)));
        check_lengths(&mut wrong, array.len(), &axes, &extents.collect::<Vec<_>>());
        Ok(Self { values: Values::Elements { axes, bytes, width }, nulls, filled, wrong })
    }

    /// Returns a column whose rows are all the same.
    pub(super) fn constant(bytes: Vec<u8>) -> Self {
        Self { values: Values::Constant(bytes), nulls: None, filled: None, wrong: None }
    }

    /// Returns a column of whether another one has a value.
    pub(super) fn validity(of: &Self, rows: usize) -> Self {
        let bytes: Vec<u8> = match &of.nulls {
            None => vec![1; rows],
            Some(nulls) => nulls.iter().map(u8::from).collect(),
        };
        let values = Values::Elements { axes: Vec::new(), bytes: bytes.into(), width: 1 };
        Self { values, nulls: None, filled: None, wrong: None }
    }

    /// Returns how many bytes of memory the values take.
    pub(super) fn bytes(&self) -> usize {
        match &self.values {
            Values::Elements { axes, bytes, .. } => {
                let offsets = axes.iter().map(|axis| if let Axis::Varies(offsets) = axis { offsets.len() } else { 0 });
                bytes.len() + offsets.sum::<usize>() * size_of::<usize>()
            }
            Values::Views(views) => views.get_buffer_memory_size(),
            Values::Constant(bytes) => bytes.len(),
        }
    }

    /// Returns what keeps a row from being used, a fragment.
    pub(super) fn fault(&self, row: usize) -> Option<&'static str> {
        if self.is_null(row) {
            return self.filled.is_none().then_some("is null; nulls=\"fill\" would put a value there");
        }
        match self.wrong.as_ref()?[row] {
            Wrong::Nothing => None,
            Wrong::NullInside => Some("has a null in its list; nulls=\"fill\" would put a value there"),
            Wrong::Length => Some("has a list of another length than its shape says"),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Returns the bytes of a row that has no [fault](Self::fault).
    pub(super) fn row(&self, row: usize) -> &[u8] {
        if let Some(filled) = self.filled.as_ref().filter(|_| self.is_null(row)) {
            return filled;
        }
        match &self.values {
            Values::Elements { axes, bytes, width } => {
                let (start, end) = range(axes, row);
                &bytes[start * width..end * width]
            }
            Values::Views(views) => views.value(row),
            Values::Constant(bytes) => bytes,
        }
    }

    /// Returns the bytes of the longest row.
    pub(super) fn longest(&self, rows: usize) -> usize {
        (0..rows).filter(|&row| self.fault(row).is_none()).map(|row| self.row(row).len()).max().unwrap_or(0)
    }
}

/// Returns which elements a row has.
fn range(axes: &[Axis], row: usize) -> (usize, usize) {
    axes.iter().fold((row, row + 1), |(start, end), axis| match axis {
        Axis::Fixed(extent) => (start * extent, end * extent),
        Axis::Varies(offsets) => (offsets[start], offsets[end]),
    })
}

/// Takes lists off an array: their axes, outermost first, and what is in them.
fn unfold(array: &ArrayRef) -> (Vec<Axis>, ArrayRef) {
    let (mut axes, mut inner) = (Vec::new(), ArrayRef::clone(array));
    loop {
        let (outermost, values) = match inner.data_type() {
            DataType::List(_) => {
                let list = inner.as_list::<i32>();
                (Axis::Varies(list.offsets().iter().map(|&offset| offset as usize).collect()), list.values())
            }
            DataType::LargeList(_) => {
                let list = inner.as_list::<i64>();
                (Axis::Varies(list.offsets().iter().map(|&offset| offset as usize).collect()), list.values())
            }
            DataType::FixedSizeList(_, extent) => (Axis::Fixed(*extent as usize), inner.as_fixed_size_list().values()),
            DataType::FixedSizeBinary(bytes) => {
                axes.push(Axis::Fixed(*bytes as usize));
                return (axes, inner);
            }
            _ => return (axes, inner),
        };
        axes.push(outermost);
        inner = ArrayRef::clone(values);
    }
}

/// Returns the bytes of elements, and how many each takes.
fn values_of(elements: &ArrayRef, is_label: bool) -> Result<(Buffer, usize), String> {
    let Element::Number(dtype) = Layout::of(elements.data_type())?.element else {
        return Ok((widened(elements)?, 8));
    };
    match elements.data_type() {
        DataType::Boolean => Ok((elements.as_boolean().values().iter().map(u8::from).collect::<Vec<u8>>().into(), 1)),
        DataType::FixedSizeBinary(_) => Ok((elements.as_fixed_size_binary().values().clone(), 1)),
        DataType::Int64 => Ok((plain(elements, 8)?, 8)),
        _ if is_label => Ok((widened(elements)?, 8)),
        _ => Ok((plain(elements, dtype.size())?, dtype.size())),
    }
}

/// Returns the bytes of numbers as they lie in memory.
fn plain(elements: &ArrayRef, width: usize) -> Result<Buffer, String> {
    let data = elements.to_data();
    let bytes = data.buffers().first().ok_or("has no values")?;
    Ok(bytes.slice_with_length(data.offset() * width, data.len() * width))
}

/// Returns numbers as `int64`.
fn widened(elements: &ArrayRef) -> Result<Buffer, String> {
    /// Numbers of a type, from their bytes.
    fn widen<T: bytemuck::AnyBitPattern + Into<i64>>(bytes: &Buffer) -> Buffer {
        let numbers = bytes.chunks_exact(size_of::<T>()).map(|bytes| bytemuck::pod_read_unaligned::<T>(bytes).into());
        numbers.collect::<Vec<i64>>().into()
    }
    Ok(match elements.data_type() {
        DataType::Int8 => widen::<i8>(&plain(elements, 1)?),
        DataType::UInt8 => widen::<u8>(&plain(elements, 1)?),
        DataType::Int16 => widen::<i16>(&plain(elements, 2)?),
        DataType::UInt16 => widen::<u16>(&plain(elements, 2)?),
        DataType::Int32 | DataType::Date32 | DataType::Time32(_) => widen::<i32>(&plain(elements, 4)?),
        DataType::UInt32 => widen::<u32>(&plain(elements, 4)?),
        other => return Err(format!("is {other}, which is no int64")),
    })
}

fn filled_elements(bytes: &Buffer, nulls: &NullBuffer, fill: &[u8]) -> Buffer {
    let mut bytes = bytes.to_vec();
    for (element, _) in bytes.chunks_exact_mut(fill.len().max(1)).zip(nulls.iter()).filter(|(_, is_there)| !is_there) {
        element.copy_from_slice(fill);
    }
    bytes.into()
}

/// Notes what is wrong with rows.
fn mark(wrong: &mut Option<Vec<Wrong>>, rows: usize, what: Wrong, is_so: impl Fn(usize) -> bool) {
    for row in (0..rows).filter(|&row| is_so(row)) {
        let all = wrong.get_or_insert_with(|| vec![Wrong::Nothing; rows]);
        if all[row] == Wrong::Nothing {
            all[row] = what;
        }
    }
}

/// Notes rows with lists of another length than they are to have.
fn check_lengths(wrong: &mut Option<Vec<Wrong>>, rows: usize, axes: &[Axis], extents: &[Option<usize>]) {
    for (depth, (axis, extent)) in axes.iter().zip(extents).enumerate() {
        let (Axis::Varies(offsets), Some(extent)) = (axis, *extent) else { continue };
        if offsets.windows(2).all(|pair| pair[1] - pair[0] == extent) {
            continue;
        }
        mark(wrong, rows, Wrong::Length, |row| {
            let (start, end) = range(&axes[..depth], row);
            offsets[start..=end].windows(2).any(|pair| pair[1] - pair[0] != extent)
        });
    }
}

#[cfg(test)]
mod tests;
