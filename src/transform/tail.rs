//! What becomes of each element: the casts and the normalisation of a chain, compiled to tables.
//!
//! The input of the last pass is 8-bit, so whatever a chain does to single elements is a table of 256 values per
//! channel. Each value is computed in `f64` and rounded once, to the dtype of the result.

use half::{bf16, f16};

use super::{
    Layout, is_float,
    write::{self, Pixels, Table},
};
use crate::spec::DType;

/// The element-wise part of a chain while it is compiled.
#[derive(Clone, Debug)]
pub(super) struct Elements {
    pub(super) dtype: DType,
    channels: usize,
    steps: Vec<Step>,
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

impl Elements {
    /// Returns the elements of an 8-bit image.
    pub(super) const fn new(channels: usize) -> Self {
        Self { dtype: DType::UInt8, channels, steps: Vec::new() }
    }

    /// Adds `ToDtype`.
    pub(super) fn cast(&mut self, dtype: DType, scale: bool) -> Result<(), String> {
        if is_float(self.dtype) && !is_float(dtype) {
            return Err(format!("cannot turn {} back into {dtype}: convert once, to the dtype wanted", self.dtype));
        }
        if self.dtype == DType::UInt8 && scale {
            self.steps.push(Step::Scale);
        } else if self.dtype != DType::UInt8 && self.dtype != dtype && !is_float(self.dtype) {
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
        if !is_float(self.dtype) {
            return Err(format!("takes uint8 or floating-point images, not {}", self.dtype));
        }
        self.steps.push(Step::Normalize { mean: mean.to_vec(), std: std.to_vec() });
        Ok(())
    }

    /// Returns the last pass that gives these elements in this layout.
    pub(super) fn finish(self, layout: Layout) -> Tail {
        let map = match self.dtype {
            DType::UInt8 => Map::Bytes,
            DType::Bool => self.map(|v| [u8::from(v != 0.0)], Map::One),
            DType::Int8 => self.map(|v| (v as u8).to_ne_bytes(), Map::One),
            DType::UInt16 => self.map(|v| (v as u16).to_ne_bytes(), Map::Two),
            DType::Int16 => self.map(|v| (v as i16).to_ne_bytes(), Map::Two),
            DType::UInt32 => self.map(|v| (v as u32).to_ne_bytes(), Map::Four),
            DType::Int32 => self.map(|v| (v as i32).to_ne_bytes(), Map::Four),
            DType::UInt64 => self.map(|v| (v as u64).to_ne_bytes(), Map::Eight),
            DType::Int64 => self.map(|v| (v as i64).to_ne_bytes(), Map::Eight),
            DType::Float16 => self.map(|v| f16::from_f64(v).to_ne_bytes(), Map::Two),
            DType::BFloat16 => self.map(|v| bf16::from_f64(v).to_ne_bytes(), Map::Two),
            DType::Float32 => self.map(|v| (v as f32).to_ne_bytes(), Map::Four),
            DType::Float64 => self.map(f64::to_ne_bytes, Map::Eight),
        };
        Tail { layout, map }
    }

    fn map<const N: usize>(&self, encode: impl Fn(f64) -> [u8; N], map: impl Fn(Vec<Table<N>>) -> Map) -> Map {
        let table = |channel| std::array::from_fn(|value| encode(self.value(channel, value as f64)));
        map((0..self.channels).map(table).collect())
    }

    fn value(&self, channel: usize, value: f64) -> f64 {
        self.steps.iter().fold(value, |value, step| match step {
            Step::Scale => value / 255.0,
            Step::Normalize { mean, std } => {
                let at = if mean.len() == 1 { 0 } else { channel };
                (value - f64::from(mean[at])) / f64::from(std[at])
            }
        })
    }
}

/// The last pass of a chain.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    layout: Layout,
    map: Map,
}

/// Tables by the size of an element, one per channel.
#[derive(Clone, Debug)]
enum Map {
    Bytes,
    One(Vec<Table<1>>),
    Two(Vec<Table<2>>),
    Four(Vec<Table<4>>),
    Eight(Vec<Table<8>>),
}

impl Tail {
    /// Tells whether the pass would only copy an image that is not flipped.
    pub(super) fn is_copy(&self) -> bool {
        matches!((&self.map, self.layout), (Map::Bytes, Layout::Hwc))
    }

    /// Writes the image, flipped where asked, to a row of the batch: every byte of it.
    pub(super) fn write(&self, from: Pixels<'_>, flip: bool, out: &mut [u8]) {
        match &self.map {
            Map::Bytes => write::bytes(from, flip, self.layout, out),
            Map::One(tables) => write::mapped(from, flip, self.layout, tables, out),
            Map::Two(tables) => write::mapped(from, flip, self.layout, tables, out),
            Map::Four(tables) => write::mapped(from, flip, self.layout, tables, out),
            Map::Eight(tables) => write::mapped(from, flip, self.layout, tables, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::geometry::Size, *};

    const IMAGE: [u8; 12] = [0, 51, 255, 102, 1, 2, 200, 201, 202, 3, 4, 5];

    fn written(tail: &Tail, flip: bool, element: usize) -> Vec<u8> {
        // An odd start, so that nothing may count on alignment.
        let mut out = vec![0xee; IMAGE.len() * element + 1];
        tail.write(Pixels::new(&IMAGE, Size { height: 2, width: 2 }, 3), flip, &mut out[1..]);
        out.split_off(1)
    }

    fn floats(bytes: &[u8]) -> Vec<f32> {
        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect()
    }

    #[test]
    fn bytes_are_flipped_and_laid_out() {
        let tail = |layout| Elements::new(3).finish(layout);
        assert_eq!(written(&tail(Layout::Hwc), false, 1), IMAGE);
        assert_eq!(written(&tail(Layout::Hwc), true, 1), [102, 1, 2, 0, 51, 255, 3, 4, 5, 200, 201, 202]);
        assert_eq!(written(&tail(Layout::Chw), false, 1), [0, 102, 200, 3, 51, 1, 201, 4, 255, 2, 202, 5]);
        assert_eq!(written(&tail(Layout::Chw), true, 1), [102, 0, 3, 200, 1, 51, 4, 201, 2, 255, 5, 202]);
    }

    #[test]
    fn normalised_values_are_those_of_torchvision() {
        let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        let mut elements = Elements::new(3);
        elements.normalize(&mean, &std).unwrap();
        assert_eq!(elements.dtype, DType::Float32);
        let expected: Vec<f32> = IMAGE
            .iter()
            .enumerate()
            .map(|(at, &value)| (f32::from(value) / 255.0 - mean[at % 3]) / std[at % 3])
            .collect();
        let hwc = floats(&written(&elements.clone().finish(Layout::Hwc), false, 4));
        let chw = floats(&written(&elements.finish(Layout::Chw), false, 4));
        for (at, expected) in expected.iter().enumerate() {
            assert!((hwc[at] - expected).abs() <= 1e-6, "{at}: {} {expected}", hwc[at]);
            assert_eq!(hwc[at].to_bits(), chw[at % 3 * 4 + at / 3].to_bits());
        }
    }

    #[test]
    fn casts_keep_or_scale_the_value() {
        let cast = |dtype: DType, scale| {
            let mut elements = Elements::new(3);
            elements.cast(dtype, scale).unwrap();
            written(&elements.finish(Layout::Hwc), false, dtype.size())
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
        let mut elements = Elements::new(3);
        elements.cast(DType::Float16, true).unwrap();
        elements.normalize(&[0.5], &[0.5]).unwrap();
        assert_eq!(elements.dtype, DType::Float16);
        assert_eq!(written(&elements.finish(Layout::Hwc), false, 2)[4..6], f16::ONE.to_ne_bytes());
    }

    #[test]
    fn senseless_orders_are_refused() {
        let mut elements = Elements::new(3);
        assert!(elements.normalize(&[0.5; 2], &[0.5; 2]).unwrap_err().contains("2 values, the image 3 channels"));
        elements.cast(DType::Int32, false).unwrap();
        assert!(elements.normalize(&[0.5], &[0.5]).unwrap_err().contains("not int32"));
        assert!(elements.cast(DType::Float32, true).unwrap_err().contains("convert once"));
        let mut elements = Elements::new(3);
        elements.cast(DType::Float32, true).unwrap();
        assert!(elements.cast(DType::UInt8, false).unwrap_err().contains("convert once"));
    }
}
