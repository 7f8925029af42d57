//! The operations on images, checked and compiled once.

use super::{
    args::Layout,
    elements::RowSteps,
    numbered::Numbered,
    op::ImageShape,
    ops::Transform,
    pixels::Pixels,
    segment::{ImageInput, Segment, Workspace, failure},
    view::Region,
};
use crate::{
    error::{Error, Failure, Result},
    geometry::Size,
    pixel::PixelType,
    rng::Key,
    spec::{FieldSpec, Ragged},
};

/// The most channels that an image may have.
const MOST_CHANNELS: usize = 4;

/// The compiled operations of images.
#[derive(Clone, Debug)]
pub struct Chain {
    output: FieldSpec,
    segment: Segment,
}

impl Chain {
    /// Compiles the transforms of encoded images of three channels.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for an argument out of range, or a transform that cannot take what comes before it.
    pub fn of_images(name: &str, transforms: &[Transform]) -> Result<Self> {
        let shape = ImageShape { size: None, pixel: PixelType::RGB8 };
        let input = ImageInput {
            name,
            shape,
            has_channel_axis: true,
            capacity: None,
            is_followed: false,
            varies_in_channels: false,
        };
        Self::compile(input, &Numbered::list(name, name, transforms)?)
    }

    /// Compiles operations.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for an operation that cannot take what comes before it, images whose size the operations
    /// do not fix and that have no capacity, or a capacity of others.
    pub(crate) fn compile(input: ImageInput<'_>, ops: &[Numbered]) -> Result<Self> {
        let (segment, shape, row) = Segment::compile(input, ops)?;
        let output = output(input, shape, &row)?;
        output.row_bytes()?;
        Ok(Self { output, segment })
    }

    /// Returns what every row of the field looks like.
    pub const fn output(&self) -> &FieldSpec {
        &self.output
    }

    /// Draws everything that is random about a sample and computes every pass over its pixels, before there are any.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage, for an image that the geometry cannot take.
    pub fn plan(&self, image: Size, key: Key, space: &mut Workspace) -> Result<Region, Failure> {
        self.segment.plan(image, key, space)
    }

    /// Writes the image that was planned last in `space` to a row of the batch: every byte of it.
    ///
    /// `pixels` are the whole image or its planned region; where the region is to be resized, it may have been
    /// reduced before.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage, for pixels that are neither.
    pub fn render(&self, pixels: Pixels<'_>, space: &mut Workspace, row: &mut [u8]) -> Result<(), Failure> {
        let row = match self.output.ragged {
            None => row,
            Some(Ragged { axes, .. }) => {
                let extents = self.segment.shape(space);
                self.output.begin_row(row, &extents[..axes]).map_err(failure)?
            }
        };
        self.segment.run(pixels, space, row).map_err(failure)
    }

    /// As [`render`](Self::render), for a caller that lays out rows itself: writes every byte of an image's values.
    pub(crate) fn render_values(
        &self,
        pixels: Pixels<'_>,
        space: &mut Workspace,
        values: &mut [u8],
    ) -> Result<(), Failure> {
        self.segment.run(pixels, space, values).map_err(failure)
    }
}

/// Returns what the rows look like: of fixed shape, or ragged.
fn output(input: ImageInput<'_>, shape: ImageShape, row: &RowSteps) -> Result<FieldSpec> {
    let ImageInput { name, capacity, has_channel_axis, .. } = input;
    if input.varies_in_channels {
        return varying_output(input, shape, row);
    }
    match (shape.size, capacity) {
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
            "field `{name}` has no fixed size: end the geometry with RandomResizedCrop, CenterCrop or Resize with \
             two sizes, or give capacity[{name:?}], the pixels that a row has room for, to make it ragged"
        ))),
    }
}

/// Returns what the rows look like where every axis may vary: as many values as most channels take.
fn varying_output(input: ImageInput<'_>, shape: ImageShape, row: &RowSteps) -> Result<FieldSpec> {
    let ImageInput { name, capacity, .. } = input;
    let fixed = shape.size.map(|size| size.area() as usize * MOST_CHANNELS);
    let capacity = match (fixed, capacity) {
        (Some(_), Some(_)) => return Err(no_capacity(name)),
        (Some(capacity), None) | (None, Some(capacity)) => capacity,
        (None, None) => {
            return Err(Error::Config(format!(
                "field `{name}` has no fixed size: end the geometry with RandomResizedCrop, CenterCrop or Resize with \
                 two sizes, or give capacity[{name:?}], the values that a row has room for: height times width times \
                 channels"
            )));
        }
    };
    Ok(FieldSpec { ragged: Some(Ragged { axes: 3, capacity }), ..FieldSpec::new(name, row.dtype(), []) })
}

/// Returns the error of a field of fixed shape that was given a capacity.
pub(crate) fn no_capacity(name: &str) -> Error {
    Error::Config(format!("field `{name}` has a fixed shape and takes no capacity"))
}

#[cfg(test)]
mod tests;
