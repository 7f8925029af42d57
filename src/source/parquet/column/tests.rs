use std::sync::Arc;

use arrow_array::{
    BooleanArray, FixedSizeBinaryArray, Int8Array, StringViewArray,
    types::{Int16Type, Int32Type},
};

use super::*;
use crate::{
    field::{Bytes, Label, List, Tensor, Text},
    spec::DType,
};

fn field(kind: impl Into<Kind>) -> Field {
    Field::new("x", kind)
}

fn list(shape: &[usize]) -> Field {
    field(List { dtype: DType::Int16, shape: shape.to_vec(), capacity: 0 })
}

fn lists(rows: Vec<Option<Vec<Option<i16>>>>) -> ArrayRef {
    Arc::new(arrow_array::ListArray::from_iter_primitive::<Int16Type, _, _>(rows))
}

fn values(column: &Column, rows: usize) -> Vec<Result<Vec<u8>, &'static str>> {
    (0..rows).map(|row| column.fault(row).map_or_else(|| Ok(column.row(row).to_vec()), Err)).collect()
}

fn shorts(numbers: &[i16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

#[test]
fn lists_are_their_elements() {
    let array = lists(vec![Some(vec![Some(1), Some(2)]), Some(vec![]), None, Some(vec![Some(3), None])]);
    let column = Column::of(&array, None, &list(&[]), None).unwrap();
    let found = values(&column, 4);
    assert_eq!(found[..2], [Ok(shorts(&[1, 2])), Ok(vec![])]);
    assert!(found[2].as_ref().unwrap_err().starts_with("is null"));
    assert!(found[3].as_ref().unwrap_err().starts_with("has a null in its list"));
    assert_eq!(column.longest(4), 4);

    let column = Column::of(&array, None, &list(&[]), Some(&shorts(&[7]))).unwrap();
    assert_eq!(values(&column, 4), [Ok(shorts(&[1, 2])), Ok(vec![]), Ok(vec![]), Ok(shorts(&[3, 7]))]);
}

#[test]
fn a_shape_is_asked_of_each_row() {
    let array = lists(vec![Some(vec![Some(1), Some(2)]), Some(vec![Some(3)]), None]);
    let pairs = field(Tensor { dtype: DType::Int16, shape: vec![2] });
    let column = Column::of(&array, None, &pairs, Some(&shorts(&[9]))).unwrap();
    let found = values(&column, 3);
    assert_eq!((&found[0], &found[2]), (&Ok(shorts(&[1, 2])), &Ok(shorts(&[9, 9]))));
    assert!(found[1].as_ref().unwrap_err().contains("another length"));
}

#[test]
fn what_stands_in_a_null_struct_is_null() {
    let array: ArrayRef = Arc::new(Int8Array::from(vec![1, 2]));
    let outer = NullBuffer::from(vec![true, false]);
    let column = Column::of(&array, Some(&outer), &field(Label {}), None).unwrap();
    assert_eq!(values(&column, 1), [Ok(1_i64.to_ne_bytes().to_vec())]);
    assert!(column.fault(1).is_some());
    let validity = Column::validity(&column, 2);
    assert_eq!(values(&validity, 2), [Ok(vec![1]), Ok(vec![0])]);
}

#[test]
fn slices_begin_where_they_do() {
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![false, true, false, true]).slice(1, 3));
    let column = Column::of(&flags, None, &field(Tensor { dtype: DType::Bool, shape: vec![] }), None).unwrap();
    assert_eq!(values(&column, 3), [Ok(vec![1]), Ok(vec![0]), Ok(vec![1])]);
    let array = lists(vec![Some(vec![Some(1)]), Some(vec![Some(2), Some(3)])]).slice(1, 1);
    assert_eq!(values(&Column::of(&array, None, &list(&[]), None).unwrap(), 1), [Ok(shorts(&[2, 3]))]);
    let fixed: ArrayRef =
        Arc::new(FixedSizeBinaryArray::try_from_iter([b"ab", b"cd"].into_iter()).unwrap().slice(1, 1));
    let column = Column::of(&fixed, None, &field(Bytes { capacity: 0 }), None).unwrap();
    assert_eq!(values(&column, 1), [Ok(b"cd".to_vec())]);
}

#[test]
fn texts_lie_where_they_were() {
    let array: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a longer one than twelve"), None]));
    let column = Column::of(&array, None, &field(Text { capacity: 0 }), Some(b"none")).unwrap();
    assert_eq!(values(&column, 2), [Ok(b"a longer one than twelve".to_vec()), Ok(b"none".to_vec())]);
}

#[test]
fn lists_of_lists_have_entries_of_a_shape() {
    let inner = arrow_array::ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), Some(2)]),
        Some(vec![Some(3), Some(4)]),
        Some(vec![Some(5)]),
    ]);
    let item = Arc::new(arrow_schema::Field::new("item", inner.data_type().clone(), true));
    let offsets = arrow_buffer::OffsetBuffer::new(vec![0, 2, 2, 3].into());
    let array: ArrayRef = Arc::new(arrow_array::ListArray::new(item, offsets, Arc::new(inner), None));
    let pairs = field(List { dtype: DType::Int32, shape: vec![2], capacity: 0 });
    let column = Column::of(&array, None, &pairs, None).unwrap();
    let found = values(&column, 3);
    assert_eq!(found[0].as_ref().map(Vec::len), Ok(16));
    assert_eq!(found[1], Ok(vec![]));
    assert!(found[2].as_ref().unwrap_err().contains("another length"));
}
