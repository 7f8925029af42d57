//! A batch in the trainer's hands.

use std::{marker::PhantomData, ops::Range, sync::Arc};

use half::{bf16, f16};
use ndarray::{ArrayView, Dimension, IxDyn};

use crate::{
    error::{Error, Result},
    sampler::{Partition, Span},
    shm::{Region, SlotRef},
    spec::{DType, FieldSpec},
};

/// A Rust type that the elements of a field may have.
pub trait Element: bytemuck::Pod {
    /// The dtype that it stands for.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($type:ty => $dtype:ident),*) => {
        $(impl Element for $type {
            const DTYPE: DType = DType::$dtype;
        })*
    };
}

elements! {
    u8 => UInt8, i8 => Int8, u16 => UInt16, i16 => Int16, u32 => UInt32, i32 => Int32, u64 => UInt64, i64 => Int64,
    f16 => Float16, bf16 => BFloat16, f32 => Float32, f64 => Float64
}

/// One batch: views of a slot in shared memory, without a copy.
///
/// The slot goes back to the pool when the batch and every clone of it are dropped, in any order among batches.
#[derive(Clone, Debug)]
pub struct Batch {
    slot: Arc<SlotRef>,
    turn: Turn,
}

/// Which batch of an epoch it is.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) partition: Arc<Partition>,
    pub(super) number: u64,
    /// Whether the samples of other rows stand in for bad ones.
    pub(super) may_be_others: bool,
}

impl Batch {
    pub(super) fn new(slot: Arc<SlotRef>, turn: Turn) -> Self {
        Self { slot, turn }
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.slot.rows()
    }

    /// Returns the epoch that the batch belongs to.
    pub fn epoch(&self) -> u64 {
        self.turn.partition.epoch()
    }

    /// Returns the index of each row's sample in the source; [`Partition::NO_SAMPLE`] for one that a cut leaves out.
    pub fn indices(&self) -> Vec<u64> {
        self.slot.indices()
    }

    /// Returns the rows that are not valid, usually none: those that even out the ranks, see [`Even`](crate::Even), and
    /// those that have the sample of another row in place of a bad one, or none, see [`OnError`](crate::OnError).
    ///
    /// The samples of all other rows, of all ranks, come once in an epoch.
    pub fn repeats(&self) -> Vec<usize> {
        let Turn { partition, number, may_be_others } = &self.turn;
        let rows = self.rows();
        if !may_be_others {
            return (rows - partition.padding(*number) as usize..rows).collect();
        }
        let indices = self.indices().into_iter().enumerate();
        indices.filter(|&(row, index)| !partition.is_valid(*number, row as u32, index)).map(|(row, _)| row).collect()
    }

    /// Returns which variant the batch has, of a cut by [`MultiScale`](crate::MultiScale); none of others.
    pub fn variant(&self) -> Option<u32> {
        let Turn { partition, number, .. } = &self.turn;
        partition.has_variants().then(|| partition.variant(*number))
    }

    /// Returns the fields; shapes are those of one row.
    pub fn fields(&self) -> &[FieldSpec] {
        self.slot.layout().specs()
    }

    /// Returns the slot, for views that keep it.
    pub fn slot(&self) -> &Arc<SlotRef> {
        &self.slot
    }

    /// Returns the position of a field among the fields.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that no field has.
    pub fn position(&self, name: &str) -> Result<usize> {
        self.fields().iter().position(|field| field.name == name).ok_or_else(|| {
            let known: Vec<_> = self.fields().iter().map(|field| field.name.as_str()).collect();
            Error::Config(format!("no field `{name}`; the batch has {}", known.join(", ")))
        })
    }

    /// Returns the shape of a field of this batch: its rows, then the shape of one row. Of a ragged field, what does not
    /// vary. Of one that is cut, rows and values of each (or all values, where they lie one after the other) stand before
    /// that.
    pub fn shape(&self, field: usize) -> Vec<usize> {
        let leading = self.extents(field).unwrap_or_else(|| vec![self.rows()]);
        [&leading[..], &self.fields()[field].shape].concat()
    }

    /// Returns the leading axes of a field whose values have spans of their own.
    fn extents(&self, field: usize) -> Option<Vec<usize>> {
        match self.slot.layout().fields()[field].region {
            Region::Rows { .. } => None,
            Region::Values { .. } => self.turn.partition.extents(self.turn.number),
        }
    }

    /// Tells whether each row of a field is an array of its own.
    pub fn is_ragged(&self, field: usize) -> bool {
        match self.slot.layout().fields()[field].region {
            Region::Rows { .. } => self.fields()[field].ragged.is_some(),
            Region::Values { .. } => false,
        }
    }

    /// Returns where the samples of all rows lie among the values of the fields that are cut; none where there is no cut.
    pub fn spans(&self) -> Option<Vec<Span>> {
        self.turn.partition.spans(self.turn.number)
    }

    /// Returns how many values, padding included, a field that is cut has; none where there is no cut.
    pub fn values(&self) -> usize {
        self.turn.partition.extents(self.turn.number).map_or(0, |extents| extents.iter().product())
    }

    /// Returns how many bytes a field has, all rows together.
    pub fn field_bytes(&self, field: usize) -> usize {
        let spec = &self.fields()[field];
        match self.extents(field) {
            None => self.slot.field_parts(field).1,
            Some(extents) => extents.iter().product::<usize>() * spec.entry_bytes(),
        }
    }

    /// Returns the bytes of a field.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that no field has, or a ragged field.
    pub fn bytes(&self, name: &str) -> Result<&[u8]> {
        let field = self.position(name)?;
        if self.is_ragged(field) {
            return Err(Error::Config(format!("field `{name}` is ragged: ask for it with ragged()")));
        }
        Ok(&self.slot.field(field)[..self.field_bytes(field)])
    }

    /// Returns the shape of a row of a ragged field, and where its bytes lie among those of the field's rows.
    ///
    /// # Errors
    /// [`Error::Config`] for a field that is not ragged, or a row that the batch does not have.
    pub fn ragged_row(&self, field: usize, row: usize) -> Result<(Vec<usize>, Range<usize>)> {
        let spec = &self.fields()[field];
        let Region::Rows { row_bytes } = self.slot.layout().fields()[field].region else {
            return Err(Error::Config(format!("field `{}` is cut, and has no ragged rows", spec.name)));
        };
        if spec.ragged.is_none() || row >= self.rows() {
            return Err(Error::Config(format!("field `{}` has no ragged row {row}", spec.name)));
        }
        let start = row * row_bytes;
        let (shape, values) = spec.read_row(&self.slot.field(field)[start..start + row_bytes]);
        Ok((shape, start + values.start..start + values.end))
    }

    /// Returns a ragged field, whose rows are arrays of `D` axes: a list of boxes has 2, an image at native size 3.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that no field has, or a field that is not ragged, has another dtype or another
    /// number of axes.
    pub fn ragged<T: Element, D: Dimension>(&self, name: &str) -> Result<Ragged<'_, T, D>> {
        let field = self.position(name)?;
        let spec = &self.fields()[field];
        let Some(ragged) = spec.ragged.filter(|_| self.is_ragged(field)) else {
            return Err(Error::Config(format!("field `{name}` is not ragged: ask for it with view()")));
        };
        let axes = ragged.axes + spec.shape.len();
        if spec.dtype != T::DTYPE || D::NDIM.is_some_and(|wanted| wanted != axes) {
            return Err(Error::Config(format!("rows of field `{name}` are {} with {axes} axes", spec.dtype)));
        }
        Ok(Ragged { batch: self, field, kind: PhantomData })
    }

    /// Returns a field as an array whose first axis is the row.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that no field has, or a field of another dtype or number of axes.
    pub fn view<T: Element, D: Dimension>(&self, name: &str) -> Result<ArrayView<'_, T, D>> {
        let field = self.position(name)?;
        let spec = &self.fields()[field];
        if spec.dtype != T::DTYPE {
            return Err(Error::Config(format!("field `{name}` is {}, not {}", spec.dtype, T::DTYPE)));
        }
        let elements = bytemuck::try_cast_slice(self.bytes(name)?)
            .map_err(|error| Error::Protocol(format!("field `{name}`: {error}")))?;
        let shape = self.shape(field);
        let axes = shape.len();
        ArrayView::from_shape(IxDyn(&shape), elements)
            .and_then(ArrayView::into_dimensionality)
            .map_err(|_| Error::Config(format!("field `{name}` has {axes} axes, {shape:?}")))
    }
}

/// A ragged field of a batch: an array for each row, without a copy.
#[derive(Debug)]
pub struct Ragged<'a, T, D> {
    batch: &'a Batch,
    field: usize,
    kind: PhantomData<(T, D)>,
}

impl<'a, T: Element, D: Dimension> Ragged<'a, T, D> {
    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.batch.rows()
    }

    /// Returns the array of a row.
    ///
    /// # Errors
    /// [`Error::Config`] for a row that the batch does not have.
    pub fn row(&self, row: usize) -> Result<ArrayView<'a, T, D>> {
        let (shape, values) = self.batch.ragged_row(self.field, row)?;
        let elements = bytemuck::try_cast_slice(&self.batch.slot.field(self.field)[values])
            .map_err(|error| Error::Protocol(format!("row {row}: {error}")))?;
        ArrayView::from_shape(IxDyn(&shape), elements)
            .and_then(ArrayView::into_dimensionality)
            .map_err(|error| Error::Config(format!("row {row} of shape {shape:?}: {error}")))
    }
}
