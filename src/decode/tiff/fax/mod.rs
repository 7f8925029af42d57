//! Fax: lines of bits as runs (ITU-T T.4), or as where they differ from the line above (T.6).

mod codes;

use self::codes::{MAX_BITS, RUNS};
use crate::decode::format::Bad;

/// How lines are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decode) enum Fax {
    /// Runs; each line begins a byte.
    Rows,
    /// Runs; a mark begins each line.
    Group3,
    /// A bit behind the mark says whether runs or differences follow.
    Group3TwoDimensional,
    /// Differences.
    Group4,
}

const UNCOMPRESSED: u64 = 0b10;
const TWO_DIMENSIONAL: u64 = 0b1;
/// The zeros of the mark that begins a line; a one follows.
const MARK_ZEROS: u32 = 11;

impl Fax {
    /// Returns group 3 with the options of its tag.
    pub(super) fn group3(options: u64) -> Result<Self, Bad> {
        if options & UNCOMPRESSED != 0 {
            return Err(Bad::from("is fax with parts that are not compressed, which is not read".to_owned()));
        }
        Ok(if options & TWO_DIMENSIONAL == 0 { Self::Group3 } else { Self::Group3TwoDimensional })
    }
}

/// Fills `out` with lines of `width` bits, of which black ones are 1; each line begins a byte.
pub(super) fn expand(fax: Fax, data: &[u8], width: usize, out: &mut [u8]) -> Result<(), Bad> {
    let mut bits = Bits { data, at: 0 };
    // Where the colour changes, from white on: of the line above, and of this one.
    let (mut above, mut line) = (Vec::new(), Vec::new());
    for row in out.chunks_exact_mut(width.div_ceil(8)) {
        line.clear();
        match fax {
            Fax::Rows => bits.runs(width, &mut line)?,
            Fax::Group3 => {
                bits.find_mark()?;
                bits.runs(width, &mut line)?;
            }
            Fax::Group3TwoDimensional => {
                bits.find_mark()?;
                let has_runs = bits.peek(1) == 1;
                bits.take(1)?;
                if has_runs { bits.runs(width, &mut line)? } else { bits.differences(width, &above, &mut line)? }
            }
            // A mark ends the image; what is missing is white.
            Fax::Group4 if bits.peek(MARK_ZEROS + 1) == 1 => {}
            Fax::Group4 => bits.differences(width, &above, &mut line)?,
        }
        if fax == Fax::Rows {
            bits.at = bits.at.next_multiple_of(8);
        }
        draw(&line, width, row);
        std::mem::swap(&mut above, &mut line);
    }
    Ok(())
}

/// Sets the bits of black runs.
fn draw(changes: &[usize], width: usize, row: &mut [u8]) {
    row.fill(0);
    for black in changes.chunks(2) {
        let (start, end) = (black[0], black.get(1).copied().unwrap_or(width));
        for x in start..end {
            row[x / 8] |= 0x80 >> (x % 8);
        }
    }
}

struct Bits<'a> {
    data: &'a [u8],
    /// The bit that is next.
    at: usize,
}

impl Bits<'_> {
    /// Returns the next bits, with zeros behind the end.
    fn peek(&self, count: u32) -> usize {
        let byte = |at: usize| usize::from(self.data.get(self.at / 8 + at).copied().unwrap_or(0));
        let three = byte(0) << 16 | byte(1) << 8 | byte(2);
        three >> (24 - count - self.at as u32 % 8) & ((1 << count) - 1)
    }

    fn take(&mut self, count: usize) -> Result<(), Bad> {
        self.at += count;
        if self.at > self.data.len() * 8 { Err(Bad::end_of_data()) } else { Ok(()) }
    }

    /// Goes on behind the next mark.
    fn find_mark(&mut self) -> Result<(), Bad> {
        while self.peek(MARK_ZEROS) != 0 {
            self.take(1)?;
        }
        self.take(MARK_ZEROS as usize)?;
        while self.peek(1) == 0 {
            self.take(1)?;
        }
        self.take(1)
    }

    /// Reads the length of a run of white, 0, or black, 1.
    fn run(&mut self, colour: usize) -> Result<usize, Bad> {
        let mut run = 0;
        loop {
            let (part, bits) = RUNS[colour][self.peek(MAX_BITS)];
            self.take(usize::from(bits))?;
            if bits == 0 {
                return Err(self.unknown());
            }
            run += usize::from(part);
            if part < 64 {
                return Ok(run);
            }
        }
    }

    /// Reads a line as runs.
    fn runs(&mut self, width: usize, line: &mut Vec<usize>) -> Result<(), Bad> {
        let (mut x, mut colour) = (0, 0);
        while x < width {
            x += self.run(colour)?;
            colour = 1 - colour;
            push(x, width, line)?;
        }
        Ok(())
    }

    /// Reads a line by where it differs from the one above.
    fn differences(&mut self, width: usize, above: &[usize], line: &mut Vec<usize>) -> Result<(), Bad> {
        let change = |at: usize| above.get(at).copied().unwrap_or(width);
        let (mut x, mut colour, mut at) = (0, 0, 0_usize);
        let mut is_first = true;
        while x < width {
            // The next change above from the colour here to the other one.
            at = at.saturating_sub(1);
            at += (at + colour) % 2;
            while at < above.len() && change(at) <= x && !(is_first && change(at) == 0) {
                at += 2;
            }
            is_first = false;
            let (next, bits) = match self.peek(7) {
                0b100_0000.. => (change(at), 1),
                0b011_0000.. => (change(at) + 1, 3),
                0b010_0000.. => (change(at).wrapping_sub(1), 3),
                0b001_0000.. => {
                    self.take(3)?;
                    let first = x + self.run(colour)?;
                    push(first, width, line)?;
                    x = first + self.run(1 - colour)?;
                    push(x, width, line)?;
                    continue;
                }
                0b000_1000.. => {
                    self.take(4)?;
                    x = change(at + 1);
                    continue;
                }
                0b000_0110.. => (change(at) + 2, 6),
                0b000_0100.. => (change(at).wrapping_sub(2), 6),
                0b000_0011 => (change(at) + 3, 7),
                0b000_0010 => (change(at).wrapping_sub(3), 7),
                _ => return Err(self.unknown()),
            };
            self.take(bits)?;
            if next < x {
                return Err(self.unknown());
            }
            push(next, width, line)?;
            (x, colour) = (next, 1 - colour);
        }
        Ok(())
    }

    fn unknown(&self) -> Bad {
        if self.at >= self.data.len() * 8 {
            Bad::end_of_data()
        } else {
            Bad::from("has bits that are no fax code".to_owned())
        }
    }
}

/// Adds a change of colour.
fn push(x: usize, width: usize, line: &mut Vec<usize>) -> Result<(), Bad> {
    if x > width {
        return Err(Bad::from(format!("has a fax line of more than {width} pixels")));
    }
    line.push(x);
    Ok(())
}
