//! Class indices in memory that is used again.

use super::{convert::convert, image::Image};
use crate::{
    geometry::Size,
    pixel::{Channels, Depth, PixelType},
};

/// A class index for each pixel, (height, width), C-contiguous, in memory that is used again: of 8 bits or of 16.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    image: Image,
    /// The same in 16 bits, where that was asked for and the file has 8.
    deep: Image,
}

impl Mask {
    /// Returns the size in pixels.
    pub const fn size(&self) -> Size {
        self.image.size()
    }

    /// Makes this a mask of the given size and returns its indices of 8 bits, of arbitrary content.
    pub(super) fn reset(&mut self, size: Size) -> &mut [u8] {
        self.image.reset(size, PixelType::GREY8)
    }

    /// Makes this a mask of the given size and returns its indices of 16 bits, of arbitrary content.
    pub(super) fn reset_deep(&mut self, size: Size) -> &mut [u16] {
        bytemuck::cast_slice_mut(self.image.reset(size, PixelType::new(Channels::Grey, Depth::U16)))
    }

    /// Turns the indices as an orientation from 1 to 8 says.
    pub(super) fn turn(&mut self, orientation: u8) {
        if orientation != 1 {
            self.deep.turned(&self.image, orientation);
            std::mem::swap(&mut self.image, &mut self.deep);
        }
    }

    /// Returns the indices as an image of one channel of the given depth, of 8 or of 16 bits.
    ///
    /// # Errors
    /// The reason why they cannot be had in this depth.
    pub(super) fn indices(&mut self, depth: Depth) -> Result<&Image, String> {
        match (self.image.pixel().depth, depth) {
            (has, wanted) if has == wanted => Ok(&self.image),
            (Depth::U8, _) => {
                convert(&self.image, PixelType::new(Channels::Grey, depth), &mut self.deep)?;
                Ok(&self.deep)
            }
            (Depth::U16 | Depth::F32, _) => {
                Err("has 16 bits; for such indices, give the mask dtype \"uint16\" or \"int32\"".to_owned())
            }
        }
    }
}

/// Returns the reason for which pixels are no mask.
pub(super) fn no_indices(what: &str) -> String {
    format!("has {what}, which are no class indices; a mask is a palette image or a grey one")
}
