//! The frame header: what an image is made of.
//!
//! Source: ITU-T T.81, annex B.2.2.

use super::error::{Problem, Result};
use crate::geometry::Size;

/// The largest width and height: libjpeg's `JPEG_MAX_DIMENSION`, which is less than the format's.
const MAX_EDGE: u16 = 65_500;

/// One colour component of the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Horizontal sampling factor, 1 to 4.
    pub(super) h: u8,
    /// Vertical sampling factor, 1 to 4.
    pub(super) v: u8,
    /// The number of its quantisation table.
    pub(super) quant: u8,
}

/// What the samples of the components are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Grey,
    YCbCr,
    Rgb,
    /// Cyan, magenta, yellow and black, each inverted, as Adobe writes them and Pillow takes all such files.
    Cmyk,
    /// The same, of which the first three were made luma and chroma.
    Ycck,
}

/// How the coefficients are spread over scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// A scan has all of a component.
    Sequential,
    /// Scans have a band of coefficients each, or a further bit of them.
    Progressive,
}

/// The most components of a frame.
pub(super) const COMPONENTS: usize = 4;

/// The frame header: the image's size and its one, three or four components.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) process: Process,
    pub(super) size: Size,
    components: [Component; COMPONENTS],
    count: usize,
    pub(super) h_max: u8,
    pub(super) v_max: u8,
}

impl Frame {
    /// Reads the body of a frame header, which stands at `start`.
    pub(super) fn read(process: Process, start: usize, body: &[u8]) -> Result<Self> {
        let corrupt = |reason| Err(Problem::corrupt(start, reason));
        let &[precision, h1, h0, w1, w0, count, ref list @ ..] = body else {
            return corrupt("a frame header of a wrong length");
        };
        let (height, width) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
        if height == 0 || width == 0 {
            return Err(Problem::corrupt(start, format!("the header says {width}x{height}: there are no pixels")));
        }
        if height.max(width) > MAX_EDGE {
            let reason = format!("the header says {width}x{height}: libjpeg reads at most {MAX_EDGE} pixels an edge");
            return Err(Problem::corrupt(start, reason));
        }
        let (list, rest) = list.as_chunks::<3>();
        if list.len() != usize::from(count) || !rest.is_empty() {
            return corrupt("a frame header of a wrong length");
        }
        match precision {
            8 => {}
            12 => return Err(Problem::Unsupported("JPEG with samples of 12 bits")),
            _ => return Err(Problem::Unsupported("samples that do not have 8 bits")),
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(Problem::Unsupported("another number of components than one, three or four"));
        }
        let mut components = [Component::default(); COMPONENTS];
        for (to, &[id, factors, quant]) in components.iter_mut().zip(list) {
            *to = Component { id, h: factors >> 4, v: factors & 15, quant };
            if !(1..=4).contains(&to.h) || !(1..=4).contains(&to.v) {
                return corrupt("a component with an impossible sampling factor");
            }
        }
        let count = usize::from(count);
        let used = &components[..count];
        let h_max = used.iter().map(|component| component.h).max().unwrap_or(1);
        let v_max = used.iter().map(|component| component.v).max().unwrap_or(1);
        if used.iter().any(|component| h_max % component.h != 0 || v_max % component.v != 0) {
            return Err(Problem::Unsupported("sampling factors with a fractional ratio"));
        }
        let size = Size { height: height.into(), width: width.into() };
        Ok(Self { process, size, components, count, h_max, v_max })
    }

    pub(super) fn components(&self) -> &[Component] {
        &self.components[..self.count]
    }

    /// Returns how many MCUs a row of an interleaved scan has.
    pub(super) const fn mcus_in_row(&self) -> u32 {
        self.size.width.div_ceil(8 * self.h_max as u32)
    }

    /// Returns how many rows of MCUs an interleaved scan has.
    pub(super) const fn rows_of_mcus(&self) -> u32 {
        self.size.height.div_ceil(8 * self.v_max as u32)
    }

    /// Returns what the components mean, by the rules of libjpeg, where the file has a JFIF segment or not, and an
    /// Adobe segment that names a transform or none.
    pub(super) fn colour(&self, has_jfif: bool, adobe_transform: Option<u8>) -> Colour {
        let ids = || self.components.map(|component| component.id);
        match (self.count, has_jfif, adobe_transform) {
            (1, ..) => Colour::Grey,
            (4, _, None | Some(0)) => Colour::Cmyk,
            (4, ..) => Colour::Ycck,
            (_, false, Some(0)) => Colour::Rgb,
            (_, false, None) if ids().starts_with(b"RGB") => Colour::Rgb,
            _ => Colour::YCbCr,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_those_that_libjpeg_reads() {
        for (edge, is_good) in [(0_u16, false), (1, true), (65_500, true), (65_501, false), (u16::MAX, false)] {
            let [high, low] = edge.to_be_bytes();
            for sizes in [[0, 9, high, low], [high, low, 0, 9]] {
                let body = [&[8][..], &sizes, &[1, 1, 0x11, 0]].concat();
                assert_eq!(Frame::read(Process::Sequential, 0, &body).is_ok(), is_good, "{sizes:?}");
            }
        }
    }
}
