//! The operations on images, checked and compiled once.

use std::sync::Arc;

use super::{
    args::Layout,
    between::{Between, interleaved},
    call::{Call, Target},
    failure::failure,
    numbered::Numbered,
    op::Role,
    ops::Transform,
    output::{UNBOUNDED, output},
    pixels::Pixels,
    row::{Rows, SlotRows},
    segment::{ImageInput, Segment, Workspace},
    view::Region,
};
use crate::{
    drawn,
    error::{Error, Failure, Result},
    function::{Array, ArraySpec, Invocation, Learned},
    geometry::Size,
    pixel::PixelType,
    rng::Key,
    spec::{DType, FieldSpec},
};

/// The compiled operations of images.
#[derive(Clone, Debug)]
pub struct Chain {
    output: FieldSpec,
    segment: Segment,
    /// What is called behind the segment, if anything.
    calls: Option<Calls>,
}

impl Chain {
    /// Compiles the transforms of encoded images of three channels.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for an argument out of range, or a transform that cannot take what comes before it.
    pub fn of_images(name: &str, transforms: &[Transform]) -> Result<Self> {
        let shape = PixelType::RGB8.into();
        let input = ImageInput {
            name,
            shape,
            has_channel_axis: true,
            layout: Layout::Hwc,
            capacity: None,
            unbounded: false,
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
        let end = ops.iter().position(|op| matches!(op.role, Role::Call(_))).unwrap_or(ops.len());
        let (segment, shape, row) = Segment::compile(input, &ops[..end])?;
        let Some(call) = ops.get(end) else {
            let output = output(input, shape, &row)?;
            output.row_bytes()?;
            return Ok(Self { output, segment, calls: None });
        };
        let ImageInput { name, capacity, unbounded, is_followed, .. } = input;
        if shape.crops.is_some() {
            return Err(Error::Config(format!(
                "field `{name}`: transform {}: a function gets one image: call it before the crops",
                call.at
            )));
        }
        if input.varies_in_channels {
            return Err(Error::Config(format!(
                "field `{name}`: transform {}: a function gets images of one number of channels: give DecodeImage a \
                 mode, or channels",
                call.at
            )));
        }
        let extents = shape.size.map(|size| row.shape(size));
        // Where they vary, all axes but that of the channels do.
        let any = row.shape(Size { height: 0, width: 0 }).into_iter().map(|extent| (extent > 0).then_some(extent));
        let shape = extents.map_or_else(|| any.collect(), |extents| extents.into_iter().map(Some).collect());
        let given = Between { spec: ArraySpec { dtype: row.dtype(), shape }, layout: Some(row.layout()) };
        let (calls, output) = Calls::compile(CallInput { name, capacity, unbounded, is_followed }, given, &ops[end..])?;
        Ok(Self { output, segment, calls: Some(calls) })
    }

    /// Returns what every row of the field looks like.
    pub const fn output(&self) -> &FieldSpec {
        &self.output
    }

    /// Draws everything that is random about a sample and computes every pass over its pixels, before there are any: as
    /// far as the first function that is called.
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
    /// A [`Failure`] of the transform stage, for pixels that are neither, and where functions would have to be called.
    pub fn render(&self, pixels: Pixels<'_>, space: &mut Workspace, row: &mut [u8]) -> Result<(), Failure> {
        if self.calls.is_some() {
            return Err(failure("there are no functions to be called here".to_owned()));
        }
        let mut rows = [row];
        let mut rows = SlotRows(&mut rows);
        let row = rows.begin(0, &self.output, &self.segment.shape(space))?;
        self.segment.run(pixels, space, row).map_err(failure)
    }

    /// Does the same where functions may be called.
    pub(crate) fn render_to(
        &self,
        pixels: Pixels<'_>,
        space: &mut Workspace,
        target: &mut Target<'_>,
    ) -> Result<(), Failure> {
        let shape = self.segment.shape(space);
        let Some(calls) = &self.calls else {
            let row = target.begin(&self.output, &shape)?;
            return self.segment.run(pixels, space, row).map_err(failure);
        };
        let mut argument = target.array(calls.given.spec.dtype, &shape)?;
        self.segment.run(pixels, space, argument.bytes_mut()).map_err(failure)?;
        calls.run(argument, space, target)
    }

    /// As [`render`](Self::render), for a caller that lays out rows itself: writes every byte of an image's values.
    pub(crate) fn render_values(
        &self,
        pixels: Pixels<'_>,
        space: &mut Workspace,
        values: &mut [u8],
    ) -> Result<(), Failure> {
        if self.calls.is_some() {
            return Err(failure("a function cannot be called for a part of a row".to_owned()));
        }
        self.segment.run(pixels, space, values).map_err(failure)
    }
}

/// A field whose transforms call a function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallInput<'a> {
    /// The field's name.
    pub(crate) name: &'a str,
    /// The positions that a row has room for, where the field is ragged.
    pub(crate) capacity: Option<usize>,
    /// Whether rows are as large as they must be, without a capacity.
    pub(crate) unbounded: bool,
    /// Whether masks, boxes or keypoints follow.
    pub(crate) is_followed: bool,
}

/// A call of a function, and all that comes after it.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    call: Arc<Call>,
    field: String,
    /// The call's number in the field's list.
    at: String,
    given: Between,
    rest: Rest,
}

/// What becomes of what a function gives.
#[derive(Clone, Debug)]
enum Rest {
    /// Nothing, as long as it is not known what that is.
    Learn,
    /// It is the row.
    Row(FieldSpec),
    /// The next function gets it.
    Calls(Box<Calls>),
    /// It is transformed as an image, which lies so.
    Chain(Between, Box<Chain>),
}

impl Calls {
    /// Compiles operations, the first of which is a call, and returns what the rows look like.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for an operation that cannot take what comes before it, for what varies without a
    /// capacity, and for a capacity of what does not.
    pub(crate) fn compile(input: CallInput<'_>, given: Between, ops: &[Numbered]) -> Result<(Self, FieldSpec)> {
        let CallInput { name, capacity, unbounded, is_followed } = input;
        let [Numbered { at, role: Role::Call(call), .. }, rest @ ..] = ops else {
            return Err(Error::Config(format!("field `{name}`: nothing is called")));
        };
        let refused = |what| Error::Config(format!("field `{name}`: transform {at}: `{}`: {what}", call.name));
        if given.spec.dtype == DType::BFloat16 {
            return Err(refused("a function gets NumPy arrays, which have no bfloat16: convert behind it".to_owned()));
        }
        let this =
            |rest| Self { call: Arc::clone(call), field: name.to_owned(), at: at.clone(), given: given.clone(), rest };
        let Some(result) = call.result() else {
            return Ok((this(Rest::Learn), FieldSpec::new(name, DType::UInt8, [0])));
        };
        let same_axes = result.shape.len() == given.spec.shape.len();
        let between = Between { spec: result, layout: given.layout.filter(|_| same_axes) };
        let Some(next) = rest.first() else {
            let varies = between.spec.shape.contains(&None);
            let spec = between.spec.rows(name, capacity.or_else(|| (unbounded && varies).then_some(UNBOUNDED)))?;
            return Ok((this(Rest::Row(spec.clone())), spec));
        };
        if matches!(next.role, Role::Call(_)) {
            let (calls, spec) = Self::compile(input, between, rest)?;
            return Ok((this(Rest::Calls(Box::new(calls))), spec));
        }
        let Some(shape) = between.image() else {
            return Err(refused(format!(
                "gives {}, and {} takes images of uint8, uint16 or float32",
                between.spec, next.name
            )));
        };
        let image = ImageInput {
            name,
            shape,
            has_channel_axis: between.channel_axis().is_some(),
            layout: between.layout.unwrap_or_default(),
            capacity,
            unbounded,
            is_followed,
            varies_in_channels: false,
        };
        let chain = Chain::compile(image, rest)?;
        let spec = chain.output.clone();
        Ok((this(Rest::Chain(between, Box::new(chain))), spec))
    }

    /// Calls with an array that there is memory for already, and does the rest.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage, which names field and function: where the function fails, or gives something
    /// else than was said or learned.
    pub(crate) fn run(
        &self,
        argument: Box<dyn Array>,
        space: &mut Workspace,
        target: &mut Target<'_>,
    ) -> Result<(), Failure> {
        let shape = argument.shape().to_vec();
        let call = Invocation { function: self.call.function, channel_axis: self.given.channel_axis() };
        let returned = drawn::of(&self.field, &self.call.name, || target.call(call, argument));
        let returned = returned.map_err(|failure| self.named(failure))?;
        self.check(&*returned, &shape).map_err(|what| self.named(failure(what)))?;
        match &self.rest {
            Rest::Learn => target.learned.push(self.learned(&*returned, &shape)),
            Rest::Row(spec) => target.begin(spec, returned.shape())?.copy_from_slice(returned.bytes()),
            Rest::Calls(next) => next.run(returned, space, target)?,
            Rest::Chain(between, chain) => self.go_on(between, chain, &*returned, space, target)?,
        }
        Ok(())
    }

    fn go_on(
        &self,
        between: &Between,
        chain: &Chain,
        image: &dyn Array,
        space: &mut Workspace,
        target: &mut Target<'_>,
    ) -> Result<(), Failure> {
        let (size, shape) = between.size(image.shape()).zip(between.image()).ok_or_else(|| {
            self.named(failure(format!("gave an image of shape {:?}, which has no pixels", image.shape())))
        })?;
        chain.segment.go_on(size, target.key, space)?;
        if between.layout == Some(Layout::Hwc) {
            return chain.render_to(Pixels::new(image.bytes(), size, shape.pixel), space, target);
        }
        let mut buffer = space.take_reordered();
        let pixels = buffer.grown(image.bytes().len());
        interleaved(image.bytes(), shape.pixel.channels.count(), shape.pixel.depth.size(), pixels);
        let rendered = chain.render_to(Pixels::new(pixels, size, shape.pixel), space, target);
        space.put_reordered(buffer);
        rendered
    }

    /// Checks what a function gave for an array of this shape.
    fn check(&self, returned: &dyn Array, given: &[usize]) -> Result<(), String> {
        let found = || ArraySpec::fixed(returned.dtype(), returned.shape());
        if let Some(expected) = self.call.result()
            && !expected.admits(returned)
        {
            let (found, said) = (found(), if self.call.learned { "it gave before" } else { "was declared" });
            return Err(format!(
                "gave {found}, and {expected} is what {said}: say what it gives by Call(..., dtype=..., shape=...), with \
                 None for axes that vary"
            ));
        }
        if !self.call.moves_pixels && self.given.size(returned.shape()) != self.given.size(given) {
            return Err(format!("is said to move no pixels, and gave {} for an image of shape {given:?}", found()));
        }
        Ok(())
    }

    /// Returns what was learned from what the function gave for an array of this shape.
    fn learned(&self, returned: &dyn Array, given: &[usize]) -> Learned {
        // What is as long as an axis that varies has its length from there, as far as one sample tells.
        let varies = |(axis, &extent): (usize, &usize)| {
            given.len() == returned.shape().len() && self.given.spec.shape[axis].is_none() && given[axis] == extent
        };
        let extents = returned.shape().iter().enumerate();
        let shape = extents.map(|at| (!varies(at)).then_some(*at.1));
        let result = ArraySpec { dtype: returned.dtype(), shape: shape.collect() };
        Learned { field: self.field.clone(), at: self.at.clone(), result }
    }

    fn named(&self, failure: Failure) -> Failure {
        let Self { field, at, call, .. } = self;
        let reason = format!("field `{field}`: transform {at}: `{}`: {}", call.name, failure.reason);
        Failure { reason, ..failure }
    }
}

#[cfg(test)]
mod tests;
