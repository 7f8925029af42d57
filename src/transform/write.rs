//! The last pass: pixels to a row of the batch, flipped, converted and laid out on the way.

use super::{
    Layout,
    geometry::{Rect, Size},
};

/// A borrowed 8-bit image, (height, width, channels), whose rows may be those of a larger one.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    bytes: &'a [u8],
    /// The bytes from one row to the next.
    stride: usize,
    size: Size,
    channels: usize,
}

impl<'a> Pixels<'a> {
    /// Returns the image of these bytes.
    pub(super) const fn new(bytes: &'a [u8], size: Size, channels: usize) -> Self {
        Self { bytes, stride: size.width as usize * channels, size, channels }
    }

    /// Returns the image of these bytes, 8-bit RGB.
    pub const fn rgb8(bytes: &'a [u8], width: u32, height: u32) -> Self {
        Self::new(bytes, Size { height, width }, 3)
    }

    /// Returns the image of these bytes, one 8-bit channel.
    pub const fn grey8(bytes: &'a [u8], width: u32, height: u32) -> Self {
        Self::new(bytes, Size { height, width }, 1)
    }

    /// Returns the height and the width.
    pub const fn edges(&self) -> (u32, u32) {
        (self.size.height, self.size.width)
    }

    pub(super) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) const fn size(&self) -> Size {
        self.size
    }

    pub(super) const fn channels(&self) -> usize {
        self.channels
    }

    pub(super) const fn row_bytes(&self) -> usize {
        self.size.width as usize * self.channels
    }

    /// Returns a box of the image, which must lie inside.
    pub(super) fn part(self, part: Rect) -> Self {
        let start = part.top as usize * self.stride + part.left as usize * self.channels;
        Self { bytes: &self.bytes[start..], size: part.size, ..self }
    }

    pub(super) fn row(&self, at: usize) -> &'a [u8] {
        let start = at * self.stride;
        &self.bytes[start..start + self.row_bytes()]
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.size.height as usize).map(|at| self.row(at))
    }
}

/// What each of the 256 values of a channel becomes, as the bytes of one element.
pub(super) type Table<const N: usize> = [[u8; N]; 256];

/// Writes the image as it is.
pub(super) fn bytes(from: Pixels<'_>, flip: bool, layout: Layout, out: &mut [u8]) {
    if layout == Layout::Hwc || from.channels() == 1 {
        let channels = from.channels();
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
        planes(from, flip, out, |_, value| [value]);
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
