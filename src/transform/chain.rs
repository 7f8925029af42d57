//! A field's transforms, checked and compiled once.

use super::{
    Interpolation, Layout, Transform,
    geometry::{self, Size},
    render::{self, Renderer},
    tail::{Elements, Tail},
    view::View,
    write::Pixels,
};
use crate::{
    decode::MAX_PIXELS,
    error::{Error, Failure, Result, Stage},
    rng::Key,
    source::SourceField,
    spec::{DType, FieldSpec, Ragged},
};

/// The compiled transforms of one field.
#[derive(Clone, Debug)]
pub struct Chain {
    output: FieldSpec,
    image: Option<ImageChain>,
}

/// The part of a chain that knows pixels.
#[derive(Clone, Debug)]
struct ImageChain {
    /// The size of every input, where it is known: that of a tensor.
    input: Option<Size>,
    channels: usize,
    /// The geometry, each operation with its place in the chain.
    geometry: Vec<(u64, Geometry)>,
    tail: Tail,
}

/// A transform that moves pixels.
#[derive(Clone, Debug)]
enum Geometry {
    Resize { size: Vec<u32>, max_size: Option<u32>, interpolation: Interpolation },
    CenterCrop(Size),
    RandomResizedCrop { size: Size, scale: [f64; 2], ratio: [f64; 2], interpolation: Interpolation },
    RandomHorizontalFlip(f64),
}

/// The buffers of one thread, and the plan for the sample in hand.
#[derive(Debug, Default)]
pub struct Workspace {
    renderer: Renderer,
    /// The size of the image that the plan is for.
    image: Option<Size>,
    /// What is done to it, one pass over the pixels after the other.
    views: Vec<View>,
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Workspace {
    /// Returns the size of what the plan shows.
    fn size(&self) -> Option<Size> {
        self.views.last().map(View::size)
    }
}

/// The part of an image that a plan needs: a box inside the image, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The first row.
    pub top: u32,
    /// The first column.
    pub left: u32,
    /// The number of rows, at least one.
    pub height: u32,
    /// The number of columns, at least one.
    pub width: u32,
    /// The height and width to which the region is resized before anything else; `None` where its pixels are needed as
    /// they are.
    pub resized: Option<(u32, u32)>,
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
        let (mut state, spec) = match (field, ops) {
            (SourceField::Tensor(spec), []) => {
                let mut output = spec.clone();
                match (&mut output.ragged, capacity) {
                    (Some(ragged), Some(capacity)) => ragged.capacity = capacity,
                    (None, Some(_)) => return Err(no_capacity(&spec.name)),
                    (_, None) => {}
                }
                output.row_bytes()?;
                return Ok(Self { output, image: None });
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
                (Compiler::new(Some(size), channels, spec.shape.len()), Some((size, channels)))
            }
            (SourceField::EncodedImage { .. }, _) => (Compiler::new(None, 3, 3), None),
            (SourceField::EncodedMask { .. }, _) => (Compiler::new(None, 1, 2), None),
        };
        let name = field.name();
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
        let Compiler { channels, geometry, elements, layout, .. } = state;
        let image = ImageChain { input: spec.map(|(size, _)| size), channels, geometry, tail: elements.finish(layout) };
        Ok(Self { output, image: Some(image) })
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
            let row = match self.output.ragged {
                None => row,
                Some(_) => {
                    let spec = &self.output;
                    let entry = spec.shape.iter().product::<usize>() * spec.dtype.size();
                    spec.begin_row(row, &[data.len() / entry.max(1)]).map_err(failure)?
                }
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
        let row = match (self.output.ragged, space.size()) {
            (Some(_), Some(Size { height, width })) => {
                self.output.begin_row(row, &[height as usize, width as usize]).map_err(failure)?
            }
            _ => row,
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
    geometry: Vec<(u64, Geometry)>,
    elements: Elements,
    /// The first transform that ended the geometry.
    ended_by: Option<&'static str>,
}

impl Compiler {
    const fn new(size: Option<Size>, channels: usize, rank: usize) -> Self {
        let elements = Elements::new(channels);
        Self { size, channels, rank, layout: Layout::Hwc, geometry: Vec::new(), elements, ended_by: None }
    }

    fn add(&mut self, at: u64, op: &Transform) -> Result<(), String> {
        let geometry = match op {
            Transform::Resize { size, interpolation, max_size } => {
                self.size = match (self.size, &size[..]) {
                    (Some(known), _) => Some(geometry::resized(known, size, *max_size)?),
                    (None, [_, _]) => Some(Size::of(size)),
                    (None, _) => None,
                };
                Geometry::Resize { size: size.clone(), max_size: *max_size, interpolation: *interpolation }
            }
            Transform::CenterCrop { size } => {
                self.size = Some(Size::of(size));
                Geometry::CenterCrop(Size::of(size))
            }
            Transform::RandomResizedCrop { size, scale, ratio, interpolation } => {
                let size = Size::of(size);
                self.size = Some(size);
                Geometry::RandomResizedCrop { size, scale: *scale, ratio: *ratio, interpolation: *interpolation }
            }
            Transform::RandomHorizontalFlip { p } => Geometry::RandomHorizontalFlip(*p),
            Transform::Normalize { mean, std } => {
                self.end_geometry(op);
                return self.elements.normalize(mean, std);
            }
            Transform::ToDtype { dtype, scale } => {
                self.end_geometry(op);
                return self.elements.cast(*dtype, *scale);
            }
            Transform::ToLayout { layout } => {
                self.end_geometry(op);
                return self.set_layout(*layout);
            }
        };
        if let Some(before) = self.ended_by {
            return Err(format!("must stand before {before}: geometry takes uint8 images, height and width first"));
        }
        self.geometry.push((at, geometry));
        Ok(())
    }

    fn end_geometry(&mut self, op: &Transform) {
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
    fn render(&self, image: Pixels<'_>, space: &mut Workspace, row: &mut [u8]) -> Result<(), String> {
        let Workspace { renderer, image: planned, views, from, to } = space;
        let (Some(first), Some(whole)) = (views.first_mut(), planned.take()) else {
            return Err("nothing was planned".to_owned());
        };
        if image.size() != whole {
            first.take_region(image.size())?;
        }
        let Some((last, passes)) = views.split_last() else {
            return Err("nothing was planned".to_owned());
        };
        let mut held = None;
        for view in passes {
            let input = held.map_or(image, |size| Pixels::new(from, size, self.channels));
            let out = render::grown(to, view.size().area() as usize * self.channels);
            renderer.render(view, input, out)?;
            if view.flip {
                render::mirror(out, view.size().width, self.channels);
            }
            std::mem::swap(from, to);
            held = Some(view.size());
        }
        let input = held.map_or(image, |size| Pixels::new(from, size, self.channels));
        if last.scale.is_none() && last.window.is_inside(last.crop.size) {
            self.tail.write(input.part(last.inner_crop()), last.flip, row);
        } else if self.tail.is_copy() && !last.flip {
            renderer.render(last, input, row)?;
        } else {
            let shown = render::grown(to, last.size().area() as usize * self.channels);
            renderer.render(last, input, shown)?;
            self.tail.write(Pixels::new(shown, last.size(), self.channels), last.flip, row);
        }
        Ok(())
    }

    /// Draws and computes which pixels go where.
    fn plan(&self, image: Size, key: Key, space: &mut Workspace) -> Result<Region, String> {
        let views = &mut space.views;
        views.clear();
        space.image = None;
        let mut view = View::whole(image);
        for (op, geometry) in &self.geometry {
            let (size, interpolation) = match geometry {
                Geometry::Resize { size, max_size, interpolation } => {
                    (geometry::resized(view.size(), size, *max_size)?, *interpolation)
                }
                Geometry::CenterCrop(size) => {
                    view.crop(geometry::center(view.size(), *size));
                    continue;
                }
                Geometry::RandomResizedCrop { size, scale, ratio, interpolation } => {
                    view.crop(geometry::random_box(view.size(), *scale, *ratio, &mut key.rng(*op)));
                    (*size, *interpolation)
                }
                Geometry::RandomHorizontalFlip(p) => {
                    if key.rng(*op).unit() < *p {
                        view.flip();
                    }
                    continue;
                }
            };
            if let Some(next) = view.resize(size, interpolation) {
                check_area(&view)?;
                views.push(view);
                view = next;
            }
        }
        check_area(&view)?;
        views.push(view);
        space.image = Some(image);
        Ok(views[0].region())
    }
}

/// Refuses to hold more pixels than may be decoded, before or after the window is cut out.
fn check_area(view: &View) -> Result<(), String> {
    match [view.content(), view.size()].into_iter().find(|size| size.area() > MAX_PIXELS) {
        None => Ok(()),
        Some(Size { height, width }) => {
            Err(format!("resizing to {width}x{height} takes more than the limit of {MAX_PIXELS} pixels"))
        }
    }
}
