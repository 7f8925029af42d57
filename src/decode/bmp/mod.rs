//! Bitmaps of Windows and of OS/2.
//!
//! Read are palettes of 1, 4 and 8 bits, plain or run-length encoded, and colours of 16, 24 and 32 bits, in whatever bits a
//! mask says. A value of few bits is spread to eight and cut, as in Pillow. Values are those of Pillow, but where Pillow
//! takes a palette of greys for pixels of 8 bits when they have 4, or of 1 bit when they have 8.

mod header;
mod rle;

use self::header::{Coding, Header};
use super::{
    format::{Bad, Format, Memory, Opened, ReadMask, Wanted},
    image::Image,
    kept::Kept,
    mask::{Mask, no_indices},
    options::DecodeImage,
    palette::{self, Palette},
};
use crate::{
    geometry::Size,
    pixel::{Channels, Depth, PixelType},
};

/// BMP files.
#[derive(Debug)]
pub(super) struct Bmp;

impl Format for Bmp {
    fn name(&self) -> &'static str {
        "BMP"
    }

    fn recognises(&self, data: &[u8]) -> bool {
        data.starts_with(b"BM")
    }

    fn open<'a>(&self, data: &'a [u8], _: DecodeImage) -> Result<Box<dyn Opened + 'a>, Bad> {
        Ok(Box::new(OpenBmp { data, header: Header::read(data)? }))
    }

    fn mask(&self) -> Option<ReadMask> {
        Some(mask)
    }
}

/// Reads a mask: the indices of a palette.
fn mask(data: &[u8], options: DecodeImage, out: &mut Mask) -> Result<(), String> {
    let header = Header::read(data).map_err(|bad| bad.reason)?;
    options.check_size(header.size)?;
    if header.bits > 8 {
        return Err(no_indices("colours"));
    }
    let size = header.size;
    OpenBmp { data, header }.write_indices(out.reset(size)).map_err(|bad| bad.reason)
}

struct OpenBmp<'a> {
    data: &'a [u8],
    header: Header<'a>,
}

impl Opened for OpenBmp<'_> {
    fn size(&self) -> Size {
        self.header.size
    }

    fn orientation(&self, _: bool) -> u8 {
        1
    }

    fn pixel(&self) -> PixelType {
        let has_alpha =
            matches!(self.header.coding, Coding::Masks(masks) if self.header.bits == 32 && has_alpha(masks));
        let channels = match (self.header.is_grey(), has_alpha) {
            (true, _) => Channels::Grey,
            (false, true) => Channels::Rgba,
            (false, false) => Channels::Rgb,
        };
        PixelType::new(channels, Depth::U8)
    }

    fn memory(&self, _: Wanted) -> Memory {
        Memory { size: self.header.size, pixel: self.pixel(), beside: 0 }
    }

    fn decode(self: Box<Self>, _: Wanted, _: &mut Kept, out: &mut Image) -> Result<(), Bad> {
        let (size, pixel) = (self.header.size, self.pixel());
        if self.header.bits > 8 {
            return self.write_colours(out.reset(size, pixel));
        }
        let mut colours: Palette = [[0; 3]; 256];
        for (colour, bgr) in colours.iter_mut().zip(&self.header.palette) {
            *colour = [bgr[2], bgr[1], bgr[0]];
        }
        let out = out.reset(size, pixel);
        self.write_indices(palette::indices(out, pixel.channels.stored()))?;
        match pixel.channels {
            Channels::Grey => palette::expand(out, |index| [colours[usize::from(index)][0]]),
            Channels::GreyAlpha | Channels::Rgb | Channels::Rgba | Channels::Rgbx => {
                palette::expand(out, |index| colours[usize::from(index)]);
            }
        }
        Ok(())
    }
}

/// Tells whether masks hold alpha: where all are empty, it is the fourth byte.
const fn has_alpha(masks: [u32; 4]) -> bool {
    masks[3] != 0 || matches!(masks, [0, 0, 0, 0])
}

impl OpenBmp<'_> {
    /// Writes the index of each pixel.
    fn write_indices(&self, out: &mut [u8]) -> Result<(), Bad> {
        let Header { size, is_top_down, bits, coding, start, .. } = self.header;
        let width = size.width as usize;
        let has_nibbles = match coding {
            Coding::Rle8 => false,
            Coding::Rle4 => true,
            Coding::Raw | Coding::Masks(_) => {
                return self.each_row(out, width, |from, to| unpack(from, bits as usize, to));
            }
        };
        rle::expand(self.data, start, width, has_nibbles, out)?;
        if !is_top_down {
            let mut rows: Vec<_> = out.chunks_exact_mut(width).collect();
            let half = rows.len() / 2;
            let (upper, lower) = rows.split_at_mut(half);
            upper.iter_mut().zip(lower.iter_mut().rev()).for_each(|(upper, lower)| upper.swap_with_slice(lower));
        }
        Ok(())
    }

    /// Writes the colour of each pixel.
    fn write_colours(&self, out: &mut [u8]) -> Result<(), Bad> {
        let (width, bits) = (self.header.size.width as usize, self.header.bits);
        let masks = match (self.header.coding, bits) {
            (Coding::Masks([0, 0, 0, 0]), 32) => [0x00ff_0000, 0xff00, 0xff, 0xff00_0000],
            (Coding::Masks([0, 0, 0, _]), _) => return Err(Bad::from("has masks without bits".to_owned())),
            (Coding::Masks(masks), _) => masks,
            (Coding::Raw | Coding::Rle8 | Coding::Rle4, 16) => [0x7c00, 0x3e0, 0x1f, 0],
            (Coding::Raw | Coding::Rle8 | Coding::Rle4, _) => [0x00ff_0000, 0xff00, 0xff, 0],
        };
        let channels = self.pixel().channels.stored();
        let bytes = bits as usize / 8;
        if bytes == 3 && masks == [0x00ff_0000, 0xff00, 0xff, 0] {
            return self.each_row(out, width * 3, |from, to| {
                for ([b, g, r], to) in from.as_chunks::<3>().0.iter().zip(to.as_chunks_mut::<3>().0) {
                    *to = [*r, *g, *b];
                }
            });
        }
        let parts = masks.map(Part::of);
        if parts[..channels].iter().any(|part| !part.is_whole()) {
            return Err(Bad::from(format!("has masks whose bits are not side by side: {masks:x?}")));
        }
        self.each_row(out, width * channels, |from, to| {
            for (from, to) in from.chunks_exact(bytes).zip(to.chunks_exact_mut(channels)) {
                let pixel = from.iter().rev().fold(0, |pixel, &byte| pixel << 8 | u32::from(byte));
                to.iter_mut().zip(&parts).for_each(|(to, part)| *to = part.value(pixel));
            }
        })
    }

    /// Calls `write` with each row of the file and the row of `out`, of `len` bytes, that it becomes.
    fn each_row(&self, out: &mut [u8], len: usize, write: impl Fn(&[u8], &mut [u8])) -> Result<(), Bad> {
        let Header { size, is_top_down, bits, start, .. } = self.header;
        let row_bits = size.width as usize * bits as usize;
        // Rows are filled up to four bytes; the last one need not be.
        let (row, stride) = (row_bits.div_ceil(8), row_bits.div_ceil(32) * 4);
        let last = size.height as usize - 1;
        for (y, to) in out.chunks_exact_mut(len).enumerate() {
            let y = if is_top_down { y } else { last - y };
            let from = self.data.get(start..).and_then(|pixels| pixels.get(y * stride..y * stride + row));
            write(from.ok_or_else(Bad::end_of_data)?, to);
        }
        Ok(())
    }
}

/// Unpacks indices of 1, 4 or 8 bits.
fn unpack(packed: &[u8], bits: usize, out: &mut [u8]) {
    if bits == 8 {
        return out.copy_from_slice(packed);
    }
    let mask = (1_u8 << bits) - 1;
    for (to, &byte) in out.chunks_mut(8 / bits).zip(packed) {
        to.iter_mut().enumerate().for_each(|(at, to)| *to = byte >> (8 - bits * (at + 1)) & mask);
    }
}

/// Which bits of a pixel hold a value.
#[derive(Clone, Copy, Debug)]
struct Part {
    mask: u32,
    shift: u32,
}

impl Part {
    const fn of(mask: u32) -> Self {
        Self { mask, shift: if mask == 0 { 0 } else { mask.trailing_zeros() } }
    }

    /// Tells whether the bits stand side by side.
    const fn is_whole(self) -> bool {
        let ones = self.mask >> self.shift;
        ones & ones.wrapping_add(1) == 0
    }

    /// Returns the value, from 0 to 255, rounded down.
    fn value(self, pixel: u32) -> u8 {
        let largest = u64::from(self.mask >> self.shift);
        let value = u64::from((pixel & self.mask) >> self.shift);
        (value * 255).checked_div(largest).unwrap_or(0) as u8
    }
}

#[cfg(test)]
mod tests;
