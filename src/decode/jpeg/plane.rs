//! A component's samples: which are needed, and how they become as many as there are pixels.

use std::ops::Range;

use super::frame::{Component, Frame};
use crate::geometry::{Rect, Size};

/// How a component lies over the image, and which part of it a region needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// Blocks of the component in an MCU, across and down.
    pub(super) h: u32,
    pub(super) v: u32,
    /// Blocks that hold samples of the image, across and down.
    pub(super) blocks: Size,
    /// Samples along the edge of a block: 8, or less where the image is scaled.
    pub(super) edge: u32,
    /// Pixels to a sample, across and down.
    pub(super) ratio: (u32, u32),
    /// The samples of the whole component.
    pub(super) size: Size,
    /// Whether samples are interpolated, or only repeated.
    pub(super) smooth: bool,
    /// The blocks that are needed.
    pub(super) columns: Range<u32>,
    pub(super) rows: Range<u32>,
}

impl Layout {
    /// Returns how `component` lies over the image where `edge` pixels come from a block of the image, and what of it
    /// `region` needs. Sizes and the choice of interpolation are those of libjpeg.
    pub(super) fn new(frame: &Frame, component: Component, edge: u32, region: Rect) -> Self {
        let (h, v) = (u32::from(component.h), u32::from(component.v));
        let (h_max, v_max) = (u32::from(frame.h_max), u32::from(frame.v_max));
        // Rather than interpolate, libjpeg scales a small component less, where that works in both directions.
        let mut own = edge;
        while own < 8 && (h_max * edge).is_multiple_of(h * own * 2) && (v_max * edge).is_multiple_of(v * own * 2) {
            own *= 2;
        }
        let ratio = (h_max * edge / (h * own), v_max * edge / (v * own));
        let samples = |pixels: u32, factor: u32, max: u32, edge: u32| (pixels * factor * edge).div_ceil(max * 8);
        let size =
            Size { height: samples(frame.size.height, v, v_max, own), width: samples(frame.size.width, h, h_max, own) };
        let blocks = Size {
            height: samples(frame.size.height, v, v_max, 8).div_ceil(8),
            width: samples(frame.size.width, h, h_max, 8).div_ceil(8),
        };
        let smooth = edge > 1
            && match ratio {
                (2, 1 | 2) => size.width > 2,
                (1, 2) => true,
                _ => false,
            };
        let needed = |range: Range<u32>, ratio: u32, len: u32| {
            let more = u32::from(smooth && ratio == 2);
            let start = (range.start / ratio).saturating_sub(more);
            start / own..((range.end - 1) / ratio + 1 + more).min(len).div_ceil(own)
        };
        let (rows, columns) = rows_and_columns(region);
        Self {
            h,
            v,
            blocks,
            edge: own,
            ratio,
            size,
            smooth,
            columns: needed(columns, ratio.0, size.width),
            rows: needed(rows, ratio.1, size.height),
        }
    }
}

/// Returns the rows and the columns of a box that lies in an image.
pub(super) const fn rows_and_columns(region: Rect) -> (Range<u32>, Range<u32>) {
    (region.top as u32..region.bottom() as u32, region.left as u32..region.right() as u32)
}

/// The samples of the needed blocks.
#[derive(Debug, Default)]
pub(super) struct Plane {
    pub(super) layout: Layout,
    samples: Vec<u8>,
}

impl Plane {
    /// Makes room for what `layout` needs. The samples are those of anything.
    pub(super) fn reset(&mut self, layout: Layout) {
        self.layout = layout;
        let len = self.len();
        if self.samples.len() < len {
            self.samples = Vec::new();
            self.samples = vec![0; len];
        }
    }

    /// Makes all samples grey, which is what zeros are transformed to.
    pub(super) fn make_grey(&mut self) {
        let len = self.len();
        self.samples[..len].fill(128);
    }

    fn len(&self) -> usize {
        let Layout { edge, rows, .. } = &self.layout;
        self.stride() * rows.len() * *edge as usize
    }

    fn stride(&self) -> usize {
        self.layout.columns.len() * self.layout.edge as usize
    }

    /// Returns the samples from a block on, to be written, and how far apart their rows are. `column` and `row` count
    /// the needed blocks.
    #[inline(always)]
    pub(super) fn block_mut(&mut self, column: usize, row: usize) -> (&mut [u8], usize) {
        let (edge, stride) = (self.layout.edge as usize, self.stride());
        (&mut self.samples[row * edge * stride + column * edge..], stride)
    }

    /// Returns the needed samples of row `y` of the component; a row beyond the image is its last one.
    #[inline(always)]
    fn row(&self, y: u32) -> &[u8] {
        let y = y.min(self.layout.size.height - 1) - self.layout.rows.start * self.layout.edge;
        let stride = self.stride();
        &self.samples[y as usize * stride..][..stride]
    }

    /// Returns the samples of the pixels `pixels` of row `y` of the image, one for each pixel.
    ///
    /// Source: the triangle filter and the rounding of libjpeg's `jdsample.c`.
    #[inline(always)]
    pub(super) fn pixels<'a>(&'a self, y: u32, pixels: Range<u32>, buffer: &'a mut RowBuffer) -> &'a [u8] {
        let Layout { ratio, edge, size, .. } = self.layout;
        let count = pixels.len();
        let first = self.layout.columns.start * edge;
        if ratio == (1, 1) {
            return &self.row(y)[(pixels.start - first) as usize..][..count];
        }
        let (near, far) = self.rows_around(y);
        // The samples whose pixels are asked for, and which of theirs is the first of those pixels.
        let samples = pixels.start / ratio.0..(pixels.end - 1) / ratio.0 + 1;
        let offset = (pixels.start % ratio.0) as usize;
        let inside = (samples.start - first) as usize..(samples.end - first) as usize;
        let RowBuffer { sums, values } = buffer;
        if !self.layout.smooth {
            let repeat = ratio.0 as usize;
            for (to, &from) in grown(values, samples.len() * repeat).chunks_exact_mut(repeat).zip(&near[inside]) {
                to.fill(from);
            }
            return &values[offset..offset + count];
        }
        if ratio.0 == 1 {
            // The upper of a sample's two pixels rounds down, the lower one up.
            let bias = 1 + (y % 2) as u16;
            let values = grown(values, samples.len());
            for ((to, &near), &far) in values.iter_mut().zip(&near[inside.clone()]).zip(&far[inside]) {
                *to = ((u16::from(near) * 3 + u16::from(far) + bias) >> 2) as u8;
            }
            return &values[..count];
        }
        // One more on either side; at the image's edge, the sample there once more.
        let before = usize::from(samples.start > 0);
        let behind = usize::from(samples.end < size.width);
        let seen = inside.start - before..inside.end + behind;
        let sums = grown(sums, samples.len() + 2);
        let weights = if ratio.1 == 2 { [3, 1] } else { [1, 0] };
        for ((to, &near), &far) in sums[1 - before..].iter_mut().zip(&near[seen.clone()]).zip(&far[seen]) {
            *to = u16::from(near) * weights[0] + u16::from(far) * weights[1];
        }
        if before == 0 {
            sums[0] = sums[1];
        }
        if behind == 0 {
            sums[samples.len() + 1] = sums[samples.len()];
        }
        let values = grown(values, 2 * samples.len());
        if ratio.1 == 2 {
            doubled::<4, 8, 7>(sums, values);
        } else {
            doubled::<2, 1, 2>(sums, values);
        }
        &values[offset..offset + count]
    }

    /// Returns the rows of samples nearest to row `y` of the image and next to it.
    #[inline(always)]
    fn rows_around(&self, y: u32) -> (&[u8], &[u8]) {
        let near = y / self.layout.ratio.1;
        let far = match (self.layout.smooth, self.layout.ratio.1, y % 2) {
            (true, 2, 0) => near.saturating_sub(1),
            (true, 2, _) => near + 1,
            _ => near,
        };
        (self.row(near), self.row(far))
    }
}

/// Writes two pixels for each sum but the first and the last.
#[inline(always)]
fn doubled<const BITS: u32, const LEFT: u16, const RIGHT: u16>(sums: &[u16], values: &mut [u8]) {
    let neighbours = sums.iter().zip(&sums[1..]).zip(&sums[2..]);
    for (to, ((&left, &middle), &right)) in values.as_chunks_mut::<2>().0.iter_mut().zip(neighbours) {
        *to = [((middle * 3 + left + LEFT) >> BITS) as u8, ((middle * 3 + right + RIGHT) >> BITS) as u8];
    }
}

/// Buffers for one row of one component.
#[derive(Debug, Default)]
pub(super) struct RowBuffer {
    sums: Vec<u16>,
    values: Vec<u8>,
}

fn grown<T: Copy + Default>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
    &mut buffer[..len]
}
