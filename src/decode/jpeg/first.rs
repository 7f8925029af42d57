//! The first bits of coefficients, as the scans of a progressive file have them.
//!
//! Source: ITU-T T.81, annex G.1.2.1 and G.1.2.2. What bits that are no code mean, and coefficients behind the band, is
//! as in libjpeg's `jdphuff.c`.

use super::{
    bits::Bits,
    block::Block,
    header::Band,
    huffman::Table,
    symbols::{END_OF_BLOCK, Symbols},
    tables::ZIGZAG,
};

/// What libjpeg takes bits for that are no code: 17 of them, and the symbol 0.
const NO_CODE: u32 = 17;

/// Returns the symbol at the top of `bits`.
#[inline(always)]
pub(super) fn symbol(table: &Table, bits: u64, is_damaged: &mut bool) -> Symbols {
    let symbol = table.symbols(bits);
    if symbol.is_none() { long(table, bits, is_damaged) } else { symbol }
}

#[cold]
#[inline(never)]
fn long(table: &Table, bits: u64, is_damaged: &mut bool) -> Symbols {
    table.long(bits).unwrap_or_else(|| {
        *is_damaged = true;
        Symbols::new(NO_CODE, 0, END_OF_BLOCK)
    })
}

/// Reads the difference of a DC coefficient to the one before.
#[inline(always)]
pub(super) fn difference(bits: &mut Bits<'_>, table: &Table, is_damaged: &mut bool) -> i32 {
    bits.refill();
    let symbol = table.difference(bits.buffer);
    let symbol = if symbol.is_none() { long(table, bits.buffer, is_damaged) } else { symbol };
    let value = symbol.value(bits.buffer);
    bits.consume(symbol.packed());
    value
}

/// Reads the band of a block; returns how many further blocks have nothing in it.
///
/// `nonzero` has a bit for each coefficient, from the top bit on in zigzag order, that is one where it is not zero.
#[inline(always)]
pub(super) fn block(
    position: &mut Bits<'_>,
    table: &Table,
    band: Band,
    block: &mut Block,
    nonzero: &mut u64,
    is_damaged: &mut bool,
) -> u32 {
    // Copies stay in registers.
    let (mut bits, mut seen) = (*position, *nonzero);
    let last = u32::from(band.last);
    let mut at = u32::from(band.first) - 1;
    let run = loop {
        bits.refill();
        let symbol = symbol(table, bits.buffer, is_damaged);
        if symbol.advance() == END_OF_BLOCK {
            let more = symbol.bits(bits.buffer);
            bits.consume(symbol.packed());
            break (1 << symbol.size()) - 1 + more;
        }
        let value = (symbol.value(bits.buffer) << band.low) as i16;
        bits.consume(symbol.packed());
        at += symbol.advance();
        if symbol.size() > 0 {
            // What lies behind the block ends up at its end.
            let at = at.min(63);
            block[usize::from(ZIGZAG[at as usize] & 63)] = value;
            let bit = 1 << 63 >> at;
            seen = if value == 0 { seen & !bit } else { seen | bit };
        }
        if at >= last {
            break 0;
        }
    };
    (*position, *nonzero) = (bits, seen);
    run
}
