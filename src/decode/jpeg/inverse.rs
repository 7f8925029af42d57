//! Coefficients to samples.

use super::{block::Block, plane::Plane, reduced, vector::Vector};

/// Transforms blocks that lie side by side; writes their samples to `plane` from a block on, whose column and row are
/// counted among those that are needed.
#[inline(always)]
pub(super) fn blocks(
    vector: impl Vector,
    blocks: &[Block],
    quant: &[u16; 64],
    plane: &mut Plane,
    column: usize,
    row: usize,
) {
    let edge = plane.layout.edge as usize;
    let (out, stride) = plane.block_mut(column, row);
    if edge == 8 {
        vector.idct(blocks, quant, out, stride);
    } else {
        reduced::blocks(blocks, quant, edge, out, stride);
    }
}
