//! From the rows of a strip or tile to pixels.

use super::{
    kind::{Kind, Meaning},
    layout::{Layout, Number},
};
use crate::{
    decode::format::Bad,
    pixel::{Depth, PixelType},
};

/// A row of a strip or tile, with its numbers in the order of the machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'r> {
    pub(super) layout: &'r Layout<'r>,
    pub(super) kind: &'r Kind,
    /// Its bytes, of each plane.
    pub(super) planes: &'r [&'r [u8]],
    /// The first pixel that is wanted.
    pub(super) start: usize,
}

impl Row<'_> {
    /// Writes pixels, as many as `out` has room for.
    pub(super) fn write(&self, out: &mut [u8]) -> Result<(), Bad> {
        let PixelType { channels, depth } = self.kind.written;
        let (is_deep, has_alpha) = (depth == Depth::U16, channels.has_alpha());
        let channels = channels.stored();
        match &self.kind.meaning {
            Meaning::Greys(greys) => each(out, |at, [out]| *out = greys[self.index(at)]),
            Meaning::Indices(colours) if has_alpha => each(out, |at, out| {
                let [red, green, blue] = colours[self.index(at)];
                *out = [red, green, blue, self.byte(at, 1)];
            }),
            Meaning::Indices(colours) => each(out, |at, out| *out = colours[self.index(at)]),
            Meaning::Cmyk if is_deep => {
                each_value(out, |at, out| *out = rgb_of_deep_cmyk([0, 1, 2, 3].map(|part| self.word(at, part))));
            }
            Meaning::Cmyk => {
                each(out, |at, out| *out = rgb_of_cmyk([0, 1, 2, 3].map(|part| self.high_byte(at, part))));
            }
            Meaning::YCbCr(rgb) => each(out, |at, out| *out = rgb([0, 1, 2].map(|part| self.byte(at, part)))),
            Meaning::Premultiplied => match (channels, is_deep) {
                (2, true) => {
                    each_value(out, |at, out| *out = divided_deep([0, 1].map(|part| self.word(at, part))));
                }
                (2, false) => {
                    each(out, |at, out| *out = divided_grey([0, 1].map(|part| self.high_byte(at, part))));
                }
                (_, true) => {
                    each_value(out, |at, out| *out = divided_deep([0, 1, 2, 3].map(|part| self.word(at, part))));
                }
                (_, false) => {
                    each(out, |at, out| *out = divided([0, 1, 2, 3].map(|part| self.high_byte(at, part))));
                }
            },
            Meaning::Values => return self.write_values(channels, out),
        }
        Ok(())
    }

    fn write_values(&self, channels: usize, out: &mut [u8]) -> Result<(), Bad> {
        match (self.layout.number, self.layout.bits) {
            (Number::Unsigned, 8) => self.copy::<1>(channels, out),
            (Number::Unsigned, 16) => self.copy::<2>(channels, out),
            (Number::Unsigned, 12) if self.kind.written.depth == Depth::U8 => {
                for (at, out) in out.iter_mut().enumerate() {
                    *out = (self.twelve_bits(at / channels, at % channels) >> 4) as u8;
                }
            }
            (Number::Unsigned, 12) => {
                for (at, out) in out.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                    *out = self.twelve_bits(at / channels, at % channels).to_ne_bytes();
                }
            }
            (Number::Float, _) => self.copy::<4>(channels, out),
            (Number::Signed, 8) => self.floats(channels, out, |[byte]| f64::from(byte as i8))?,
            (Number::Signed, 16) => self.floats(channels, out, |bytes| f64::from(i16::from_ne_bytes(bytes)))?,
            (Number::Signed, _) => self.floats(channels, out, |bytes| f64::from(i32::from_ne_bytes(bytes)))?,
            (Number::Unsigned, _) => self.floats(channels, out, |bytes| f64::from(u32::from_ne_bytes(bytes)))?,
        }
        Ok(())
    }

    /// Copies values of some bytes.
    fn copy<const BYTES: usize>(&self, channels: usize, out: &mut [u8]) {
        let together = self.layout.samples_together();
        if together == channels {
            out.copy_from_slice(&self.planes[0][self.start * together * BYTES..][..out.len()]);
            return;
        }
        for (at, pixel) in out.chunks_exact_mut(channels * BYTES).enumerate() {
            for (part, out) in pixel.as_chunks_mut::<BYTES>().0.iter_mut().enumerate() {
                *out = self.value(at, part);
            }
        }
    }

    /// Writes numbers as `f32`, which must hold them.
    fn floats<const BYTES: usize>(
        &self,
        channels: usize,
        out: &mut [u8],
        number: impl Fn([u8; BYTES]) -> f64,
    ) -> Result<(), Bad> {
        for (at, out) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let exact = number(self.value(at / channels, at % channels));
            let value = exact as f32;
            if f64::from(value).to_bits() != exact.to_bits() {
                return Err(Bad::from(format!("has the value {exact}, which float32 cannot hold")));
            }
            *out = value.to_ne_bytes();
        }
        Ok(())
    }

    /// Returns in which plane a sample of a pixel lies, and as which of its samples.
    fn sample(&self, at: usize, part: usize) -> (usize, usize) {
        let at = self.start + at;
        if self.layout.is_planar { (part, at) } else { (0, at * self.layout.samples + part) }
    }

    /// Returns the bytes of a sample.
    fn value<const BYTES: usize>(&self, at: usize, part: usize) -> [u8; BYTES] {
        let (plane, at) = self.sample(at, part);
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(&self.planes[plane][at * BYTES..(at + 1) * BYTES]);
        bytes
    }

    fn byte(&self, at: usize, part: usize) -> u8 {
        let (plane, at) = self.sample(at, part);
        self.planes[plane][at]
    }

    fn word(&self, at: usize, part: usize) -> u16 {
        u16::from_ne_bytes(self.value(at, part))
    }

    /// Returns a sample of 8 bits, or the high byte of one of 16.
    fn high_byte(&self, at: usize, part: usize) -> u8 {
        if self.layout.bits == 8 { self.byte(at, part) } else { (self.word(at, part) >> 8) as u8 }
    }

    /// Returns a pixel's first sample, of at most 8 bits.
    fn index(&self, at: usize) -> usize {
        let bits = self.layout.bits as usize;
        if bits == 8 {
            return usize::from(self.byte(at, 0));
        }
        let bit = (self.start + at) * bits;
        usize::from(self.planes[0][bit / 8] >> (8 - bits - bit % 8) & ((1 << bits) - 1))
    }

    fn twelve_bits(&self, at: usize, part: usize) -> u16 {
        let (plane, at) = self.sample(at, part);
        let bytes = &self.planes[plane][at / 2 * 3 + at % 2..][..2];
        let two = u16::from_be_bytes([bytes[0], bytes[1]]);
        if at.is_multiple_of(2) { two >> 4 } else { two & 0xfff }
    }
}

/// Calls `write` with each pixel's number and its bytes.
fn each<const CHANNELS: usize>(out: &mut [u8], write: impl Fn(usize, &mut [u8; CHANNELS])) {
    out.as_chunks_mut::<CHANNELS>().0.iter_mut().enumerate().for_each(|(at, out)| write(at, out));
}

/// Calls `write` with each pixel's number and its values of 16 bits.
fn each_value<const CHANNELS: usize>(out: &mut [u8], write: impl Fn(usize, &mut [u16; CHANNELS])) {
    let values = bytemuck::cast_slice_mut::<u8, u16>(out);
    values.as_chunks_mut::<CHANNELS>().0.iter_mut().enumerate().for_each(|(at, out)| write(at, out));
}

/// As Pillow's conversion: what ink leaves of white.
fn rgb_of_cmyk([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = u32::from(255 - black);
    [cyan, magenta, yellow].map(|ink| {
        let product = u32::from(ink) * light + 128;
        (light - (((product >> 8) + product) >> 8)).min(255) as u8
    })
}

/// The same of 16 bits.
fn rgb_of_deep_cmyk([cyan, magenta, yellow, black]: [u16; 4]) -> [u16; 3] {
    let light = u64::from(u16::MAX - black);
    [cyan, magenta, yellow].map(|ink| (light - (u64::from(ink) * light + 32_767) / 65_535) as u16)
}

/// Divides by alpha, rounded down; what is invisible is black.
fn divided([red, green, blue, alpha]: [u8; 4]) -> [u8; 4] {
    if alpha == 0 {
        return [0; 4];
    }
    let [red, green, blue] = [red, green, blue].map(|value| (u32::from(value) * 255 / u32::from(alpha)).min(255) as u8);
    [red, green, blue, alpha]
}

/// As for colours, but that Pillow leaves an invisible grey as it is.
fn divided_grey([grey, alpha]: [u8; 2]) -> [u8; 2] {
    if alpha == 0 { [grey, 0] } else { [divided([grey, grey, grey, alpha])[0], alpha] }
}

/// As of 8 bits; the last value is alpha.
fn divided_deep<const CHANNELS: usize>(values: [u16; CHANNELS]) -> [u16; CHANNELS] {
    let alpha = values[CHANNELS - 1];
    let mut divided = values.map(|value| match alpha {
        0 => 0,
        alpha => (u32::from(value) * 65_535 / u32::from(alpha)).min(65_535) as u16,
    });
    divided[CHANNELS - 1] = alpha;
    divided
}
