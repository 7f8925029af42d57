//! Marker segments: what stands before and between the entropy-coded data.
//!
//! Source: ITU-T T.81, annex B; JFIF 1.02 for APP0, Adobe technical note 5116 for APP14. What is an error and what is passed
//! over is as in `jdmarker.c` of libjpeg.

use super::{
    body::Body,
    error::{Damage, Problem, Result},
    frame::{Colour, Frame},
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
                marker::SOF0..=marker::SOF15 | marker::DQT | marker::DRI => self.read_segment(code)?,
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
            marker::SOF0 | marker::SOF1 => {}
            marker::SOF2 => return Err(Problem::Unsupported("progressive")),
            marker::JPG => return Err(Problem::corrupt(at, "a marker of an unknown kind, 0xc8")),
            _ => return Err(Problem::Unsupported("lossless, hierarchical or arithmetic coding")),
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
                self.frame = Some(Frame::read(body.start, body.take_all()?)?);
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
        // The three bytes behind the list matter to progressive files only.
        if !(1..=frame.components().len()).contains(&count) || length != 2 * count + 4 {
            return corrupt(wrong_length);
        }
        let list = body.take(2 * count, wrong_length)?;
        let mut components = [ScanComponent::default(); 3];
        for (at, &[id, tables]) in list.as_chunks::<2>().0.iter().enumerate() {
            let is_free = |index: usize| components[..at].iter().all(|other| other.index != index);
            let mut same =
                (0..).zip(frame.components()).filter(|(_, component)| component.id == id).map(|(index, _)| index);
            let Some(first) = same.next() else {
                return corrupt("a scan of an unknown component");
            };
            // Of components with the same number, each is meant once.
            let Some(index) = std::iter::once(first).chain(same).find(|&index| is_free(index)) else {
                return corrupt("a scan that has a component twice");
            };
            components[at] = ScanComponent { index, dc: usize::from(tables >> 4), ac: usize::from(tables & 15) };
        }
        body.take_all()?;
        Ok(Scan { components, count, start: self.at })
    }
}
