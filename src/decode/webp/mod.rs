//! WebP, by libwebp. Of an animation, the first image, as Pillow shows it.
//!
//! Of an image whose region is wanted, libwebp makes no colours of what lies outside and reads no further than its last
//! row. At the edges of a region it mixes other colours than within the whole image, since each is stored for four
//! pixels and spread over their neighbours. So it gets a region grown by [`MARGIN`], which is cut off again: pixels do
//! not depend on what is wanted.
//!
//! What may be decoded smaller is by libwebp's own means: it takes the colours as they are stored and smooths nothing, so
//! that pixels are others, and there is no margin to be cut off.

mod container;
mod library;

use self::{
    container::{Container, Frame},
    library::{Header, Target},
};
use super::{
    format::{Bad, Format, Memory, Opened, ReadMask, Wanted},
    image::Image,
    kept::{Keep, Kept},
    options::DecodeImage,
    orientation,
    scale::Scale,
};
use crate::{
    geometry::{Rect, Size},
    pixel::PixelType,
};

/// How many pixels around a region have an influence on its colours, and one more, so that a region can begin at an
/// even row and column.
const MARGIN: i64 = 2;

/// WebP files.
#[derive(Debug)]
pub(super) struct WebP;

impl Format for WebP {
    fn name(&self) -> &'static str {
        "WebP"
    }

    fn recognises(&self, data: &[u8]) -> bool {
        matches!(data, [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..])
    }

    fn open<'a>(&self, data: &'a [u8], _: DecodeImage) -> Result<Box<dyn Opened + 'a>, Bad> {
        Ok(Box::new(File::read(data)?))
    }

    fn mask(&self) -> Option<ReadMask> {
        None
    }
}

/// A file whose headers have been read.
struct File<'a> {
    data: &'a [u8],
    /// The size of the whole.
    size: Size,
    /// Where in it the image lies.
    place: Rect,
    coded: &'a [u8],
    has_alpha: bool,
    is_lossless: bool,
}

impl<'a> File<'a> {
    fn read(data: &'a [u8]) -> Result<Self, String> {
        let Container { canvas, frame: Frame { place, coded } } = Container::read(data)?;
        let Header { size: coded_size, has_alpha, is_lossless } = library::header(coded)?;
        let size = canvas.unwrap_or(coded_size);
        let place = place.unwrap_or_else(|| Rect::whole(size));
        if place.size != coded_size {
            let (Size { height, width }, Size { height: tall, width: wide }) = (place.size, coded_size);
            return Err(format!("the header says {width}x{height}, and the image {wide}x{tall}"));
        }
        // What an image of an animation leaves free is transparent.
        let has_alpha = has_alpha || place.size != size;
        Ok(Self { data, size, place, coded, has_alpha, is_lossless })
    }

    fn target<'b>(&self, image: &'b mut Image, size: Size) -> Target<'b> {
        let pixel = self.decoded();
        let bytes = image.reset(size, pixel);
        Target { bytes, stride: size.width as usize * pixel.size(), has_alpha: true }
    }

    /// Returns which part of the image is decoded by itself, and by how much smaller.
    fn part(&self, wanted: Wanted) -> Part {
        let whole = Rect::whole(self.size);
        if self.place != whole {
            return Part::Whole;
        }
        let Wanted { region, reduced_to } = wanted;
        let scale = reduced_to.map_or(Scale::Whole, |to| Scale::towards(region.size, to));
        if scale != Scale::Whole {
            return Part::Smaller { region: evened(region), size: scale.of(region.size) };
        }
        if wanted.region == whole { Part::Whole } else { Part::Cut }
    }

    /// Returns what comes out: four values, which are written and resized faster than three.
    const fn decoded(&self) -> PixelType {
        if self.has_alpha { PixelType::RGBA8 } else { PixelType::RGBX8 }
    }
}

impl Opened for File<'_> {
    fn size(&self) -> Size {
        self.size
    }

    fn orientation(&self, by_exif: bool) -> u8 {
        if by_exif { orientation::of_webp(self.data) } else { 1 }
    }

    fn pixel(&self) -> PixelType {
        self.decoded().meant()
    }

    fn memory(&self, wanted: Wanted) -> Memory {
        let pixel = self.decoded();
        let area = self.place.size.area();
        // What is stored as it is becomes four bytes a pixel first; of a lossy image, that is so for its alpha channel,
        // and the rest is made by rows of blocks. Both have tables of a few megabytes at most.
        let own = match (self.is_lossless, self.has_alpha) {
            (true, _) => area.saturating_mul(4),
            (false, true) => area.saturating_mul(5),
            (false, false) => 0,
        };
        let rows = u64::from(self.place.size.width).saturating_mul(256).saturating_add(4 << 20);
        let (size, around) = match self.part(wanted) {
            Part::Whole => (self.size, 0),
            Part::Smaller { size, .. } => (size, 0),
            Part::Cut => {
                let grown = grown(wanted.region, self.size).size;
                (wanted.region.size, grown.area().saturating_mul(pixel.size() as u64))
            }
        };
        Memory { size, pixel, beside: own.saturating_add(rows).saturating_add(around) }
    }

    fn decode(self: Box<Self>, wanted: Wanted, kept: &mut Kept, out: &mut Image) -> Result<(), Bad> {
        let (whole, region) = (Rect::whole(self.size), wanted.region);
        if self.place != whole {
            let mut target = self.target(out, self.size);
            target.bytes.fill(0);
            let start = self.place.top as usize * target.stride + self.place.left as usize * self.decoded().size();
            target.bytes = &mut target.bytes[start..];
            return Ok(library::decode(self.coded, Rect::whole(self.place.size), self.place.size, target)?);
        }
        match self.part(wanted) {
            Part::Whole => return Ok(library::decode(self.coded, whole, self.size, self.target(out, self.size))?),
            Part::Smaller { region, size } => {
                return Ok(library::decode(self.coded, region, size, self.target(out, size))?);
            }
            Part::Cut => {}
        }
        let grown = grown(region, self.size);
        let Margins(around) = kept.get();
        library::decode(self.coded, grown, grown.size, self.target(around, grown.size))?;
        let pixel = self.decoded();
        let (stride, row) = (grown.size.width as usize * pixel.size(), region.size.width as usize * pixel.size());
        let start = (region.top - grown.top) as usize * stride + (region.left - grown.left) as usize * pixel.size();
        let to = out.reset(region.size, pixel).chunks_exact_mut(row);
        to.zip(around.pixels()[start..].chunks(stride)).for_each(|(to, from)| to.copy_from_slice(&from[..row]));
        Ok(())
    }
}

/// What libwebp is asked for.
enum Part {
    /// The image as it is.
    Whole,
    /// The region that is wanted, which gets its margin.
    Cut,
    /// A region, decoded to a smaller size.
    Smaller { region: Rect, size: Size },
}

/// A region with what lies around it.
struct Margins(Image);

impl Keep for Margins {
    fn new(_: bool) -> Self {
        Self(Image::default())
    }
}

/// Returns a region that begins at an even row and column.
fn evened(Rect { top, left, size }: Rect) -> Rect {
    let before = |at: i64| u32::from(at % 2 == 1);
    let size = Size { height: size.height + before(top), width: size.width + before(left) };
    Rect { top: top / 2 * 2, left: left / 2 * 2, size }
}

/// Returns a region with its margin, from an even row and column on, within the image.
fn grown(region: Rect, image: Size) -> Rect {
    let start = |at: i64| (at - MARGIN).max(0) / 2 * 2;
    let (top, left) = (start(region.top), start(region.left));
    let edge = |end: i64, start: i64, edge: u32| ((end + MARGIN).min(edge.into()) - start) as u32;
    let size =
        Size { height: edge(region.bottom(), top, image.height), width: edge(region.right(), left, image.width) };
    Rect { top, left, size }
}
