//! Which pixels are read, and what becomes of them: the same kinds as in Pillow, and those that differ from them by the
//! depth alone.

use super::{
    codec::Codec,
    layout::{Layout, Number},
    ycbcr,
};
use crate::{
    decode::{format::Bad, palette::Palette},
    pixel::{Channels, Depth, PixelType},
};

/// What a pixel's samples mean.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// The values of the channels, and samples behind them that mean nothing.
    Values,
    /// Grey of up to 8 bits, or an index, by the value of each number.
    Greys(Box<[u8; 256]>),
    /// An index, by its colours.
    Indices(Box<Palette>),
    /// Values that have been multiplied by alpha.
    Premultiplied,
    /// Cyan, magenta, yellow and black.
    Cmyk,
    /// Luma and two differences of colour, and how they become colours.
    YCbCr(fn([u8; 3]) -> [u8; 3]),
}

/// What is read of a file.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    /// What the file's pixels are.
    pub(super) pixel: PixelType,
    /// What is written, which may have fewer bits.
    pub(super) written: PixelType,
    pub(super) meaning: Meaning,
}

const ALPHA_OF_COREL: u64 = 999;

/// What the samples behind the colours are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extra {
    Nothing,
    Premultiplied,
    Alpha,
}

impl Kind {
    pub(super) fn of(layout: &Layout<'_>, codec: Codec, wanted: Depth) -> Result<Self, Bad> {
        let name = photometric_name(layout.photometric);
        let colours = match layout.photometric {
            0 | 1 | 3 => 1,
            // Grey may be called luma.
            6 if layout.samples == 1 => 1,
            2 | 6 => 3,
            5 => 4,
            _ => return Err(Bad::from(format!("has pixels of {name}, which are not read"))),
        };
        let found = extra(layout, colours).zip(depth(layout.bits, layout.number));
        let found = found.and_then(|(extra, depth)| Some((extra, depth, meaning(layout, colours, extra, codec)?)));
        let Layout { bits, samples, number, .. } = layout;
        let extra_samples = match &layout.extra[..] {
            [] => String::new(),
            kinds => format!(" (extra samples {kinds:?})"),
        };
        let codec = if codec == Codec::Jpeg { ", as JPEG" } else { "" };
        let name = format!("{name} in {samples} samples{extra_samples} of {bits} bits, {}{codec}", number.name());
        let Some((extra, depth, meaning)) = found else {
            return Err(Bad::from(format!("has pixels of {name}, which are not read")));
        };
        if depth == Depth::F32 && wanted != Depth::F32 {
            let dtype = wanted.dtype();
            return Err(Bad::from(format!(
                "has pixels of {name}, which {dtype} does not hold; decode with dtype=\"float32\""
            )));
        }
        let has_alpha = extra != Extra::Nothing;
        let is_grey = colours == 1 && !matches!(meaning, Meaning::Indices(_));
        let channels = match (is_grey, has_alpha) {
            (true, false) => Channels::Grey,
            (true, true) => Channels::GreyAlpha,
            (false, false) => Channels::Rgb,
            (false, true) => Channels::Rgba,
        };
        // Where 8 bits are wanted, Pillow calculates with the high bytes; of 12 bits, the upper 8 are no high byte.
        let is_other = layout.bits == 12 || matches!(meaning, Meaning::Premultiplied | Meaning::Cmyk);
        let written = if is_other && wanted == Depth::U8 { Depth::U8 } else { depth };
        let [pixel, written] = [depth, written].map(|depth| PixelType::new(channels, depth));
        Ok(Self { pixel, written, meaning })
    }

    /// Returns how the pixels are read as class indices; none where they are not numbers of classes.
    pub(super) fn mask(layout: &Layout<'_>) -> Option<Self> {
        let is_read = matches!(layout.photometric, 0 | 1 | 3) && layout.number == Number::Unsigned;
        if !is_read || extra(layout, 1) != Some(Extra::Nothing) {
            return None;
        }
        let depth = depth(layout.bits, layout.number).filter(|_| layout.bits <= 8 || layout.photometric != 3)?;
        let meaning = match depth {
            Depth::U8 => Meaning::Greys(greys(layout, false)),
            Depth::U16 => Meaning::Values,
            Depth::F32 => return None,
        };
        let pixel = PixelType::new(Channels::Grey, depth);
        Some(Self { pixel, written: pixel, meaning })
    }
}

/// Returns what samples mean; none for what is not read.
fn meaning(layout: &Layout<'_>, colours: usize, extra: Extra, codec: Codec) -> Option<Meaning> {
    let is_jpeg = codec == Codec::Jpeg;
    let Layout { bits, number, photometric, .. } = *layout;
    let is_unsigned = number == Number::Unsigned;
    let is_byte = bits == 8 && is_unsigned;
    let is_index = bits <= 8 && is_unsigned && (is_byte || layout.samples == 1);
    let is_whole = matches!(bits, 8 | 16) && is_unsigned;
    Some(match (photometric, extra) {
        (3, Extra::Nothing | Extra::Alpha) if is_index => Meaning::Indices(palette(layout)?),
        (0 | 1 | 6, Extra::Nothing) if colours == 1 && is_index => Meaning::Greys(greys(layout, true)),
        (5, Extra::Nothing) if is_whole && !is_jpeg => Meaning::Cmyk,
        // A JPEG's decoder makes colours of it.
        (6, Extra::Nothing) if is_byte && is_jpeg && !layout.is_planar => Meaning::Values,
        (6, Extra::Nothing) if is_byte && layout.subsampling == [1, 1] && codec == Codec::Raw => {
            Meaning::YCbCr(ycbcr::rgb)
        }
        (6, Extra::Nothing) if is_byte && !is_jpeg && layout.subsampling == [1, 1] && layout.has_usual_luma() => {
            Meaning::YCbCr(ycbcr::fine_rgb)
        }
        (3 | 5 | 6, _) | (0, Extra::Alpha | Extra::Premultiplied) => return None,
        (_, Extra::Premultiplied) => return is_whole.then_some(Meaning::Premultiplied),
        _ if bits < 8 => return None,
        _ => Meaning::Values,
    })
}

fn photometric_name(photometric: u64) -> String {
    let name = match photometric {
        0 | 1 => "grey",
        2 => "RGB",
        3 => "a palette",
        4 => "a transparency mask",
        5 => "CMYK",
        6 => "YCbCr",
        8 => "CIELab",
        9 => "ICCLab",
        10 => "ITULab",
        32_803 => "a colour filter array",
        32_844 | 32_845 => "LogLuv",
        34_892 => "linear raw",
        other => return format!("photometric interpretation {other}"),
    };
    name.to_owned()
}

/// Returns what stands behind the colours; none for what is not read.
fn extra(layout: &Layout<'_>, colours: usize) -> Option<Extra> {
    let (first, rest) = match &layout.extra[..] {
        [] if layout.samples == colours => return Some(Extra::Nothing),
        // RGB with a fourth sample that nothing is said of has alpha.
        [] if layout.photometric == 2 && layout.samples == 4 => return Some(Extra::Alpha),
        [first, rest @ ..] if layout.samples == colours + 1 + rest.len() => (*first, rest),
        _ => return None,
    };
    match first {
        _ if rest.iter().any(|&kind| kind != 0) => None,
        0 => Some(Extra::Nothing),
        1 => Some(Extra::Premultiplied),
        2 | ALPHA_OF_COREL => Some(Extra::Alpha),
        _ => None,
    }
}

const fn depth(bits: u32, number: Number) -> Option<Depth> {
    match (bits, number) {
        (1 | 2 | 4 | 8, Number::Unsigned) => Some(Depth::U8),
        (12 | 16, Number::Unsigned) => Some(Depth::U16),
        (32, _) | (8 | 16, Number::Signed) => Some(Depth::F32),
        _ => None,
    }
}

/// Returns the colours of each index; none where the file has none.
fn palette(layout: &Layout<'_>) -> Option<Box<Palette>> {
    let mut palette = Box::new([[0; 3]; 256]);
    palette.iter_mut().zip(layout.colours()?).for_each(|(to, from)| *to = from);
    Some(palette)
}

/// Returns the grey of each number of up to 8 bits: where `is_spread`, of the whole range, so that white is 255.
fn greys(layout: &Layout<'_>, is_spread: bool) -> Box<[u8; 256]> {
    let largest = ((1_u32 << layout.bits) - 1) as u8;
    let mut greys = Box::new([0; 256]);
    for (number, grey) in (0..=largest).zip(greys.iter_mut()) {
        let value = if layout.photometric == 0 { largest - number } else { number };
        *grey = if is_spread { value * (255 / largest) } else { value };
    }
    greys
}
