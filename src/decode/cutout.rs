//! A JPEG, or a part of one, for those who need no more than that.

use std::{cell::RefCell, fmt};

use ndarray::Array3;

use super::{
    decoder::Decoder,
    format::{Bad, Format, Memory, Opened, Wanted},
    jpeg::{Jpeg, OpenJpeg},
    options::DecodeImage,
    recognise::recognise,
    scale::Scale,
};
use crate::{
    budget::Budget,
    error::{Error, Failure, Result, Stage},
    geometry::{Rect, Size},
    pixel::PixelType,
};

/// Decodes a JPEG to (height, width, 3), red, green and blue; the pixels are those of libjpeg-turbo.
///
/// `scale` is 1, 2, 4 or 8: by how much the image is made smaller on the way. `region` is the part that is wanted, in
/// pixels of the smaller image; decoding it takes less time than the whole.
///
/// ```
/// # let data = include_bytes!("../../tests/data/420.jpg");
/// use stokehold::{Rect, Size, decode_jpeg};
///
/// let whole = decode_jpeg(data, None, 1)?;
/// assert_eq!(whole.dim(), (61, 83, 3));
/// let region = Rect { top: 10, left: 20, size: Size { height: 5, width: 6 } };
/// let part = decode_jpeg(data, Some(region), 1)?;
/// assert_eq!(part, whole.slice(ndarray::s![10..15, 20..26, ..]));
/// # Ok::<(), stokehold::Error>(())
/// ```
///
/// # Errors
/// [`Config`](Error::Config) for bytes that are no JPEG or a broken one, another scale, or a region outside the image.
pub fn decode_jpeg(data: &[u8], region: Option<Rect>, scale: u32) -> Result<Array3<u8>> {
    let config = |failure: Failure| Error::Config(failure.to_string());
    let cutout = Cutout::open(data, region, scale).map_err(config)?;
    let Size { height, width } = cutout.size();
    let mut pixels = Array3::zeros((height as usize, width as usize, 3));
    cutout.decode(pixels.as_slice_mut().unwrap_or_default()).map_err(config)?;
    Ok(pixels)
}

/// A part of a JPEG, whose header has been read.
pub struct Cutout<'a> {
    jpeg: OpenJpeg<'a>,
    region: Rect,
    scale: Scale,
}

impl fmt::Debug for Cutout<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cutout").field("region", &self.region).field("scale", &self.scale).finish_non_exhaustive()
    }
}

impl<'a> Cutout<'a> {
    /// Reads the header of a JPEG, of which `region` is wanted, or the whole, both made smaller by `divisor`.
    ///
    /// # Errors
    /// A [`Failure`] of the decode stage, for bytes that are no JPEG, a broken header, another divisor than 1, 2, 4 and
    /// 8, a region that does not lie in the smaller image, or one that takes more than [`Budget::DEFAULT`] to decode.
    pub fn open(data: &'a [u8], region: Option<Rect>, divisor: u32) -> Result<Self, Failure> {
        let failure = |reason: String| Err(Failure::new(Stage::Decode, reason));
        let Some(scale) = Scale::of_divisor(divisor) else {
            return failure(format!("by scale {divisor}: it must be 1, 2, 4 or 8"));
        };
        if !Jpeg.recognises(data) {
            return failure(format!("as JPEG: it is {}", recognise(data)?.name()));
        }
        let options = DecodeImage::default();
        let jpeg = OpenJpeg::read(data, options).map_err(|bad| bad.of(&Jpeg))?;
        options.check_size(jpeg.size()).map_err(|reason| Bad::from(reason).of(&Jpeg))?;
        let size = scale.of(jpeg.size());
        let region = region.unwrap_or_else(|| Rect::whole(size));
        if region.intersection(size) != Some(region) {
            let Size { height, width } = size;
            return failure(format!("{region:?}: it does not lie in the image of {width}x{height} pixels"));
        }
        let Memory { beside, .. } = jpeg.memory(Wanted { region, reduced_to: None });
        let needed = beside.saturating_add(region.size.area().saturating_mul(PixelType::RGB8.size() as u64));
        Budget::new(options.max_bytes).take(needed, "decoding").map_err(|reason| Bad::from(reason).of(&Jpeg))?;
        Ok(Self { jpeg, region, scale })
    }

    /// Returns the size of what is decoded.
    pub const fn size(&self) -> Size {
        self.region.size
    }

    /// Writes the pixels to `out`, (height, width, 3). Each thread keeps a decoder for this.
    ///
    /// # Errors
    /// A [`Failure`] of the decode stage, for a broken file.
    pub fn decode(self, out: &mut [u8]) -> Result<(), Failure> {
        thread_local! {
            static DECODER: RefCell<Decoder> = RefCell::default();
        }
        DECODER.with_borrow_mut(|decoder| self.decode_with(decoder, out))
    }

    pub(super) fn decode_with(self, decoder: &mut Decoder, out: &mut [u8]) -> Result<(), Failure> {
        let Self { jpeg, region, scale } = self;
        jpeg.write(region, scale, &mut decoder.kept, out).map_err(|bad| bad.of(&Jpeg))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_arguments_give_pixels_or_an_error() {
        let data = include_bytes!("../../tests/data/420.jpg");
        let whole = Size { height: 61, width: 83 };
        let ends = [i64::MIN, -1, 0, 60, 61, 1 << 31, (1 << 32) - 1, 1 << 32, i64::MAX];
        let sizes = [0, 1, 61, 1 << 31, u32::MAX - 1, u32::MAX];
        for scale in [0, 1, 2, 3, 4, 8, 16, 1 << 31, u32::MAX] {
            for (top, left) in ends.into_iter().flat_map(|top| ends.map(|left| (top, left))) {
                for (height, width) in sizes.into_iter().flat_map(|height| sizes.map(|width| (height, width))) {
                    let region = Rect { top, left, size: Size { height, width } };
                    let fits = |start: i64, len: u32, all: u32| {
                        len > 0 && start >= 0 && i128::from(start) + i128::from(len) <= i128::from(all)
                    };
                    let is_good = Scale::of_divisor(scale).is_some_and(|scale| {
                        let Size { height: tall, width: wide } = scale.of(whole);
                        fits(top, height, tall) && fits(left, width, wide)
                    });
                    let found = Cutout::open(data, Some(region), scale);
                    assert_eq!(found.is_ok(), is_good, "{region:?} by {scale}");
                    if is_good {
                        let pixels = decode_jpeg(data, Some(region), scale).unwrap();
                        assert_eq!(pixels.dim(), (height as usize, width as usize, 3));
                    }
                }
            }
        }
    }
}
