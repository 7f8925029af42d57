//! How encoded images are decoded.

use serde::{Deserialize, Serialize};

use crate::{
    budget::Budget,
    geometry::Size,
    pixel::{Channels, Depth, PixelType},
    spec::DType,
};

/// The largest number of pixels that is decoded: that from which on Pillow raises `DecompressionBombError`,
/// twice its `MAX_IMAGE_PIXELS`.
pub const MAX_PIXELS: u64 = 2 * (1024 * 1024 * 1024 / 4 / 3);

/// How encoded images are decoded. The defaults are what Pillow does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DecodeImage {
    /// Whether a JPEG or a WebP that is to be made smaller anyway may be decoded to a half, a quarter or an eighth of its
    /// size. That is faster where it is much larger than what is asked for, and gives slightly other pixels.
    pub scaled_decode: bool,
    /// What becomes of a JPEG that ends too early.
    pub truncated: Truncated,
    /// What becomes of a damaged file that can be decoded all the same.
    pub corrupt: Corrupt,
    /// Whether images are turned as their EXIF orientation says.
    pub apply_exif_orientation: bool,
    /// The most pixels an image may have. A larger one is refused by its header, before memory is taken.
    pub max_pixels: u64,
    /// The most bytes that decoding may take, of the decoder and of pixels. One that needs more is refused by its header.
    /// No part of a description: a pipeline says what is left of a sample's budget.
    #[serde(skip, default = "default_bytes")]
    pub max_bytes: u64,
    /// Which channels the pixels have.
    pub mode: Mode,
    /// The dtype of the pixels: `uint8`, `uint16` or `float32`. Where it is deeper than a file, it holds the file's numbers
    /// as they are; where it is less deep, the high byte of 16 bits is kept, and numbers that are no integers are
    /// refused.
    pub dtype: DType,
    /// How many channels each file has, 1 to 4, where the mode is [`Unchanged`](Mode::Unchanged); a file with others is
    /// refused. `None` leaves them open.
    pub channels: Option<usize>,
}

const fn default_bytes() -> u64 {
    Budget::DEFAULT
}

/// Which channels pixels have, as torchvision's `ImageReadMode` and Pillow's modes name them: alpha is dropped and not
/// blended, an alpha that a file lacks is opaque, grey is repeated, and colours become grey as in Pillow's mode "L".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Mode {
    /// Red, green and blue.
    #[default]
    #[serde(rename = "RGB")]
    Rgb,
    /// Grey.
    #[serde(rename = "L")]
    Grey,
    /// Grey and alpha.
    #[serde(rename = "LA")]
    GreyAlpha,
    /// Red, green, blue and alpha.
    #[serde(rename = "RGBA")]
    Rgba,
    /// Those of the file: of a palette, those of its colours.
    #[serde(rename = "unchanged")]
    Unchanged,
}

impl Mode {
    /// Returns the channels; none where it is for each file to say.
    const fn channels(self) -> Option<Channels> {
        match self {
            Self::Rgb => Some(Channels::Rgb),
            Self::Grey => Some(Channels::Grey),
            Self::GreyAlpha => Some(Channels::GreyAlpha),
            Self::Rgba => Some(Channels::Rgba),
            Self::Unchanged => None,
        }
    }
}

/// What becomes of a JPEG that ends too early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Truncated {
    /// It is an error.
    #[default]
    Error,
    /// What is missing is filled in, mostly with grey, as libjpeg does it.
    Pad,
}

/// What becomes of a damaged file that can be decoded all the same, such as a JPEG with bits that are no code, or a PNG
/// with a wrong checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Corrupt {
    /// It is decoded, as libjpeg and Pillow do it, and counted.
    #[default]
    Decode,
    /// It is an error. Damage is noticed where the file is read: not in parts of a JPEG that a crop leaves out.
    Error,
}

impl Default for DecodeImage {
    fn default() -> Self {
        Self {
            scaled_decode: false,
            truncated: Truncated::default(),
            corrupt: Corrupt::default(),
            apply_exif_orientation: false,
            max_pixels: MAX_PIXELS,
            max_bytes: Budget::DEFAULT,
            mode: Mode::default(),
            dtype: DType::UInt8,
            channels: None,
        }
    }
}

impl DecodeImage {
    /// Checks the values.
    pub(crate) fn check_options(&self) -> Result<(), String> {
        if self.max_pixels == 0 {
            return Err("max_pixels must be at least 1".to_owned());
        }
        if Depth::of(self.dtype).is_none() {
            return Err(format!("dtype = {} must be uint8, uint16 or float32", self.dtype));
        }
        match self.channels {
            Some(_) if self.mode != Mode::Unchanged => Err("channels goes with mode=\"unchanged\" alone".to_owned()),
            Some(count) if Channels::of(count).is_none() => Err(format!("channels = {count} must lie between 1 and 4")),
            Some(_) | None => Ok(()),
        }
    }

    /// Returns the depth of decoded pixels.
    pub(crate) fn depth(&self) -> Depth {
        Depth::of(self.dtype).unwrap_or_default()
    }

    /// Returns what decoded pixels are; none where the channels are for each file to say.
    pub(crate) fn pixel(&self) -> Option<PixelType> {
        let channels = self.mode.channels().or_else(|| self.channels.and_then(Channels::of))?;
        Some(PixelType::new(channels, self.depth()))
    }

    /// Returns what the pixels of a file become that has these.
    pub(super) fn pixel_of(&self, has: PixelType) -> Result<PixelType, String> {
        let pixel = self.pixel().unwrap_or_else(|| PixelType::new(has.channels.meant(), self.depth()));
        if self.mode == Mode::Unchanged && pixel.channels != has.channels.meant() {
            let (has, wanted) = (has.channels.count(), pixel.channels.count());
            return Err(format!("has {has} channels, and not channels={wanted}; a mode would convert them"));
        }
        Ok(pixel)
    }

    /// Tells whether what is missing of a file is filled in.
    pub(super) const fn pads(&self) -> bool {
        match self.truncated {
            Truncated::Error => false,
            Truncated::Pad => true,
        }
    }

    /// Tells whether damage is an error.
    pub(super) const fn refuses_damage(&self) -> bool {
        match self.corrupt {
            Corrupt::Decode => false,
            Corrupt::Error => true,
        }
    }

    /// Refuses an image of too many pixels, by its header.
    pub(super) fn check_size(&self, size: Size) -> Result<(), String> {
        let Size { height, width } = size;
        match size.area() {
            0 => Err(format!("the header says {width}x{height}: there are no pixels")),
            pixels if pixels <= self.max_pixels => Ok(()),
            _ => Err(format!("the header says {width}x{height}, more than the limit of {} pixels", self.max_pixels)),
        }
    }
}
