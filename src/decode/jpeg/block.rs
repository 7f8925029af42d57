//! The entropy code of one block: decoded, or passed over.
//!
//! Source: ITU-T T.81, annex F.2.2.

use super::{
    bits::Bits,
    huffman::{LongSymbol, Table},
    symbols::{BEYOND, END_OF_BLOCK},
    tables::ZIGZAG,
};

/// The quantised coefficients of a block in natural order.
pub(super) type Block = [i16; 64];

/// The last position of a block.
const LAST: u32 = 63;

/// Position to natural position; what lies behind the block ends up at its end. The end of a block puts a zero there.
const ORDER: [u8; 256] = {
    let mut order = [LAST as u8; 256];
    let mut at = 0;
    while at < ZIGZAG.len() {
        order[at] = ZIGZAG[at];
        at += 1;
    }
    order
};

/// The tables of a component in a scan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables<'a> {
    pub(super) dc: &'a Table,
    pub(super) ac: &'a Table,
}

/// Reads the difference to the block before.
macro_rules! difference {
    ($table:expr, $bits:ident, $bytes:ident) => {{
        $bits.refill();
        let symbol = $table.difference($bits.buffer);
        if symbol.is_none() {
            let LongSymbol { taken, value, is_code, .. } = $table.symbol($bits.buffer);
            if !is_code {
                $bits.note_nonsense($bytes);
            }
            $bits.consume(taken.into());
            $bits.refill();
            value
        } else {
            let value = symbol.value($bits.buffer);
            $bits.consume(symbol.packed());
            value
        }
    }};
}

/// Decodes a block into zeros. `dc` is the last block's value and becomes this one's.
///
/// Bits that are no code are a difference of zero, or the end of the block, and coefficients behind the last one are put
/// there, as libjpeg does it; `position` takes note of both.
#[inline(always)]
pub(super) fn decode<'a>(
    position: &mut Bits<'a>,
    bytes: &'a [u8],
    tables: Tables<'_>,
    dc: &mut i32,
    block: &mut Block,
) {
    // A copy stays in registers.
    let mut bits = *position;
    *dc = dc.wrapping_add(difference!(tables.dc, bits, bytes));
    block[0] = *dc as i16;
    let mut at = 0;
    macro_rules! next {
        () => {
            let symbols = tables.ac.symbols(bits.buffer);
            let value = symbols.value(bits.buffer);
            bits.consume(symbols.packed());
            put(block, at + symbols.first_advance(), symbols.first_value());
            at += symbols.advance();
            put(block, at, value as i16);
            if at >= LAST {
                if is_end(at, symbols.advance()) {
                    break;
                }
                let before = bits.before(bytes, symbols.taken());
                (bits, at) = single(before, bytes, at - symbols.advance(), tables.ac, block);
                if at >= LAST {
                    break;
                }
            }
        };
    }
    // Two look-ups to a refill: the difference and the first, then each second and the following first.
    loop {
        next!();
        bits.refill();
        next!();
    }
    *position = bits;
}

#[inline(always)]
fn put(block: &mut Block, at: u32, value: i16) {
    block[usize::from(ORDER[usize::from(at as u8)] & 63)] = value;
}

/// Tells whether a block ends at a position reached by `advance`: by its last coefficient, or by the code for its end
/// before that.
#[inline(always)]
const fn is_end(at: u32, advance: u32) -> bool {
    at == LAST || (advance >= END_OF_BLOCK && advance < BEYOND && at - END_OF_BLOCK < LAST)
}

/// Decodes one symbol: its code is a long one, or the block ends with it and what follows belongs to the next one.
#[cold]
fn single<'a>(mut bits: Bits<'a>, bytes: &'a [u8], at: u32, table: &Table, block: &mut Block) -> (Bits<'a>, u32) {
    bits.refill();
    let LongSymbol { taken, value, advance, is_code } = table.symbol(bits.buffer);
    let at = at + advance;
    if !is_code || (at >= LAST && !is_end(at, advance)) {
        bits.note_nonsense(bytes);
    }
    bits.consume(taken.into());
    put(block, at, value as i16);
    bits.refill();
    (bits, at)
}

/// Passes over a block, several symbols at a time; only `dc` is kept.
#[inline(always)]
pub(super) fn skip<'a>(position: &mut Bits<'a>, bytes: &'a [u8], tables: Tables<'_>, dc: &mut i32) {
    let mut bits = *position;
    *dc = dc.wrapping_add(difference!(tables.dc, bits, bytes));
    let mut at = 0;
    macro_rules! next {
        () => {
            let skip = tables.ac.skip(bits.buffer);
            bits.consume(skip.packed());
            at += skip.advance();
            if at >= LAST {
                if is_end(at, skip.advance()) {
                    break;
                }
                let before = bits.before(bytes, skip.taken());
                (bits, at) = single(before, bytes, at - skip.advance(), tables.ac, &mut [0; 64]);
                if at >= LAST {
                    break;
                }
            }
        };
    }
    loop {
        next!();
        bits.refill();
        next!();
    }
    *position = bits;
}
