//! Huffman tables made for looking up: one index gives a symbol with the length of everything that belongs to it.
//!
//! Source: ITU-T T.81, annexes C and F.

use std::sync::Arc;

use super::{
    error::{Problem, Result},
    symbols::{BEYOND, END_OF_BLOCK, Skip, Symbols},
    tables::HuffmanSpec,
};

/// The bits of an index. 11 is best: 2^11 entries fit the first-level cache, and longer codes are rare.
const BITS: u32 = 11;
const SIZE: usize = 1 << BITS;

/// The bits of an index of differences, which have few and short codes.
const DC_BITS: u32 = 9;

/// The most bits that a looked-up symbol takes, so that a refill of 56 bits lasts for two of them.
const MAX_TAKEN: u32 = 25;

/// What a table decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Dc,
    Ac,
    /// The first bits of AC coefficients in a progressive scan.
    First,
    /// A further bit of them.
    Refinement,
}

impl Class {
    /// Returns the bits of an index.
    const fn bits(self) -> u32 {
        match self {
            Self::Dc => DC_BITS,
            Self::Ac | Self::First | Self::Refinement => BITS,
        }
    }
}

/// A Huffman table.
#[derive(Debug)]
pub(super) struct Table {
    symbols: [Symbols; SIZE],
    skips: [Skip; SIZE],
    /// For codes longer than an index, by length from 0 to 16: one above the largest code, at the top of 16 bits.
    limits: [u32; 17],
    /// What added to a code of a length gives the index of its symbol.
    offsets: [i32; 17],
    values: Vec<u8>,
    class: Class,
}

impl Table {
    fn build(class: Class, spec: HuffmanSpec<'_>) -> Result<Self> {
        let mut table = Self {
            symbols: [Symbols::NONE; SIZE],
            skips: [Skip::default(); SIZE],
            limits: [0; 17],
            offsets: [0; 17],
            values: spec.symbols.to_vec(),
            class,
        };
        let mut single = [Symbols::NONE; SIZE];
        let bits = class.bits();
        let (mut code, mut index) = (0_u32, 0_usize);
        for (length, &count) in (1_u32..).zip(spec.counts) {
            table.offsets[length as usize] = index as i32 - code as i32;
            for &value in &spec.symbols[index..index + usize::from(count)] {
                if class == Class::Dc && value > 15 {
                    return Err(Problem::corrupt(spec.offset, "a Huffman table with an impossible symbol"));
                }
                if length <= bits && code < 1 << length {
                    let (size, advance) = meaning(class, value);
                    let symbol = Symbols::new(length, size, advance);
                    if symbol.taken() <= MAX_TAKEN {
                        let first = (code << (bits - length)) as usize;
                        single[first..first + (1 << (bits - length))].fill(symbol);
                    }
                }
                code += 1;
            }
            // No code consists of ones alone.
            if count > 0 && code >= 1 << length {
                return Err(Problem::corrupt(spec.offset, "a Huffman table with more codes than there are"));
            }
            index += usize::from(count);
            table.limits[length as usize] = code << (16 - length);
            code <<= 1;
        }
        match class {
            Class::Dc | Class::First | Class::Refinement => table.symbols = single,
            Class::Ac => table.pack(&single),
        }
        Ok(table)
    }

    /// Packs two symbols into an index where the second one's code lies within it, and into a skip as many as do.
    fn pack(&mut self, single: &[Symbols; SIZE]) {
        for (index, &first) in single.iter().enumerate() {
            self.symbols[index] = first;
            let (mut taken, mut advance, mut last) = (0, 0, first);
            for number in 0.. {
                let more = last.taken();
                let is_end = last.advance() == END_OF_BLOCK;
                let is_far = advance + last.advance() >= if is_end { BEYOND } else { END_OF_BLOCK };
                if last.is_none() || is_far || taken + last.code() > BITS || taken + more > MAX_TAKEN {
                    break;
                }
                if number == 1 {
                    self.symbols[index] = first.followed_by(last, (index as u64) << (64 - BITS));
                }
                taken += more;
                advance += last.advance();
                if is_end || taken >= BITS {
                    break;
                }
                last = single[index << taken & (SIZE - 1)];
            }
            // Like a symbol that is none, a skip without any leads behind the block.
            self.skips[index] = if taken == 0 { Skip::new(0, BEYOND) } else { Skip::new(taken, advance) };
        }
    }

    /// Returns the symbols at the top of `bits`, unless the first code is a long one.
    #[inline(always)]
    pub(super) const fn symbols(&self, bits: u64) -> Symbols {
        self.symbols[(bits >> (64 - BITS)) as usize]
    }

    /// Returns the difference at the top of `bits`, unless its code is a long one.
    #[inline(always)]
    pub(super) const fn difference(&self, bits: u64) -> Symbols {
        self.symbols[(bits >> (64 - DC_BITS)) as usize]
    }

    /// Returns the symbols at the top of `bits` whose values do not matter.
    #[inline(always)]
    pub(super) const fn skip(&self, bits: u64) -> Skip {
        self.skips[(bits >> (64 - BITS)) as usize]
    }

    /// Returns the one symbol at the top of `bits`, whatever its length. Bits that are no code are taken as libjpeg takes
    /// them: 17 of them, for the symbol 0.
    #[cold]
    pub(super) fn symbol(&self, bits: u64) -> LongSymbol {
        let (symbol, is_code) = self.long(bits);
        LongSymbol { taken: symbol.taken(), value: symbol.value(bits), advance: symbol.advance(), is_code }
    }

    /// Returns the same as the symbol of an index, and whether the bits are a code.
    #[cold]
    #[inline(never)]
    pub(super) fn long(&self, bits: u64) -> (Symbols, bool) {
        let top = (bits >> 48) as u32;
        let found = (1..=16).find(|&length| top < self.limits[length]);
        let symbol = found.and_then(|length| {
            let index = (top >> (16 - length)) as i32 + self.offsets[length];
            Some((length as u32, *self.values.get(index as usize)?))
        });
        let (length, value) = symbol.unwrap_or((17, 0));
        let (size, advance) = meaning(self.class, value);
        (Symbols::new(length, size, advance), symbol.is_some())
    }
}

/// A symbol whose code may be longer than an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LongSymbol {
    /// The bits of code and value.
    pub(super) taken: u32,
    pub(super) value: i32,
    /// How far it moves the position.
    pub(super) advance: u32,
    /// Whether the bits were a code.
    pub(super) is_code: bool,
}

/// Returns the size of a symbol's value and how far it moves the position.
const fn meaning(class: Class, symbol: u8) -> (u32, u32) {
    let (run, size) = (symbol as u32 >> 4, symbol as u32 & 15);
    match (class, run, size) {
        (Class::Dc, ..) => (size, 0),
        (Class::Ac | Class::First | Class::Refinement, 15, 0) => (0, 16),
        // Runs without a value mean something in progressive files only; libjpeg ends the block there.
        (Class::Ac, _, 0) => (0, END_OF_BLOCK),
        // The value is the lower bits of the number of blocks that end.
        (Class::First | Class::Refinement, _, 0) => (run, END_OF_BLOCK),
        // A coefficient that gets its first bit; libjpeg takes any size for this one.
        (Class::Refinement, ..) => (1, run + 1),
        (Class::Ac | Class::First, ..) => (size, run + 1),
    }
}

/// How many tables are kept: files of one origin have the same four.
const KEPT: usize = 16;

/// Tables that were built before, found again by what they are made of.
#[derive(Debug, Default)]
pub(super) struct Cache {
    kept: Vec<(Class, Vec<u8>, Arc<Table>)>,
    next: usize,
}

impl Cache {
    /// Returns the table of `spec`.
    pub(super) fn table(&mut self, class: Class, spec: HuffmanSpec<'_>) -> Result<Arc<Table>> {
        let found = self.kept.iter().find(|(kept_class, bytes, _)| {
            *kept_class == class && bytes.strip_prefix(spec.counts).is_some_and(|symbols| symbols == spec.symbols)
        });
        if let Some((.., table)) = found {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(Table::build(class, spec)?);
        let entry = (class, [spec.counts, spec.symbols].concat(), Arc::clone(&table));
        if self.kept.len() < KEPT {
            self.kept.push(entry);
        } else {
            self.kept[self.next % KEPT] = entry;
            self.next += 1;
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One code of each length from 1 to 16, the last one's neighbour left out, as the standard asks.
    const COUNTS: [u8; 16] = [1; 16];
    const SYMBOLS: [u8; 16] =
        [0x01, 0x12, 0x03, 0xf0, 0x00, 0x21, 0x31, 0x41, 0x51, 0x61, 0x71, 0x81, 0x91, 0xa1, 0xb1, 0x0a];

    fn table(class: Class, counts: &[u8; 16], symbols: &[u8]) -> Result<Table> {
        Table::build(class, HuffmanSpec { counts, symbols, offset: 7 })
    }

    #[test]
    fn short_and_long_codes_give_their_symbols() {
        let table = table(Class::Ac, &COUNTS, &SYMBOLS).unwrap();
        for (length, symbol) in (1_u32..).zip(SYMBOLS) {
            let size = u32::from(symbol & 15);
            let top = ((1_u64 << length) - 2) << (64 - length);
            let expected = match symbol {
                0x00 => END_OF_BLOCK,
                0xf0 => 16,
                _ => u32::from(symbol >> 4) + 1,
            };
            // All ones as value are the largest, all zeros the smallest.
            let ones = if size == 0 { 0 } else { ((1_u64 << size) - 1) << (64 - length - size) };
            let largest = (1 << size) - 1;
            let symbol = LongSymbol { taken: length + size, value: largest, advance: expected, is_code: true };
            assert_eq!(table.symbol(top | ones), symbol, "{length}");
            assert_eq!(table.symbol(top), LongSymbol { value: -largest, ..symbol }, "{length}");
        }
        let none = LongSymbol { taken: 17, value: 0, advance: END_OF_BLOCK, is_code: false };
        assert_eq!(table.symbol(u64::MAX), none);
        assert!(table.symbols(u64::MAX).is_none());
    }

    #[test]
    fn two_symbols_are_packed_where_they_fit() {
        let table = table(Class::Ac, &COUNTS, &SYMBOLS).unwrap();
        // 0 1: value 1 after 0 zeros; 10 01: value -2 after 1 zero.
        let symbols = table.symbols(0b01_1001 << 58);
        assert_eq!((symbols.first_advance(), symbols.first_value()), (1, 1));
        assert_eq!((symbols.advance(), symbols.taken()), (3, 6));
        assert_eq!(symbols.value(0b01_1001 << 58), -2);
        let skip = table.skip(0b01_1001_0111_1000 << 50);
        assert!(skip.taken() >= 6 && skip.advance() >= 3);
    }

    #[test]
    fn impossible_tables_are_refused() {
        let mut counts = [0; 16];
        counts[0] = 3;
        assert!(table(Class::Ac, &counts, &[1, 2, 3]).is_err());
        counts[0] = 1;
        assert!(table(Class::Dc, &counts, &[16]).is_err());
        assert!(table(Class::Dc, &counts, &[15]).is_ok());
        assert!(table(Class::Ac, &[0; 16], &[]).is_ok());
    }

    #[test]
    fn tables_are_found_again() {
        let mut cache = Cache::default();
        let spec = HuffmanSpec { counts: &COUNTS, symbols: &SYMBOLS, offset: 0 };
        let first = cache.table(Class::Ac, spec).unwrap();
        assert!(Arc::ptr_eq(&first, &cache.table(Class::Ac, HuffmanSpec { offset: 9, ..spec }).unwrap()));
        for value in 0..40 {
            let mut counts = [0; 16];
            counts[7] = 1;
            cache.table(Class::Ac, HuffmanSpec { counts: &counts, symbols: &[value], offset: 0 }).unwrap();
        }
        assert_eq!(cache.kept.len(), KEPT);
        assert!(!Arc::ptr_eq(&first, &cache.table(Class::Ac, spec).unwrap()));
    }
}
