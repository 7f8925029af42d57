//! A further bit of AC coefficients, as a scan of a progressive file has it.
//!
//! Such a scan has a bit for each coefficient of the band that is not zero, and between these symbols that tell which
//! of the others are not zero any more. With a word in which each coefficient has a bit, from the top on in zigzag
//! order, those that a symbol passes over are found, and their bits are read, all at once.
//!
//! Source: ITU-T T.81, annex G.1.2.3. What bits that are no code mean is as in libjpeg's `jdphuff.c`.

use super::{
    bits::Bits, block::Block, first::symbol, header::Band, huffman::Table, symbols::END_OF_BLOCK, tables::ZIGZAG,
    vector::Vector,
};

/// A band and the bit of its coefficients that is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refinement<'a> {
    table: &'a Table,
    /// A bit for each coefficient of the band.
    band: u64,
    /// Where a coefficient goes for which no zero is left.
    behind: u32,
    /// The value of the bit.
    one: i16,
}

impl<'a> Refinement<'a> {
    pub(super) const fn new(band: Band, table: &'a Table) -> Self {
        let Band { first, last, low, .. } = band;
        let behind = if last < 63 { last as u32 + 1 } else { 63 };
        Self { table, band: u64::MAX >> first & u64::MAX << (63 - last), behind, one: 1 << low }
    }

    /// Reads a block whose symbols have not ended; returns how many further blocks have ended with it.
    #[inline(always)]
    pub(super) fn block(
        &self,
        vector: impl Vector,
        position: &mut Bits<'_>,
        bytes: &[u8],
        block: &mut Block,
        nonzero: &mut u64,
    ) -> u32 {
        let mut bits = *position;
        // What has not been passed: coefficients that get a bit, and zeros.
        let mut left = *nonzero & self.band;
        let mut zeros = !*nonzero & self.band;
        let (mut grown, mut new) = (0, 0);
        let run = loop {
            bits.refill();
            let symbol = symbol(self.table, &mut bits, bytes);
            if symbol.advance() == END_OF_BLOCK {
                let more = symbol.bits(bits.buffer);
                bits.consume(symbol.packed());
                grown |= ones(vector, &mut bits, left);
                break (1 << symbol.size()) - 1 + more;
            }
            let is_positive = symbol.bits(bits.buffer) != 0;
            bits.consume(symbol.packed());
            // The zero that becomes something, or the last one of sixteen.
            let target = nth(vector, zeros, symbol.advance() - 1);
            let above = if target == 0 { u64::MAX } else { (target << 1).wrapping_neg() };
            let passed = left & above;
            grown |= ones(vector, &mut bits, passed);
            left &= !passed;
            zeros &= !above & !target;
            if symbol.size() > 0 {
                let at = if target == 0 { self.behind } else { target.leading_zeros() };
                block[natural(at)] = if is_positive { self.one } else { -self.one };
                new |= 1 << 63 >> at;
            }
            if target == 0 || target & self.band & self.band.wrapping_neg() != 0 {
                break 0;
            }
        };
        self.grow(block, grown);
        *position = bits;
        *nonzero |= new;
        run
    }

    /// Reads a block that has no symbols any more.
    #[inline(always)]
    pub(super) fn ended_block(&self, vector: impl Vector, bits: &mut Bits<'_>, block: &mut Block, nonzero: u64) {
        let left = nonzero & self.band;
        if left != 0 {
            let grown = ones(vector, bits, left);
            self.grow(block, grown);
        }
    }

    /// Makes the magnitude of some coefficients larger by the bit that is read, where they do not have it.
    #[inline(always)]
    fn grow(&self, block: &mut Block, mut grown: u64) {
        while grown != 0 {
            let at = grown.leading_zeros();
            grown &= !(1 << 63 >> at);
            let value = &mut block[natural(at)];
            if *value & self.one == 0 {
                let sign = *value >> 15;
                *value = value.wrapping_add((self.one ^ sign) - sign);
            }
        }
    }
}

#[inline(always)]
fn natural(at: u32) -> usize {
    usize::from(ZIGZAG[at as usize & 63] & 63)
}

/// Returns bit `number` of those that are one, from the top on; 0 where there are fewer.
#[inline(always)]
fn nth(vector: impl Vector, bits: u64, number: u32) -> u64 {
    if number < bits.count_ones() { vector.nth(bits, number) } else { 0 }
}

/// Reads a bit for each that is one in `of`; returns those of them for which it is one, too.
#[inline(always)]
fn ones(vector: impl Vector, bits: &mut Bits<'_>, of: u64) -> u64 {
    bits.refill();
    let count = of.count_ones();
    // No more bits than these are there at once.
    if count > 56 {
        let upper = of & u64::MAX << 32;
        let found = few(vector, bits, upper);
        bits.refill();
        return found | few(vector, bits, of & !upper);
    }
    few(vector, bits, of)
}

#[inline(always)]
fn few(vector: impl Vector, bits: &mut Bits<'_>, of: u64) -> u64 {
    let count = of.count_ones();
    // Two shifts, since there may be none to read.
    let read = bits.buffer >> 1 >> (63 - count);
    bits.consume(count.into());
    vector.deposit(read, of)
}
