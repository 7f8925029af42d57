//! The codes of markers, and how one is found.
//!
//! Source: ITU-T T.81, table B.1; for what is damaged, `jdmarker.c` of libjpeg.

pub(super) const TEM: u8 = 0x01;
pub(super) const SOF0: u8 = 0xc0;
pub(super) const SOF1: u8 = 0xc1;
pub(super) const SOF2: u8 = 0xc2;
pub(super) const DHT: u8 = 0xc4;
pub(super) const JPG: u8 = 0xc8;
pub(super) const DAC: u8 = 0xcc;
pub(super) const SOF15: u8 = 0xcf;
pub(super) const RST0: u8 = 0xd0;
pub(super) const RST7: u8 = 0xd7;
pub(super) const SOI: u8 = 0xd8;
pub(super) const EOI: u8 = 0xd9;
pub(super) const SOS: u8 = 0xda;
pub(super) const DQT: u8 = 0xdb;
pub(super) const DNL: u8 = 0xdc;
pub(super) const DRI: u8 = 0xdd;
pub(super) const APP0: u8 = 0xe0;
pub(super) const APP14: u8 = 0xee;
pub(super) const APP15: u8 = 0xef;
pub(super) const SOF55: u8 = 0xf7;
pub(super) const COM: u8 = 0xfe;

/// How a restart interval begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resync {
    /// Behind this marker.
    Here,
    /// Behind a later marker.
    Later,
    /// Not at all: the marker is one of a later interval, or ends the scan.
    Empty,
}

/// Returns how the interval begins whose restart marker has the number `expected`, where `code` was found.
pub(super) const fn resynchronised(code: u8, expected: u8) -> Resync {
    if code < SOF0 {
        return Resync::Later;
    }
    if code < RST0 || code > RST7 {
        return Resync::Empty;
    }
    match code.wrapping_sub(RST0 + expected) & 7 {
        1 | 2 => Resync::Empty,
        6 | 7 => Resync::Later,
        _ => Resync::Here,
    }
}

/// Returns where the next marker stands at or behind `at`: its last byte 0xff. Anything before it is passed over.
pub(super) fn find_marker(data: &[u8], at: usize) -> Option<usize> {
    let rest = data.get(at..)?;
    let found = |&before: &usize| rest.get(before + 1).is_some_and(|code| !matches!(code, 0 | 0xff));
    memchr::memchr_iter(0xff, rest).find(found).map(|before| at + before)
}
