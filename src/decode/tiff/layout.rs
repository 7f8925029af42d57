//! How a TIFF file says its pixels lie: the tags that are needed to find samples (TIFF 6.0; `BigTIFF`).

use crate::{
    decode::{
        directory::{ByteOrder, Directory, Entry, Header},
        format::Bad,
    },
    geometry::{Rect, Size},
};

mod tag {
    pub(super) const WIDTH: u16 = 256;
    pub(super) const LENGTH: u16 = 257;
    pub(super) const BITS_PER_SAMPLE: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const FILL_ORDER: u16 = 266;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(super) const ROWS_PER_STRIP: u16 = 278;
    pub(super) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(super) const PLANAR: u16 = 284;
    pub(super) const FAX3_OPTIONS: u16 = 292;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const COLOUR_MAP: u16 = 320;
    pub(super) const TILE_WIDTH: u16 = 322;
    pub(super) const TILE_LENGTH: u16 = 323;
    pub(super) const TILE_OFFSETS: u16 = 324;
    pub(super) const TILE_BYTE_COUNTS: u16 = 325;
    pub(super) const EXTRA_SAMPLES: u16 = 338;
    pub(super) const SAMPLE_FORMAT: u16 = 339;
    pub(super) const JPEG_TABLES: u16 = 347;
    pub(super) const LUMA_WEIGHTS: u16 = 529;
    pub(super) const SUBSAMPLING: u16 = 530;
    pub(super) const REFERENCES: u16 = 532;
}

/// What the numbers of samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Unsigned,
    Signed,
    Float,
}

impl Number {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Signed => "signed",
            Self::Float => "floating-point",
        }
    }
}

/// What precedes a sample's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    /// The value to its left.
    Left,
    /// The same, by bytes of numbers whose bytes lie apart.
    LeftFloat,
}

/// A file's tags.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) directory: Directory<'a>,
    pub(super) order: ByteOrder,
    pub(super) size: Size,
    /// Bits of a sample.
    pub(super) bits: u32,
    pub(super) number: Number,
    /// Samples of a pixel.
    pub(super) samples: usize,
    /// What those of them are that are no colours, by the numbers of the tag.
    pub(super) extra: Vec<u64>,
    pub(super) photometric: u64,
    pub(super) compression: u64,
    pub(super) predictor: Predictor,
    /// Whether the first pixel lies in a byte's lowest bits.
    pub(super) is_reversed: bool,
    /// Whether each sample lies in a plane of its own.
    pub(super) is_planar: bool,
    /// The size of a strip or tile.
    pub(super) chunk: Size,
    /// Where strips or tiles begin in the file, plane by plane, each from left to right and top to bottom.
    offsets: Vec<u64>,
    /// How many bytes they have; empty where that is not told.
    byte_counts: Vec<u64>,
    pub(super) fax3_options: u64,
    pub(super) jpeg_tables: Option<&'a [u8]>,
    pub(super) subsampling: [u64; 2],
}

impl<'a> Layout<'a> {
    pub(super) fn read(data: &'a [u8]) -> Result<Self, Bad> {
        let header = Header::read(data).ok_or_else(Bad::end_of_data)?;
        let directory = Directory::read(data, header);
        let all = |tag: u16| directory.get(tag).and_then(Entry::unsigned).map(Iterator::collect::<Vec<u64>>);
        let first = |tag: u16| all(tag).map(|values| values[0]);
        let width = side(required(&all, tag::WIDTH, "width")?)?;
        let size = Size { height: side(required(&all, tag::LENGTH, "height")?)?, width };
        let is_planar = first(tag::PLANAR) == Some(2);
        let Samples { bits, number, count, extra } = Samples::read(&all, is_planar)?;
        let Chunks { chunk, offsets, byte_counts } = Chunks::read(&all, size)?;
        let layout = Self {
            order: header.order,
            size,
            bits,
            number,
            samples: count,
            extra,
            // Pillow takes a missing one for this.
            photometric: first(tag::PHOTOMETRIC).unwrap_or(0),
            compression: first(tag::COMPRESSION).unwrap_or(1),
            predictor: match first(tag::PREDICTOR).unwrap_or(1) {
                1 => Predictor::None,
                2 => Predictor::Left,
                3 => Predictor::LeftFloat,
                other => return Err(Bad::from(format!("has predictor {other}, which is not read"))),
            },
            is_reversed: first(tag::FILL_ORDER) == Some(2),
            is_planar,
            chunk,
            offsets,
            byte_counts,
            fax3_options: first(tag::FAX3_OPTIONS).unwrap_or(0),
            jpeg_tables: directory.get(tag::JPEG_TABLES).map(|entry| entry.bytes()),
            subsampling: match all(tag::SUBSAMPLING).as_deref() {
                Some(&[across, down, ..]) => [across, down],
                _ => [2, 2],
            },
            directory,
        };
        layout.checked()
    }

    fn checked(self) -> Result<Self, Bad> {
        // An image without pixels is refused by its size.
        if self.size.area() > 0 && self.chunk.area() == 0 {
            return Err(Bad::from("has strips or tiles without pixels".to_owned()));
        }
        let missing = self.size.area() > 0 && self.offsets.len() < self.across() * self.down() * self.planes();
        if missing || (!self.byte_counts.is_empty() && self.byte_counts.len() < self.offsets.len()) {
            return Err(Bad::from(format!(
                "has no more than {} strips or tiles, which is too few",
                self.offsets.len()
            )));
        }
        Ok(self)
    }

    /// Returns the colours of a palette's indices, red, green and blue.
    pub(super) fn colours(&self) -> Option<Vec<[u8; 3]>> {
        let values: Vec<u64> = self.directory.get(tag::COLOUR_MAP)?.unsigned()?.collect();
        let count = values.len() / 3;
        let colour = |at: usize| [0, 1, 2].map(|part| (values[part * count + at] >> 8) as u8);
        Some((0..count).map(colour).collect())
    }

    /// Tells whether luma is weighed, and black and white are, as where nothing is said of it.
    pub(super) fn has_usual_luma(&self) -> bool {
        let has = |tag: u16, usual: &[f64]| {
            let found = self.directory.get(tag).map(|entry| entry.numbers().map(Iterator::collect::<Vec<f64>>));
            let is_near = |(found, usual): (&f64, &f64)| (found - usual).abs() < 1e-6;
            found.is_none_or(|found| {
                found.is_some_and(|found| found.len() == usual.len() && found.iter().zip(usual).all(is_near))
            })
        };
        has(tag::LUMA_WEIGHTS, &[0.299, 0.587, 0.114])
            && has(tag::REFERENCES, &[0.0, 255.0, 128.0, 255.0, 128.0, 255.0])
    }

    /// Returns in how many planes the samples lie.
    pub(super) const fn planes(&self) -> usize {
        if self.is_planar { self.samples } else { 1 }
    }

    /// Returns how many samples of a pixel lie side by side.
    pub(super) const fn samples_together(&self) -> usize {
        if self.is_planar { 1 } else { self.samples }
    }

    /// Returns the bytes of a row of a strip or tile.
    pub(super) const fn row_bytes(&self) -> usize {
        (self.chunk.width as usize * self.samples_together() * self.bits as usize).div_ceil(8)
    }

    /// Returns how many strips or tiles stand side by side.
    fn across(&self) -> usize {
        self.size.width.div_ceil(self.chunk.width) as usize
    }

    fn down(&self) -> usize {
        self.size.height.div_ceil(self.chunk.height) as usize
    }

    /// Returns each strip or tile that has pixels of a region: its number in a plane, and the box of the image that it
    /// holds, without what reaches beyond the image.
    pub(super) fn chunks(&self, region: Rect) -> impl Iterator<Item = (usize, Rect)> {
        let Size { height, width } = self.chunk;
        let rows = region.top as usize / height as usize..=(region.bottom() - 1) as usize / height as usize;
        let columns = region.left as usize / width as usize..=(region.right() - 1) as usize / width as usize;
        let across = self.across();
        rows.flat_map(move |row| columns.clone().map(move |column| (row, column))).map(move |(row, column)| {
            let (top, left) = (row as u32 * height, column as u32 * width);
            let size = Size { height: height.min(self.size.height - top), width: width.min(self.size.width - left) };
            (row * across + column, Rect { top: top.into(), left: left.into(), size })
        })
    }

    /// Returns the bytes of a strip or tile of a plane, up to the file's end where their number is not asked for or told.
    pub(super) fn bytes<'d>(&self, data: &'d [u8], plane: usize, number: usize, counts: bool) -> Result<&'d [u8], Bad> {
        let at = plane * self.across() * self.down() + number;
        let rest = usize::try_from(self.offsets[at]).ok().and_then(|start| data.get(start..));
        let rest = rest.ok_or_else(Bad::end_of_data)?;
        let count = self.byte_counts.get(at).filter(|_| counts).map_or(rest.len(), |&count| count as usize);
        Ok(&rest[..count.min(rest.len())])
    }
}

/// Returns the first number of a tag that must be there.
fn required(all: &impl Fn(u16) -> Option<Vec<u64>>, tag: u16, name: &str) -> Result<u64, Bad> {
    all(tag).map(|values| values[0]).ok_or_else(|| Bad::from(format!("has no {name}")))
}

fn side(value: u64) -> Result<u32, Bad> {
    u32::try_from(value).map_err(|_| Bad::from(format!("has a side of {value} pixels")))
}

/// What the tags say of strips or tiles.
struct Chunks {
    chunk: Size,
    offsets: Vec<u64>,
    byte_counts: Vec<u64>,
}

impl Chunks {
    fn read(all: &impl Fn(u16) -> Option<Vec<u64>>, size: Size) -> Result<Self, Bad> {
        let Size { height, width } = size;
        let (offsets, byte_counts, chunk);
        if let Some(strips) = all(tag::STRIP_OFFSETS) {
            let rows = all(tag::ROWS_PER_STRIP).map_or(height, |rows| rows[0].min(height.into()) as u32);
            chunk = Size { height: rows, width };
            (offsets, byte_counts) = (strips, all(tag::STRIP_BYTE_COUNTS));
        } else {
            offsets = all(tag::TILE_OFFSETS).ok_or_else(|| Bad::from("has neither strips nor tiles".to_owned()))?;
            let (length, width) = (
                required(all, tag::TILE_LENGTH, "height of tiles")?,
                required(all, tag::TILE_WIDTH, "width of tiles")?,
            );
            chunk = Size { height: side(length)?, width: side(width)? };
            byte_counts = all(tag::TILE_BYTE_COUNTS);
        }
        Ok(Self { chunk, offsets, byte_counts: byte_counts.unwrap_or_default() })
    }
}

/// What the tags say of a pixel's samples.
struct Samples {
    bits: u32,
    number: Number,
    count: usize,
    extra: Vec<u64>,
}

impl Samples {
    /// As Pillow understands them: one number of bits is that of all samples, and too many are cut.
    fn read(all: &impl Fn(u16) -> Option<Vec<u64>>, is_planar: bool) -> Result<Self, Bad> {
        let mut extra = all(tag::EXTRA_SAMPLES).unwrap_or_default();
        let mut count = all(tag::SAMPLES_PER_PIXEL).map_or(1, |values| values[0]) as usize;
        if is_planar && extra.iter().all(|&kind| kind == 0) {
            // Planes that mean nothing need not be looked at.
            count = count.saturating_sub(extra.len());
            extra.clear();
        }
        let bits = all(tag::BITS_PER_SAMPLE).unwrap_or_else(|| vec![1]);
        let used = &bits[..bits.len().min(count)];
        if count == 0 || (used.len() != count && bits.len() != 1) || used.iter().any(|&other| other != bits[0]) {
            return Err(Bad::from(format!("has {count} samples a pixel with {bits:?} bits, which are not read")));
        }
        let format = all(tag::SAMPLE_FORMAT).unwrap_or_else(|| vec![1]);
        let number = match format[0] {
            _ if format.iter().any(|&other| other != format[0]) => None,
            1 => Some(Number::Unsigned),
            2 => Some(Number::Signed),
            3 => Some(Number::Float),
            _ => None,
        };
        let number =
            number.ok_or_else(|| Bad::from(format!("has samples of format {format:?}, which are not read")))?;
        let bits = u32::try_from(bits[0]).unwrap_or(u32::MAX);
        Ok(Self { bits, number, count, extra })
    }
}
