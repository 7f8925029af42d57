//! A field's transforms, checked and compiled once.

use super::{
    Layout, Transform,
    edit::Canvas,
    erase::Eraser,
    geometry,
    plan::{Pass, Plan, Region},
    render::{self, Renderer},
    tail::{Elements, Tail},
    view::View,
    write::Pixels,
};
use crate::{
    decode::DecodeImage,
    error::{Error, Failure, Result, Stage},
    geometry::Size,
    rng::Key,
    source::SourceField,
    spec::{DType, FieldSpec, Ragged},
};

/// The compiled transforms of one field.
#[derive(Clone, Debug)]
pub struct Chain {
    output: FieldSpec,
    decoding: DecodeImage,
    image: Option<ImageChain>,
}

/// The part of a chain that knows pixels.
#[derive(Clone, Debug)]
struct ImageChain {
    /// The size of every input, where it is known: that of a tensor.
    input: Option<Size>,
    channels: usize,
    /// The transforms that take pixels, each with its place in the chain.
    steps: Vec<(u64, Transform)>,
    tail: Tail,
    erasers: Vec<Eraser>,
}

/// The buffers of one thread, and the plan for the sample in hand.
#[derive(Debug, Default)]
pub struct Workspace {
    /// Whether the plan is yet to be rendered.
    planned: bool,
    pub(super) plan: Plan,
    renderer: Renderer,
    canvas: Canvas,
    spare: Canvas,
    scratch: Vec<f32>,
    packed: Vec<u8>,
    pub(super) boxes: Vec<[f32; 4]>,
}

impl Chain {
    /// Compiles the transforms of a field of fixed shape.
    ///
    /// # Errors
    /// As [`compile_numbered`](Self::compile_numbered).
    pub fn compile(field: &SourceField, ops: &[Transform]) -> Result<Self> {
        let numbered: Vec<_> = (0..).zip(ops.iter().cloned()).collect();
        Self::compile_numbered(field, &numbered, None)
    }

    /// Compiles the transforms of a field, each with the number that its draws are keyed by.
    ///
    /// `capacity` is the room of each row where the field is ragged: an image whose size the transforms do not fix, or
    /// a list.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for an argument out of range, a transform that cannot take what comes before it, an
    /// encoded image whose size the chain does not fix and that has no capacity, or a capacity of another field.
    pub fn compile_numbered(field: &SourceField, ops: &[(u64, Transform)], capacity: Option<usize>) -> Result<Self> {
        let name = field.name();
        let (decoding, ops) = match (field, ops) {
            (SourceField::EncodedImage { .. }, [(_, first @ Transform::DecodeImage(decoding)), rest @ ..]) => {
                first.validate().map_err(|error| Error::Config(format!("field `{name}`: transform 0: {error}")))?;
                (*decoding, rest)
            }
            _ => (DecodeImage::default(), ops),
        };
        let (input, channels, rank) = match (field, ops) {
            (SourceField::Tensor(spec), []) => {
                let mut output = spec.clone();
                match (&mut output.ragged, capacity) {
                    (Some(ragged), Some(capacity)) => ragged.capacity = capacity,
                    (None, Some(_)) => return Err(no_capacity(&spec.name)),
                    (_, None) => {}
                }
                output.row_bytes()?;
                return Ok(Self { output, decoding, image: None });
            }
            (SourceField::Tensor(spec), [(_, first), ..]) => {
                let Some((size, channels)) = image_shape(spec) else {
                    return Err(Error::Config(format!(
                        "field `{}`: {} takes uint8 images of shape [H, W, 3], [H, W, 1] or [H, W], not {} of shape {:?}",
                        spec.name,
                        first.name(),
                        spec.dtype,
                        spec.shape
                    )));
                };
                (Some(size), channels, spec.shape.len())
            }
            (SourceField::Places { .. }, _) => {
                return Err(Error::Config(format!("field `{name}`: places are no pixels")));
            }
            (SourceField::EncodedImage { .. }, _) => (None, 3, 3),
            (SourceField::EncodedMask { .. }, _) => (None, 1, 2),
        };
        let mut state = Compiler::new(input, channels, rank);
        for (at, op) in ops {
            op.validate()
                .and_then(|()| state.add(*at, op).map_err(|what| Error::Config(format!("{}: {what}", op.name()))))
                .map_err(|error| Error::Config(format!("field `{name}`: transform {at}: {error}")))?;
        }
        let dtype = state.elements.dtype;
        let output = match (state.size, capacity) {
            (Some(size), None) => FieldSpec::new(name, dtype, state.shape(size)),
            (Some(_), Some(_)) => return Err(no_capacity(name)),
            (None, Some(_)) if state.layout == Layout::Chw => {
                return Err(Error::Config(format!(
                    "field `{name}`: images of varying size stay HWC, since the axes that vary come first"
                )));
            }
            (None, Some(capacity)) => {
                let shape = if state.rank == 2 { vec![] } else { vec![state.channels] };
                FieldSpec { ragged: Some(Ragged { axes: 2, capacity }), ..FieldSpec::new(name, dtype, shape) }
            }
            (None, None) => {
                return Err(Error::Config(format!(
                    "field `{name}` has no fixed size: end the geometry with RandomResizedCrop, CenterCrop or Resize with \
                     two sizes, or give capacity[{name:?}], the pixels that a row has room for, to make it ragged"
                )));
            }
        };
        output.row_bytes()?;
        let Compiler { steps, elements, layout, erasers, .. } = state;
        let erasers = erasers.into_iter().map(|eraser| eraser.finish(&elements)).collect();
        let image = ImageChain { input, channels, steps, tail: elements.finish(layout), erasers };
        Ok(Self { output, decoding, image: Some(image) })
    }

    /// Returns how encoded images are to be decoded.
    pub const fn decoding(&self) -> DecodeImage {
        self.decoding
    }

    /// Returns what every row of the field looks like.
    pub const fn output(&self) -> &FieldSpec {
        &self.output
    }

    /// Writes a tensor, transformed, to a row of the batch: every byte of it.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage.
    pub fn apply_tensor(&self, data: &[u8], key: Key, space: &mut Workspace, row: &mut [u8]) -> Result<(), Failure> {
        let Some(chain) = &self.image else {
            let row = if self.output.ragged.is_some() {
                self.output.begin_row(row, &[data.len() / self.output.entry_bytes()]).map_err(failure)?
            } else {
                row
            };
            if data.len() != row.len() {
                return Err(failure(format!("the record has {} bytes, the field {}", data.len(), row.len())));
            }
            row.copy_from_slice(data);
            return Ok(());
        };
        match chain.input {
            Some(size) if data.len() as u64 == size.area() * chain.channels as u64 => chain
                .plan(size, key, space)
                .and_then(|_| chain.render(Pixels::new(data, size, chain.channels), space, row))
                .map_err(failure),
            _ => Err(failure(format!("a record of {} bytes is not the field's image", data.len()))),
        }
    }

    /// Draws everything that is random about a sample and computes every pass over its pixels, before there are any.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage, for an image that the geometry cannot take.
    pub fn plan(&self, height: u32, width: u32, key: Key, space: &mut Workspace) -> Result<Region, Failure> {
        let chain = self.image.as_ref().ok_or_else(|| failure("the field is no image".to_owned()))?;
        chain.plan(Size { height, width }, key, space).map_err(failure)
    }

    /// Writes the image that was planned last in `space` to a row of the batch: every byte of it.
    ///
    /// `pixels` are the whole image or its planned region; where the region is to be resized, it may have been
    /// reduced before.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage, for pixels that are neither.
    pub fn render(&self, pixels: Pixels<'_>, space: &mut Workspace, row: &mut [u8]) -> Result<(), Failure> {
        let chain = self.image.as_ref().ok_or_else(|| failure("the field is no image".to_owned()))?;
        let row = if self.output.ragged.is_some() {
            let Size { height, width } = space.plan.size();
            self.output.begin_row(row, &[height as usize, width as usize]).map_err(failure)?
        } else {
            row
        };
        chain.render(pixels, space, row).map_err(failure)
    }
}

fn no_capacity(name: &str) -> Error {
    Error::Config(format!("field `{name}` has a fixed shape and takes no capacity"))
}

fn failure(reason: String) -> Failure {
    Failure::new(Stage::Transform, reason)
}

/// Returns the size and the channels of a tensor that is an image.
fn image_shape(spec: &FieldSpec) -> Option<(Size, usize)> {
    let (height, width, channels) = match spec.shape[..] {
        [height, width] => (height, width, 1),
        [height, width, channels @ (1 | 3)] => (height, width, channels),
        _ => return None,
    };
    let size = Size { height: u32::try_from(height).ok()?, width: u32::try_from(width).ok()? };
    (spec.dtype == DType::UInt8 && spec.ragged.is_none() && size.area() > 0).then_some((size, channels))
}

/// What is known of a field after some of its transforms.
struct Compiler {
    size: Option<Size>,
    channels: usize,
    rank: usize,
    layout: Layout,
    steps: Vec<(u64, Transform)>,
    elements: Elements,
    erasers: Vec<UnfinishedEraser>,
    /// The first transform that takes no pixels.
    ended_by: Option<&'static str>,
}

/// A `RandomErasing` whose values the rest of the chain may still change.
struct UnfinishedEraser {
    op: u64,
    p: f64,
    scale: [f64; 2],
    ratio: [f64; 2],
    value: Option<Vec<f64>>,
    /// How many steps on elements stand before it.
    steps: usize,
}

impl UnfinishedEraser {
    fn finish(self, elements: &Elements) -> Eraser {
        let Self { op, p, scale, ratio, value, steps } = self;
        Eraser { op, p, scale, ratio, value, encode: elements.encode_after(steps) }
    }
}

impl Compiler {
    fn new(size: Option<Size>, channels: usize, rank: usize) -> Self {
        let elements = Elements::new(channels);
        let (steps, erasers) = (Vec::new(), Vec::new());
        Self { size, channels, rank, layout: Layout::Hwc, steps, elements, erasers, ended_by: None }
    }

    fn add(&mut self, at: u64, op: &Transform) -> Result<(), String> {
        match op {
            Transform::DecodeImage(_) => {
                return Err("goes with an encoded image, and stands before all other transforms".to_owned());
            }
            Transform::ClampBoundingBoxes {}
            | Transform::SanitizeBoundingBoxes { .. }
            | Transform::ConvertBoundingBoxFormat { .. }
            | Transform::ClampKeyPoints {} => {
                return Err("goes with the field of the places, not of an image".to_owned());
            }
            Transform::Normalize { mean, std } => {
                self.end_pixels(op);
                return self.elements.normalize(mean, std);
            }
            Transform::ToDtype { dtype, scale } => {
                self.end_pixels(op);
                return self.elements.cast(*dtype, *scale);
            }
            Transform::ToLayout { layout } => {
                self.end_pixels(op);
                return self.set_layout(*layout);
            }
            Transform::RandomErasing { p, scale, ratio, value } => {
                self.end_pixels(op);
                let steps = self.elements.erase(value.as_deref())?;
                let value = value.clone();
                self.erasers.push(UnfinishedEraser { op: at, p: *p, scale: *scale, ratio: *ratio, value, steps });
                return Ok(());
            }
            _ => {}
        }
        if let Some(before) = self.ended_by {
            return Err(format!("must stand before {before}: it takes uint8 images, height and width first"));
        }
        self.size = self.size_after(op)?;
        match op {
            Transform::Grayscale { num_output_channels: 3 } if self.channels != 3 => {
                return Err("cannot make three channels of one".to_owned());
            }
            Transform::Grayscale { num_output_channels: 1 } => {
                self.channels = 1;
                self.elements = Elements::new(1);
            }
            _ => {}
        }
        self.steps.push((at, op.clone()));
        Ok(())
    }

    /// Returns the size of an image after a transform, where it is the same for all.
    fn size_after(&self, op: &Transform) -> Result<Option<Size>, String> {
        Ok(match op {
            Transform::Resize { size, max_size, .. } => match (self.size, &size[..]) {
                (Some(known), _) => Some(geometry::resized(known, size, *max_size)?),
                (None, [_, _]) => Some(Size::of(size)),
                (None, _) => None,
            },
            Transform::CenterCrop { size }
            | Transform::RandomResizedCrop { size, .. }
            | Transform::RandomCrop { size, .. } => Some(Size::of(size)),
            Transform::Pad(padding) => self
                .size
                .map(|known| geometry::padded(known, geometry::sides(&padding.padding)))
                .transpose()?
                .map(|padded| padded.size),
            Transform::RandomRotation { expand: true, .. } => None,
            _ => self.size,
        })
    }

    const fn end_pixels(&mut self, op: &Transform) {
        if self.ended_by.is_none() {
            self.ended_by = Some(op.name());
        }
    }

    fn set_layout(&mut self, layout: Layout) -> Result<(), String> {
        if self.rank != 3 {
            return Err("an image of shape [H, W] has no channel axis to move".to_owned());
        }
        self.layout = layout;
        Ok(())
    }

    fn shape(&self, size: Size) -> Vec<usize> {
        let (height, width) = (size.height as usize, size.width as usize);
        match (self.rank, self.layout) {
            (2, _) => vec![height, width],
            (_, Layout::Hwc) => vec![height, width, self.channels],
            (_, Layout::Chw) => vec![self.channels, height, width],
        }
    }
}

impl ImageChain {
    fn plan(&self, image: Size, key: Key, space: &mut Workspace) -> Result<Region, String> {
        let Workspace { plan, planned, .. } = space;
        *planned = false;
        plan.begin(image);
        for (op, transform) in &self.steps {
            plan.add(transform, *op, key)?;
        }
        let size = plan.size();
        plan.erased.extend(self.erasers.iter().map(|eraser| eraser.draw(size, key.rng(eraser.op))));
        *planned = true;
        Ok(plan.region())
    }

    fn render(&self, image: Pixels<'_>, space: &mut Workspace, row: &mut [u8]) -> Result<(), String> {
        let Workspace { planned, plan, renderer, canvas, spare, scratch, packed, .. } = space;
        if !std::mem::take(planned) {
            return Err("nothing was planned".to_owned());
        }
        if image.size() != plan.image {
            plan.take_region(image.size())?;
        }
        let mut input = Some(image);
        for pass in &plan.passes {
            match pass {
                Pass::View(view) => {
                    let from =
                        input.take().unwrap_or_else(|| Pixels::new(canvas.pixels(), canvas.size, canvas.channels));
                    show(renderer, view, from, spare)?;
                    spare.pack();
                    std::mem::swap(canvas, spare);
                }
                Pass::Edit(edit) => edit.apply(canvas, spare, scratch),
            }
        }
        let from = input.unwrap_or_else(|| Pixels::new(canvas.pixels(), canvas.size, canvas.channels));
        self.finish(&plan.last, from, renderer, (spare, packed), row)?;
        let (size, channels, layout) = (plan.size(), self.tail.channels(), self.tail.layout());
        for (eraser, erased) in self.erasers.iter().zip(&plan.erased) {
            eraser.erase(erased, size, channels, layout, row);
        }
        Ok(())
    }

    /// Does the last pass, the one that writes the row.
    fn finish(
        &self,
        view: &View,
        from: Pixels<'_>,
        renderer: &mut Renderer,
        (spare, packed): (&mut Canvas, &mut Vec<u8>),
        row: &mut [u8],
    ) -> Result<(), String> {
        let channels = from.channels();
        if view.scale.is_none() && view.is_inside() {
            self.tail.write(from.part(view.inner_crop()).turned_over(view.flop), view.flip, packed, row);
        } else if self.tail.is_copy() && !view.flip && !view.flop && channels == self.channels {
            renderer.render(view, from, row)?;
        } else {
            renderer.render(view, from, spare.reset(view.size(), channels))?;
            let shown = Pixels::new(spare.pixels(), view.size(), channels);
            self.tail.write(shown.turned_over(view.flop), view.flip, packed, row);
        }
        Ok(())
    }
}

/// Makes a view into pixels, flips included.
fn show(renderer: &mut Renderer, view: &View, from: Pixels<'_>, canvas: &mut Canvas) -> Result<(), String> {
    let (size, channels) = (view.size(), from.channels());
    let out = canvas.reset(size, channels);
    renderer.render(view, from, out)?;
    if view.flip {
        render::mirror(out, size.width, channels);
    }
    if view.flop {
        render::turn_over(out, size.width as usize * channels);
    }
    Ok(())
}
