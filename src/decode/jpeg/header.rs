//! Marker segments: what stands before and between the entropy-coded data.
//!
//! Source: ITU-T T.81, annex B; JFIF 1.02 for APP0, Adobe technical note 5116 for APP14.

use super::{
    error::{Problem, Result},
    frame::{COMPONENTS, Colour, Frame, Process},
    tables::Tables,
};

mod marker {
    pub(super) const SOF0: u8 = 0xc0;
    pub(super) const SOF1: u8 = 0xc1;
    pub(super) const SOF2: u8 = 0xc2;
    pub(super) const SOF3: u8 = 0xc3;
    pub(super) const DHT: u8 = 0xc4;
    pub(super) const DAC: u8 = 0xcc;
    pub(super) const SOF15: u8 = 0xcf;
    pub(super) const RST0: u8 = 0xd0;
    pub(super) const SOI: u8 = 0xd8;
    pub(super) const EOI: u8 = 0xd9;
    pub(super) const SOS: u8 = 0xda;
    pub(super) const DQT: u8 = 0xdb;
    pub(super) const DRI: u8 = 0xdd;
    pub(super) const APP0: u8 = 0xe0;
    pub(super) const APP14: u8 = 0xee;
    pub(super) const SOF55: u8 = 0xf7;
}

/// The component of a scan and the tables that it uses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ScanComponent {
    /// Which component of the frame.
    pub(super) index: usize,
    pub(super) dc: usize,
    pub(super) ac: usize,
}

/// What a progressive scan has of the coefficients of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Band {
    /// Its first and last coefficient, in zigzag order.
    pub(super) first: u8,
    pub(super) last: u8,
    /// How many bits of the coefficients are missing before it, where any have been read, and behind it.
    pub(super) high: u8,
    pub(super) low: u8,
}

/// A scan header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan {
    components: [ScanComponent; COMPONENTS],
    count: usize,
    pub(super) band: Band,
    /// Where the entropy-coded data begins.
    pub(super) start: usize,
}

impl Scan {
    pub(super) fn components(&self) -> &[ScanComponent] {
        &self.components[..self.count]
    }
}

/// The headers read so far, and where to go on.
#[derive(Clone, Debug)]
pub(super) struct Headers<'a> {
    pub(super) data: &'a [u8],
    at: usize,
    frame: Option<Frame>,
    pub(super) tables: Tables<'a>,
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
            tables: Tables::default(),
            restart_interval: 0,
            has_jfif: false,
            adobe_transform: None,
        };
        let scan = headers.next_scan()?;
        let scan = scan.ok_or_else(|| Problem::corrupt(headers.at - 2, "the image ends before its pixels"))?;
        Ok((headers, scan))
    }

    /// Returns the frame, which precedes the first scan.
    pub(super) fn frame(&self) -> Result<Frame> {
        self.frame.ok_or_else(|| Problem::corrupt(self.at, "a scan stands before the frame header"))
    }

    /// Returns what the components mean, as far as the headers read so far tell.
    pub(super) fn colour(&self, frame: &Frame) -> Colour {
        frame.colour(self.has_jfif, self.adobe_transform)
    }

    /// Goes on at `at`, behind a scan's data.
    pub(super) const fn resume(&mut self, at: usize) {
        self.at = at;
    }

    /// Reads up to the next scan header; returns none where the image ends.
    pub(super) fn next_scan(&mut self) -> Result<Option<Scan>> {
        loop {
            let code = self.next_marker()?;
            if code == marker::EOI {
                return Ok(None);
            }
            if (marker::RST0..=marker::SOI).contains(&code) || code == 0x01 {
                continue;
            }
            let (start, body) = self.segment()?;
            match code {
                marker::SOF0..=marker::SOF2 if self.frame.is_some() => {
                    return Err(Problem::corrupt(start, "a second frame header"));
                }
                marker::SOF0 | marker::SOF1 => self.frame = Some(Frame::read(Process::Sequential, start, body)?),
                marker::SOF2 => self.frame = Some(Frame::read(Process::Progressive, start, body)?),
                marker::DHT => self.tables.read_huffman(start, body)?,
                // Without a frame of arithmetic coding it means nothing.
                marker::DAC => {}
                marker::SOF3..=marker::SOF15 | marker::SOF55 => return Err(Problem::Unsupported(process(code))),
                marker::SOS => return self.scan_header(start, body).map(Some),
                marker::DQT => self.tables.read_quantisation(start, body)?,
                marker::DRI => match *body {
                    [high, low] => self.restart_interval = u16::from_be_bytes([high, low]).into(),
                    _ => return Err(Problem::corrupt(start, "a restart interval of a wrong length")),
                },
                // libjpeg does not look at a shorter one.
                marker::APP0 => self.has_jfif |= body.len() >= 14 && body.starts_with(b"JFIF\0"),
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
        let before = found.ok_or_else(|| Problem::end_of_data(self.data.len()))?;
        self.at += before + 2;
        Ok(rest[before + 1])
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

    fn scan_header(&self, start: usize, body: &[u8]) -> Result<Scan> {
        let frame = self.frame()?;
        let corrupt = |reason| Err(Problem::corrupt(start, reason));
        let Some((&count, rest)) = body.split_first() else {
            return corrupt("a scan header of a wrong length");
        };
        let count = usize::from(count);
        if !(1..=frame.components().len()).contains(&count) || rest.len() != 2 * count + 3 {
            return corrupt("a scan header of a wrong length");
        }
        let mut components = [ScanComponent::default(); COMPONENTS];
        for (at, &[id, tables]) in rest.as_chunks::<2>().0[..count].iter().enumerate() {
            // As for libjpeg, those of equal names come in their order.
            let found = frame.components().iter().enumerate().skip(at).find(|(_, component)| component.id == id);
            let Some((index, _)) = found else {
                return corrupt("a scan of an unknown component, or in an order that is not the frame's");
            };
            if components[..at].iter().any(|other| other.index == index) {
                return corrupt("a scan that has a component twice");
            }
            components[at] = ScanComponent { index, dc: usize::from(tables >> 4), ac: usize::from(tables & 15) };
        }
        let blocks = components[..count].iter().map(|part| frame.components()[part.index]).map(|part| part.h * part.v);
        if count > 1 && blocks.sum::<u8>() > 10 {
            return corrupt("more than ten blocks in an MCU");
        }
        // These matter to progressive files only.
        let [.., first, last, bits] = *rest else { return corrupt("a scan header of a wrong length") };
        let band = Band { first, last, high: bits >> 4, low: bits & 15 };
        Ok(Scan { components, count, band, start: self.at })
    }
}

/// Names the process that a marker stands for, of those that are not read.
const fn process(code: u8) -> &'static str {
    match code {
        marker::SOF3 => "lossless JPEG (SOF3)",
        0xc5..=0xc7 => "hierarchical JPEG",
        0xc9 => "arithmetic coding",
        0xca => "progressive JPEG with arithmetic coding",
        0xcb => "lossless JPEG with arithmetic coding",
        0xcd..=marker::SOF15 => "hierarchical JPEG with arithmetic coding",
        marker::SOF55 => "JPEG-LS",
        _ => "a process reserved for extensions",
    }
}

/// Tells whether the file has an end-of-image marker behind `from`.
pub(super) fn has_end(data: &[u8], from: usize) -> bool {
    // In entropy-coded data the two bytes can be nothing but the marker, so the end is looked at first.
    data.get(from..).is_some_and(|rest| rest.windows(2).rev().any(|pair| pair == [0xff, marker::EOI]))
}
