//! What a pixel is: its channels, and the type of their values.

use std::fmt;

use crate::spec::DType;

/// The type of a channel's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Depth {
    /// 8 bits; white is 255.
    #[default]
    U8,
    /// 16 bits, native-endian; white is 65,535.
    U16,
    /// `f32`, native-endian; white is 1 where nothing else is known.
    F32,
}

impl Depth {
    /// Returns the size of a value in bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::F32 => 4,
        }
    }

    /// Returns the dtype of arrays of such values.
    pub const fn dtype(self) -> DType {
        match self {
            Self::U8 => DType::UInt8,
            Self::U16 => DType::UInt16,
            Self::F32 => DType::Float32,
        }
    }

    /// Returns the depth of images in arrays of a dtype, where there is one.
    pub fn of(dtype: DType) -> Option<Self> {
        [Self::U8, Self::U16, Self::F32].into_iter().find(|depth| depth.dtype() == dtype)
    }
}

/// What the channels of a pixel mean, in their order in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channels {
    /// Grey.
    Grey,
    /// Grey and alpha, which does not weigh in it.
    GreyAlpha,
    /// Red, green and blue.
    Rgb,
    /// Red, green, blue and alpha, which does not weigh in them.
    Rgba,
    /// Red, green, blue and a fourth that means nothing: four values are resized faster than three.
    Rgbx,
}

impl Channels {
    /// Returns how many values lie in memory for a pixel.
    pub const fn stored(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::GreyAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba | Self::Rgbx => 4,
        }
    }

    /// Returns how many of them mean something.
    pub const fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::GreyAlpha => 2,
            Self::Rgb | Self::Rgbx => 3,
            Self::Rgba => 4,
        }
    }

    /// Returns the channels of an image of so many: 1 is grey, 3 are colours, and with 2 or 4 the last is alpha.
    pub const fn of(count: usize) -> Option<Self> {
        match count {
            1 => Some(Self::Grey),
            2 => Some(Self::GreyAlpha),
            3 => Some(Self::Rgb),
            4 => Some(Self::Rgba),
            _ => None,
        }
    }

    /// Tells whether there are red, green and blue.
    pub const fn is_colour(self) -> bool {
        match self {
            Self::Grey | Self::GreyAlpha => false,
            Self::Rgb | Self::Rgba | Self::Rgbx => true,
        }
    }

    /// Tells whether the last channel is alpha.
    pub const fn has_alpha(self) -> bool {
        match self {
            Self::Grey | Self::Rgb | Self::Rgbx => false,
            Self::GreyAlpha | Self::Rgba => true,
        }
    }

    /// Returns the same without a channel that means nothing.
    #[must_use]
    pub const fn meant(self) -> Self {
        match self {
            Self::Rgbx => Self::Rgb,
            Self::Grey | Self::GreyAlpha | Self::Rgb | Self::Rgba => self,
        }
    }
}

/// What a pixel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PixelType {
    /// Its channels.
    pub channels: Channels,
    /// The type of their values.
    pub depth: Depth,
}

impl PixelType {
    /// One channel of 8 bits.
    pub const GREY8: Self = Self::new(Channels::Grey, Depth::U8);
    /// Three channels of 8 bits.
    pub const RGB8: Self = Self::new(Channels::Rgb, Depth::U8);
    /// Red, green, blue and alpha of 8 bits.
    pub const RGBA8: Self = Self::new(Channels::Rgba, Depth::U8);
    /// Three channels of 8 bits, and one that means nothing.
    pub const RGBX8: Self = Self::new(Channels::Rgbx, Depth::U8);

    /// Returns pixels of these channels, of this depth.
    pub const fn new(channels: Channels, depth: Depth) -> Self {
        Self { channels, depth }
    }

    /// Returns the bytes of a pixel.
    pub const fn size(self) -> usize {
        self.channels.stored() * self.depth.size()
    }

    /// Returns the same without a channel that means nothing.
    #[must_use]
    pub const fn meant(self) -> Self {
        Self { channels: self.channels.meant(), depth: self.depth }
    }
}

impl Default for PixelType {
    fn default() -> Self {
        Self::RGB8
    }
}

impl fmt::Display for PixelType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels = match self.channels {
            Channels::Grey => "grey",
            Channels::GreyAlpha => "grey with alpha",
            Channels::Rgb | Channels::Rgbx => "RGB",
            Channels::Rgba => "RGBA",
        };
        write!(f, "{channels} of {}", self.depth.dtype())
    }
}

/// The weights of red, green and blue in grey, in 65,536ths: those of ITU-R BT.601.
pub const LUMA_WEIGHTS: [u32; 3] = [19_595, 38_470, 7_471];

/// Returns the grey of a colour of at most 16 bits, rounded: that of Pillow's mode "L".
#[expect(clippy::inline_always, reason = "it is part of vectorised loops")]
#[inline(always)]
pub const fn luma([red, green, blue]: [u32; 3]) -> u32 {
    let [of_red, of_green, of_blue] = LUMA_WEIGHTS;
    (red * of_red + green * of_green + blue * of_blue + (1 << 15)) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_what_is_meant() {
        for count in 1..=4 {
            let channels = Channels::of(count).unwrap();
            assert_eq!((channels.count(), channels.stored(), channels.meant()), (count, count, channels));
            assert_eq!(channels.has_alpha(), count % 2 == 0);
            assert_eq!(channels.is_colour(), count > 2);
        }
        assert_eq!((Channels::Rgbx.count(), Channels::Rgbx.stored(), Channels::Rgbx.meant()), (3, 4, Channels::Rgb));
        assert_eq!((Channels::of(0), Channels::of(5)), (None, None));
        assert_eq!(PixelType::new(Channels::Rgba, Depth::U16).size(), 8);
        assert_eq!(PixelType::new(Channels::GreyAlpha, Depth::F32).to_string(), "grey with alpha of float32");
    }
}
