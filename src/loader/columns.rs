//! Columns of a table, made of what a program has.

use std::{borrow::Cow, os::unix::ffi::OsStrExt, path::Path};

use ndarray::{Array, ArrayView, Dimension};

use super::{
    batch::Element,
    shared_source::{Runs, Values},
};
use crate::{
    field::{self, Kind},
    spec::DType,
    transform::BoxFormat,
};

/// A column of a [`Table`](super::Table): a value for each sample.
///
/// It is made of [`Images`], [`Masks`], [`BoundingBoxes`], [`KeyPoints`], [`Lists`] or [`Texts`]; of numbers, one for each
/// sample; or of an array of `ndarray`, whose first axis is the sample.
#[derive(Clone, Debug)]
pub struct Column<'a> {
    pub(super) kind: Kind,
    pub(super) len: u64,
    stored: Stored<'a>,
}

/// The bytes of a column.
#[derive(Clone, Debug)]
enum Stored<'a> {
    Files(Packed),
    Rows(Cow<'a, [u8]>),
    Runs(Packed),
}

/// Runs of bytes, one after the other.
#[derive(Clone, Debug, Default)]
struct Packed {
    bytes: Vec<u8>,
    ends: Vec<u64>,
}

impl Packed {
    fn of<B: AsRef<[u8]>>(runs: impl IntoIterator<Item = B>) -> Self {
        let mut packed = Self::default();
        for run in runs {
            packed.bytes.extend_from_slice(run.as_ref());
            packed.end();
        }
        packed
    }

    fn of_entries<E: Entry, R: IntoIterator<Item = E>>(rows: impl IntoIterator<Item = R>) -> Self {
        let mut packed = Self::default();
        for row in rows {
            for entry in row {
                entry.write(&mut packed.bytes);
            }
            packed.end();
        }
        packed
    }

    fn end(&mut self) {
        self.ends.push(self.bytes.len() as u64);
    }

    fn runs(&self) -> Runs<'_> {
        Runs { bytes: &self.bytes, ends: &self.ends }
    }
}

impl<'a> Column<'a> {
    fn files<P: AsRef<Path>>(kind: impl Into<Kind>, paths: impl IntoIterator<Item = P>) -> Self {
        let packed = Packed::of(paths.into_iter().map(|path| path.as_ref().as_os_str().as_bytes().to_vec()));
        Self { kind: kind.into(), len: packed.ends.len() as u64, stored: Stored::Files(packed) }
    }

    fn runs(kind: impl Into<Kind>, packed: Packed) -> Self {
        Self { kind: kind.into(), len: packed.ends.len() as u64, stored: Stored::Runs(packed) }
    }

    fn rows(dtype: DType, shape: &[usize], len: usize, bytes: Cow<'a, [u8]>) -> Self {
        let kind = field::Tensor { dtype, shape: shape.to_vec() };
        Self { kind: kind.into(), len: len as u64, stored: Stored::Rows(bytes) }
    }

    /// Returns the values, to be copied.
    pub(super) fn values(&self) -> Values<'_> {
        match &self.stored {
            Stored::Files(packed) => Values::Files(packed.runs()),
            Stored::Rows(bytes) => Values::Rows(bytes),
            Stored::Runs(packed) => Values::Runs(packed.runs()),
        }
    }
}

impl<'a, T: Element> From<&'a [T]> for Column<'a> {
    fn from(values: &'a [T]) -> Self {
        Self::rows(T::DTYPE, &[], values.len(), bytemuck::cast_slice(values).into())
    }
}

impl<T: Element> From<Vec<T>> for Column<'_> {
    fn from(values: Vec<T>) -> Self {
        Self::rows(T::DTYPE, &[], values.len(), bytemuck::cast_slice(&values).to_vec().into())
    }
}

impl<T: Element, const N: usize> From<[T; N]> for Column<'_> {
    fn from(values: [T; N]) -> Self {
        values.to_vec().into()
    }
}

impl<'a, T: Element, D: Dimension> From<ArrayView<'a, T, D>> for Column<'a> {
    /// One that does not lie in memory as C has it is copied once more. An array without axes is one sample.
    fn from(array: ArrayView<'a, T, D>) -> Self {
        let (len, shape) = array.shape().split_first().map_or((1, &[][..]), |(len, shape)| (*len, shape));
        let bytes = array.to_slice().map_or_else(
            || bytemuck::cast_slice(&array.iter().copied().collect::<Vec<T>>()).to_vec().into(),
            |values| bytemuck::cast_slice(values).into(),
        );
        Self::rows(T::DTYPE, shape, len, bytes)
    }
}

impl<'a, T: Element, D: Dimension> From<&'a Array<T, D>> for Column<'a> {
    fn from(array: &'a Array<T, D>) -> Self {
        array.view().into()
    }
}

/// An entry of a list: a number, or an array of some.
pub trait Entry {
    /// The dtype of its numbers.
    const DTYPE: DType;

    /// Returns its shape.
    fn shape() -> Vec<usize>;

    /// Adds its bytes to others.
    fn write(&self, bytes: &mut Vec<u8>);
}

impl<T: Element> Entry for T {
    const DTYPE: DType = <T as Element>::DTYPE;

    fn shape() -> Vec<usize> {
        Vec::new()
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(bytemuck::bytes_of(self));
    }
}

impl<E: Entry, const N: usize> Entry for [E; N] {
    const DTYPE: DType = E::DTYPE;

    fn shape() -> Vec<usize> {
        [vec![N], E::shape()].concat()
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        for entry in self {
            entry.write(bytes);
        }
    }
}

/// A column of images, decoded to `uint8` (height, width, 3), or to what [`DecodeImage`](crate::DecodeImage) says.
#[derive(Clone, Debug)]
pub struct Images(Column<'static>);

impl Images {
    /// Returns the images of files, one for each sample. A relative path is looked up in the directory of the moment at
    /// which the table is built.
    pub fn paths<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Self {
        Self(Column::files(field::Image::default(), paths))
    }

    /// Returns images of which there are the bytes of files.
    pub fn encoded<B: AsRef<[u8]>>(files: impl IntoIterator<Item = B>) -> Self {
        Self(Column::runs(field::Image::default(), Packed::of(files)))
    }
}

/// A column of class indices, decoded to `uint8` (height, width), that follow the geometry of their images.
#[derive(Clone, Debug)]
pub struct Masks {
    column: Column<'static>,
    mask: field::Mask,
}

impl Masks {
    /// Returns the masks of files, for images in the field `image`.
    pub fn paths<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Self {
        let mask = field::Mask::of("image");
        Self { column: Column::files(mask.clone(), paths), mask }
    }

    /// Returns masks of which there are the bytes of files, for images in the field `image`.
    pub fn encoded<B: AsRef<[u8]>>(files: impl IntoIterator<Item = B>) -> Self {
        let mask = field::Mask::of("image");
        Self { column: Column::runs(mask.clone(), Packed::of(files)), mask }
    }

    /// Sets the field of the images.
    #[must_use]
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.mask.image = image.into();
        self
    }

    /// Sets the dtype of the indices: `uint8`, or `uint16` or `int32`, which take files of 16 bits too.
    #[must_use]
    pub const fn dtype(mut self, dtype: DType) -> Self {
        self.mask.dtype = dtype;
        self
    }
}

/// A column of bounding boxes, four `float32` each, any number a sample, that follow the geometry of their images.
#[derive(Clone, Debug)]
pub struct BoundingBoxes {
    packed: Packed,
    boxes: field::BoundingBoxes,
}

impl BoundingBoxes {
    /// Returns the boxes of each sample, in images of the field `image`.
    pub fn new<R: IntoIterator<Item = [f32; 4]>>(rows: impl IntoIterator<Item = R>, format: BoxFormat) -> Self {
        let boxes = field::BoundingBoxes { image: "image".into(), format, capacity: 0 };
        Self { packed: Packed::of_entries(rows), boxes }
    }

    /// Sets the field of the images.
    #[must_use]
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.boxes.image = image.into();
        self
    }
}

/// A column of points in images, `float32`, any number a sample, that follow the geometry of their images.
#[derive(Clone, Debug)]
pub struct KeyPoints {
    packed: Packed,
    points: field::KeyPoints,
}

impl KeyPoints {
    /// Returns the points of each sample, in images of the field `image`: `[f32; 2]`, x and y, or `[f32; 3]` with a third
    /// number that is kept as it is; or arrays of such, one for each object.
    pub fn new<E: Entry, R: IntoIterator<Item = E>>(rows: impl IntoIterator<Item = R>) -> Self {
        let points = field::KeyPoints { image: "image".into(), shape: E::shape(), capacity: 0 };
        Self { packed: Packed::of_entries(rows), points }
    }

    /// Returns entries of a shape that is known when the program runs: of each sample, the numbers of all, one after the other.
    pub(crate) fn of_shape<R: IntoIterator<Item = f32>>(shape: Vec<usize>, rows: impl IntoIterator<Item = R>) -> Self {
        let points = field::KeyPoints { image: "image".into(), shape, capacity: 0 };
        Self { packed: Packed::of_entries(rows), points }
    }

    /// Sets the field of the images.
    #[must_use]
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.points.image = image.into();
        self
    }
}

/// A column of lists, any number of entries a sample.
#[derive(Clone, Debug)]
pub struct Lists {
    packed: Packed,
    list: field::List,
}

impl Lists {
    /// Returns the entries of each sample: numbers, or arrays of numbers.
    pub fn new<E: Entry, R: IntoIterator<Item = E>>(rows: impl IntoIterator<Item = R>) -> Self {
        let list = field::List { dtype: E::DTYPE, shape: E::shape(), capacity: 0 };
        Self { packed: Packed::of_entries(rows), list }
    }
}

/// A column of texts, one for each sample: a ragged field of their UTF-8.
#[derive(Clone, Debug)]
pub struct Texts(Packed);

impl Texts {
    /// Returns these texts.
    pub fn new<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Self {
        Self(Packed::of(texts.into_iter().map(|text| text.as_ref().as_bytes().to_vec())))
    }
}

impl From<Images> for Column<'_> {
    fn from(Images(column): Images) -> Self {
        column
    }
}

impl From<Masks> for Column<'_> {
    fn from(Masks { column, mask }: Masks) -> Self {
        Self { kind: mask.into(), ..column }
    }
}

impl From<BoundingBoxes> for Column<'_> {
    fn from(BoundingBoxes { packed, boxes }: BoundingBoxes) -> Self {
        Self::runs(boxes, packed)
    }
}

impl From<KeyPoints> for Column<'_> {
    fn from(KeyPoints { packed, points }: KeyPoints) -> Self {
        Self::runs(points, packed)
    }
}

impl From<Lists> for Column<'_> {
    fn from(Lists { packed, list }: Lists) -> Self {
        Self::runs(list, packed)
    }
}

impl From<Texts> for Column<'_> {
    fn from(Texts(packed): Texts) -> Self {
        Self::runs(field::Text { capacity: 0 }, packed)
    }
}
