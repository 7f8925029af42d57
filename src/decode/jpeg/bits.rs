//! The bits of a segment.

/// A position in the bits of a segment. The next bit is the top one of `buffer`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bits<'a> {
    pub(super) buffer: u64,
    /// The valid bits of `buffer`, modulo 64: what stands above is whatever a subtraction left there.
    count: u64,
    /// The bytes that are not in `buffer` as a whole.
    rest: &'a [u8],
    /// How many bytes were made up behind the last one.
    missing: usize,
    /// One more than where the first bits stood that made no sense; 0 where all did.
    nonsense: usize,
}

impl<'a> Bits<'a> {
    /// Returns the first bit of `bytes`.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { buffer: 0, count: 0, rest: bytes, missing: 0, nonsense: 0 }
    }

    /// Makes at least 56 bits valid; behind the last byte there are zeros.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        // The bits below the valid ones are already those that come again.
        let used = ((!self.count & 63) >> 3) as usize;
        if let Some(word) = self.rest.first_chunk() {
            self.buffer |= u64::from_be_bytes(*word) >> (self.count & 63);
            self.rest = &self.rest[used..];
        } else {
            let (buffer, rest, missing) = refill_last(*self, used);
            (self.buffer, self.rest, self.missing) = (buffer, rest, missing);
        }
        self.count |= 0b11_1000;
    }

    /// Passes over as many bits as the low six bits of `packed` say, at most as many as are valid.
    #[inline(always)]
    pub(super) const fn consume(&mut self, packed: u64) {
        self.buffer <<= packed & 63;
        self.count = self.count.wrapping_sub(packed);
    }

    /// Returns the position `back` bits before this one; `bytes` are what the bits were made of.
    #[cold]
    #[inline(never)]
    pub(super) fn before(self, bytes: &'a [u8], back: u32) -> Self {
        let bit = self.position(bytes) - back as usize;
        let at = bit / 8;
        let mut position = Self {
            rest: bytes.get(at..).unwrap_or_default(),
            missing: at.saturating_sub(bytes.len()),
            nonsense: self.nonsense,
            ..Self::new(bytes)
        };
        position.refill();
        position.consume((bit % 8) as u64);
        position
    }

    /// Returns how many bits of `bytes` come before this position.
    pub(super) const fn position(&self, bytes: &[u8]) -> usize {
        (bytes.len() - self.rest.len() + self.missing) * 8 - (self.count & 63) as usize
    }

    /// Takes note that the bits here make no sense: they are no code, or one of too many coefficients.
    #[cold]
    pub(super) const fn note_nonsense(&mut self, bytes: &[u8]) {
        if self.nonsense == 0 {
            self.nonsense = self.position(bytes) + 1;
        }
    }

    /// Returns where the first bits stood that made no sense, and forgets it.
    #[cold]
    pub(super) const fn take_nonsense(&mut self) -> Option<usize> {
        let found = self.nonsense.checked_sub(1);
        self.nonsense = 0;
        found
    }

    /// Tells whether bits made no sense.
    #[inline(always)]
    pub(super) const fn has_nonsense(&self) -> bool {
        self.nonsense != 0
    }

    /// Tells whether bits were made up and consumed.
    #[inline(always)]
    pub(super) const fn is_beyond(&self) -> bool {
        self.missing * 8 > (self.count & 63) as usize + self.rest.len() * 8
    }
}

#[cold]
fn refill_last(bits: Bits<'_>, used: usize) -> (u64, &[u8], usize) {
    let mut word = [0; 8];
    word[..bits.rest.len()].copy_from_slice(bits.rest);
    let there = used.min(bits.rest.len());
    (bits.buffer | u64::from_be_bytes(word) >> (bits.count & 63), &bits.rest[there..], bits.missing + used - there)
}
