//! Luma and differences of colour to colours: as Pillow does it, and as libtiff, to which Pillow leaves what is compressed.

use std::sync::LazyLock;

/// What a difference adds to red, green (blue's and red's) and blue.
struct Tables {
    red: [i32; 256],
    green_of_blue: [i32; 256],
    green_of_red: [i32; 256],
    blue: [i32; 256],
}

/// The bits behind the point in Pillow's tables, and in libtiff's.
const SHIFT: i32 = 6;
const FINE_SHIFT: i32 = 16;
/// What libtiff multiplies differences by, in 65,536ths: for red 1.402, for green two of them, for blue 1.772.
const FINE: [i32; 4] = [91_881, -22_553, -46_802, 116_130];

static PILLOW: LazyLock<Tables> = LazyLock::new(|| {
    // Half is added, and what is behind the point cut off: towards zero, also of what is below it.
    let table = |weight: f64| {
        let part = |at: usize| (weight * (at as f64 - 128.0) * f64::from(1 << SHIFT) + 0.5) as i32;
        std::array::from_fn(part)
    };
    Tables { red: table(1.402), green_of_blue: table(-0.344_14), green_of_red: table(-0.714_14), blue: table(1.772) }
});

/// Returns red, green and blue as Pillow has them.
pub(super) fn rgb([luma, blue, red]: [u8; 3]) -> [u8; 3] {
    let (blue, red) = (usize::from(blue), usize::from(red));
    let tables = &*PILLOW;
    let parts = [tables.red[red], tables.green_of_blue[blue] + tables.green_of_red[red], tables.blue[blue]];
    parts.map(|part| (i32::from(luma) + (part >> SHIFT)).clamp(0, 255) as u8)
}

/// Returns red, green and blue as libtiff has them, for the usual weights and references.
pub(super) fn fine_rgb([luma, blue, red]: [u8; 3]) -> [u8; 3] {
    let (blue, red) = (i32::from(blue) - 128, i32::from(red) - 128);
    let [of_red, green_of_blue, green_of_red, of_blue] = FINE;
    let parts = [of_red * red, green_of_blue * blue + green_of_red * red, of_blue * blue];
    let half = 1 << (FINE_SHIFT - 1);
    parts.map(|part| (i32::from(luma) + ((part + half) >> FINE_SHIFT)).clamp(0, 255) as u8)
}
