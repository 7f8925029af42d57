//! The chunks of a WebP file, by the WebP container specification.

use crate::geometry::{Rect, Size};

/// A flag of the extended header.
const IS_ANIMATED: u8 = 0x02;

/// A file whose chunks have been found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Container<'a> {
    /// The size of the whole, where the file has an extended header.
    pub(super) canvas: Option<Size>,
    pub(super) frame: Frame<'a>,
}

/// The image, or the first one of an animation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Where in the canvas it lies, where that need not be the whole.
    pub(super) place: Option<Rect>,
    /// The chunks that libwebp decodes: that of the image, and that of its alpha channel before it.
    pub(super) coded: &'a [u8],
}

/// A chunk of a file.
struct Chunk<'a> {
    name: [u8; 4],
    content: &'a [u8],
    /// Where it begins, and where the next one does.
    start: usize,
    end: usize,
}

impl<'a> Container<'a> {
    /// Finds the chunks.
    ///
    /// # Errors
    /// The reason, for a file that ends before its header says, as Pillow refuses it, or without an image.
    pub(super) fn read(data: &'a [u8]) -> Result<Self, String> {
        let early = || "unexpected end of data".to_owned();
        let said = data.get(4..8).and_then(number).ok_or_else(early)?;
        // What lies behind that is not part of the image.
        let riff = data.get(..said.saturating_add(8)).ok_or_else(early)?;
        let first = chunk(riff, 12).ok_or_else(early)?;
        if first.name != *b"VP8X" {
            let coded = coded(riff, 12).ok_or("there is no image in it")?;
            return Ok(Self { canvas: None, frame: Frame { place: None, coded } });
        }
        let &[flags, _, _, _, ref sizes @ ..] = first.content else { return Err(early()) };
        let canvas = size(sizes).ok_or_else(early)?;
        let frame = if flags & IS_ANIMATED == 0 {
            Frame { place: None, coded: coded(riff, first.end).ok_or("there is no image in it")? }
        } else {
            let animated = chunks(riff, first.end).find(|chunk| chunk.name == *b"ANMF");
            frame(animated.ok_or("there is no image in the animation")?.content, canvas)?
        };
        Ok(Self { canvas: Some(canvas), frame })
    }
}

/// Reads a frame of an animation.
fn frame(content: &[u8], canvas: Size) -> Result<Frame<'_>, String> {
    let (head, rest) = content.split_at_checked(16).ok_or("the first image's header is cut short")?;
    let number = |at: usize| number(&head[at..at + 3]).map_or(0, |number| number as i64);
    // By twos; see the specification.
    let (left, top) = (2 * number(0), 2 * number(3));
    let size = size(&head[6..12]).ok_or("the first image has no size")?;
    let place = Rect { top, left, size };
    if place.intersection(canvas) != Some(place) {
        return Err("the first image does not lie in the canvas".to_owned());
    }
    Ok(Frame { place: Some(place), coded: coded(rest, 0).ok_or("there is no image in the animation")? })
}

/// Returns the chunks of an image, without what lies before and behind them.
fn coded(data: &[u8], from: usize) -> Option<&[u8]> {
    let image = chunks(data, from).find(|chunk| matches!(&chunk.name, b"VP8 " | b"VP8L"))?;
    let alpha = chunks(data, from).find(|chunk| chunk.name == *b"ALPH" && chunk.end <= image.start);
    Some(&data[alpha.map_or(image.start, |chunk| chunk.start)..image.end.min(data.len())])
}

fn chunks(data: &[u8], from: usize) -> impl Iterator<Item = Chunk<'_>> {
    std::iter::successors(chunk(data, from), |last| chunk(data, last.end))
}

/// Returns the chunk that begins at `start`; none where the data end before it does.
fn chunk(data: &[u8], start: usize) -> Option<Chunk<'_>> {
    let name = data.get(start..start.checked_add(4)?)?.try_into().ok()?;
    let len = number(data.get(start + 4..start.checked_add(8)?)?)?;
    let content = data.get(start + 8..(start + 8).checked_add(len)?)?;
    Some(Chunk { name, content, start, end: start + 8 + len + len % 2 })
}

/// Returns width and height, of three bytes each and one less than they are.
fn size(bytes: &[u8]) -> Option<Size> {
    let edge = |at: usize| Some(number(bytes.get(at..at + 3)?)? as u32 + 1);
    Some(Size { width: edge(0)?, height: edge(3)? })
}

/// Returns the number of up to four bytes, the lowest first.
fn number(bytes: &[u8]) -> Option<usize> {
    bytes.iter().rev().try_fold(0_u32, |high, &byte| Some(high.checked_mul(256)? | u32::from(byte))).map(|n| n as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8], content: &[u8]) -> Vec<u8> {
        let mut bytes = [name, &(content.len() as u32).to_le_bytes(), content].concat();
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        bytes
    }

    fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
        chunk(b"RIFF", &[b"WEBP".as_slice(), &chunks.concat()].concat())
    }

    /// The extended header of a canvas of 9x7 pixels.
    fn extended(flags: u8) -> Vec<u8> {
        chunk(b"VP8X", &[flags, 0, 0, 0, 8, 0, 0, 6, 0, 0])
    }

    #[test]
    fn a_simple_file_is_its_image() {
        let image = chunk(b"VP8 ", b"abc");
        let mut data = file(std::slice::from_ref(&image));
        data.extend(b"behind");
        let found = Container::read(&data).unwrap();
        assert_eq!(found, Container { canvas: None, frame: Frame { place: None, coded: &image } });
    }

    #[test]
    fn alpha_goes_along() {
        let coded = [chunk(b"ALPH", b"a"), chunk(b"what", b"ever"), chunk(b"VP8 ", b"abcd")].concat();
        let data = file(&[extended(0x30), chunk(b"ICCP", b"p"), coded.clone(), chunk(b"EXIF", b"turned")]);
        let canvas = Some(Size { height: 7, width: 9 });
        let found = Container::read(&data).unwrap();
        assert_eq!(found, Container { canvas, frame: Frame { place: None, coded: &coded } });
    }

    #[test]
    fn the_first_image_of_an_animation_has_its_place() {
        let image = chunk(b"VP8L", b"abcd");
        let head = |left: u8| [left, 0, 0, 1, 0, 0, 2, 0, 0, 4, 0, 0, 9, 0, 0, 0];
        for (left, is_good) in [(3, true), (4, false)] {
            let animated = chunk(b"ANMF", &[head(left).as_slice(), &image].concat());
            let data = file(&[extended(2), chunk(b"ANIM", &[0; 6]), animated]);
            let found = Container::read(&data).map(|container| container.frame);
            let place = Some(Rect { top: 2, left: 6, size: Size { height: 5, width: 3 } });
            let lies_outside = "the first image does not lie in the canvas".to_owned();
            assert_eq!(found, if is_good { Ok(Frame { place, coded: &image }) } else { Err(lies_outside) });
        }
    }

    #[test]
    fn any_part_of_a_file_is_an_error() {
        let animated = chunk(b"ANMF", &[[0; 16].as_slice(), &chunk(b"VP8 ", b"abcd")].concat());
        for data in [file(&[chunk(b"VP8 ", b"abcd")]), file(&[extended(2), animated])] {
            for len in 8..data.len() {
                assert!(Container::read(&data[..len]).is_err(), "{len}");
            }
        }
        assert_eq!(Container::read(&file(&[extended(0)])).unwrap_err(), "there is no image in it");
    }
}
