//! What becomes of each element: the casts and the normalisation of a chain, compiled.
//!
//! The input of the last pass is 8-bit. To `float32` and `bfloat16`, whatever a chain does to single elements
//! is one line per channel, `(value - zero) / step` in `f32`: exact but for the rounding of `zero`, of `step` and of the
//! result, so that it lies as near to the true value as torchvision's `(value / 255 - mean) / std` in `f32` does, within
//! 2^-22 of the larger of the value and `mean / std`. For other dtypes it is a table of 256 values per channel.

use half::{bf16, f16};

use std::{fmt::Debug, sync::Arc};

use super::{
    args::Layout,
    pixels::Pixels,
    write::{self, Float, Line, Table},
};
use crate::{
    buffer::Buffer,
    geometry::Size,
    pixel::{Channels, PixelType},
    rng::{Draws, Key},
    spec::DType,
};

/// What the elements of a row become, and how they are laid out, while a chain is compiled.
#[derive(Clone, Debug)]
pub(crate) struct RowSteps {
    dtype: DType,
    channels: usize,
    /// Whether the image has a channel axis, (height, width, channels), or none.
    has_channel_axis: bool,
    layout: Layout,
    steps: Vec<Step>,
    edits: Vec<(usize, u64, Arc<dyn RowEdit>)>,
}

/// A change of a row that has been written.
pub(crate) trait RowEdit: Debug + Send + Sync {
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

#[derive(Clone, Debug)]
enum Step {
    /// From 0 to 255 to 0 to 1.
    Scale,
    Normalize {
        mean: Vec<f32>,
        std: Vec<f32>,
    },
}

impl RowSteps {
    /// Returns the elements of an 8-bit image.
    pub(super) const fn new(pixel: PixelType, has_channel_axis: bool) -> Self {
        Self {
            dtype: pixel.depth.dtype(),
            channels: pixel.channels.count(),
            has_channel_axis,
            layout: Layout::Hwc,
            steps: Vec::new(),
            edits: Vec::new(),
        }
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
        let (height, width) = (size.height as usize, size.width as usize);
        match (self.has_channel_axis, self.layout) {
            (false, _) => vec![height, width],
            (true, Layout::Hwc) => vec![height, width, self.channels],
            (true, Layout::Chw) => vec![self.channels, height, width],
        }
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
        if self.dtype == DType::UInt8 && scale {
            self.steps.push(Step::Scale);
        } else if self.dtype != DType::UInt8 && self.dtype != dtype && !self.dtype.is_float() {
            return Err(format!("cannot turn {} into {dtype}: convert once, to the dtype wanted", self.dtype));
        }
        self.dtype = dtype;
        Ok(())
    }

    /// Adds `Normalize`.
    pub(super) fn normalize(&mut self, mean: &[f32], std: &[f32]) -> Result<(), String> {
        if mean.len() != 1 && mean.len() != self.channels {
            return Err(format!("mean and std have {} values, the image {} channels", mean.len(), self.channels));
        }
        if self.dtype == DType::UInt8 {
            self.cast(DType::Float32, true)?;
        }
        if !self.dtype.is_float() {
            return Err(format!("takes uint8 or floating-point images, not {}", self.dtype));
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
            Some(values) if values.len() != 1 && values.len() != self.channels => {
                Err(format!("value has {} values, the image {} channels", values.len(), self.channels))
            }
            Some(values) if !self.dtype.is_float() && values.iter().any(|value| !(0.0..=255.0).contains(value)) => {
                Err(format!("value must lie between 0 and 255 where images are {}", self.dtype))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Returns what becomes of a value that is set after so many steps.
    fn encode_after(&self, steps: usize) -> Encode {
        Encode { dtype: self.dtype, steps: self.steps[steps..].to_vec() }
    }

    /// Returns the last pass that gives these elements in this layout.
    pub(super) fn finish(self) -> RowWriter {
        let float = if self.dtype == DType::BFloat16 {
            Some(Float::BF16)
        } else {
            (self.dtype == DType::Float32).then_some(Float::F32)
        };
        let lines: Option<Vec<Line>> = (0..self.channels).map(|channel| self.line(channel)).collect();
        let map = match (float, lines) {
            (Some(float), Some(lines)) => Map::Float(float, lines),
            (Some(_) | None, _) => self.tables(),
        };
        let edits = self.edits.iter().map(|(steps, op, edit)| (self.encode_after(*steps), *op, Arc::clone(edit)));
        RowWriter { layout: self.layout, channels: self.channels, map, edits: edits.collect() }
    }

    /// Returns the steps on a channel as one, where its numbers are ordinary ones.
    fn line(&self, channel: usize) -> Option<Line> {
        let (mut zero, mut step) = (0.0_f64, 1.0_f64);
        for operation in &self.steps {
            match operation {
                Step::Scale => step *= 255.0,
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
        (0..self.channels).map(|channel| std::array::from_fn(|value| element(channel, value as f64))).collect()
    }
}

/// What becomes of a single value: some steps in `f64`, then one rounding to the dtype of the result.
#[derive(Clone, Debug)]
pub(crate) struct Encode {
    dtype: DType,
    steps: Vec<Step>,
}

impl Encode {
    /// Returns the size of an element in bytes.
    pub(super) const fn element(&self) -> usize {
        self.dtype.size()
    }

    /// Returns the element, in the first bytes of eight.
    pub(super) fn bytes(&self, channel: usize, value: f64) -> [u8; 8] {
        fn first<const N: usize>(bytes: [u8; N]) -> [u8; 8] {
            let mut all = [0; 8];
            all[..N].copy_from_slice(&bytes);
            all
        }
        let value = self.steps.iter().fold(value, |value, step| match step {
            Step::Scale => value / 255.0,
            Step::Normalize { mean, std } => {
                let at = if mean.len() == 1 { 0 } else { channel };
                (value - f64::from(mean[at])) / f64::from(std[at])
            }
        });
        match self.dtype {
            DType::Bool => first([u8::from(value != 0.0)]),
            DType::UInt8 | DType::Int8 => first((value as u8).to_ne_bytes()),
            DType::UInt16 => first((value as u16).to_ne_bytes()),
            DType::Int16 => first((value as i16).to_ne_bytes()),
            DType::UInt32 => first((value as u32).to_ne_bytes()),
            DType::Int32 => first((value as i32).to_ne_bytes()),
            DType::UInt64 => first((value as u64).to_ne_bytes()),
            DType::Int64 => first((value as i64).to_ne_bytes()),
            DType::Float16 => first(f16::from_f32(to_odd(value)).to_ne_bytes()),
            DType::BFloat16 => first(bf16::from_f32(to_odd(value)).to_ne_bytes()),
            DType::Float32 => first((value as f32).to_ne_bytes()),
            DType::Float64 => first(value.to_ne_bytes()),
        }
    }
}

/// Rounds to `f32` so that a second rounding, to 16 bits, gives what one alone would have given: a number that is none in
/// `f32` goes to that of its two neighbours whose last bit is 1 (Boldo and Melquiond, "Emulation of FMA and
/// correctly rounded sums: proved algorithms using rounding to odd").
fn to_odd(value: f64) -> f32 {
    let near = value as f32;
    let error = value - f64::from(near);
    if error == 0.0 || !near.is_finite() || near.to_bits() & 1 == 1 {
        return near;
    }
    // The neighbour on the other side of the value. Away from zero is up, for either sign.
    let outwards = (error > 0.0) == near.is_sign_positive();
    f32::from_bits(if outwards { near.to_bits() + 1 } else { near.to_bits() - 1 })
}

/// The last pass of a chain, which writes the row.
#[derive(Clone, Debug)]
pub(super) struct RowWriter {
    layout: Layout,
    channels: usize,
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
}

impl RowWriter {
    /// Does to a row that has been written what is to be done then.
    pub(super) fn edit(&self, key: Key, size: Size, row: &mut [u8]) {
        for (encode, op, edit) in &self.edits {
            let row = Row { bytes: row, size, channels: self.channels, layout: self.layout };
            edit.apply(encode, key.rng(*op), row);
        }
    }

    /// Tells whether the pass would only copy an image that is not flipped.
    pub(super) fn is_copy(&self) -> bool {
        matches!((&self.map, self.layout), (Map::Bytes, Layout::Hwc))
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
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        RowSteps::new(PixelType::RGB8, true)
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
    fn a_value_beyond_the_middle_by_a_hair_is_rounded_up() {
        // Between 1 and its neighbour in `float16`, by less than `f32` can tell.
        let middle = 1.0 + 2.0_f64.powi(-11);
        let rounded = [0.0, 2.0_f64.powi(-50), -2.0_f64.powi(-50)].map(|hair| f16::from_f32(to_odd(middle + hair)));
        assert_eq!(rounded, [f16::ONE, f16::from_bits(f16::ONE.to_bits() + 1), f16::ONE]);
    }

    proptest! {
        #[test]
        fn two_roundings_are_one(mantissa in 1.0..2.0_f64, exponent in -100..100_i32, negative: bool, middle: bool) {
            let mut value = mantissa * 2.0_f64.powi(exponent) * if negative { -1.0 } else { 1.0 };
            if middle {
                // Half way between two numbers of 8 bits, or next to that.
                value = f64::from_bits((value.to_bits() & !0x1fff_ffff_ffff | 0x1000_0000_0000) + (value.to_bits() & 2) - 1);
            }
            let error = |half: bf16| (half.to_f64() - value).abs();
            let found = bf16::from_f32(to_odd(value));
            for neighbour in [found.to_bits() - 1, found.to_bits() + 1].map(bf16::from_bits) {
                let nearer = error(found).total_cmp(&error(neighbour));
                prop_assert!(nearer.is_lt() || found.to_bits() & 1 == 0 && nearer.is_eq());
            }
        }
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
