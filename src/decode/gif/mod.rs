//! GIF. Of an animation, the first frame on its screen.
//!
//! As Pillow reads it: what the frame leaves free of the screen is its transparent index, or index 0; a screen that is too
//! small grows; and where the palette is each index's own grey, the image is grey.

use std::io::{Chain, Cursor, Read};

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, MemoryLimit};

use super::{
    format::{Bad, Format, Memory, Opened, ReadMask, Wanted},
    image::Image,
    kept::Kept,
    mask::Mask,
    options::DecodeImage,
    palette::{self, Palette},
};
use crate::{
    geometry::{Rect, Size},
    pixel::{Channels, Depth, PixelType},
};

/// GIF files.
#[derive(Debug)]
pub(super) struct Gif;

impl Format for Gif {
    fn name(&self) -> &'static str {
        "GIF"
    }

    fn recognises(&self, data: &[u8]) -> bool {
        matches!(data, [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..])
    }

    fn open<'a>(&self, data: &'a [u8], _: DecodeImage) -> Result<Box<dyn Opened + 'a>, Bad> {
        Ok(Box::new(OpenGif::read(data)?))
    }

    fn mask(&self) -> Option<ReadMask> {
        Some(mask)
    }
}

/// Reads a mask: the indices of the palette.
fn mask(data: &[u8], options: DecodeImage, out: &mut Mask) -> Result<(), String> {
    let file = OpenGif::read(data).map_err(|bad| bad.reason)?;
    options.check_size(file.size)?;
    let size = file.size;
    file.write_indices(out.reset(size)).map_err(|bad| bad.reason)
}

/// The bytes of a file's screen and those behind.
type Bytes<'a> = Chain<Cursor<Vec<u8>>, &'a [u8]>;

struct OpenGif<'a> {
    decoder: Decoder<Bytes<'a>>,
    /// The size of the screen.
    size: Size,
    /// Where the first frame lies on it.
    frame: Rect,
    transparent: Option<u8>,
    /// The colours; none where indices are greys.
    palette: Option<Palette>,
}

impl<'a> OpenGif<'a> {
    fn read(data: &'a [u8]) -> Result<Self, Bad> {
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::Indexed);
        // Indices are written where they are wanted, and the size is checked before.
        options.set_memory_limit(MemoryLimit::Unlimited);
        let mut decoder = options.read_info(with_palette(data)?)?;
        let screen = [decoder.height(), decoder.width()].map(u32::from);
        let global = decoder.global_palette().map(<[u8]>::to_vec);
        let frame = decoder.next_frame_info()?.ok_or_else(|| Bad::from("has no image".to_owned()))?;
        let size = Size { height: frame.height.into(), width: frame.width.into() };
        let transparent = frame.transparent;
        let colours = frame.palette.clone().or(global).filter(|colours| !is_grey(colours));
        let frame = Rect { top: frame.top.into(), left: frame.left.into(), size };
        if size.area() == 0 {
            return Err(Bad::from("has a frame without pixels".to_owned()));
        }
        let size = Size { height: screen[0].max(frame.bottom() as u32), width: screen[1].max(frame.right() as u32) };
        let palette = colours.map(|colours| {
            let mut palette = [[0; 3]; 256];
            palette.iter_mut().zip(colours.as_chunks::<3>().0).for_each(|(to, from)| *to = *from);
            palette
        });
        Ok(Self { decoder, size, frame, transparent, palette })
    }

    /// Writes the index of each pixel of the screen.
    fn write_indices(mut self, out: &mut [u8]) -> Result<(), Bad> {
        if self.frame == Rect::whole(self.size) {
            return Ok(self.decoder.read_into_buffer(out)?);
        }
        out.fill(self.transparent.unwrap_or(0));
        let mut frame = vec![0; self.frame.size.area() as usize];
        self.decoder.read_into_buffer(&mut frame)?;
        let Rect { top, left, size } = self.frame;
        let rows = out.chunks_exact_mut(self.size.width as usize).skip(top as usize);
        for (to, from) in rows.zip(frame.chunks_exact(size.width as usize)) {
            to[left as usize..][..from.len()].copy_from_slice(from);
        }
        Ok(())
    }
}

impl Opened for OpenGif<'_> {
    fn size(&self) -> Size {
        self.size
    }

    fn orientation(&self, _: bool) -> u8 {
        1
    }

    fn pixel(&self) -> PixelType {
        let channels = match (&self.palette, self.transparent) {
            (None, None) => Channels::Grey,
            (None, Some(_)) => Channels::GreyAlpha,
            (Some(_), None) => Channels::Rgb,
            (Some(_), Some(_)) => Channels::Rgba,
        };
        PixelType::new(channels, Depth::U8)
    }

    fn memory(&self, _: Wanted) -> Memory {
        // A frame that is a part of the screen is read by itself.
        Memory { size: self.size, pixel: self.pixel(), beside: self.frame.size.area().saturating_add(TABLE_BYTES) }
    }

    fn decode(self: Box<Self>, _: Wanted, _: &mut Kept, out: &mut Image) -> Result<(), Bad> {
        let pixel = self.pixel();
        let (palette, transparent) = (self.palette, self.transparent);
        let out = out.reset(self.size, pixel);
        self.write_indices(palette::indices(out, pixel.channels.stored()))?;
        let alpha = |index: u8| if transparent == Some(index) { 0 } else { 255 };
        match (palette, transparent) {
            (None, None) => {}
            (None, Some(_)) => palette::expand(out, |index| [index, alpha(index)]),
            (Some(palette), None) => palette::expand(out, |index| palette[usize::from(index)]),
            (Some(palette), Some(_)) => palette::expand(out, |index| {
                let [red, green, blue] = palette[usize::from(index)];
                [red, green, blue, alpha(index)]
            }),
        }
        Ok(())
    }
}

/// The codes of the compression, and the palettes.
const TABLE_BYTES: u64 = 64 << 10;

/// How long the screen's description is, and which of its bytes says whether colours follow.
const SCREEN: usize = 13;
const FLAGS: usize = 10;
/// That 256 colours follow.
const HAS_COLOURS: u8 = 0b1000_0111;

/// Returns a file that has colours for all of its frames: each index's own grey where there are none, as in Pillow.
fn with_palette(data: &[u8]) -> Result<Bytes<'_>, Bad> {
    let (screen, rest) = data.split_at_checked(SCREEN).ok_or_else(Bad::end_of_data)?;
    let mut screen = screen.to_vec();
    if screen[FLAGS] >> 7 == 0 {
        screen[FLAGS] |= HAS_COLOURS;
        screen.extend((0..=u8::MAX).flat_map(|grey| [grey; 3]));
    }
    Ok(Cursor::new(screen).chain(rest))
}

/// Tells whether each index's colour is its own grey.
fn is_grey(colours: &[u8]) -> bool {
    colours.as_chunks::<3>().0.iter().enumerate().all(|(index, colour)| *colour == [index as u8; 3])
}

impl From<DecodingError> for Bad {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is another crate's, and the rest is alike")]
    fn from(error: DecodingError) -> Self {
        match error {
            DecodingError::UnexpectedEof => Self::end_of_data(),
            DecodingError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Self::end_of_data(),
            error => Self::from(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
