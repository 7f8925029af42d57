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

/// Returns the symbol at `bits`, which are those of `bytes`.
#[inline(always)]
pub(super) fn symbol(table: &Table, bits: &mut Bits<'_>, bytes: &[u8]) -> Symbols {
    let symbol = table.symbols(bits.buffer);
    if symbol.is_none() { long(table, bits, bytes) } else { symbol }
}

#[cold]
#[inline(never)]
fn long(table: &Table, bits: &mut Bits<'_>, bytes: &[u8]) -> Symbols {
    let (symbol, is_code) = table.long(bits.buffer);
    if !is_code {
        bits.note_nonsense(bytes);
    }
    symbol
}

/// Reads the difference of a DC coefficient to the one before.
#[inline(always)]
pub(super) fn difference(table: &Table, bits: &mut Bits<'_>, bytes: &[u8]) -> i32 {
    bits.refill();
    let symbol = table.difference(bits.buffer);
    let symbol = if symbol.is_none() { long(table, bits, bytes) } else { symbol };
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
    bytes: &[u8],
    table: &Table,
    band: Band,
    block: &mut Block,
    nonzero: &mut u64,
) -> u32 {
    // Copies stay in registers.
    let (mut bits, mut seen) = (*position, *nonzero);
    let last = u32::from(band.last);
    let mut at = u32::from(band.first) - 1;
    let run = loop {
        bits.refill();
        let symbol = symbol(table, &mut bits, bytes);
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
