//! What a look-up in a Huffman table gives, packed into a few bits.

/// What the end of a block adds to the position: all that a block has.
pub(super) const END_OF_BLOCK: u32 = 64;

/// How far a code that is longer than an index, or no code, moves the position: behind the block from anywhere.
pub(super) const BEYOND: u32 = 127;

/// One or two symbols, packed: from the lowest bit, 6 bits for the bits they take, 4 for the size of the last one's
/// value, 5 and 7 for how far the first one and all of them move the position, 10 for the first one's value.
///
/// The value of the last symbol need not lie within the index: it is cut out of the bits. Where there is one symbol
/// alone, the first is put at the same position, and is so overwritten, or is a zero where there is one anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbols(u32);

impl Symbols {
    /// Stands where the code is longer than an index, or no code: takes nothing, and ends behind the block.
    pub(super) const NONE: Self = Self::new(0, 0, BEYOND);

    /// Returns a symbol whose code has `code` bits and whose value has `size`.
    pub(super) const fn new(code: u32, size: u32, advance: u32) -> Self {
        Self::pack(code + size, size, [if advance > 16 { 1 } else { advance }, advance], 0)
    }

    const fn pack(taken: u32, size: u32, advance: [u32; 2], first: i32) -> Self {
        Self(taken | size << 6 | advance[0] << 10 | advance[1] << 15 | (first as u32) << 22)
    }

    /// Returns this symbol with `next` behind it. `index` begins with the symbol and its value.
    pub(super) const fn followed_by(self, next: Self, index: u64) -> Self {
        let taken = self.taken() + next.taken();
        Self::pack(taken, next.size(), [self.advance(), self.advance() + next.advance()], self.value(index))
    }

    /// Tells whether the code is longer than an index, or no code.
    #[inline(always)]
    pub(super) const fn is_none(self) -> bool {
        self.0 == Self::NONE.0
    }

    /// Returns a number whose low six bits are the bits of codes and values.
    #[inline(always)]
    pub(super) const fn packed(self) -> u64 {
        self.0 as u64
    }

    /// Returns the bits of codes and values.
    #[inline(always)]
    pub(super) const fn taken(self) -> u32 {
        self.0 & 63
    }

    /// Returns the size of the last symbol's value.
    #[inline(always)]
    pub(super) const fn size(self) -> u32 {
        self.0 >> 6 & 15
    }

    pub(super) const fn code(self) -> u32 {
        self.taken() - self.size()
    }

    /// Returns the value of the last symbol, where the first one's code stands at the top of `bits`.
    #[inline(always)]
    pub(super) const fn value(self, bits: u64) -> i32 {
        let low = (bits >> (self.0.wrapping_neg() & 63)) as u32;
        let above = u32::MAX << self.size();
        let value = (low & !above) as i32;
        // Values whose first bit is 0 are negative. Twice the value, less this, is negative for those alone.
        let below = above as i32 + 1;
        value + (below & ((2 * value + below) >> 31))
    }

    /// Returns the bits of the last symbol's value, where the first one's code stands at the top of `bits`.
    #[inline(always)]
    pub(super) const fn bits(self, bits: u64) -> u32 {
        (bits >> (self.0.wrapping_neg() & 63)) as u32 & !(u32::MAX << self.size())
    }

    /// Returns the value of the first of two symbols.
    #[inline(always)]
    pub(super) const fn first_value(self) -> i16 {
        (self.0 as i32 >> 22) as i16
    }

    /// Returns how far the first symbol moves the position in the block.
    #[inline(always)]
    pub(super) const fn first_advance(self) -> u32 {
        self.0 >> 10 & 31
    }

    /// Returns how far all of them move it.
    #[inline(always)]
    pub(super) const fn advance(self) -> u32 {
        self.0 >> 15 & 127
    }
}

/// Several symbols whose values do not matter, packed: the bits they take and how far they move the position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Skip(u16);

impl Skip {
    /// Returns symbols that take `taken` bits together and move the position by `advance`.
    pub(super) const fn new(taken: u32, advance: u32) -> Self {
        Self((taken | advance << 6) as u16)
    }

    /// Returns a number whose low six bits are the bits that the symbols take.
    #[inline(always)]
    pub(super) const fn packed(self) -> u64 {
        self.0 as u64
    }

    /// Returns the bits that the symbols take.
    pub(super) const fn taken(self) -> u32 {
        self.0 as u32 & 63
    }

    #[inline(always)]
    pub(super) const fn advance(self) -> u32 {
        (self.0 >> 6) as u32
    }
}
