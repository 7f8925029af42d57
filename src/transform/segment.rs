//! Operations of this crate one after the other, compiled: a plan for each sample, then its passes.

use std::sync::Arc;

use super::{
    args::Layout,
    canvas::Canvas,
    edit::Spare,
    elements::{RowSteps, RowWriter},
    failure::failure,
    moves::Moves,
    numbered::Numbered,
    op::{ImageShape, OnMask, OpKey, PixelOp, Role},
    passes,
    pixels::Pixels,
    plan::Plan,
    render::Renderer,
    view::{Region, View},
};
use crate::{
    buffer::Buffer,
    drawn,
    error::{Error, Failure, Result},
    geometry::{Rect, Size},
    pixel::PixelType,
    rng::Key,
};

/// What a chain is compiled for.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub(crate) struct ImageInput<'a> {
    /// The field's name.
    pub(crate) name: &'a str,
    /// The images before any operation.
    pub(crate) shape: ImageShape,
    /// Whether they are (height, width, channels), or (height, width).
    pub(crate) has_channel_axis: bool,
    /// Where the axis of the channels stands in what comes before. With channels first, only elements can be changed.
    pub(crate) layout: Layout,
    /// The pixels that a row has room for, where the field is ragged.
    pub(crate) capacity: Option<usize>,
    /// Whether rows are as large as they must be, without a capacity.
    pub(crate) unbounded: bool,
    /// Whether masks, boxes or keypoints follow the images.
    pub(crate) is_followed: bool,
    /// Whether other images of the field have other channels, so that the axis of the channels varies too.
    pub(crate) varies_in_channels: bool,
}

/// Compiled operations on images.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// The field, for whoever is told what was drawn for it.
    field: Arc<str>,
    /// Whether it is to be known where points and boxes go.
    is_followed: bool,
    pixel: PixelType,
    /// The operations, each with its name and what its draws are keyed by.
    ops: Vec<(&'static str, u64, Arc<dyn PixelOp>)>,
    writer: RowWriter,
}

/// The buffers of one thread, and the plan for the sample in hand.
#[derive(Debug, Default)]
pub struct Workspace {
    /// Whose plan is yet to be rendered.
    planned: Option<Key>,
    /// The size of the image before anything was done to it.
    first: Size,
    plan: Plan,
    renderer: Renderer,
    canvas: Canvas,
    spare: Spare,
    packed: Buffer,
    /// Pixels of an image whose channels came first.
    reordered: Buffer,
}

impl Segment {
    /// Compiles operations. Returns what the images are before the operations on elements, and what their elements become.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for an operation that cannot take what comes before it.
    pub(super) fn compile(input: ImageInput<'_>, ops: &[Numbered]) -> Result<(Self, ImageShape, RowSteps)> {
        let name = input.name;
        let (mut shape, mut pixel_ops) = (input.shape, Vec::new());
        let row_ops = ops.iter().position(|op| matches!(op.role, Role::Row(_))).unwrap_or(ops.len());
        let refused = |op: &Numbered, what: String| {
            Error::Config(format!("field `{name}`: transform {}: {}: {what}", op.at, op.name))
        };
        let ended_by = (input.layout == Layout::Chw).then_some("a function that gives channels first");
        for op in &ops[..row_ops] {
            let pixel_op = pixels(op, ended_by).map_err(|what| refused(op, what))?;
            if shape.crops.is_some() {
                return Err(refused(op, "must stand before the crops, of which there are several".to_owned()));
            }
            shape = pixel_op.output(shape).map_err(|what| refused(op, what))?;
            pixel_ops.push((op.name, op.op, pixel_op));
        }
        let mut row = RowSteps::new(shape.pixel, shape.crops, input.has_channel_axis);
        if input.has_channel_axis {
            row.set_layout(input.layout).map_err(Error::Config)?;
        }
        for op in &ops[row_ops..] {
            let Role::Row(row_op) = &op.role else {
                let what = pixels(op, Some(ops[row_ops].name)).err().unwrap_or_default();
                return Err(refused(op, what));
            };
            row_op.add(&mut row, op.op).map_err(|what| refused(op, what))?;
        }
        let by_boxes = |(_, _, op): &(&str, u64, Arc<dyn PixelOp>)| matches!(op.on_mask(), OnMask::MovesByBoxes(_));
        let (is_followed, pixel) = (input.is_followed || pixel_ops.iter().any(by_boxes), shape.pixel);
        let writer = row.clone().finish();
        Ok((Self { field: name.into(), is_followed, pixel, ops: pixel_ops, writer }, shape, row))
    }

    /// Draws everything that is random about a sample and computes every pass over its pixels, before there are any.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage, for an image that the geometry cannot take.
    pub(super) fn plan(&self, image: Size, key: Key, space: &mut Workspace) -> Result<Region, Failure> {
        space.first = image;
        space.plan.begin(image, self.is_followed);
        self.add_to_plan(key, space)
    }

    /// Does the same for what became of the image that was planned last.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub(super) fn go_on(&self, image: Size, key: Key, space: &mut Workspace) -> Result<(), Failure> {
        space.plan.go_on(image);
        self.add_to_plan(key, space).map(drop)
    }

    fn add_to_plan(&self, key: Key, space: &mut Workspace) -> Result<Region, Failure> {
        let Workspace { plan, planned, .. } = space;
        *planned = None;
        for (name, op, pixel_op) in &self.ops {
            let planned = drawn::of(&self.field, name, || pixel_op.plan(plan, OpKey { key, op: *op }));
            planned.and_then(|()| plan.check_area()).map_err(failure)?;
        }
        *planned = Some(key);
        Ok(plan.region())
    }

    /// Returns the shape of what the image becomes that was planned last in `space`.
    pub(super) fn shape(&self, space: &Workspace) -> Vec<usize> {
        self.writer.shape(space.plan.size())
    }

    /// Writes what the image becomes that was planned last in `space`: every byte of it.
    ///
    /// # Errors
    /// The reason, for pixels that are neither the whole image nor its planned region.
    pub(super) fn run(&self, image: Pixels<'_>, space: &mut Workspace, row: &mut [u8]) -> Result<(), String> {
        let Workspace { planned, plan, renderer, canvas, spare, packed, .. } = space;
        let key = planned.take().ok_or("nothing was planned")?;
        if image.size() != plan.image {
            plan.take_region(image.size())?;
        }
        let from = passes::run(&plan.passes, image, renderer, canvas, spare)?;
        let shown = plan.shown();
        let each = row.len() / shown.len();
        for (view, row) in shown.zip(row.chunks_exact_mut(each)) {
            self.write(&view, from, renderer, (&mut spare.canvas, &mut *packed), row)?;
            self.writer.edit(&self.field, key, plan.size(), row);
        }
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
    /// Takes memory for pixels in another order, to be put back.
    pub(super) fn take_reordered(&mut self) -> Buffer {
        std::mem::take(&mut self.reordered)
    }

    /// Puts memory back.
    pub(super) fn put_reordered(&mut self, buffer: Buffer) {
        self.reordered = buffer;
    }

    /// Makes the plan one for the pixels of a box of the image, in which its region lies.
    pub(crate) fn cut_to(&mut self, part: Rect) {
        self.plan.cut_to(part);
    }

    /// Tells which boxes lie in the next image that is planned: left, top, right, bottom of each.
    pub(crate) fn give_boxes(&mut self, boxes: impl IntoIterator<Item = [f32; 4]>) {
        self.plan.given_boxes.clear();
        self.plan.given_boxes.extend(boxes);
    }

    /// Exchanges older moves for those of the image that was planned last.
    pub(crate) fn swap_moves(&mut self, moves: &mut Moves) {
        (moves.before, moves.after) = (self.first, self.plan.size());
        std::mem::swap(&mut moves.boxes, &mut self.plan.given_boxes);
        self.plan.swap_motions(&mut moves.motions);
    }
}

/// Returns an operation on pixels; `ended_by` is the first operation that takes none, if one stands before.
fn pixels(op: &Numbered, ended_by: Option<&str>) -> Result<Arc<dyn PixelOp>, String> {
    match (&op.role, ended_by) {
        (Role::Decoding(_), _) => Err("goes with an encoded image, and stands before all other transforms".to_owned()),
        (Role::Samples(_), _) => {
            Err("goes with an encoded image, and stands before all other transforms but DecodeImage".to_owned())
        }
        (Role::Boxes(_), _) => Err("goes with the field of the boxes, not of an image".to_owned()),
        (Role::Sound(_), _) => Err("takes sound, not images".to_owned()),
        (Role::KeyPoints(_), _) => Err("goes with the field of the keypoints, not of an image".to_owned()),
        (Role::Pixels(_) | Role::Row(_), Some(before)) => {
            Err(format!("must stand before {before}: it takes pixels, height and width first"))
        }
        (Role::Text(_), _) => Err("takes texts, and no images".to_owned()),
        (Role::Call(_), _) => Err("is called, and is none of these operations".to_owned()),
        (Role::Pixels(pixel_op), None) => Ok(Arc::clone(pixel_op)),
        (Role::Row(_), None) => Err("takes no pixels".to_owned()),
    }
}
