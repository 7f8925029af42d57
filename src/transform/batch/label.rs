//! Labels as probabilities, which can be mixed.

use crate::{
    error::{Failure, Stage},
    spec::{DType, FieldSpec},
};

/// How an index becomes probabilities: all of it is on one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneHot {
    dtype: DType,
    classes: u32,
}

impl OneHot {
    /// Writes a label's row: 0 everywhere, and 1 in the label's place.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage for a label that is none of the classes.
    pub fn write(&self, label: &[u8], row: &mut [u8]) -> Result<(), Failure> {
        let failure = |reason| Failure::new(Stage::Transform, reason);
        let value = integer(self.dtype, label)
            .ok_or_else(|| failure(format!("a label of {} bytes is no {}", label.len(), self.dtype)))?;
        row.fill(0);
        let places = row.as_chunks_mut::<4>().0;
        let place = usize::try_from(value).ok().and_then(|value| places.get_mut(value)).ok_or_else(|| {
            let last = self.classes - 1;
            failure(format!("label {value} is none of the {} classes, 0 to {last} (num_classes)", self.classes))
        })?;
        *place = 1_f32.to_ne_bytes();
        Ok(())
    }
}

/// Reads an integer; none where the bytes are not one of this dtype, or the dtype is no integer's.
fn integer(dtype: DType, bytes: &[u8]) -> Option<i128> {
    Some(match dtype {
        DType::UInt8 => u8::from_ne_bytes(bytes.try_into().ok()?).into(),
        DType::Int8 => i8::from_ne_bytes(bytes.try_into().ok()?).into(),
        DType::UInt16 => u16::from_ne_bytes(bytes.try_into().ok()?).into(),
        DType::Int16 => i16::from_ne_bytes(bytes.try_into().ok()?).into(),
        DType::UInt32 => u32::from_ne_bytes(bytes.try_into().ok()?).into(),
        DType::Int32 => i32::from_ne_bytes(bytes.try_into().ok()?).into(),
        DType::UInt64 => u64::from_ne_bytes(bytes.try_into().ok()?).into(),
        DType::Int64 => i64::from_ne_bytes(bytes.try_into().ok()?).into(),
        DType::Bool | DType::Float16 | DType::BFloat16 | DType::Float32 | DType::Float64 => return None,
    })
}

/// Makes a field of labels one of probabilities, and returns how its rows are written if that is not what they are yet.
pub(super) fn probabilities(label: &mut FieldSpec, num_classes: Option<u32>) -> Result<Option<OneHot>, String> {
    let FieldSpec { name, dtype, shape, ragged } = label;
    if ragged.is_some() {
        return Err(format!("takes labels of one shape, and those of field `{name}` vary"));
    }
    match (*dtype, &shape[..], num_classes) {
        (DType::Float32, &[classes], None) if classes > 0 => Ok(None),
        (DType::Float32, &[classes], Some(wanted)) if classes == wanted as usize => Ok(None),
        (DType::Float32, &[classes], Some(wanted)) => {
            Err(format!("num_classes is {wanted}, and labels `{name}` are of {classes} classes already"))
        }
        (dtype, [], Some(classes)) if integer(dtype, &[0; 8][..dtype.size()]).is_some() => {
            let one_hot = OneHot { dtype, classes };
            *label = FieldSpec::new(std::mem::take(name), DType::Float32, [classes as usize]);
            Ok(Some(one_hot))
        }
        (dtype, [], None) if integer(dtype, &[0; 8][..dtype.size()]).is_some() => {
            Err(format!("num_classes is needed, because labels `{name}` are indices"))
        }
        _ => Err(format!(
            "labels are one integer each or float32 probabilities of shape [num_classes], and field `{name}` is {dtype} of \
             shape {shape:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(dtype: DType, shape: &[usize]) -> FieldSpec {
        FieldSpec::new("y", dtype, shape)
    }

    fn written(dtype: DType, value: &[u8]) -> Result<Vec<f32>, String> {
        let mut spec = label(dtype, &[]);
        let one_hot = probabilities(&mut spec, Some(3)).unwrap().unwrap();
        assert_eq!(spec, label(DType::Float32, &[3]));
        let mut row = [7.0_f32; 3];
        one_hot.write(value, bytemuck::cast_slice_mut(&mut row)).map_err(|failure| failure.reason)?;
        Ok(row.to_vec())
    }

    #[test]
    fn an_index_of_any_integer_dtype_becomes_a_one() {
        let two = [0.0, 0.0, 1.0];
        assert_eq!(written(DType::UInt8, &[2]).unwrap(), two);
        assert_eq!(written(DType::Int8, &[2]).unwrap(), two);
        assert_eq!(written(DType::UInt16, &2_u16.to_ne_bytes()).unwrap(), two);
        assert_eq!(written(DType::Int16, &2_i16.to_ne_bytes()).unwrap(), two);
        assert_eq!(written(DType::UInt32, &2_u32.to_ne_bytes()).unwrap(), two);
        assert_eq!(written(DType::Int32, &2_i32.to_ne_bytes()).unwrap(), two);
        assert_eq!(written(DType::UInt64, &2_u64.to_ne_bytes()).unwrap(), two);
        assert_eq!(written(DType::Int64, &0_i64.to_ne_bytes()).unwrap(), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn an_index_out_of_range_is_named_with_the_range() {
        let reason = |dtype, value: &[u8]| written(dtype, value).unwrap_err();
        assert_eq!(reason(DType::UInt8, &[3]), "label 3 is none of the 3 classes, 0 to 2 (num_classes)");
        assert!(reason(DType::Int8, &[255]).starts_with("label -1 is none"));
        assert!(reason(DType::UInt64, &u64::MAX.to_ne_bytes()).starts_with("label 18446744073709551615 is none"));
        assert_eq!(reason(DType::Int64, &[0; 7]), "a label of 7 bytes is no int64");
    }

    #[test]
    fn probabilities_stay_as_they_are() {
        for classes in [None, Some(4)] {
            let mut spec = label(DType::Float32, &[4]);
            assert_eq!(probabilities(&mut spec, classes), Ok(None));
            assert_eq!(spec, label(DType::Float32, &[4]));
        }
    }
}
