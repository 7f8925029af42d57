//! The operations on images, checked and compiled once.

use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::{
    args::Layout,
    canvas::Canvas,
    edit::Spare,
    elements::{RowSteps, RowWriter},
    motion::Moves,
    op::{ImageShape, OpKey, PixelOp, Role},
    ops::Transform,
    pixels::Pixels,
    plan::{Pass, Plan},
    render::{self, Renderer},
    view::{Region, View},
};
use crate::{
    buffer::Buffer,
    error::{Error, Failure, Result, Stage},
    geometry::Size,
    pixel::PixelType,
    rng::Key,
    spec::{FieldSpec, Ragged},
};

/// The most channels that an image may have.
const MOST_CHANNELS: usize = 4;

/// An operation in a list of them.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    /// Its number in the list of the field, or of the field that this one follows.
    pub(crate) at: u64,
    /// What its draws are keyed by, beside the sample.
    pub(crate) op: u64,
    /// Its name.
    pub(crate) name: &'static str,
    /// What it is applied to.
    pub(crate) role: Role,
}

impl Numbered {
    /// Returns the operations of a list, each checked by itself. They draw as those of the field `draws_of`.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for an argument out of range.
    pub(crate) fn list(field: &str, draws_of: &str, transforms: &[Transform]) -> Result<Vec<Self>> {
        let numbered = transforms.iter().enumerate().map(|(at, transform)| {
            let refused = |error| Error::Config(format!("field `{field}`: transform {at}: {error}"));
            transform.validate().map_err(refused)?;
            let name = transform.name();
            let before = transforms[..at].iter().filter(|other| other.name() == name).count();
            Ok(Self { at: at as u64, op: op(draws_of, name, before as u64), name, role: transform.role() })
        });
        numbered.collect()
    }
}

/// Returns what the draws of a transform are keyed by, beside the sample: its field, its name, and how many of the same
/// name stand before it. So fields draw independently, and what is put between other transforms changes none of them.
fn op(field: &str, name: &str, before: u64) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&(field.len() as u64).to_le_bytes());
    hash.update(field.as_bytes());
    hash.update(name.as_bytes());
    hash.update(&before.to_le_bytes());
    hash.digest()
}

/// What a chain is compiled for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageInput<'a> {
    /// The field's name.
    pub(crate) name: &'a str,
    /// The images before any operation.
    pub(crate) shape: ImageShape,
    /// Whether they are (height, width, channels), or (height, width).
    pub(crate) has_channel_axis: bool,
    /// The pixels that a row has room for, where the field is ragged.
    pub(crate) capacity: Option<usize>,
    /// Whether masks, boxes or keypoints follow the images.
    pub(crate) is_followed: bool,
    /// Whether other images of the field have other channels, so that the axis of the channels varies too.
    pub(crate) varies_in_channels: bool,
}

/// The compiled operations of images.
#[derive(Clone, Debug)]
pub struct Chain {
    output: FieldSpec,
    is_followed: bool,
    pixel: PixelType,
    ops: Vec<(u64, Arc<dyn PixelOp>)>,
    writer: RowWriter,
}

/// The buffers of one thread, and the plan for the sample in hand.
#[derive(Debug, Default)]
pub struct Workspace {
    /// Whose plan is yet to be rendered.
    planned: Option<Key>,
    plan: Plan,
    renderer: Renderer,
    canvas: Canvas,
    spare: Spare,
    packed: Buffer,
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
        let name = input.name;
        let (mut shape, mut pixel_ops) = (input.shape, Vec::new());
        let row_ops = ops.iter().position(|op| matches!(op.role, Role::Row(_))).unwrap_or(ops.len());
        let refused = |op: &Numbered, what: String| {
            Error::Config(format!("field `{name}`: transform {}: {}: {what}", op.at, op.name))
        };
        for op in &ops[..row_ops] {
            let pixel_op = pixels(op, None).map_err(|what| refused(op, what))?;
            shape = pixel_op.output(shape).map_err(|what| refused(op, what))?;
            pixel_ops.push((op.op, pixel_op));
        }
        let mut row = RowSteps::new(shape.pixel, input.has_channel_axis);
        for op in &ops[row_ops..] {
            let Role::Row(row_op) = &op.role else {
                let what = pixels(op, Some(ops[row_ops].name)).err().unwrap_or_default();
                return Err(refused(op, what));
            };
            row_op.add(&mut row, op.op).map_err(|what| refused(op, what))?;
        }
        let output = output(input, shape, &row)?;
        output.row_bytes()?;
        let (is_followed, pixel) = (input.is_followed, shape.pixel);
        Ok(Self { output, is_followed, pixel, ops: pixel_ops, writer: row.finish() })
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
        let Workspace { plan, planned, .. } = space;
        *planned = None;
        plan.begin(image, self.is_followed);
        for (op, pixel_op) in &self.ops {
            pixel_op.plan(plan, OpKey { key, op: *op }).and_then(|()| plan.check_area()).map_err(failure)?;
        }
        *planned = Some(key);
        Ok(plan.region())
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
                let extents = self.writer.shape(space.plan.size());
                self.output.begin_row(row, &extents[..axes])?
            }
        };
        self.run(pixels, space, row).map_err(failure)
    }

    /// As [`render`](Self::render), for a caller that lays out rows itself: writes every byte of an image's values.
    pub(crate) fn render_values(
        &self,
        pixels: Pixels<'_>,
        space: &mut Workspace,
        values: &mut [u8],
    ) -> Result<(), Failure> {
        self.run(pixels, space, values).map_err(failure)
    }

    fn run(&self, image: Pixels<'_>, space: &mut Workspace, row: &mut [u8]) -> Result<(), String> {
        let Workspace { planned, plan, renderer, canvas, spare, packed } = space;
        let key = planned.take().ok_or("nothing was planned")?;
        if image.size() != plan.image {
            plan.take_region(image.size())?;
        }
        let mut input = Some(image);
        for pass in &plan.passes {
            match pass {
                Pass::View(view) => {
                    let from = input.take().unwrap_or_else(|| Pixels::new(canvas.pixels(), canvas.size, canvas.pixel));
                    show(renderer, view, from, &mut spare.canvas)?;
                    spare.canvas.pack();
                    std::mem::swap(canvas, &mut spare.canvas);
                }
                Pass::Edit(edit) => edit.apply(canvas, spare),
            }
        }
        let from = input.unwrap_or_else(|| Pixels::new(canvas.pixels(), canvas.size, canvas.pixel));
        self.write(&plan.last, from, renderer, (&mut spare.canvas, packed), row)?;
        self.writer.edit(key, plan.size(), row);
        Ok(())
    }

    /// Does the last pass, the one that writes the row.
    fn write(
        &self,
        view: &View,
        from: Pixels<'_>,
        renderer: &mut Renderer,
        (spare, packed): (&mut Canvas, &mut Buffer),
        row: &mut [u8],
    ) -> Result<(), String> {
        if view.scale.is_none() && view.is_inside() {
            self.writer.write(from.part(view.inner_crop()).turned_over(view.flop), view.flip, packed, row);
        } else if self.writer.is_copy() && !view.flip && !view.flop && from.pixel() == self.pixel {
            renderer.render(view, from, row)?;
        } else {
            renderer.render(view, from, spare.reset(view.size(), from.pixel()))?;
            let shown = Pixels::new(spare.pixels(), view.size(), from.pixel());
            self.writer.write(shown.turned_over(view.flop), view.flip, packed, row);
        }
        Ok(())
    }
}

impl Workspace {
    /// Exchanges older moves for those of the image that was planned last.
    pub(crate) fn swap_moves(&mut self, moves: &mut Moves) {
        (moves.before, moves.after) = (self.plan.image, self.plan.size());
        self.plan.swap_motions(&mut moves.motions);
    }
}

/// Returns an operation on pixels; `ended_by` is the first operation that takes none, if one stands before.
fn pixels(op: &Numbered, ended_by: Option<&str>) -> Result<Arc<dyn PixelOp>, String> {
    match (&op.role, ended_by) {
        (Role::Decoding(_), _) => Err("goes with an encoded image, and stands before all other transforms".to_owned()),
        (Role::Boxes(_), _) => Err("goes with the field of the boxes, not of an image".to_owned()),
        (Role::KeyPoints(_), _) => Err("goes with the field of the keypoints, not of an image".to_owned()),
        (Role::Pixels(_) | Role::Row(_), Some(before)) => {
            Err(format!("must stand before {before}: it takes pixels, height and width first"))
        }
        (Role::Pixels(pixel_op), None) => Ok(Arc::clone(pixel_op)),
        (Role::Row(_), None) => Err("takes no pixels".to_owned()),
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

/// Returns a failure of the transform stage.
pub(crate) fn failure(reason: String) -> Failure {
    Failure::new(Stage::Transform, reason)
}

/// Makes a view into pixels, flips included.
fn show(renderer: &mut Renderer, view: &View, from: Pixels<'_>, canvas: &mut Canvas) -> Result<(), String> {
    let (size, pixel) = (view.size(), from.pixel());
    let out = canvas.reset(size, pixel);
    renderer.render(view, from, out)?;
    if view.flip {
        render::mirror(out, size.width, pixel);
    }
    if view.flop {
        render::turn_over(out, size.width as usize * pixel.size());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
