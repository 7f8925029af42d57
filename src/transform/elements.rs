//! What becomes of each element: the casts and the normalisation of a chain, compiled.
//!
//! For pixels of 8 bits there are fast loops. To `float32` and `bfloat16`, whatever a chain does to single elements
//! is one line per channel, `(value - zero) / step` in `f32`: exact but for the rounding of `zero`, of `step` and of the
//! result, so that it lies as near to the true value as torchvision's `(value / 255 - mean) / std` in `f32` does, within
//! 2^-22 of the larger of the value and `mean / std`. For other dtypes it is a table of 256 values per channel.

use std::{fmt::Debug, sync::Arc};

use super::{
    args::Layout,
    encode::{Encode, Step},
    pixels::Pixels,
    values::{self, Becomes},
    write::{self, Float, Line, Table},
};
use crate::{
    buffer::Buffer,
    drawn,
    geometry::Size,
    pixel::{Channels, Depth, PixelType},
    rng::{Draws, Key},
    spec::DType,
};

/// What the elements of a row become, and how they are laid out, while a chain is compiled.
#[derive(Clone, Debug)]
pub(crate) struct RowSteps {
    dtype: DType,
    /// What the pixels are.
    pixel: PixelType,
    /// How many images a row holds, where it has an axis of them.
    crops: Option<usize>,
    /// Whether the image has a channel axis, (height, width, channels), or none.
    has_channel_axis: bool,
    layout: Layout,
    steps: Vec<Step>,
    edits: Vec<(usize, u64, Arc<dyn RowEdit>)>,
}

/// A change of a row that has been written.
pub(crate) trait RowEdit: Debug + Send + Sync {
    /// Returns the name of the transform that changes it.
    fn name(&self) -> &'static str;

    /// Changes the row. `encode` is what the rest of the chain makes of a value that is set by this change.
    fn apply(&self, encode: &Encode, draws: Draws, row: Row<'_>);
}

/// A row that has been written.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(super) bytes: &'a mut [u8],
    pub(super) size: Size,
    pub(super) channels: usize,
    pub(super) layout: Layout,
}

impl RowSteps {
    /// Returns the elements of an image, or of so many crops of one.
    pub(super) const fn new(pixel: PixelType, crops: Option<usize>, has_channel_axis: bool) -> Self {
        Self {
            dtype: pixel.depth.dtype(),
            pixel,
            crops,
            has_channel_axis,
            layout: Layout::Hwc,
            steps: Vec::new(),
            edits: Vec::new(),
        }
    }

    const fn channels(&self) -> usize {
        self.pixel.channels.count()
    }

    /// Tells whether the elements are the image's whole numbers still.
    fn is_raw(&self) -> bool {
        self.dtype == self.pixel.depth.dtype() && !self.dtype.is_float()
    }

    /// Returns the dtype of the elements so far.
    pub(super) const fn dtype(&self) -> DType {
        self.dtype
    }

    /// Returns where the channel axis stands so far.
    pub(super) const fn layout(&self) -> Layout {
        self.layout
    }

    /// Returns the shape of the row of an image of this size.
    pub(super) fn shape(&self, size: Size) -> Vec<usize> {
        row_shape(size, self.crops, self.has_channel_axis.then(|| self.channels()), self.layout)
    }

    /// Adds `ToLayout`.
    pub(super) fn set_layout(&mut self, layout: Layout) -> Result<(), String> {
        if !self.has_channel_axis {
            return Err("an image of shape [H, W] has no channel axis to move".to_owned());
        }
        self.layout = layout;
        Ok(())
    }

    /// Adds a change of the row, whose draws are keyed by `op`.
    pub(super) fn edit(&mut self, op: u64, edit: Arc<dyn RowEdit>) {
        self.edits.push((self.steps.len(), op, edit));
    }

    /// Adds `ToDtype`.
    pub(super) fn cast(&mut self, dtype: DType, scale: bool) -> Result<(), String> {
        if self.dtype.is_float() && !dtype.is_float() {
            return Err(format!("cannot turn {} back into {dtype}: convert once, to the dtype wanted", self.dtype));
        }
        if self.is_raw() {
            let fits = !(self.dtype == DType::UInt16 && matches!(dtype, DType::UInt8 | DType::Int8 | DType::Int16));
            match self.pixel.depth {
                Depth::U16 if !fits => {
                    return Err(format!("cannot turn {} into {dtype}, which does not hold its values", self.dtype));
                }
                Depth::U8 if scale => self.steps.push(Step::Scale { white: 255.0 }),
                Depth::U16 if scale => self.steps.push(Step::Scale { white: 65_535.0 }),
                Depth::U8 | Depth::U16 | Depth::F32 => {}
            }
        } else if self.dtype != dtype && !self.dtype.is_float() {
            return Err(format!("cannot turn {} into {dtype}: convert once, to the dtype wanted", self.dtype));
        }
        self.dtype = dtype;
        Ok(())
    }

    /// Adds `Normalize`.
    pub(super) fn normalize(&mut self, mean: &[f32], std: &[f32]) -> Result<(), String> {
        if mean.len() != 1 && mean.len() != self.channels() {
            return Err(format!("mean and std have {} values, the image {} channels", mean.len(), self.channels()));
        }
        if self.is_raw() {
            self.cast(DType::Float32, true)?;
        }
        if !self.dtype.is_float() {
            return Err(format!("takes uint8, uint16 or floating-point images, not {}", self.dtype));
        }
        self.steps.push(Step::Normalize { mean: mean.to_vec(), std: std.to_vec() });
        Ok(())
    }

    /// Checks values that are to be set here; none for normally distributed ones.
    pub(super) fn check_value(&self, value: Option<&[f64]>) -> Result<(), String> {
        match value {
            None if !self.dtype.is_float() => Err(format!(
                "random values are normally distributed: they need a floating-point dtype, not {}",
                self.dtype
            )),
            Some(values) if values.len() != 1 && values.len() != self.channels() => {
                Err(format!("value has {} values, the image {} channels", values.len(), self.channels()))
            }
            Some(values)
                if !self.dtype.is_float() && values.iter().any(|value| !(0.0..=self.most()).contains(value)) =>
            {
                Err(format!("value must lie between 0 and {} where images are {}", self.most(), self.dtype))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Returns the largest value of whole numbers.
    const fn most(&self) -> f64 {
        match self.pixel.depth {
            Depth::U8 => 255.0,
            Depth::U16 | Depth::F32 => 65_535.0,
        }
    }

    /// Returns what becomes of a value that is set after so many steps.
    fn encode_after(&self, steps: usize) -> Encode {
        Encode::new(self.dtype, self.steps[steps..].to_vec())
    }

    /// Returns the last pass that gives these elements in this layout.
    pub(super) fn finish(self) -> RowWriter {
        let float = if self.dtype == DType::BFloat16 {
            Some(Float::BF16)
        } else {
            (self.dtype == DType::Float32).then_some(Float::F32)
        };
        let lines: Option<Vec<Line>> = (0..self.channels()).map(|channel| self.line(channel)).collect();
        let map = match (float, lines, self.pixel) {
            (Some(float), Some(lines), PixelType::GREY8 | PixelType::RGB8) => Map::Float(float, lines),
            (_, _, PixelType::GREY8 | PixelType::RGB8) => self.tables(),
            (_, _, pixel) if self.dtype == pixel.depth.dtype() && self.steps.is_empty() => Map::Values(Becomes::Same),
            (Some(float), Some(lines), _) => Map::Values(Becomes::Lines(float, lines)),
            (Some(_) | None, _, _) => Map::Values(Becomes::Encoded(self.encode_after(0))),
        };
        let edits = self.edits.iter().map(|(steps, op, edit)| (self.encode_after(*steps), *op, Arc::clone(edit)));
        let axis = self.has_channel_axis.then(|| self.channels());
        let Self { crops, layout, .. } = self;
        RowWriter { layout, channels: self.channels(), crops, axis, map, edits: edits.collect() }
    }

    /// Returns the steps on a channel as one, where its numbers are ordinary ones.
    fn line(&self, channel: usize) -> Option<Line> {
        let (mut zero, mut step) = (0.0_f64, 1.0_f64);
        for operation in &self.steps {
            match operation {
                Step::Scale { white } => step *= f64::from(*white),
                Step::Normalize { mean, std } => {
                    let at = if mean.len() == 1 { 0 } else { channel };
                    zero += f64::from(mean[at]) * step;
                    step *= f64::from(std[at]);
                }
            }
        }
        let line = Line { zero: zero as f32, step: step as f32 };
        (line.zero.is_finite() && line.step.is_normal()).then_some(line)
    }

    fn tables(&self) -> Map {
        let encode = self.encode_after(0);
        match self.dtype.size() {
            _ if self.dtype == DType::UInt8 => Map::Bytes,
            1 => Map::One(self.table(&encode)),
            2 => Map::Two(self.table(&encode)),
            4 => Map::Four(self.table(&encode)),
            _ => Map::Eight(self.table(&encode)),
        }
    }

    fn table<const N: usize>(&self, encode: &Encode) -> Vec<Table<N>> {
        let element = |channel, value| std::array::from_fn(|at| encode.bytes(channel, value)[at]);
        (0..self.channels()).map(|channel| std::array::from_fn(|value| element(channel, value as f64))).collect()
    }
}

/// Returns the shape of an image, or of several crops, whose channel axis has this extent if there is one.
fn row_shape(size: Size, crops: Option<usize>, channels: Option<usize>, layout: Layout) -> Vec<usize> {
    let (height, width) = (size.height as usize, size.width as usize);
    let image = match (channels, layout) {
        (None, _) => vec![height, width],
        (Some(channels), Layout::Hwc) => vec![height, width, channels],
        (Some(channels), Layout::Chw) => vec![channels, height, width],
    };
    crops.into_iter().chain(image).collect()
}

/// The last pass of a chain, which writes the row.
#[derive(Clone, Debug)]
pub(super) struct RowWriter {
    layout: Layout,
    channels: usize,
    /// The extent of the axis of crops, where there is one.
    crops: Option<usize>,
    /// The extent of the channel axis, where there is one.
    axis: Option<usize>,
    map: Map,
    /// What is done to the row afterwards, each with what its draws are keyed by.
    edits: Vec<(Encode, u64, Arc<dyn RowEdit>)>,
}

/// Lines, or tables by the size of an element, one per channel.
#[derive(Clone, Debug)]
enum Map {
    Bytes,
    Float(Float, Vec<Line>),
    One(Vec<Table<1>>),
    Two(Vec<Table<2>>),
    Four(Vec<Table<4>>),
    Eight(Vec<Table<8>>),
    /// For pixels other than one or three channels of 8 bits.
    Values(Becomes),
}

impl RowWriter {
    /// Returns the shape of the row of an image of this size.
    pub(super) fn shape(&self, size: Size) -> Vec<usize> {
        row_shape(size, self.crops, self.axis, self.layout)
    }

    /// Does to a row that has been written what is to be done then.
    pub(super) fn edit(&self, field: &str, key: Key, size: Size, row: &mut [u8]) {
        for (encode, op, edit) in &self.edits {
            let row = Row { bytes: row, size, channels: self.channels, layout: self.layout };
            drawn::of(field, edit.name(), || {
                drawn::begin();
                edit.apply(encode, key.rng(*op), row);
            });
        }
    }

    /// Tells whether the pass would only copy an image that is not flipped.
    pub(super) fn is_copy(&self) -> bool {
        matches!((&self.map, self.layout), (Map::Bytes | Map::Values(Becomes::Same), Layout::Hwc))
    }

    /// Writes the image, flipped where asked, to a row of the batch: every byte of it.
    ///
    /// `packed` takes the image without a fourth channel, where there is one that cannot be left out in passing.
    pub(super) fn write(&self, from: Pixels<'_>, mut flip: bool, packed: &mut Buffer, out: &mut [u8]) {
        let mut from = from;
        if from.pixel().channels == Channels::Rgbx && !matches!((&self.map, self.layout), (Map::Float(..), Layout::Chw))
        {
            if self.is_copy() {
                write::three_of_four(from, flip, out);
                return;
            }
            let pixels = packed.grown(from.size().area() as usize * 3);
            write::three_of_four(from, flip, pixels);
            (from, flip) = (Pixels::new(pixels, from.size(), PixelType::RGB8), false);
        }
        match &self.map {
            Map::Bytes => write::bytes(from, flip, self.layout, out),
            Map::Float(float, lines) => write::floats(from, flip, self.layout, *float, lines, out),
            Map::One(tables) => write::mapped(from, flip, self.layout, tables, out),
            Map::Two(tables) => write::mapped(from, flip, self.layout, tables, out),
            Map::Four(tables) => write::mapped(from, flip, self.layout, tables, out),
            Map::Eight(tables) => write::mapped(from, flip, self.layout, tables, out),
            Map::Values(becomes) => values::write(from, flip, self.layout, becomes, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;
    use crate::geometry::Size;

    const IMAGE: [u8; 12] = [0, 51, 255, 102, 1, 2, 200, 201, 202, 3, 4, 5];

    fn written(tail: &RowWriter, flip: bool, element: usize) -> Vec<u8> {
        // An odd start, so that nothing may count on alignment.
        let mut out = vec![0xee; IMAGE.len() * element + 1];
        tail.write(
            Pixels::new(&IMAGE, Size { height: 2, width: 2 }, PixelType::RGB8),
            flip,
            &mut Buffer::default(),
            &mut out[1..],
        );
        out.split_off(1)
    }

    fn eight_bit() -> RowSteps {
        RowSteps::new(PixelType::RGB8, None, true)
    }

    fn laid_out(mut elements: RowSteps, layout: Layout) -> RowWriter {
        elements.set_layout(layout).unwrap();
        elements.finish()
    }

    fn floats(bytes: &[u8]) -> Vec<f32> {
        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect()
    }

    #[test]
    fn bytes_are_flipped_and_laid_out() {
        let tail = |layout| laid_out(eight_bit(), layout);
        assert_eq!(written(&tail(Layout::Hwc), false, 1), IMAGE);
        assert_eq!(written(&tail(Layout::Hwc), true, 1), [102, 1, 2, 0, 51, 255, 3, 4, 5, 200, 201, 202]);
        assert_eq!(written(&tail(Layout::Chw), false, 1), [0, 102, 200, 3, 51, 1, 201, 4, 255, 2, 202, 5]);
        assert_eq!(written(&tail(Layout::Chw), true, 1), [102, 0, 3, 200, 1, 51, 4, 201, 2, 255, 5, 202]);
    }

    #[test]
    fn normalised_values_are_those_of_torchvision() {
        let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        let mut elements = eight_bit();
        elements.normalize(&mean, &std).unwrap();
        assert_eq!(elements.dtype, DType::Float32);
        let expected: Vec<f32> = IMAGE
            .iter()
            .enumerate()
            .map(|(at, &value)| (f32::from(value) / 255.0 - mean[at % 3]) / std[at % 3])
            .collect();
        let hwc = floats(&written(&laid_out(elements.clone(), Layout::Hwc), false, 4));
        let chw = floats(&written(&laid_out(elements, Layout::Chw), false, 4));
        for (at, expected) in expected.iter().enumerate() {
            assert!((hwc[at] - expected).abs() <= 1e-6, "{at}: {} {expected}", hwc[at]);
            assert_eq!(hwc[at].to_bits(), chw[at % 3 * 4 + at / 3].to_bits());
        }
    }

    #[test]
    fn casts_keep_or_scale_the_value() {
        let cast = |dtype: DType, scale| {
            let mut elements = eight_bit();
            elements.cast(dtype, scale).unwrap();
            written(&laid_out(elements, Layout::Hwc), false, dtype.size())
        };
        assert_eq!(floats(&cast(DType::Float32, false))[..3], [0.0, 51.0, 255.0]);
        assert_eq!(floats(&cast(DType::Float32, true))[..3], [0.0, 0.2, 1.0]);
        assert_eq!(cast(DType::Int64, false)[16..24], 255_i64.to_ne_bytes());
        assert_eq!(cast(DType::Int8, false)[2] as i8, -1);
        assert_eq!(cast(DType::Float16, true)[2..4], f16::from_f32(0.2).to_ne_bytes());
        assert_eq!(cast(DType::BFloat16, true)[2..4], bf16::from_f32(0.2).to_ne_bytes());
        assert_eq!(cast(DType::Bool, false)[..3], [0, 1, 1]);
    }

    #[test]
    fn a_float_dtype_set_before_is_kept() {
        let mut elements = eight_bit();
        elements.cast(DType::Float16, true).unwrap();
        elements.normalize(&[0.5], &[0.5]).unwrap();
        assert_eq!(elements.dtype, DType::Float16);
        assert_eq!(written(&laid_out(elements, Layout::Hwc), false, 2)[4..6], f16::ONE.to_ne_bytes());
    }

    #[test]
    fn senseless_orders_are_refused() {
        let mut elements = eight_bit();
        assert!(elements.normalize(&[0.5; 2], &[0.5; 2]).unwrap_err().contains("2 values, the image 3 channels"));
        elements.cast(DType::Int32, false).unwrap();
        assert!(elements.normalize(&[0.5], &[0.5]).unwrap_err().contains("not int32"));
        assert!(elements.cast(DType::Float32, true).unwrap_err().contains("convert once"));
        let mut elements = eight_bit();
        elements.cast(DType::Float32, true).unwrap();
        assert!(elements.cast(DType::UInt8, false).unwrap_err().contains("convert once"));
    }
}
