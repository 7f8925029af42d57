//! Netpbm: PBM, PGM and PPM, plain and raw, and PAM.
//!
//! Values are spread to the whole range as Pillow does it: white becomes 255, or 65,535 where it is more than 255, and
//! what lies between two numbers goes to the nearer one, or the even one.

mod header;

use self::header::{Coding, Header, Tokens};
use super::{
    format::{Bad, Format, Memory, Opened, ReadMask, Wanted},
    image::Image,
    kept::Kept,
    mask::{Mask, no_indices},
    options::DecodeImage,
};
use crate::{
    geometry::Size,
    pixel::{Channels, Depth, PixelType},
};

/// PNM files.
#[derive(Debug)]
pub(super) struct Pnm;

impl Format for Pnm {
    fn name(&self) -> &'static str {
        "PNM"
    }

    fn recognises(&self, data: &[u8]) -> bool {
        matches!(data, [b'P', b'1'..=b'7', b' ' | b'\t'..=b'\r', ..])
    }

    fn open<'a>(&self, data: &'a [u8], options: DecodeImage) -> Result<Box<dyn Opened + 'a>, Bad> {
        Ok(Box::new(OpenPnm { data, header: Header::read(data)?, wanted: options.depth() }))
    }

    fn mask(&self) -> Option<ReadMask> {
        Some(mask)
    }
}

/// Reads a mask: the values as they are in the file, and 1 for white where there are only black and white.
fn mask(data: &[u8], options: DecodeImage, out: &mut Mask) -> Result<(), String> {
    let header = Header::read(data).map_err(|bad| bad.reason)?;
    options.check_size(header.size)?;
    match header.channels {
        Channels::Grey => {}
        Channels::GreyAlpha | Channels::Rgba => return Err(no_indices("an alpha channel")),
        Channels::Rgb | Channels::Rgbx => return Err(no_indices("colours")),
    }
    let (size, is_deep) = (header.size, header.largest > 255);
    let file = OpenPnm { data, header, wanted: Depth::U16 };
    let read = if is_deep {
        file.read(out.reset_deep(size).iter_mut(), |out, value| *out = value as u16)
    } else {
        file.read(out.reset(size).iter_mut(), |out, value| *out = value as u8)
    };
    read.map_err(|bad| bad.reason)
}

struct OpenPnm<'a> {
    data: &'a [u8],
    header: Header,
    /// The depth that was asked for.
    wanted: Depth,
}

impl Opened for OpenPnm<'_> {
    fn size(&self) -> Size {
        self.header.size
    }

    fn orientation(&self, _: bool) -> u8 {
        1
    }

    fn pixel(&self) -> PixelType {
        let depth = if self.header.largest > 255 { Depth::U16 } else { Depth::U8 };
        PixelType::new(self.header.channels, depth)
    }

    fn memory(&self, _: Wanted) -> Memory {
        Memory { size: self.header.size, pixel: self.pixel(), beside: 0 }
    }

    fn decode(self: Box<Self>, _: Wanted, _: &mut Kept, out: &mut Image) -> Result<(), Bad> {
        let Header { size, largest, coding, start, .. } = self.header;
        let mut pixel = self.pixel();
        if self.wanted == Depth::U8 && pixel.channels.is_colour() {
            // Pillow spreads colours to 8 bits at once; greys go by their high byte, as everywhere.
            pixel.depth = Depth::U8;
        }
        let out = out.reset(size, pixel);
        if coding == Coding::Raw && largest == 255 {
            out.copy_from_slice(self.data.get(start..start + out.len()).ok_or_else(Bad::end_of_data)?);
            return Ok(());
        }
        if pixel.depth == Depth::U8 {
            return self.read(out.iter_mut(), |out, value| *out = spread(value, largest, 255) as u8);
        }
        let out = out.as_chunks_mut::<2>().0;
        self.read(out.iter_mut(), |out, value| *out = (spread(value, largest, 65_535) as u16).to_ne_bytes())
    }
}

/// Spreads a value so that `largest` becomes `white`; what is larger becomes white too.
fn spread(value: u32, largest: u32, white: u32) -> u32 {
    let exact = f64::from(value) / f64::from(largest) * f64::from(white);
    (exact.round_ties_even() as u32).min(white)
}

impl OpenPnm<'_> {
    /// Calls `write` with each sample's value, of which 1 is white where there are only black and white.
    fn read<T>(&self, out: impl ExactSizeIterator<Item = T>, write: impl Fn(T, u32)) -> Result<(), Bad> {
        let Header { size, largest, coding, start, .. } = self.header;
        let rest = self.data.get(start..).unwrap_or_default();
        let samples = |bytes: usize| rest.get(..out.len() * bytes).ok_or_else(Bad::end_of_data);
        match coding {
            Coding::Raw if largest <= 255 => {
                let samples = samples(1)?;
                out.zip(samples).for_each(|(out, &value)| write(out, value.into()));
            }
            Coding::Raw => {
                let samples = samples(2)?.as_chunks::<2>().0;
                out.zip(samples).for_each(|(out, value)| write(out, u16::from_be_bytes(*value).into()));
            }
            Coding::Bits => {
                let width = size.width as usize;
                let row = width.div_ceil(8);
                let packed = rest.get(..row * size.height as usize).ok_or_else(Bad::end_of_data)?;
                for (at, out) in out.enumerate() {
                    let (y, x) = (at / width, at % width);
                    write(out, (!packed[y * row + x / 8] >> (7 - x % 8) & 1).into());
                }
            }
            Coding::Plain => {
                let mut tokens = Tokens { data: self.data, at: start };
                for out in out {
                    match tokens.number()? {
                        value if value <= largest => write(out, value),
                        value => {
                            return Err(Bad::from(format!("has a value of {value}, above the largest, {largest}")));
                        }
                    }
                }
            }
            Coding::PlainBits => {
                let mut tokens = Tokens { data: self.data, at: start };
                for out in out {
                    let mut bytes = std::iter::from_fn(|| tokens.next());
                    match bytes.find(|byte| !byte.is_ascii_whitespace() && *byte != 0x0b) {
                        Some(bit @ (b'0' | b'1')) => write(out, (b'1' - bit).into()),
                        Some(other) => return Err(Bad::from(format!("has a byte {other:#04x} for a bit"))),
                        None => return Err(Bad::end_of_data()),
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
