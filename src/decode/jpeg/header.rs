//! Marker segments: what stands before and between the entropy-coded data.
//!
//! Source: ITU-T T.81, annex B; JFIF 1.02 for APP0, Adobe technical note 5116 for APP14.

use super::error::{Problem, Result};
use crate::geometry::Size;

/// Zigzag position to natural position, T.81 figure A.6.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

mod marker {
    pub(super) const SOF0: u8 = 0xc0;
    pub(super) const SOF1: u8 = 0xc1;
    pub(super) const DHT: u8 = 0xc4;
    pub(super) const DAC: u8 = 0xcc;
    pub(super) const RST0: u8 = 0xd0;
    pub(super) const SOI: u8 = 0xd8;
    pub(super) const EOI: u8 = 0xd9;
    pub(super) const SOS: u8 = 0xda;
    pub(super) const DQT: u8 = 0xdb;
    pub(super) const DRI: u8 = 0xdd;
    pub(super) const APP0: u8 = 0xe0;
    pub(super) const APP14: u8 = 0xee;
}

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
}

/// The frame header: the image's size and its one or three components.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) size: Size,
    components: [Component; 3],
    count: usize,
    pub(super) h_max: u8,
    pub(super) v_max: u8,
}

impl Frame {
    pub(super) fn components(&self) -> &[Component] {
        &self.components[..self.count]
    }

    /// Returns how many MCUs a row of an interleaved scan has.
    pub(super) const fn mcus_in_row(&self) -> u32 {
        self.size.width.div_ceil(8 * self.h_max as u32)
    }
}

/// A Huffman table as the file has it: the number of codes of each length, then the symbols.
#[derive(Clone, Copy, Debug)]
pub(super) struct HuffmanSpec<'a> {
    pub(super) counts: &'a [u8; 16],
    pub(super) symbols: &'a [u8],
    /// Where in the file it stands.
    pub(super) offset: usize,
}

/// The component of a scan and the tables that it uses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ScanComponent {
    /// Which component of the frame.
    pub(super) index: usize,
    pub(super) dc: usize,
    pub(super) ac: usize,
}

/// A scan header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan {
    components: [ScanComponent; 3],
    count: usize,
    /// Where the entropy-coded data begins.
    pub(super) start: usize,
}

impl Scan {
    pub(super) fn components(&self) -> &[ScanComponent] {
        &self.components[..self.count]
    }
}

/// The headers read so far, and the place to go on from.
#[derive(Clone, Debug)]
pub(super) struct Headers<'a> {
    pub(super) data: &'a [u8],
    at: usize,
    frame: Option<Frame>,
    pub(super) quant: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<HuffmanSpec<'a>>; 4],
    pub(super) ac: [Option<HuffmanSpec<'a>>; 4],
    /// MCUs between restart markers; 0 for none.
    pub(super) restart_interval: u32,
    has_jfif: bool,
    adobe_transform: Option<u8>,
}

impl<'a> Headers<'a> {
    /// Reads up to the first scan.
    pub(super) fn read(data: &'a [u8]) -> Result<(Self, Scan)> {
        if !data.starts_with(&[0xff, marker::SOI]) {
            return Err(Problem::corrupt(0, "the file does not start with a JPEG marker"));
        }
        let mut headers = Self {
            data,
            at: 2,
            frame: None,
            quant: [None; 4],
            dc: [None; 4],
            ac: [None; 4],
            restart_interval: 0,
            has_jfif: false,
            adobe_transform: None,
        };
        let scan = headers.next_scan()?;
        Ok((headers, scan))
    }

    /// Returns the frame, which precedes the first scan.
    pub(super) fn frame(&self) -> Result<Frame> {
        self.frame.ok_or_else(|| Problem::corrupt(self.at, "a scan stands before the frame header"))
    }

    /// Returns what the components mean, by the rules of libjpeg.
    pub(super) fn colour(&self, frame: &Frame) -> Colour {
        let ids = || (frame.components[0].id, frame.components[1].id, frame.components[2].id);
        match (frame.count, self.has_jfif, self.adobe_transform) {
            (1, ..) => Colour::Grey,
            (_, false, Some(0)) => Colour::Rgb,
            (_, false, None) if ids() == (b'R', b'G', b'B') => Colour::Rgb,
            _ => Colour::YCbCr,
        }
    }

    /// Goes on at `at`, behind a scan's data.
    pub(super) const fn resume(&mut self, at: usize) {
        self.at = at;
    }

    /// Reads up to the next scan header.
    pub(super) fn next_scan(&mut self) -> Result<Scan> {
        loop {
            let code = self.next_marker()?;
            if code == marker::EOI {
                return Err(Problem::corrupt(self.at - 2, "the image ends before its pixels"));
            }
            if (marker::RST0..=marker::SOI).contains(&code) || code == 0x01 {
                continue;
            }
            let (start, body) = self.segment()?;
            match code {
                marker::SOF0 | marker::SOF1 => self.frame_header(start, body)?,
                marker::DHT => self.huffman_tables(start, body)?,
                marker::DAC => return Err(Problem::Unsupported("arithmetic coding")),
                0xc2 => return Err(Problem::Unsupported("progressive")),
                0xc3 | 0xc5..=0xcf => return Err(Problem::Unsupported("lossless, hierarchical or arithmetic coding")),
                marker::SOS => return self.scan_header(start, body),
                marker::DQT => self.quantisation_tables(start, body)?,
                marker::DRI => match *body {
                    [high, low] => self.restart_interval = u16::from_be_bytes([high, low]).into(),
                    _ => return Err(Problem::corrupt(start, "a restart interval of a wrong length")),
                },
                marker::APP0 => self.has_jfif |= body.starts_with(b"JFIF\0"),
                marker::APP14 => {
                    if let (true, Some(transform)) = (body.starts_with(b"Adobe"), body.get(11)) {
                        self.adobe_transform = Some(*transform);
                    }
                }
                _ => {}
            }
        }
    }

    /// Finds the next marker; stray bytes before it are passed over, as libjpeg does.
    fn next_marker(&mut self) -> Result<u8> {
        let rest = self.data.get(self.at..).unwrap_or_default();
        let found = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff));
        let place = found.ok_or_else(|| Problem::end_of_data(self.data.len()))?;
        self.at += place + 2;
        Ok(rest[place + 1])
    }

    /// Takes a segment's body; returns it and where it starts.
    fn segment(&mut self) -> Result<(usize, &'a [u8])> {
        let start = self.at + 2;
        let length = match self.data.get(self.at..start) {
            Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
            _ => return Err(Problem::end_of_data(self.data.len())),
        };
        let Some(length) = length.checked_sub(2) else {
            return Err(Problem::corrupt(self.at, "a marker segment of a wrong length"));
        };
        let body = self.data.get(start..start + length).ok_or_else(|| Problem::end_of_data(self.data.len()))?;
        self.at = start + length;
        Ok((start, body))
    }

    fn frame_header(&mut self, start: usize, body: &[u8]) -> Result<()> {
        let corrupt = |reason| Err(Problem::corrupt(start, reason));
        if self.frame.is_some() {
            return corrupt("a second frame header");
        }
        let &[precision, h1, h0, w1, w0, count, ref list @ ..] = body else {
            return corrupt("a frame header of a wrong length");
        };
        let (height, width) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
        if height == 0 || width == 0 {
            return Err(Problem::corrupt(start, format!("the header says {width}x{height}: there are no pixels")));
        }
        let (list, rest) = list.as_chunks::<3>();
        if list.len() != usize::from(count) || !rest.is_empty() {
            return corrupt("a frame header of a wrong length");
        }
        if precision != 8 {
            return Err(Problem::Unsupported("samples that do not have 8 bits"));
        }
        if !matches!(count, 1 | 3) {
            return Err(Problem::Unsupported("neither one nor three components"));
        }
        let mut components = [Component::default(); 3];
        for (to, &[id, factors, quant]) in components.iter_mut().zip(list) {
            *to = Component { id, h: factors >> 4, v: factors & 15, quant };
            if !(1..=4).contains(&to.h) || !(1..=4).contains(&to.v) || quant > 3 {
                return corrupt("a component with an impossible sampling factor or quantisation table");
            }
        }
        let count = usize::from(count);
        if count == 1 {
            // The factors of a single component mean nothing: its scan is never interleaved.
            (components[0].h, components[0].v) = (1, 1);
        }
        let used = &components[..count];
        let h_max = used.iter().map(|component| component.h).max().unwrap_or(1);
        let v_max = used.iter().map(|component| component.v).max().unwrap_or(1);
        if used.iter().any(|component| h_max % component.h != 0 || v_max % component.v != 0) {
            return Err(Problem::Unsupported("sampling factors with a fractional ratio"));
        }
        if used.iter().map(|component| component.h * component.v).sum::<u8>() > 10 {
            return corrupt("more than ten blocks in an MCU");
        }
        let size = Size { height: height.into(), width: width.into() };
        self.frame = Some(Frame { size, components, count, h_max, v_max });
        Ok(())
    }

    fn huffman_tables(&mut self, start: usize, mut body: &'a [u8]) -> Result<()> {
        let whole = body.len();
        while let Some((&class, rest)) = body.split_first() {
            let offset = start + whole - body.len();
            let corrupt = |reason| Err(Problem::corrupt(offset, reason));
            let Some((counts, rest)) = rest.split_first_chunk::<16>() else {
                return corrupt("a Huffman table of a wrong length");
            };
            let length = counts.iter().map(|&count| usize::from(count)).sum();
            let Some((symbols, rest)) = rest.split_at_checked(length) else {
                return corrupt("a Huffman table of a wrong length");
            };
            let tables = match class >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return corrupt("a Huffman table of an unknown class"),
            };
            let Some(table) = tables.get_mut(usize::from(class & 15)) else {
                return corrupt("a Huffman table with a number above 3");
            };
            *table = Some(HuffmanSpec { counts, symbols, offset });
            body = rest;
        }
        Ok(())
    }

    fn quantisation_tables(&mut self, start: usize, mut body: &[u8]) -> Result<()> {
        let whole = body.len();
        while let Some((&kind, rest)) = body.split_first() {
            let offset = start + whole - body.len();
            let Some(table) = self.quant.get_mut(usize::from(kind & 15)) else {
                return Err(Problem::corrupt(offset, "a quantisation table with a number above 3"));
            };
            let bytes = if kind >> 4 == 0 { 1 } else { 2 };
            let Some((values, rest)) = rest.split_at_checked(64 * bytes) else {
                return Err(Problem::corrupt(offset, "a quantisation table of a wrong length"));
            };
            let mut natural = [0; 64];
            for (value, &place) in values.chunks_exact(bytes).zip(&ZIGZAG) {
                natural[usize::from(place)] = value.iter().fold(0, |sum, &byte| sum << 8 | u16::from(byte));
            }
            *table = Some(natural);
            body = rest;
        }
        Ok(())
    }

    fn scan_header(&self, start: usize, body: &[u8]) -> Result<Scan> {
        let frame = self.frame()?;
        let corrupt = |reason| Err(Problem::corrupt(start, reason));
        let Some((&count, rest)) = body.split_first() else {
            return corrupt("a scan header of a wrong length");
        };
        let count = usize::from(count);
        // The three bytes behind the list matter to progressive files only.
        if !(1..=frame.count).contains(&count) || rest.len() != 2 * count + 3 {
            return corrupt("a scan header of a wrong length");
        }
        let mut components = [ScanComponent::default(); 3];
        for (at, &[id, tables]) in rest.as_chunks::<2>().0[..count].iter().enumerate() {
            let Some(index) = frame.components().iter().position(|component| component.id == id) else {
                return corrupt("a scan of an unknown component");
            };
            if components[..at].iter().any(|other| other.index == index) {
                return corrupt("a scan that has a component twice");
            }
            let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            if dc > 3 || ac > 3 {
                return corrupt("a scan with the number of an impossible Huffman table");
            }
            components[at] = ScanComponent { index, dc, ac };
        }
        Ok(Scan { components, count, start: self.at })
    }
}

/// Tells whether the file has an end-of-image marker behind `from`.
pub(super) fn has_end(data: &[u8], from: usize) -> bool {
    // In entropy-coded data the two bytes can be nothing but the marker, so the last place is looked at first.
    data.get(from..).is_some_and(|rest| rest.windows(2).rev().any(|pair| pair == [0xff, marker::EOI]))
}
