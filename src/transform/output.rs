//! What the rows of images look like.

use super::{args::Layout, elements::RowSteps, op::ImageShape, segment::ImageInput};
use crate::{
    error::{Error, Result},
    spec::{FieldSpec, Ragged},
};

/// The most channels that an image may have.
const MOST_CHANNELS: usize = 4;

/// The capacity of rows that are as large as they must be.
pub(crate) const UNBOUNDED: usize = 1 << 32;

/// Returns what the rows look like: of fixed shape, or ragged.
pub(super) fn output(input: ImageInput<'_>, shape: ImageShape, row: &RowSteps) -> Result<FieldSpec> {
    let ImageInput { name, capacity, has_channel_axis, .. } = input;
    if input.varies_in_channels {
        return varying_output(input, shape, row);
    }
    let unbounded = (input.unbounded && shape.size.is_none()).then_some(UNBOUNDED);
    match (shape.size, capacity.or(unbounded)) {
        (Some(size), None) => Ok(FieldSpec::new(name, row.dtype(), row.shape(size))),
        (Some(_), Some(_)) => Err(no_capacity(name)),
        (None, Some(_)) if row.layout() == Layout::Chw => Err(Error::Config(format!(
            "field `{name}`: images of varying size stay HWC, since the axes that vary come first"
        ))),
        (None, Some(capacity)) => {
            let shape = if has_channel_axis { vec![shape.pixel.channels.count()] } else { vec![] };
            Ok(FieldSpec { ragged: Some(Ragged { axes: 2, capacity }), ..FieldSpec::new(name, row.dtype(), shape) })
        }
        (None, None) => Err(Error::Config(format!(
            "field `{name}` has no fixed size{}: end the geometry with RandomResizedCrop, CenterCrop or Resize with \
             two sizes, or give capacity[{name:?}], the pixels that a row has room for, to make it ragged",
            why_unsized(shape)
        ))),
    }
}

/// Returns what the rows look like where every axis may vary: as many values as most channels take.
fn varying_output(input: ImageInput<'_>, shape: ImageShape, row: &RowSteps) -> Result<FieldSpec> {
    let ImageInput { name, capacity, .. } = input;
    if shape.crops.is_some() {
        return Err(Error::Config(format!(
            "field `{name}`: crops of one sample lie beside each other where all images have as many channels: give \
             DecodeImage a mode, or channels"
        )));
    }
    let fixed = shape.size.map(|size| size.area() as usize * MOST_CHANNELS);
    let unbounded = (input.unbounded && fixed.is_none()).then_some(UNBOUNDED);
    let capacity = match (fixed, capacity.or(unbounded)) {
        (Some(_), Some(_)) => return Err(no_capacity(name)),
        (Some(capacity), None) | (None, Some(capacity)) => capacity,
        (None, None) => {
            return Err(Error::Config(format!(
                "field `{name}` has no fixed size{}: end the geometry with RandomResizedCrop, CenterCrop or Resize with \
                 two sizes, or give capacity[{name:?}], the values that a row has room for: height times width times \
                 channels",
                why_unsized(shape)
            )));
        }
    };
    Ok(FieldSpec { ragged: Some(Ragged { axes: 3, capacity }), ..FieldSpec::new(name, row.dtype(), []) })
}

/// Names what may give several sizes, if anything.
fn why_unsized(shape: ImageShape) -> String {
    shape.unsized_by.map_or_else(String::new, |name| format!(", since {name} may give several"))
}

/// Returns the error of a field of fixed shape that was given a capacity.
pub(crate) fn no_capacity(name: &str) -> Error {
    Error::Config(format!("field `{name}` has a fixed shape and takes no capacity"))
}
