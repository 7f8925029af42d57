//! The last pass over pixels for which there is no faster loop: of any depth, with any number of channels.

use half::bf16;

use super::{
    args::Layout,
    encode::Encode,
    pixels::Pixels,
    value::Value,
    write::{Float, Line},
};
use crate::pixel::Depth;

/// What each value becomes.
#[derive(Clone, Debug)]
pub(super) enum Becomes {
    /// Itself.
    Same,
    /// What the line of its channel makes of it.
    Lines(Float, Vec<Line>),
    /// Whatever the steps of a chain make of it.
    Encoded(Encode),
}

/// Writes each value as what becomes of it.
pub(super) fn write(from: Pixels<'_>, flip: bool, layout: Layout, becomes: &Becomes, out: &mut [u8]) {
    let to = Target { from, flip, layout };
    match from.pixel().depth {
        Depth::U8 => to.write::<u8>(becomes, out),
        Depth::U16 => to.write::<u16>(becomes, out),
        Depth::F32 => to.write::<f32>(becomes, out),
    }
}

#[derive(Clone, Copy)]
struct Target<'a> {
    from: Pixels<'a>,
    flip: bool,
    layout: Layout,
}

impl Target<'_> {
    fn write<T: Value>(self, becomes: &Becomes, out: &mut [u8]) {
        match becomes {
            Becomes::Same => self.same(out),
            Becomes::Lines(Float::F32, lines) => {
                self.each(out, |channel, value: T| lines[channel].at(value.number()).to_ne_bytes());
            }
            Becomes::Lines(Float::BF16, lines) => {
                self.each(out, |channel, value: T| bf16::from_f32(lines[channel].at(value.number())).to_ne_bytes());
            }
            Becomes::Encoded(encode) => match encode.element() {
                1 => self.encoded::<T, 1>(encode, out),
                2 => self.encoded::<T, 2>(encode, out),
                4 => self.encoded::<T, 4>(encode, out),
                _ => self.encoded::<T, 8>(encode, out),
            },
        }
    }

    fn same(self, out: &mut [u8]) {
        match self.from.pixel().depth {
            Depth::U8 => self.each(out, |_, value: u8| [value]),
            Depth::U16 => self.each(out, |_, value: u16| value.to_ne_bytes()),
            Depth::F32 => self.each(out, |_, value: f32| value.to_ne_bytes()),
        }
    }

    fn encoded<T: Value, const N: usize>(self, encode: &Encode, out: &mut [u8]) {
        self.each(out, |channel, value: T| {
            let bytes = encode.bytes(channel, f64::from(value.number()));
            std::array::from_fn::<u8, N, _>(|at| bytes[at])
        });
    }

    /// Writes the bytes that `element` makes of each value of each channel.
    fn each<T: Value, const N: usize>(self, out: &mut [u8], element: impl Fn(usize, T) -> [u8; N]) {
        let Self { from, flip, layout } = self;
        let (width, channels) = (from.size().width as usize, from.pixel().channels.stored());
        let (elements, area) = (out.as_chunks_mut::<N>().0, from.size().area() as usize);
        // Rows of an array in memory may lie anywhere.
        let read = |row: &[u8], at: usize| -> T {
            bytemuck::pod_read_unaligned(&row[at * size_of::<T>()..][..size_of::<T>()])
        };
        let column = |x: usize| if flip { width - 1 - x } else { x };
        for (y, row) in from.rows().enumerate() {
            match layout {
                Layout::Hwc => {
                    let out = &mut elements[y * width * channels..][..width * channels];
                    for (x, out) in out.chunks_exact_mut(channels).enumerate() {
                        let at = column(x) * channels;
                        for (channel, out) in out.iter_mut().enumerate() {
                            *out = element(channel, read(row, at + channel));
                        }
                    }
                }
                Layout::Chw => {
                    for channel in 0..channels {
                        let out = &mut elements[channel * area + y * width..][..width];
                        for (x, out) in out.iter_mut().enumerate() {
                            *out = element(channel, read(row, column(x) * channels + channel));
                        }
                    }
                }
            }
        }
    }
}
