//! Luma and differences of colour, as Pillow converts them.

use std::sync::LazyLock;

/// The bits behind the point.
const SHIFT: i32 = 6;

/// What a difference adds to red, green (blue's and red's) and blue.
struct Tables {
    red: [i32; 256],
    green_of_blue: [i32; 256],
    green_of_red: [i32; 256],
    blue: [i32; 256],
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    // Half is added, and what is behind the point cut off: towards zero, also of what is below it.
    let table = |weight: f64| {
        let part = |at: usize| (weight * (at as f64 - 128.0) * f64::from(1 << SHIFT) + 0.5) as i32;
        std::array::from_fn(part)
    };
    Tables { red: table(1.402), green_of_blue: table(-0.344_14), green_of_red: table(-0.714_14), blue: table(1.772) }
});

/// Returns red, green and blue.
pub(super) fn rgb([luma, blue, red]: [u8; 3]) -> [u8; 3] {
    let (blue, red) = (usize::from(blue), usize::from(red));
    let tables = &*TABLES;
    let parts = [tables.red[red], tables.green_of_blue[blue] + tables.green_of_red[red], tables.blue[blue]];
    parts.map(|part| (i32::from(luma) + (part >> SHIFT)).clamp(0, 255) as u8)
}
