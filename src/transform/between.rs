//! What there is between two operations of a chain, of which one calls a function.

use super::{args::Layout, op::ImageShape};
use crate::{
    function::ArraySpec,
    geometry::Size,
    pixel::{Channels, Depth, PixelType},
};

/// What there is between two operations.
#[derive(Clone, Debug)]
pub(crate) struct Between {
    /// What is known of the array.
    pub(crate) spec: ArraySpec,
    /// How it is laid out, where it is an image.
    pub(crate) layout: Option<Layout>,
}

impl Between {
    /// Returns which axis counts channels.
    pub(super) fn channel_axis(&self) -> Option<usize> {
        match (self.layout, self.spec.shape.len()) {
            (Some(Layout::Hwc), 3) => Some(2),
            (Some(Layout::Chw), 3) => Some(0),
            (Some(_) | None, _) => None,
        }
    }

    /// Returns where height and width stand in an array with so many axes.
    fn size_axes(&self, axes: usize) -> Option<[usize; 2]> {
        match (self.layout?, axes) {
            (Layout::Hwc, 2 | 3) => Some([0, 1]),
            (Layout::Chw, 3) => Some([1, 2]),
            (Layout::Chw | Layout::Hwc, _) => None,
        }
    }

    /// Returns the size of an image of this shape, of at least one pixel.
    pub(super) fn size(&self, shape: &[usize]) -> Option<Size> {
        let [height, width] = self.size_axes(shape.len())?.map(|axis| u32::try_from(shape[axis]).ok());
        let size = Size { height: height?, width: width? };
        (size.area() > 0).then_some(size)
    }

    /// Returns what it is as an image, if it is one.
    pub(super) fn image(&self) -> Option<ImageShape> {
        let shape = &self.spec.shape;
        let [height, width] = self.size_axes(shape.len())?.map(|axis| shape[axis]);
        let count = self.channel_axis().map_or(Some(1), |axis| shape[axis])?;
        let pixel = PixelType::new(Channels::of(count)?, Depth::of(self.spec.dtype)?);
        let (Some(_), Some(_)) = (height, width) else { return Some(pixel.into()) };
        let known: Vec<usize> = shape.iter().map(|extent| extent.unwrap_or_default()).collect();
        Some(ImageShape::from(pixel).of_size(self.size(&known)?))
    }
}

/// Returns the pixels of an image whose channels come first, with each pixel's values side by side.
pub(super) fn interleaved(planes: &[u8], channels: usize, value: usize, out: &mut [u8]) {
    let area = planes.len() / (channels * value).max(1);
    for (channel, plane) in planes.chunks_exact((area * value).max(1)).enumerate() {
        let values = out.chunks_exact_mut(channels * value);
        for (value_bytes, pixel) in plane.chunks_exact(value).zip(values) {
            pixel[channel * value..][..value].copy_from_slice(value_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::DType;

    fn between(layout: Option<Layout>, dtype: DType, shape: &[Option<usize>]) -> Between {
        Between { spec: ArraySpec { dtype, shape: shape.to_vec() }, layout }
    }

    #[test]
    fn what_is_an_image_is_seen_from_layout_shape_and_dtype() {
        let image = |layout, dtype, shape: &[Option<usize>]| {
            let shape = between(Some(layout), dtype, shape).image()?;
            Some((shape.size.map(|size| (size.height, size.width)), shape.pixel.channels.count()))
        };
        let (two, three) = (Some(2), Some(3));
        assert_eq!(image(Layout::Hwc, DType::UInt8, &[two, three, two]), Some((Some((2, 3)), 2)));
        assert_eq!(image(Layout::Chw, DType::Float32, &[two, three, two]), Some((Some((3, 2)), 2)));
        assert_eq!(image(Layout::Hwc, DType::UInt16, &[None, three]), Some((None, 1)));
        for (dtype, shape) in [
            (DType::Int64, &[two, two][..]),
            (DType::UInt8, &[two, two, None]),
            (DType::UInt8, &[two, two, Some(5)]),
            (DType::UInt8, &[two, Some(0)]),
            (DType::UInt8, &[two]),
            (DType::UInt8, &[two, two, two, two]),
        ] {
            assert_eq!(image(Layout::Hwc, dtype, shape), None, "{dtype} {shape:?}");
        }
        assert!(between(None, DType::UInt8, &[two, two]).image().is_none());
    }

    #[test]
    fn planes_become_pixels() {
        let mut out = [0; 8];
        interleaved(&[1, 2, 3, 4, 5, 6, 7, 8], 2, 2, &mut out);
        assert_eq!(out, [1, 2, 5, 6, 3, 4, 7, 8]);
    }
}
