//! The colour of what lies outside of an image.

use crate::pixel::{Depth, PixelType};

/// The bytes of the largest pixel: four values of four bytes.
pub(super) const LARGEST: usize = 16;

/// A value for each channel that an image may have. `f32` holds every value of 8 and 16 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Fill(pub(super) [f32; 4]);

impl Fill {
    /// Returns the bytes of a pixel of this colour, in the first of these.
    pub(super) fn bytes(self, pixel: PixelType) -> [u8; LARGEST] {
        let mut bytes = [0; LARGEST];
        match pixel.depth {
            Depth::U8 => bytes[..4].copy_from_slice(&self.0.map(|value| value as u8)),
            Depth::U16 => bytes[..8].copy_from_slice(bytemuck::bytes_of(&self.0.map(|value| value as u16))),
            Depth::F32 => bytes.copy_from_slice(bytemuck::bytes_of(&self.0)),
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::Channels;

    #[test]
    fn a_colour_is_written_in_the_depth_of_the_image() {
        let fill = Fill([1.0, 2.0, 300.0, 4.0]);
        let bytes = |depth| fill.bytes(PixelType::new(Channels::Rgba, depth));
        assert_eq!(bytes(Depth::U8)[..4], [1, 2, 255, 4]);
        assert_eq!(bytes(Depth::U16)[4..6], 300_u16.to_ne_bytes());
        assert_eq!(bytes(Depth::F32)[12..], 4.0_f32.to_ne_bytes());
    }
}
