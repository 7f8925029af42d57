//! TIFF, of 32 bits and of 64 (`BigTIFF`): the first image of a file.
//!
//! Values are those of Pillow. Of a region, only those strips and tiles are read that have pixels of it.
//!
//! Lowest first: [`layout`] reads the tags, [`kind`] says what becomes of the pixels, [`codec`] decompresses, with [`lzw`]
//! and [`fax`], or [`jpeg`](self::jpeg) does, [`restore`] makes numbers of it, and [`rows`] makes pixels of these.

mod codec;
mod fax;
mod jpeg;
mod kind;
mod layout;
mod lzw;
mod restore;
mod rows;
mod ycbcr;

use self::{codec::Codec, kind::Kind, layout::Layout, lzw::Lzw, rows::Row};
use super::{
    format::{Bad, Format, Memory, Opened, ReadMask, Wanted},
    image::Image,
    kept::Kept,
    mask::{Mask, no_indices},
    options::DecodeImage,
    orientation,
};
use crate::{
    geometry::{Rect, Size},
    pixel::{Depth, PixelType},
};

/// TIFF files.
#[derive(Debug)]
pub(super) struct Tiff;

impl Format for Tiff {
    fn name(&self) -> &'static str {
        "TIFF"
    }

    fn recognises(&self, data: &[u8]) -> bool {
        matches!(data, [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..])
    }

    fn open<'a>(&self, data: &'a [u8], options: DecodeImage) -> Result<Box<dyn Opened + 'a>, Bad> {
        let layout = Layout::read(data)?;
        let codec = Codec::of(layout.compression, layout.fax3_options)?;
        let kind = Kind::of(&layout, codec, options.depth())?;
        Ok(Box::new(OpenTiff { data, layout, codec, kind }.checked(options)?))
    }

    fn mask(&self) -> Option<ReadMask> {
        Some(mask)
    }
}

/// Reads a mask: the indices of a palette or the values of grey, as they are in the file.
fn mask(data: &[u8], options: DecodeImage, out: &mut Mask) -> Result<(), String> {
    let read = |out: &mut Mask| {
        let layout = Layout::read(data)?;
        options.check_size(layout.size)?;
        let codec = Codec::of(layout.compression, layout.fax3_options)?;
        let kind = Kind::mask(&layout).ok_or_else(|| no_indices("another kind of pixels"))?;
        let (size, orientation) = (layout.size, orientation::of_tiff(&layout.directory));
        let file = OpenTiff { data, layout, codec, kind }.checked(options)?;
        let values = match file.kind.pixel.depth {
            Depth::U8 => out.reset(size),
            Depth::U16 | Depth::F32 => bytemuck::cast_slice_mut(out.reset_deep(size)),
        };
        file.write(Rect::whole(size), &mut Kept::default(), values)?;
        out.turn(orientation);
        Ok(())
    };
    read(out).map_err(|bad: Bad| bad.reason)
}

struct OpenTiff<'a> {
    data: &'a [u8],
    layout: Layout<'a>,
    codec: Codec,
    kind: Kind,
}

impl Opened for OpenTiff<'_> {
    fn size(&self) -> Size {
        self.layout.size
    }

    fn orientation(&self, _: bool) -> u8 {
        orientation::of_tiff(&self.layout.directory)
    }

    fn pixel(&self) -> PixelType {
        self.kind.pixel
    }

    fn memory(&self, wanted: Wanted) -> Memory {
        let Self { data, layout, codec, kind } = self;
        let chunk = Size { height: layout.chunk.height.min(layout.size.height), ..layout.chunk };
        // A strip or tile of each plane, and the file's bytes turned; a JPEG's pixels, samples and coefficients.
        let numbers = (layout.planes() * layout.row_bytes()) as u64 * u64::from(chunk.height);
        let jpeg = if *codec == Codec::Jpeg { chunk.area().saturating_mul(16) } else { 0 };
        let beside = numbers.saturating_add(jpeg).saturating_add(2 * data.len() as u64);
        Memory { size: wanted.region.size, pixel: kind.written, beside }
    }

    fn decode(self: Box<Self>, wanted: Wanted, kept: &mut Kept, out: &mut Image) -> Result<(), Bad> {
        let out = out.reset(wanted.region.size, self.kind.written);
        self.write(wanted.region, kept, out)
    }
}

impl OpenTiff<'_> {
    /// Refuses what does not fit together.
    fn checked(self, options: DecodeImage) -> Result<Self, Bad> {
        let Layout { bits, samples, chunk, size, .. } = self.layout;
        let fits = match self.codec {
            Codec::Fax(_) => bits == 1 && samples == 1,
            Codec::Jpeg => bits == 8 && matches!(self.layout.samples_together(), 1 | 3),
            Codec::Raw | Codec::Lzw | Codec::Deflate | Codec::PackBits | Codec::Lzma | Codec::Zstd => true,
        };
        if !fits {
            let codec = self.codec;
            return Err(Bad::from(format!("has {samples} samples of {bits} bits as {codec:?}, which are not read")));
        }
        if self.codec.predicts() {
            restore::check(&self.layout)?;
        }
        // A tile may be much larger than the image that it has pixels of.
        options.check_size(Size { height: chunk.height.min(size.height), width: chunk.width.max(size.width) })?;
        Ok(self)
    }

    /// Writes the pixels of a region.
    fn write(&self, region: Rect, kept: &mut Kept, out: &mut [u8]) -> Result<(), Bad> {
        let Self { layout, kind, .. } = self;
        let bytes = kind.written.size();
        let stride = region.size.width as usize * bytes;
        let mut scratch = vec![Vec::new(); layout.planes()];
        let mut lzw = Lzw::default();
        let mut image = Image::default();
        for (number, chunk) in layout.chunks(region) {
            let (top, bottom) = (chunk.top.max(region.top), chunk.bottom().min(region.bottom()));
            let (left, right) = (chunk.left.max(region.left), chunk.right().min(region.right()));
            let len = (bottom - chunk.top) as usize * layout.row_bytes();
            let mut planes = Vec::with_capacity(scratch.len());
            for (plane, scratch) in scratch.iter_mut().enumerate() {
                planes.push(self.numbers(plane, number, len, &mut lzw, kept, &mut image, scratch)?);
            }
            for y in top..bottom {
                let start = (y - chunk.top) as usize * layout.row_bytes();
                let rows: Vec<&[u8]> = planes.iter().map(|plane| &plane[start..start + layout.row_bytes()]).collect();
                let row = Row { layout, kind, planes: &rows, start: (left - chunk.left) as usize };
                let start = (y - region.top) as usize * stride + (left - region.left) as usize * bytes;
                row.write(&mut out[start..start + (right - left) as usize * bytes])?;
            }
        }
        Ok(())
    }

    /// Returns the first `len` bytes of a strip or tile, as numbers in the order of the machine.
    #[expect(clippy::too_many_arguments, reason = "memory that is used again")]
    fn numbers<'s>(
        &'s self,
        plane: usize,
        number: usize,
        len: usize,
        lzw: &mut Lzw,
        kept: &mut Kept,
        image: &mut Image,
        scratch: &'s mut Vec<u8>,
    ) -> Result<&'s [u8], Bad> {
        let Self { layout, codec, .. } = self;
        let is_done = restore::is_done(layout, codec.predicts());
        // What is not compressed needs no count of bytes, and it may be wrong.
        let data = layout.bytes(self.data, plane, number, *codec != Codec::Raw)?;
        let is_turned = layout.is_reversed && codec.takes_turned_bits();
        if *codec == Codec::Raw && is_done && !is_turned {
            return data.get(..len).ok_or_else(Bad::end_of_data);
        }
        let turned = is_turned.then(|| data.iter().map(|byte| byte.reverse_bits()).collect::<Vec<u8>>());
        let data = turned.as_deref().unwrap_or(data);
        scratch.resize(len, 0);
        if *codec == Codec::Jpeg {
            jpeg::expand(data, layout, kept, image, scratch)?;
        } else {
            codec.expand(data, layout.chunk.width as usize, lzw, scratch)?;
        }
        if !is_done {
            scratch
                .chunks_exact_mut(layout.row_bytes())
                .for_each(|row| restore::restore(layout, codec.predicts(), row));
        }
        Ok(scratch)
    }
}

#[cfg(test)]
mod tests;
