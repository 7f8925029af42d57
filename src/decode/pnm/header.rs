//! Headers of Netpbm: numbers with white space and comments between them, or the lines of PAM.

use crate::{decode::format::Bad, geometry::Size, pixel::Channels};

/// The longest number that Pillow reads.
const MAX_DIGITS: usize = 10;

/// How samples are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Digits 0 and 1, of which 1 is black.
    PlainBits,
    /// Bits, of which 1 is black; each row begins a byte.
    Bits,
    /// Decimal numbers.
    Plain,
    /// One byte, or two if the largest value does not fit, the upper one first.
    Raw,
}

/// A file's header.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) size: Size,
    pub(super) channels: Channels,
    /// The value of white, at most 65,535.
    pub(super) largest: u32,
    pub(super) coding: Coding,
    /// Where the samples begin.
    pub(super) start: usize,
}

impl Header {
    pub(super) fn read(data: &[u8]) -> Result<Self, Bad> {
        let (channels, coding) = match data.get(1) {
            Some(b'1') => (Channels::Grey, Coding::PlainBits),
            Some(b'2') => (Channels::Grey, Coding::Plain),
            Some(b'3') => (Channels::Rgb, Coding::Plain),
            Some(b'4') => (Channels::Grey, Coding::Bits),
            Some(b'5') => (Channels::Grey, Coding::Raw),
            Some(b'6') => (Channels::Rgb, Coding::Raw),
            _ => return Self::read_pam(data),
        };
        // One white space behind the letters, which a number may also have in front of it.
        let mut tokens = Tokens { data, at: 2 };
        let (width, height) = (tokens.number()?, tokens.number()?);
        let largest = match coding {
            Coding::PlainBits | Coding::Bits => 1,
            Coding::Plain | Coding::Raw => tokens.number()?,
        };
        Self { size: Size { height, width }, channels, largest, coding, start: tokens.at }.checked()
    }

    fn read_pam(data: &[u8]) -> Result<Self, Bad> {
        let [mut width, mut height, mut depth, mut largest] = [None; 4];
        let mut kind = Vec::new();
        let mut at = 2;
        loop {
            let rest = data.get(at..).unwrap_or_default();
            let length = memchr::memchr(b'\n', rest).ok_or_else(Bad::end_of_data)?;
            at += length + 1;
            let line = rest[..length].trim_ascii();
            let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
            let (name, value) = (&line[..end], line[end..].trim_ascii());
            let number = || number(value).map(Some);
            match name {
                b"" | [b'#', ..] => {}
                b"ENDHDR" => break,
                b"WIDTH" => width = number()?,
                b"HEIGHT" => height = number()?,
                b"DEPTH" => depth = number()?,
                b"MAXVAL" => largest = number()?,
                b"TUPLTYPE" => kind = value.to_vec(),
                other => return Err(Bad::from(format!("has a line of {}", String::from_utf8_lossy(other)))),
            }
        }
        let missing = || Bad::from("has no width, height, depth or largest value".to_owned());
        let (width, height) = (width.ok_or_else(missing)?, height.ok_or_else(missing)?);
        let (depth, largest) = (depth.ok_or_else(missing)?, largest.ok_or_else(missing)?);
        let channels = match (&kind[..], depth) {
            (b"" | b"GRAYSCALE" | b"BLACKANDWHITE", 1) => Channels::Grey,
            (b"" | b"GRAYSCALE_ALPHA" | b"BLACKANDWHITE_ALPHA", 2) => Channels::GreyAlpha,
            (b"" | b"RGB", 3) => Channels::Rgb,
            (b"" | b"RGB_ALPHA", 4) => Channels::Rgba,
            _ => {
                let kind = String::from_utf8_lossy(&kind);
                return Err(Bad::from(format!("has pixels of {depth} values of type {kind:?}, which are not read")));
            }
        };
        Self { size: Size { height, width }, channels, largest, coding: Coding::Raw, start: at }.checked()
    }

    fn checked(self) -> Result<Self, Bad> {
        match self.largest {
            1..=65_535 => Ok(self),
            largest => Err(Bad::from(format!("has a largest value of {largest}, which is not from 1 to 65535"))),
        }
    }
}

/// Returns a decimal number.
fn number(digits: &[u8]) -> Result<u32, Bad> {
    let text = str::from_utf8(digits).ok().filter(|_| (1..=MAX_DIGITS).contains(&digits.len()));
    let value = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())).and_then(|text| text.parse().ok());
    value.ok_or_else(|| Bad::from(format!("has {:?} for a number", String::from_utf8_lossy(digits))))
}

/// Numbers with white space between them; a comment reaches from its sign to the line's end, also within a number.
pub(super) struct Tokens<'a> {
    pub(super) data: &'a [u8],
    pub(super) at: usize,
}

impl Tokens<'_> {
    /// Returns the next number; what stands behind it and one white space is not read.
    pub(super) fn number(&mut self) -> Result<u32, Bad> {
        let mut token = Vec::new();
        while token.len() <= MAX_DIGITS {
            let Some(byte) = self.next() else { break };
            match byte {
                b' ' | b'\t'..=b'\r' if token.is_empty() => {}
                b' ' | b'\t'..=b'\r' => break,
                byte => token.push(byte),
            }
        }
        if token.is_empty() { Err(Bad::end_of_data()) } else { number(&token) }
    }

    /// Returns the next byte that is in no comment.
    pub(super) fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.data.get(self.at)?;
            self.at += 1;
            if byte != b'#' {
                return Some(byte);
            }
            let rest = &self.data[self.at..];
            self.at += memchr::memchr2(b'\r', b'\n', rest).map_or(rest.len(), |end| end + 1);
        }
    }
}
