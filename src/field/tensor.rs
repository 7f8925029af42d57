//! Ready tensors of fixed shape.

use serde::{Deserialize, Serialize};

use super::{
    called::called,
    fill::{Fill, Sample},
    kind::{FieldKind, Payload, Request, Role},
};
use crate::{
    error::{Failure, Result},
    function::ArraySpec,
    geometry::Size,
    pixel::{Channels, Depth, PixelType},
    spec::{DType, FieldSpec},
    transform::{self, Between, Chain, ImageInput, ImageShape, Layout, Numbered, Pixels, Workspace, failure},
};

/// A tensor of fixed shape, which is copied; one that is an image can be transformed as such.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// The type of its elements.
    pub dtype: DType,
    /// Its shape; empty for a scalar.
    pub shape: Vec<usize>,
}

/// What may be counted while rows are filled.
pub(super) const COUNTERS: &[&str] = &[];

impl FieldKind for Tensor {
    fn payload(&self, name: &str) -> Result<Payload> {
        FieldSpec::new(name, self.dtype, &self.shape[..]).row_bytes().map(Payload::Row)
    }

    fn image(&self) -> Option<&str> {
        None
    }

    fn make_room(&mut self, _longest: usize) {}

    fn capacity_mut(&mut self) -> Option<&mut usize> {
        None
    }

    fn compile(&self, request: Request<'_>) -> Result<(FieldSpec, Role)> {
        let spec = FieldSpec::new(request.name, self.dtype, &self.shape[..]);
        compile_tensor(spec, request)
    }

    fn describe(&self, name: &str) -> String {
        FieldSpec::new(name, self.dtype, &self.shape[..]).to_string()
    }
}

/// Compiles a field of this spec, whose payload is the row.
pub(super) fn compile_tensor(spec: FieldSpec, request: Request<'_>) -> Result<(FieldSpec, Role)> {
    request.alone("it is no list")?;
    let Some(first) = request.ops.first() else {
        request.without_capacity()?;
        spec.row_bytes()?;
        let fill = CopyFill { at: request.at, spec: spec.clone() };
        return Ok((spec, Role::Alone(Box::new(fill))));
    };
    if matches!(first.role, transform::Role::Call(_)) {
        let given = ArraySpec::fixed(spec.dtype, &spec.shape);
        let layout = image_shape(&spec).map(|_| Layout::Hwc);
        return called(request, Between { spec: given, layout });
    }
    let (size, pixel) = image_shape(&spec).ok_or_else(|| not_an_image(&spec, first, request))?;
    let input = ImageInput {
        name: request.name,
        shape: ImageShape::from(pixel).of_size(size),
        has_channel_axis: spec.shape.len() == 3,
        layout: Layout::Hwc,
        capacity: request.capacity,
                unbounded: request.unbounded,
        is_followed: false,
        varies_in_channels: false,
    };
    let chain = Chain::compile(input, request.ops)?;
    let spec = chain.output().clone();
    Ok((spec, Role::Alone(Box::new(ImageTensorFill { at: request.at, size, pixel, chain }))))
}

fn not_an_image(spec: &FieldSpec, op: &Numbered, request: Request<'_>) -> crate::error::Error {
    request.refused(format!(
        "{} takes images of uint8, uint16 or float32 and of shape [H, W] or [H, W, C], with 1 to 4 channels, not {} of \
         shape {:?}",
        op.name, spec.dtype, spec.shape
    ))
}

/// Returns the size and the pixels of a tensor that is an image.
fn image_shape(spec: &FieldSpec) -> Option<(Size, PixelType)> {
    let (height, width, count) = match spec.shape[..] {
        [height, width] => (height, width, 1),
        [height, width, count] => (height, width, count),
        _ => return None,
    };
    let size = Size { height: u32::try_from(height).ok()?, width: u32::try_from(width).ok()? };
    let pixel = PixelType::new(Channels::of(count)?, Depth::of(spec.dtype)?);
    (size.area() > 0).then_some((size, pixel))
}

/// Copies the payload.
#[derive(Debug)]
struct CopyFill {
    at: usize,
    spec: FieldSpec,
}

impl Fill for CopyFill {
    // Not timed: most tensors are copied in less time than it takes to look at the clock.
    fn fill(&self, sample: &mut Sample<'_>) -> Result<(), Failure> {
        let data = sample.payload(self.at);
        let row = sample.begin(self.at, &self.spec, &self.spec.shape)?;
        if data.len() != row.len() {
            return Err(failure(format!("the record has {} bytes, the field {}", data.len(), row.len())));
        }
        row.copy_from_slice(data);
        Ok(())
    }
}

/// Transforms the payload as an image.
#[derive(Debug)]
struct ImageTensorFill {
    at: usize,
    size: Size,
    pixel: PixelType,
    chain: Chain,
}

impl Fill for ImageTensorFill {
    fn fill(&self, sample: &mut Sample<'_>) -> Result<(), Failure> {
        let data = sample.payload(self.at);
        if data.len() as u64 != self.size.area() * self.pixel.size() as u64 {
            return Err(failure(format!("a record of {} bytes is not the field's image", data.len())));
        }
        let mut space = sample.scratch.take::<Workspace>();
        let filled = self.chain.plan(self.size, sample.key, &mut space).and_then(|_| {
            self.chain.render_to(
                Pixels::new(data, self.size, self.pixel),
                &mut space,
                &mut sample.target(self.at),
            )
        });
        sample.scratch.put(space);
        filled
    }
}
