//! Marker segments: what stands before and between the entropy-coded data.
//!
//! Source: ITU-T T.81, annex B; JFIF 1.02 for APP0, Adobe technical note 5116 for APP14. What is an error and what is passed
//! over is as in `jdmarker.c` of libjpeg.

use super::{
    body::Body,
    error::{Damage, Problem, Result},
    frame::{COMPONENTS, Colour, Frame, Process},
    marker::{self, find_marker},
    tables::Tables,
};

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
    pub(super) damage: Damage,
}

const WRONG_LENGTH: &str = "a marker segment of a wrong length";

/// The fewest bytes of a JFIF segment.
const JFIF_LENGTH: usize = 14;

impl<'a> Headers<'a> {
    /// Reads up to the first scan.
    pub(super) fn read(data: &'a [u8], damage: Damage) -> Result<(Self, Scan)> {
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
            damage,
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

    /// Reads up to the next scan header, or to the end of the image: then there is none.
    pub(super) fn next_scan(&mut self) -> Result<Option<Scan>> {
        loop {
            let code = self.next_marker()?;
            match code {
                marker::EOI => return Ok(None),
                marker::RST0..=marker::RST7 | marker::TEM => {}
                marker::SOS => {
                    let body = self.segment()?;
                    return self.scan_header(body).map(Some);
                }
                marker::APP0..=marker::APP15 | marker::COM | marker::DNL => self.skip_or_read(code)?,
                marker::SOF0..=marker::SOF15 | marker::SOF55 | marker::DQT | marker::DRI => self.read_segment(code)?,
                marker::SOI => return Err(Problem::corrupt(self.at - 2, "a second start of the image")),
                _ => return Err(Problem::corrupt(self.at - 2, format!("a marker of an unknown kind, {code:#04x}"))),
            }
        }
    }

    /// Reads a segment that pixels depend on.
    fn read_segment(&mut self, code: u8) -> Result<()> {
        let at = self.at - 2;
        match code {
            marker::DHT | marker::DQT | marker::DRI | marker::DAC => {}
            _ if self.frame.is_some() => return Err(Problem::corrupt(at, "a second frame header")),
            marker::SOF0 | marker::SOF1 | marker::SOF2 => {}
            marker::JPG => return Err(Problem::corrupt(at, "a marker of an unknown kind, 0xc8")),
            _ => return Err(Problem::Unsupported(process(code))),
        }
        let body = self.segment()?;
        match code {
            marker::DHT => self.tables.read_huffman(body),
            marker::DQT => self.tables.read_quantisation(body),
            marker::DRI if body.len() != 2 => Err(Problem::corrupt(body.start, "a restart interval of a wrong length")),
            marker::DRI => {
                self.restart_interval = body.take_all()?.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte));
                Ok(())
            }
            marker::DAC => Tables::read_conditions(body),
            _ => {
                let process = if code == marker::SOF2 { Process::Progressive } else { Process::Sequential };
                self.frame = Some(Frame::read(process, body.start, body.take_all()?)?);
                Ok(())
            }
        }
    }

    /// Passes over a segment that pixels do not depend on, unless it tells what the components mean.
    fn skip_or_read(&mut self, code: u8) -> Result<()> {
        // One whose length does not even count itself is over at once, for libjpeg.
        if let Some(&[0, 0 | 1]) = self.data.get(self.at..self.at + 2) {
            self.at += 2;
            return self.damage.found(Problem::corrupt(self.at - 2, WRONG_LENGTH));
        }
        let body = self.segment()?.take_all()?;
        match code {
            marker::APP0 => self.has_jfif |= body.starts_with(b"JFIF\0") && body.len() >= JFIF_LENGTH,
            marker::APP14 => {
                if let (true, Some(transform)) = (body.starts_with(b"Adobe"), body.get(11)) {
                    self.adobe_transform = Some(*transform);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Finds the next marker; stray bytes before it are passed over, as libjpeg does. Fill bytes are no damage.
    fn next_marker(&mut self) -> Result<u8> {
        let found = find_marker(self.data, self.at).ok_or(Problem::Ended(self.data.len()))?;
        if self.data[self.at..found].iter().any(|&byte| byte != 0xff) {
            self.damage.found(Problem::corrupt(self.at, "stray bytes before a marker"))?;
        }
        self.at = found + 2;
        Ok(self.data[found + 1])
    }

    /// Takes a segment's body.
    fn segment(&mut self) -> Result<Body<'a>> {
        let start = self.at + 2;
        let length = match self.data.get(self.at..start) {
            Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
            _ => return Err(Problem::Ended(self.data.len())),
        };
        let length = length.checked_sub(2).ok_or_else(|| Problem::corrupt(self.at, WRONG_LENGTH))?;
        self.at = start + length;
        Ok(Body::new(self.data, start, length))
    }

    fn scan_header(&self, mut body: Body<'_>) -> Result<Scan> {
        let frame = self.frame()?;
        let (start, length) = (body.start, body.len());
        let corrupt = |reason| Err(Problem::corrupt(start, reason));
        let wrong_length = "a scan header of a wrong length";
        let count = usize::from(body.take(1, wrong_length)?[0]);
        if !(1..=frame.components().len()).contains(&count) || length != 2 * count + 4 {
            return corrupt(wrong_length);
        }
        let parts = body.take(2 * count, wrong_length)?;
        let mut components = [ScanComponent::default(); COMPONENTS];
        for (at, &[id, tables]) in parts.as_chunks::<2>().0.iter().enumerate() {
            // As for libjpeg, those of equal numbers come in their order.
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
        let [first, last, bits] = *body.take_all()? else { return corrupt(wrong_length) };
        let band = Band { first, last, high: bits >> 4, low: bits & 15 };
        Ok(Scan { components, count, band, start: self.at })
    }
}

/// Names the process that a frame header stands for, of those that are not read.
const fn process(code: u8) -> &'static str {
    match code {
        0xc3 => "lossless JPEG",
        0xc5..=0xc7 => "hierarchical JPEG",
        0xc9 => "JPEG with arithmetic coding",
        0xca => "progressive JPEG with arithmetic coding",
        0xcb => "lossless JPEG with arithmetic coding",
        0xcd..=marker::SOF15 => "hierarchical JPEG with arithmetic coding",
        _ => "JPEG-LS",
    }
}
