//! How encoded images are decoded.

use serde::{Deserialize, Serialize};

use crate::geometry::Size;

/// The largest number of pixels that is decoded: that from which on Pillow raises `DecompressionBombError`,
/// twice its `MAX_IMAGE_PIXELS`.
pub const MAX_PIXELS: u64 = 2 * (1024 * 1024 * 1024 / 4 / 3);

/// How encoded images are decoded. The defaults are what Pillow does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeImage {
    /// Whether a JPEG that is to be made smaller anyway may be decoded to a half, a quarter or an eighth of its size.
    /// That is faster where it is much larger than what is asked for, and gives slightly other pixels.
    pub scaled_decode: bool,
    /// What becomes of a JPEG that ends too early.
    pub truncated: Truncated,
    /// What becomes of a damaged file that can be decoded all the same.
    pub corrupt: Corrupt,
    /// Whether images are turned as their EXIF orientation says.
    pub apply_exif_orientation: bool,
    /// The most pixels an image may have. A larger one is refused by its header, before memory is taken.
    pub max_pixels: u64,
}

/// What becomes of a JPEG that ends too early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
        }
    }
}

impl DecodeImage {
    /// Checks the values.
    pub(crate) fn check_options(&self) -> Result<(), String> {
        if self.max_pixels == 0 {
            return Err("max_pixels must be at least 1".to_owned());
        }
        Ok(())
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
