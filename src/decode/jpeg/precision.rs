//! How much is known of the coefficients of a progressive file.

use super::header::Band;

/// How many coefficients smoothing looks at, in zigzag order.
pub(super) const SEEN: usize = 10;

/// Nothing is known of a coefficient.
pub(super) const UNKNOWN: i8 = -1;

/// How many of their lowest bits the coefficients of a component lack, or [`UNKNOWN`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Precision {
    now: [i8; 64],
    /// The same before the component's last scan, as far as smoothing looks.
    before: [i8; SEEN],
}

impl Default for Precision {
    fn default() -> Self {
        Self { now: [UNKNOWN; 64], before: [UNKNOWN; SEEN] }
    }
}

impl Precision {
    /// Takes note of a scan, of which `number` have come before, of any component.
    pub(super) fn note(&mut self, band: Band, number: u32) {
        // As in libjpeg, a scan of DC coefficients has all of them noted, and one of AC coefficients all but that.
        for at in usize::from(band.first.min(1))..SEEN {
            self.before[at] = if number > 0 { self.now[at] } else { 0 };
        }
        for at in band.first..=band.last {
            self.now[usize::from(at)] = band.low as i8;
        }
    }

    /// Tells whether anything is known of the DC coefficients.
    pub(super) const fn has_dc(&self) -> bool {
        self.now[0] != UNKNOWN
    }

    /// Tells whether a coefficient that can be estimated is not known exactly.
    pub(super) fn is_coarse(&self) -> bool {
        self.now[1..SEEN].iter().any(|&missing| missing != 0)
    }

    /// Returns what is known now.
    pub(super) fn now(&self) -> [i8; SEEN] {
        std::array::from_fn(|at| self.now[at])
    }

    /// Returns what was known before the last scan, in a file of so many.
    pub(super) const fn before(&self, scans: u32) -> [i8; SEEN] {
        if scans > 1 { self.before } else { [UNKNOWN; SEEN] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_are_noted_with_what_was_known_before() {
        let mut precision = Precision::default();
        assert!(!precision.has_dc() && precision.is_coarse());
        precision.note(Band { first: 0, last: 0, high: 0, low: 1 }, 0);
        assert_eq!((precision.has_dc(), precision.before(1)[1], precision.before(2)[1]), (true, UNKNOWN, 0));
        precision.note(Band { first: 1, last: 63, high: 0, low: 2 }, 1);
        precision.note(Band { first: 1, last: 63, high: 2, low: 1 }, 2);
        assert_eq!((precision.now()[..3].to_vec(), precision.before(3)[1]), (vec![1, 1, 1], 2));
        precision.note(Band { first: 1, last: 63, high: 1, low: 0 }, 3);
        assert!(!precision.is_coarse());
    }
}
