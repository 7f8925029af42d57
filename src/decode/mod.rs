//! Encoded images to 8-bit RGB pixels.
//!
//! The format is found in the first bytes, never in the file's name. Dimensions are checked against a limit
//! before any memory is taken for pixels. Images come out as Pillow's `convert("RGB")` would give them: alpha
//! is dropped, grey is repeated, 16 bits are cut to the high 8.

mod cutout;
mod fallback;
mod image;
mod jpeg;
mod mask;
mod options;
mod other;

use std::fmt::{self, Write};

use ::image::ImageFormat;

use self::jpeg::{Jpeg, Problem, Scale};
pub use self::{
    cutout::{Cutout, decode_jpeg},
    image::Image,
    mask::{Mask, decode_mask},
    options::{DecodeImage, MAX_PIXELS, Truncated},
};
use crate::{
    error::{Failure, Stage},
    geometry::{Rect, Size},
};

/// A format that can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Jpeg,
    Other(ImageFormat),
}

impl Format {
    /// Returns the format that starts with these bytes.
    fn sniff(data: &[u8]) -> Option<Self> {
        use ImageFormat as Kind;
        Some(match data {
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Self::Other(Kind::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::Other(Kind::WebP),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Self::Other(Kind::Gif),
            [b'B', b'M', ..] => Self::Other(Kind::Bmp),
            [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n', ..] => Self::Other(Kind::Pnm),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Self::Other(Kind::Tiff),
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        use ImageFormat as Kind;
        match self {
            Self::Jpeg => "JPEG",
            Self::Other(Kind::Png) => "PNG",
            Self::Other(Kind::WebP) => "WebP",
            Self::Other(Kind::Gif) => "GIF",
            Self::Other(Kind::Bmp) => "BMP",
            Self::Other(Kind::Pnm) => "PNM",
            Self::Other(_) => "TIFF",
        }
    }
}

/// An image whose header has been read.
pub struct Encoded<'a> {
    format: Format,
    kind: Kind<'a>,
    /// The size in pixels, as they are stored.
    size: Size,
    orientation: u8,
    options: DecodeImage,
}

enum Kind<'a> {
    Jpeg(AnyJpeg<'a>),
    Other(Box<dyn ::image::ImageDecoder + 'a>),
}

/// A JPEG of the kind that our own decoder takes, or of another.
enum AnyJpeg<'a> {
    Baseline(Box<Jpeg<'a>>),
    Other(Box<fallback::Decoder<'a>>),
}

impl fmt::Debug for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded").field("format", &self.format).field("size", &self.size).finish_non_exhaustive()
    }
}

impl<'a> Encoded<'a> {
    /// Reads an image's header.
    ///
    /// # Errors
    /// A [`Failure`] of the decode stage, for bytes of an unknown format, a broken header, or too many pixels.
    pub fn open(data: &'a [u8], options: DecodeImage) -> Result<Self, Failure> {
        let format = Format::sniff(data).ok_or_else(|| Failure::new(Stage::Decode, unknown(data)))?;
        let opened = match format {
            Format::Jpeg => AnyJpeg::open(data, options).map(|jpeg| {
                let orientation = if options.apply_exif_orientation { jpeg::orientation(data) } else { 1 };
                (jpeg.size(), orientation, Kind::Jpeg(jpeg))
            }),
            Format::Other(kind) => other::open(data, kind, options).map_err(Bad::from).map(|mut decoder| {
                let orientation = if options.apply_exif_orientation { other::orientation(&mut *decoder) } else { 1 };
                (other::size(&*decoder), orientation, Kind::Other(decoder))
            }),
        };
        let (size, orientation, kind) = opened.map_err(|bad| bad.of(format))?;
        options.check_size(size).map_err(|reason| Bad::from(reason).of(format))?;
        Ok(Self { format, kind, size, orientation, options })
    }

    /// Returns the size in pixels, turned as the options say.
    pub const fn size(&self) -> Size {
        let Size { height, width } = self.size;
        if self.orientation >= 5 { Size { height: width, width: height } } else { self.size }
    }

    /// Tells whether this is a JPEG that our own decoder leaves to another one.
    pub const fn is_other_jpeg(&self) -> bool {
        matches!(self.kind, Kind::Jpeg(AnyJpeg::Other(_)))
    }
}

impl<'a> AnyJpeg<'a> {
    fn open(data: &'a [u8], options: DecodeImage) -> Result<Self, Bad> {
        match Jpeg::open(data) {
            Ok(jpeg) => Ok(Self::Baseline(Box::new(jpeg))),
            Err(Problem::Unsupported(what)) => fallback::Decoder::open(data, options)
                .map(|decoder| Self::Other(Box::new(decoder)))
                .map_err(|reason| format!("{what} is not supported ({reason})").into()),
            Err(problem) => Err(problem.into()),
        }
    }

    const fn size(&self) -> Size {
        match self {
            Self::Baseline(jpeg) => jpeg.size(),
            Self::Other(decoder) => decoder.size(),
        }
    }
}

/// Decodes images one after another; its tables and buffers are used again.
#[derive(Debug, Default)]
pub struct Decoder {
    jpeg: jpeg::Decoder,
    image: Image,
    turned: Image,
}

impl Decoder {
    /// Returns a decoder that uses no instructions but those that every processor of its kind has. Pixels are the same.
    pub fn portable() -> Self {
        Self { jpeg: jpeg::Decoder::portable(), ..Self::default() }
    }

    /// Decodes an image: all of it, or, where that saves time, exactly the pixels of `area`.
    ///
    /// `reduced_to` says to which size the area will be reduced, so that it may be decoded smaller, if
    /// the options allow that.
    ///
    /// # Errors
    /// A [`Failure`] of the decode stage that names the format, what is wrong and, in a JPEG, where; or for an area that
    /// is empty or does not lie in the image.
    pub fn decode(&mut self, encoded: Encoded<'_>, area: Rect, reduced_to: Option<Size>) -> Result<&Image, Failure> {
        if area.intersection(encoded.size()) != Some(area) {
            return Err(Failure::new(Stage::Decode, format!("{area:?}: it does not lie in the image")));
        }
        let Encoded { format, kind, size, orientation, options } = encoded;
        let pads = options.truncated == Truncated::Pad;
        let image = &mut self.image;
        let decoded = match kind {
            Kind::Jpeg(AnyJpeg::Baseline(jpeg)) => {
                let area = if orientation == 1 { area } else { Rect::whole(size) };
                let scale = reduced_to.filter(|_| options.scaled_decode).map_or(Scale::Whole, |to| scale(area, to));
                let area = scaled(area, scale, scale.of(size));
                // Four bytes a pixel are resized faster than three.
                let out = image.reset(area.size, 4);
                self.jpeg.decode::<4>(&jpeg, area, scale, pads, out).map_err(Bad::from)
            }
            Kind::Jpeg(AnyJpeg::Other(decoder)) => decoder.decode(image.reset(size, 3)).map_err(Bad::from),
            Kind::Other(decoder) => other::decode(decoder, image).map_err(Bad::from),
        };
        decoded.map_err(|bad| bad.of(format))?;
        if orientation == 1 {
            return Ok(image);
        }
        self.turned.turned(image, orientation);
        Ok(&self.turned)
    }
}

/// Returns how much smaller `area` can be decoded that is to be reduced to a size.
fn scale(area: Rect, to: Size) -> Scale {
    let Size { height, width } = area.size;
    let fits = |scale: &Scale| height / scale.divisor() >= to.height && width / scale.divisor() >= to.width;
    [Scale::Eighth, Scale::Quarter, Scale::Half].into_iter().find(fits).unwrap_or_default()
}

/// Returns what becomes of an area in a scaled image of `size`: its edges go to the nearest pixel.
fn scaled(area: Rect, scale: Scale, size: Size) -> Rect {
    let divisor = scale.divisor();
    let part = |start: i64, len: u32, all: u32| {
        let nearest = |edge: u32| ((edge + divisor / 2) / divisor).min(all);
        let start = nearest(start as u32).min(all - 1);
        (i64::from(start), nearest(start * divisor + len).max(start + 1).min(all) - start)
    };
    let (left, width) = part(area.left, area.size.width, size.width);
    let (top, height) = part(area.top, area.size.height, size.height);
    Rect { top, left, size: Size { height, width } }
}

/// What is wrong with an image, and where.
struct Bad {
    reason: String,
    offset: Option<u64>,
}

impl Bad {
    fn of(self, format: Format) -> Failure {
        let failure = Failure::new(Stage::Decode, format!("as {}: {}", format.name(), self.reason));
        Failure { offset: self.offset, ..failure }
    }
}

impl From<String> for Bad {
    fn from(reason: String) -> Self {
        Self { reason, offset: None }
    }
}

impl From<Problem> for Bad {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Unsupported(what) => Self { reason: format!("{what} is not supported"), offset: None },
            Problem::Corrupt { offset, reason } => Self { reason: reason.into_owned(), offset: Some(offset as u64) },
        }
    }
}

fn unknown(data: &[u8]) -> String {
    let mut reason =
        "is not an image format that stokehold reads (JPEG, PNG, WebP, GIF, BMP, PNM, TIFF); first bytes".to_owned();
    for byte in data.iter().take(8) {
        // Writing to a string cannot fail.
        let _ = write!(reason, " {byte:02x}");
    }
    if data.is_empty() {
        reason += ": none";
    }
    reason
}

#[cfg(test)]
mod tests;
