//! Segmentations, as polygons and as runs of pixels, to masks: the pixels that COCO's tools give.
//!
//! They are data of our own, in words of 32 bits in native byte order: height and width of the image and the number of
//! objects; for each object its class, the number of its parts, and for each part what it is, its number of words, and
//! those. An object has the pixels of all its parts.

use crate::{
    error::{Failure, Stage},
    geometry::Size,
};

/// A part that is a polygon: x and y of each corner, in fifths of a pixel.
const POLYGON: u32 = 0;
/// A part that is the lengths of runs, column by column, of pixels that do not belong to the object and that do, in turn.
const RUNS: u32 = 1;
/// Outlines are followed in steps of this part of a pixel.
const FINENESS: i32 = 5;

/// The segmentations of one image, of which the next one is to be read.
#[derive(Debug)]
pub struct Segments<'a> {
    size: Size,
    objects: usize,
    words: &'a [u8],
    crossings: &'a mut Vec<u32>,
}

impl<'a> Segments<'a> {
    /// Reads how many there are; `buffer` is used again from image to image.
    ///
    /// # Errors
    /// A [`Failure`] of the decode stage for data that is none.
    pub fn open(data: &'a [u8], buffer: &'a mut Vec<u32>) -> Result<Self, Failure> {
        let mut all = Self { size: Size::default(), objects: 0, words: data, crossings: buffer };
        all.size = Size { height: all.word()?, width: all.word()? };
        all.objects = all.word()? as usize;
        if all.size.area() > u64::from(u32::MAX) {
            return Err(failure("the image is too large"));
        }
        Ok(all)
    }

    /// Returns the size of the image.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Returns the number of objects.
    pub const fn objects(&self) -> usize {
        self.objects
    }

    /// Draws the next object: its pixels in `mask`, which is (height, width), become what `value` makes of its class.
    ///
    /// # Errors
    /// A [`Failure`] of the decode stage for data that is none, or runs that are not as long as the image.
    pub fn draw(&mut self, mask: &mut [u8], value: impl FnOnce(u32) -> u8) -> Result<(), Failure> {
        let value = value(self.word()?);
        for _ in 0..self.word()? {
            let (kind, words) = (self.word()?, self.word()? as usize);
            let bytes = words.checked_mul(4).and_then(|bytes| self.words.split_at_checked(bytes));
            let (part, rest) = bytes.ok_or_else(|| failure("the data ends early"))?;
            self.words = rest;
            self.crossings.clear();
            match kind {
                POLYGON => outline(part, self.size, self.crossings),
                RUNS => ends(part, self.size, self.crossings)?,
                other => return Err(failure(&format!("there are no parts of kind {other}"))),
            }
            fill(self.crossings, self.size, mask, value);
        }
        Ok(())
    }

    fn word(&mut self) -> Result<u32, Failure> {
        let (word, rest) = self.words.split_first_chunk().ok_or_else(|| failure("the data ends early"))?;
        self.words = rest;
        Ok(u32::from_ne_bytes(*word))
    }
}

fn failure(what: &str) -> Failure {
    Failure::new(Stage::Decode, format!("segmentations: {what}"))
}

fn words(part: &[u8]) -> impl Iterator<Item = u32> {
    part.as_chunks().0.iter().map(|word| u32::from_ne_bytes(*word))
}

/// Adds where each run ends, counted in pixels column by column.
fn ends(part: &[u8], size: Size, crossings: &mut Vec<u32>) -> Result<(), Failure> {
    let mut end = 0_u64;
    for run in words(part) {
        end += u64::from(run);
        if end > size.area() {
            break;
        }
        crossings.push(end as u32);
    }
    if end == size.area() { Ok(()) } else { Err(failure("runs are not as long as the image has pixels")) }
}

/// Adds where the outline of a polygon crosses the middles of columns, in no order.
///
/// Which pixels belong to a polygon is COCO's convention, and no other rule gives the same: the outline is followed from
/// corner to corner in fifths of a pixel, and each step from one column of fifths to the next that crosses the middle of
/// a pixel's column begins or ends the object at the pixel below the upper end of the step.
fn outline(part: &[u8], size: Size, crossings: &mut Vec<u32>) {
    let mut corners = words(part).map(|word| word as i32);
    let corners: Vec<(i32, i32)> = std::iter::from_fn(|| Some((corners.next()?, corners.next()?))).collect();
    let next = corners.iter().cycle().skip(1);
    let mut last = None;
    for (&from, &to) in corners.iter().zip(next) {
        walk(from, to, |point| {
            if let Some(last) = last.replace(point) {
                crossings.extend(crossing(last, point, size));
            }
        });
    }
}

/// Goes from one corner to the next, one fifth of a pixel at a time in the direction in which they are further apart.
fn walk(from: (i32, i32), to: (i32, i32), mut visit: impl FnMut((i32, i32))) {
    let (across, down) = (from.0.abs_diff(to.0), from.1.abs_diff(to.1));
    let flat = across >= down;
    let steps = across.max(down) as i32;
    // Always in the same direction, so that an edge has the same points for both objects that it parts.
    let backwards = if flat { from.0 > to.0 } else { from.1 > to.1 };
    let (start, end) = if backwards { (to, from) } else { (from, to) };
    let slope = if flat {
        f64::from(end.1 - start.1) / f64::from(steps)
    } else {
        f64::from(end.0 - start.0) / f64::from(steps)
    };
    for step in 0..=steps {
        let at = if backwards { steps - step } else { step };
        // Rounded as a cast rounds, towards zero.
        let beside = |start: i32| (f64::from(start) + slope * f64::from(at) + 0.5) as i32;
        visit(if flat { (start.0 + at, beside(start.1)) } else { (beside(start.0), start.1 + at) });
    }
}

/// Returns the pixel at which a step of an outline begins or ends an object, counted column by column.
fn crossing(last: (i32, i32), point: (i32, i32), size: Size) -> Option<u32> {
    let (height, width) = (i64::from(size.height), i64::from(size.width));
    if last.0 == point.0 {
        return None;
    }
    let across = i64::from(if point.0 < last.0 { point.0 } else { point.0 - 1 });
    let (middle, fineness) = (i64::from(FINENESS / 2), i64::from(FINENESS));
    let column = (across - middle).div_euclid(fineness);
    if (across - middle).rem_euclid(fineness) != 0 || column < 0 || column >= width {
        return None;
    }
    let above = i64::from(last.1.min(point.1)) - middle;
    // The first pixel whose middle is not above.
    let row = (above + fineness - 1).div_euclid(fineness).clamp(0, height);
    Some((column * height + row) as u32)
}

/// Sets the pixels between crossings, counted column by column, from the first to the second, the third to the fourth, and
/// so on; the last one to the end where it has no other.
fn fill(crossings: &mut [u32], size: Size, mask: &mut [u8], value: u8) {
    crossings.sort_unstable();
    let (height, width) = (size.height, size.width as usize);
    for pair in crossings.chunks(2) {
        let (mut at, end) = (pair[0], pair.get(1).copied().unwrap_or(height * size.width));
        while at < end {
            let (column, row) = (at / height, at % height);
            let until = end.min((column + 1) * height);
            for row in row..row + (until - at) {
                mask[row as usize * width + column as usize] = value;
            }
            at = until;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The class of an object, and its parts: the kind of each, and its numbers.
    type Object<'a> = (u32, &'a [(u32, &'a [i32])]);

    fn data(size: Size, objects: &[Object<'_>]) -> Vec<u8> {
        let mut words = vec![size.height, size.width, objects.len() as u32];
        for (class, parts) in objects {
            words.extend([*class, parts.len() as u32]);
            for (kind, numbers) in *parts {
                words.extend([*kind, numbers.len() as u32]);
                words.extend(numbers.iter().map(|&number| number as u32));
            }
        }
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn drawn(size: Size, parts: &[(u32, &[i32])]) -> Result<Vec<String>, String> {
        let (bytes, mut buffer) = (data(size, &[(3, parts)]), Vec::new());
        let mut mask = vec![0; size.area() as usize];
        let mut segments = Segments::open(&bytes, &mut buffer).map_err(|failure| failure.reason)?;
        assert_eq!((segments.size(), segments.objects()), (size, 1));
        segments.draw(&mut mask, |class| class as u8).map_err(|failure| failure.reason)?;
        let rows = mask.chunks_exact(size.width as usize);
        Ok(rows.map(|row| row.iter().map(u8::to_string).collect()).collect())
    }

    const SIZE: Size = Size { height: 4, width: 5 };

    #[test]
    fn polygons_have_the_pixels_whose_middles_lie_inside() {
        // From (1, 1) to (4, 3).
        let square = [5, 5, 20, 5, 20, 15, 5, 15];
        assert_eq!(drawn(SIZE, &[(POLYGON, &square)]).unwrap(), ["00000", "03330", "03330", "00000"]);
        let turned: Vec<i32> = square.chunks(2).rev().flatten().copied().collect();
        assert_eq!(drawn(SIZE, &[(POLYGON, &turned)]).unwrap(), ["00000", "03330", "03330", "00000"]);
        let beyond = [-500, -500, 500, -500, 500, 500, -500, 500];
        assert_eq!(drawn(SIZE, &[(POLYGON, &beyond)]).unwrap(), ["33333"; 4]);
        assert_eq!(drawn(SIZE, &[(POLYGON, &[5, 5]), (POLYGON, &[])]).unwrap(), ["00000"; 4]);
        let two = drawn(SIZE, &[(POLYGON, &square), (RUNS, &[0, 1, 18, 1])]).unwrap();
        assert_eq!(two, ["30000", "03330", "03330", "00003"]);
    }

    #[test]
    fn runs_go_down_the_columns() {
        assert_eq!(drawn(SIZE, &[(RUNS, &[3, 2, 15])]).unwrap(), ["03000", "00000", "00000", "30000"]);
        assert_eq!(drawn(SIZE, &[(RUNS, &[0, 20])]).unwrap(), ["33333"; 4]);
        assert_eq!(drawn(SIZE, &[(RUNS, &[20])]).unwrap(), ["00000"; 4]);
        for runs in [&[3, 2, 14][..], &[3, 2, 16], &[-1], &[]] {
            assert!(drawn(SIZE, &[(RUNS, runs)]).unwrap_err().contains("not as long as the image"), "{runs:?}");
        }
        assert!(drawn(SIZE, &[(9, &[])]).unwrap_err().contains("no parts of kind 9"));
    }

    #[test]
    fn data_that_is_cut_is_an_error() {
        let bytes = data(SIZE, &[(3, &[(POLYGON, &[5, 5, 20, 5, 20, 15]), (RUNS, &[20])])]);
        for end in 0..bytes.len() {
            let mut buffer = Vec::new();
            let drawn = Segments::open(&bytes[..end], &mut buffer).and_then(|mut all| all.draw(&mut [0; 20], |_| 1));
            assert!(drawn.unwrap_err().reason.contains("the data ends early"), "{end}");
        }
    }
}
