//! What a resize takes of memory beside pixels.

use crate::geometry::Size;

/// The bytes of a weight, in all the forms that it goes through.
///
/// Source: `fast_image_resize` 6.1 computes weights in `f64`, and rounds them to 16 or 32 bits beside those.
const WEIGHT_BYTES: u64 = 16;
/// How far the widest filter, Lanczos, reaches, in pixels of the smaller image.
const RADIUS: f64 = 3.0;

/// Returns the most bytes of the weights of a resize: for each row and column of the result, one for each pixel under the
/// filter, which grows as the image shrinks.
pub fn table_bytes(from: Size, to: Size) -> u64 {
    axis(from.width, to.width).saturating_add(axis(from.height, to.height))
}

fn axis(from: u32, to: u32) -> u64 {
    if from == to {
        return 0;
    }
    let scale = (f64::from(from) / f64::from(to.max(1))).max(1.0);
    let under_filter = (RADIUS * scale).ceil() * 2.0 + 1.0;
    (f64::from(to) * under_filter) as u64 * WEIGHT_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(height: u32, width: u32) -> Size {
        Size { height, width }
    }

    #[test]
    fn weights_grow_with_the_larger_edge() {
        assert_eq!(table_bytes(size(100, 100), size(100, 100)), 0);
        // 16 columns, each of 3 * 2 * 1_000_000 / 16 + 1 pixels.
        assert_eq!(table_bytes(size(1, 1_000_000), size(1, 16)), 16 * 375_001 * 16);
        assert_eq!(table_bytes(size(16, 1), size(1_000_000, 1)), 1_000_000 * 7 * 16);
        assert!(table_bytes(size(u32::MAX, u32::MAX), size(1, 1)) > 96 * u64::from(u32::MAX));
    }
}
