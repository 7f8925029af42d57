//! The last pass: pixels to a row of the batch, flipped, converted and laid out on the way.

use super::{args::Layout, pixels::Pixels, vector::vectorised};
use crate::pixel::{Channels, PixelType};

vectorised! {
    /// Writes the image without its fourth channel, (height, width, 3), mirrored if so asked.
    pub(super) fn three_of_four(from: Pixels<'_>, flip: bool, out: &mut [u8]) {
        for (row, out) in from.rows().zip(out.chunks_exact_mut(from.size().width as usize * 3)) {
            let (row, out) = (row.as_chunks::<4>().0, out.as_chunks_mut::<3>().0);
            if flip {
                row.iter().rev().zip(out).for_each(|(from, to)| *to = [from[0], from[1], from[2]]);
            } else {
                row.iter().zip(out).for_each(|(from, to)| *to = [from[0], from[1], from[2]]);
            }
        }
    }
}

/// What each of the 256 values of a channel becomes, as the bytes of one element.
pub(super) type Table<const N: usize> = [[u8; N]; 256];

/// Writes the image as it is.
pub(super) fn bytes(from: Pixels<'_>, flip: bool, layout: Layout, out: &mut [u8]) {
    if layout == Layout::Hwc || from.pixel() == PixelType::GREY8 {
        let channels = from.pixel().channels.count();
        for (row, out) in from.rows().zip(out.chunks_exact_mut(from.row_bytes())) {
            if !flip {
                out.copy_from_slice(row);
            } else if channels == 3 {
                for (from, to) in row.rchunks_exact(3).zip(out.chunks_exact_mut(3)) {
                    to.copy_from_slice(from);
                }
            } else {
                row.iter().rev().zip(out).for_each(|(from, to)| *to = *from);
            }
        }
    } else {
        byte_planes(from, flip, out);
    }
}

/// Writes each value as what `tables`, one per channel, make of it.
pub(super) fn mapped<const N: usize>(
    from: Pixels<'_>,
    flip: bool,
    layout: Layout,
    tables: &[Table<N>],
    out: &mut [u8],
) {
    match (tables, layout) {
        ([table], _) => {
            for (row, out) in from.rows().zip(out.chunks_exact_mut(from.row_bytes() * N)) {
                let elements = out.as_chunks_mut::<N>().0;
                if flip {
                    row.iter().rev().zip(elements).for_each(|(value, to)| *to = table[usize::from(*value)]);
                } else {
                    row.iter().zip(elements).for_each(|(value, to)| *to = table[usize::from(*value)]);
                }
            }
        }
        ([red, green, blue], Layout::Hwc) => {
            for (row, out) in from.rows().zip(out.chunks_exact_mut(from.row_bytes() * N)) {
                let write = |(from, to): (&[u8; 3], &mut [[u8; N]; 3])| {
                    *to = [red[usize::from(from[0])], green[usize::from(from[1])], blue[usize::from(from[2])]];
                };
                let pixels = out.as_chunks_mut::<N>().0.as_chunks_mut::<3>().0;
                if flip {
                    row.as_chunks::<3>().0.iter().rev().zip(pixels).for_each(write);
                } else {
                    row.as_chunks::<3>().0.iter().zip(pixels).for_each(write);
                }
            }
        }
        (tables, _) => planes(from, flip, out, |channel, value| tables[channel][usize::from(value)]),
    }
}

/// Writes the three channels of an image as three planes.
fn planes<const N: usize>(from: Pixels<'_>, flip: bool, out: &mut [u8], element: impl Fn(usize, u8) -> [u8; N]) {
    let width = from.size().width as usize;
    let plane = from.size().area() as usize * N;
    let (red, rest) = out.split_at_mut(plane);
    let (green, blue) = rest.split_at_mut(plane);
    let rows =
        red.chunks_exact_mut(width * N).zip(green.chunks_exact_mut(width * N)).zip(blue.chunks_exact_mut(width * N));
    for (row, ((red, green), blue)) in from.rows().zip(rows) {
        let pixels = row.as_chunks::<3>().0;
        let (red, green, blue) =
            (red.as_chunks_mut::<N>().0, green.as_chunks_mut::<N>().0, blue.as_chunks_mut::<N>().0);
        let elements = red.iter_mut().zip(green).zip(blue);
        macro_rules! write {
            ($pixels:expr) => {
                for (from, ((red, green), blue)) in $pixels.zip(elements) {
                    *red = element(0, from[0]);
                    *green = element(1, from[1]);
                    *blue = element(2, from[2]);
                }
            };
        }
        if flip { write!(pixels.iter().rev()) } else { write!(pixels.iter()) }
    }
}

/// What each value of a channel becomes: `(value - zero) / step`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) zero: f32,
    pub(super) step: f32,
}

impl Line {
    /// Returns what becomes of a value.
    #[expect(clippy::inline_always, reason = "it is part of vectorised loops")]
    #[inline(always)]
    pub(super) fn at(self, value: f32) -> f32 {
        (value - self.zero) / self.step
    }
}

/// A floating-point dtype that `f32` is rounded to. Rounding to `float16` takes longer than a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Float {
    F32,
    BF16,
}

impl Float {
    /// Returns the bytes of an element.
    const fn size(self) -> usize {
        match self {
            Self::F32 => size_of::<f32>(),
            Self::BF16 => size_of::<half::bf16>(),
        }
    }
}

/// How many elements are done at once: enough for the compiler to use wide registers.
const BLOCK: usize = 32;

/// Writes each value as what `lines`, one per channel, make of it.
pub(super) fn floats(from: Pixels<'_>, flip: bool, layout: Layout, float: Float, lines: &[Line], out: &mut [u8]) {
    match (lines, layout) {
        ([red, green, blue], Layout::Chw) => float_planes(from, flip, float, [*red, *green, *blue], out),
        _ => float_rows(from, flip, float, lines, out),
    }
}

/// Reads some pixels of a row, mirrored if so asked: those that end up at `at` to `at + BLOCK`, as far as there are any.
#[expect(clippy::inline_always, reason = "it is part of vectorised loops")]
#[inline(always)]
fn block<const N: usize>(row: &[[u8; N]], at: usize, flip: bool) -> [[u8; BLOCK]; 3] {
    let len = BLOCK.min(row.len() - at);
    let mut pixels = [[0; N]; BLOCK];
    if flip {
        let end = row.len() - at;
        match row[..end].last_chunk::<BLOCK>() {
            Some(whole) => pixels = *whole,
            None => pixels[BLOCK - len..].copy_from_slice(&row[end - len..end]),
        }
    } else {
        match row[at..].first_chunk::<BLOCK>() {
            Some(whole) => pixels = *whole,
            None => pixels[..len].copy_from_slice(&row[at..]),
        }
    }
    let mut planes = [[0; BLOCK]; 3];
    for at in 0..BLOCK {
        planes[0][at] = pixels[at][0];
        planes[1][at] = pixels[at][1];
        planes[2][at] = pixels[at][2];
    }
    if flip {
        for plane in &mut planes {
            plane.reverse();
        }
    }
    planes
}

/// Writes what the lines make of some values, as far as there is room.
#[expect(clippy::inline_always, reason = "it is part of vectorised loops")]
#[inline(always)]
fn encode(values: &[u8; BLOCK], line: impl Fn(usize) -> Line, float: Float, out: &mut [u8]) {
    let mut floats = [0.0; BLOCK];
    for at in 0..BLOCK {
        floats[at] = line(at).at(f32::from(values[at]));
    }
    match float {
        Float::F32 => {
            let mut elements = [[0; 4]; BLOCK];
            for at in 0..BLOCK {
                elements[at] = floats[at].to_ne_bytes();
            }
            store(&elements, out);
        }
        Float::BF16 => {
            let mut elements = [[0; 2]; BLOCK];
            for at in 0..BLOCK {
                elements[at] = brain_bits(floats[at]).to_ne_bytes();
            }
            store(&elements, out);
        }
    }
}

#[expect(clippy::inline_always, reason = "it is part of vectorised loops")]
#[inline(always)]
fn store<const N: usize>(elements: &[[u8; N]; BLOCK], out: &mut [u8]) {
    match out.as_chunks_mut::<N>().0.first_chunk_mut::<BLOCK>() {
        Some(out) => *out = *elements,
        None => out.copy_from_slice(&elements.as_flattened()[..out.len()]),
    }
}

/// Rounds a number that is not NaN to `bfloat16`, to even where two are equally near.
#[expect(clippy::inline_always, reason = "it is part of vectorised loops")]
#[inline(always)]
const fn brain_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

vectorised! {
    fn float_planes(from: Pixels<'_>, flip: bool, float: Float, lines: [Line; 3], out: &mut [u8]) {
        if from.pixel().channels == Channels::Rgbx {
            float_planes_of::<4>(from, flip, float, lines, out);
        } else {
            float_planes_of::<3>(from, flip, float, lines, out);
        }
    }
}

/// [`float_planes`] of an image of `N` channels, of which three are meant.
#[expect(clippy::inline_always, reason = "it must take on the features of the function it is called in")]
#[inline(always)]
fn float_planes_of<const N: usize>(from: Pixels<'_>, flip: bool, float: Float, lines: [Line; 3], out: &mut [u8]) {
    let (width, size) = (from.size().width as usize, float.size());
    let plane = from.size().area() as usize * size;
    let (red, rest) = out.split_at_mut(plane);
    let (green, blue) = rest.split_at_mut(plane);
    let mut planes = [red, green, blue];
    for (y, row) in from.rows().enumerate() {
        let row = row.as_chunks::<N>().0;
        for at in (0..width).step_by(BLOCK) {
            let values = block(row, at, flip);
            let len = BLOCK.min(width - at);
            let start = (y * width + at) * size;
            for ((values, line), plane) in values.iter().zip(&lines).zip(&mut planes) {
                encode(values, |_| *line, float, &mut plane[start..start + len * size]);
            }
        }
    }
}

vectorised! {
    fn float_rows(from: Pixels<'_>, flip: bool, float: Float, lines: &[Line], out: &mut [u8]) {
        let (row_bytes, channels, size) = (from.row_bytes(), from.pixel().channels.count(), float.size());
        // Three blocks hold whole pixels, of one channel or of three.
        let lines: [[Line; BLOCK]; 3] =
            std::array::from_fn(|part| std::array::from_fn(|at| lines[(part * BLOCK + at) % channels]));
        for (row, out) in from.rows().zip(out.chunks_exact_mut(row_bytes * size)) {
            for at in (0..row_bytes).step_by(3 * BLOCK) {
                let len = (3 * BLOCK).min(row_bytes - at);
                let mut values = [0; 3 * BLOCK];
                if flip {
                    let end = row_bytes - at;
                    for (to, from) in
                        values.chunks_exact_mut(channels).zip(row[end - len..end].chunks_exact(channels).rev())
                    {
                        to.copy_from_slice(from);
                    }
                } else if let Some(whole) = row[at..].first_chunk() {
                    values = *whole;
                } else {
                    values[..len].copy_from_slice(&row[at..]);
                }
                for (part, (values, lines)) in values.as_chunks::<BLOCK>().0.iter().zip(&lines).enumerate() {
                    let start = part * BLOCK;
                    if start >= len {
                        break;
                    }
                    let end = len.min(start + BLOCK);
                    encode(values, |at| lines[at], float, &mut out[(at + start) * size..(at + end) * size]);
                }
            }
        }
    }
}

vectorised! {
    fn byte_planes(from: Pixels<'_>, flip: bool, out: &mut [u8]) {
        let width = from.size().width as usize;
        let (red, rest) = out.split_at_mut(from.size().area() as usize);
        let (green, blue) = rest.split_at_mut(from.size().area() as usize);
        let mut planes = [red, green, blue];
        for (y, row) in from.rows().enumerate() {
            let row = row.as_chunks::<3>().0;
            for at in (0..width).step_by(BLOCK) {
                let (start, len) = (y * width + at, BLOCK.min(width - at));
                for (values, plane) in block(row, at, flip).iter().zip(&mut planes) {
                    if let Some(out) = plane[start..start + len].first_chunk_mut() {
                        *out = *values;
                    } else {
                        plane[start..start + len].copy_from_slice(&values[..len]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use proptest::prelude::*;

    use super::*;
    use crate::geometry::Size;

    proptest! {
        #[test]
        fn brain_floats_are_rounded_as_by_the_crate(bits: u32) {
            let value = f32::from_bits(bits);
            prop_assume!(!value.is_nan());
            prop_assert_eq!(brain_bits(value), bf16::from_f32(value).to_bits(), "{}", value);
        }

        #[test]
        fn wide_loops_are_the_element_by_element_ones(
            width in 1..140_u32, height in 1..4_u32, grey: bool, flip: bool, over: bool, chw: bool, seed: u8,
        ) {
            let (size, channels) = (Size { height, width }, if grey { 1 } else { 3 });
            let image: Vec<u8> =
                (0..size.area() as usize * channels).map(|at| (at as u8).wrapping_mul(37) ^ seed).collect();
            let lines = [(123.7, 58.4), (116.3, -57.1), (0.0, 255.0)].map(|(zero, step)| Line { zero, step });
            let from = Pixels::new(&image, size, if grey { PixelType::GREY8 } else { PixelType::RGB8 }).turned_over(over);
            let layout = if chw { Layout::Chw } else { Layout::Hwc };
            let count = image.len();
            let (mut f32s, mut bf16s, mut u8s) = (vec![0xee; count * 4], vec![0xee; count * 2], vec![0xee; count]);
            floats(from, flip, layout, Float::F32, &lines[..channels], &mut f32s);
            floats(from, flip, layout, Float::BF16, &lines[..channels], &mut bf16s);
            bytes(from, flip, layout, &mut u8s);
            let (width, height) = (width as usize, height as usize);
            for y in 0..height {
                for x in 0..width {
                    for (channel, line) in lines.iter().enumerate().take(channels) {
                        let (row, column) =
                            (if over { height - 1 - y } else { y }, if flip { width - 1 - x } else { x });
                        let value = image[(row * width + column) * channels + channel];
                        let at = if chw {
                            (channel * height + y) * width + x
                        } else {
                            (y * width + x) * channels + channel
                        };
                        let float = (f32::from(value) - line.zero) / line.step;
                        prop_assert_eq!(u8s[at], value);
                        prop_assert_eq!(&f32s[4 * at..4 * at + 4], float.to_ne_bytes());
                        prop_assert_eq!(&bf16s[2 * at..2 * at + 2], bf16::from_f32(float).to_ne_bytes());
                    }
                }
            }
        }
    }
}
