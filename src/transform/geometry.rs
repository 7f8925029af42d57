//! Sizes and boxes by torchvision's arithmetic: pure functions that know no pixels.

use crate::{
    geometry::{Rect, Size},
    rng::Draws,
};

/// Returns what `Resize` makes of an image: torchvision's `_compute_resized_output_size`.
pub(super) fn resized(image: Size, size: &[u32], max_size: Option<u32>) -> Result<Size, String> {
    let &[short_to] = size else { return Ok(Size::of(size)) };
    let (short, long) = (image.height.min(image.width), image.height.max(image.width));
    let scaled =
        |edge: u64, numerator: u64, denominator: u64| (edge as f64 * numerator as f64 / denominator as f64) as u64;
    let (mut short_to, mut long_to) = (u64::from(short_to), scaled(short_to.into(), long.into(), short.into()));
    if let Some(max) = max_size.map(u64::from)
        && long_to > max
    {
        (short_to, long_to) = (scaled(max, short_to, long_to), max);
    }
    match (u32::try_from(short_to), u32::try_from(long_to)) {
        (Ok(short), Ok(long)) if short > 0 => Ok(if image.width <= image.height {
            Size { height: long, width: short }
        } else {
            Size { height: short, width: long }
        }),
        _ => Err(format!(
            "an image of {}x{} cannot be resized to {long_to} by {short_to} pixels",
            image.width, image.height
        )),
    }
}

/// Returns the box of `CenterCrop`; it reaches beyond an image that is smaller.
pub(super) fn center(image: Size, size: Size) -> Rect {
    fn start(image: u32, crop: u32) -> i64 {
        if crop > image {
            -i64::from((crop - image) / 2)
        } else {
            // Python's round, which torchvision uses, takes halves to the even neighbour.
            (f64::from(image - crop) / 2.0).round_ties_even() as i64
        }
    }
    Rect { top: start(image.height, size.height), left: start(image.width, size.width), size }
}

/// How many pixels are added to each side of an image: left, top, right, bottom.
pub(super) type Sides = [u32; 4];

/// Returns the sides that no number, one, two (left and right, top and bottom) or four stand for.
pub(super) fn sides(padding: &[u32]) -> Sides {
    match *padding {
        [] => [0; 4],
        [all] => [all; 4],
        [left, top] => [left, top, left, top],
        _ => [padding[0], padding[1], padding[2], padding[3]],
    }
}

/// Returns the box of `Pad`, which reaches beyond the image.
pub(super) fn padded(image: Size, [left, top, right, bottom]: Sides) -> Result<Rect, String> {
    let edge = |edge: u32, before: u32, after: u32| edge.checked_add(before)?.checked_add(after);
    match (edge(image.height, top, bottom), edge(image.width, left, right)) {
        (Some(height), Some(width)) => {
            Ok(Rect { top: -i64::from(top), left: -i64::from(left), size: Size { height, width } })
        }
        _ => Err("the padded image is too large".to_owned()),
    }
}

/// Draws the box of `RandomCrop`: torchvision's `make_params`. It reaches beyond the image where that is padded.
pub(super) fn random_crop(
    image: Size,
    [mut left, mut top, mut right, mut bottom]: Sides,
    pad_if_needed: bool,
    size: Size,
    draws: &mut Draws,
) -> Result<Rect, String> {
    let mut whole = padded(image, [left, top, right, bottom])?;
    if pad_if_needed {
        let (rows, columns) =
            (size.height.saturating_sub(whole.size.height), size.width.saturating_sub(whole.size.width));
        (left, top, right, bottom) = (left + columns, top + rows, right + columns, bottom + rows);
        whole = padded(image, [left, top, right, bottom])?;
    }
    let (Some(rows), Some(columns)) =
        (whole.size.height.checked_sub(size.height), whole.size.width.checked_sub(size.width))
    else {
        let (wanted, found) = (size, whole.size);
        return Err(format!(
            "a crop of {}x{} is larger than the padded image of {}x{}",
            wanted.width, wanted.height, found.width, found.height
        ));
    };
    let mut start = |room: u32| if room > 0 { draws.below(u64::from(room) + 1) as i64 } else { 0 };
    let (down, across) = (start(rows), start(columns));
    Ok(Rect { top: whole.top + down, left: whole.left + across, size })
}

/// Draws the box of `RandomErasing`: torchvision's `make_params`. It is empty where none of ten fits.
pub(super) fn erased_box(image: Size, scale: [f64; 2], ratio: [f64; 2], draws: &mut Draws) -> Rect {
    for _ in 0..10 {
        let area = image.area() as f64 * draws.uniform(scale[0], scale[1]);
        let aspect = aspect_ratio(ratio, draws);
        // Here, an aspect is height over width.
        let height = (area * aspect).sqrt().round_ties_even();
        let width = (area / aspect).sqrt().round_ties_even();
        if height < f64::from(image.height) && width < f64::from(image.width) {
            let size = Size { height: height as u32, width: width as u32 };
            let top = draws.below(u64::from(image.height - size.height) + 1) as i64;
            let left = draws.below(u64::from(image.width - size.width) + 1) as i64;
            return Rect { top, left, size };
        }
    }
    Rect::default()
}

/// Draws the box of `RandomResizedCrop`: torchvision's `get_params`.
pub(super) fn random_box(image: Size, scale: [f64; 2], ratio: [f64; 2], draws: &mut Draws) -> Rect {
    for _ in 0..10 {
        let area = image.area() as f64 * draws.uniform(scale[0], scale[1]);
        let aspect = aspect_ratio(ratio, draws);
        if let Some(size) = box_size(image, area, aspect) {
            let top = draws.below(u64::from(image.height - size.height) + 1) as i64;
            let left = draws.below(u64::from(image.width - size.width) + 1) as i64;
            return Rect { top, left, size };
        }
    }
    fallback(image, ratio)
}

/// Draws an aspect ratio, whose logarithm is uniform.
fn aspect_ratio([low, high]: [f64; 2], draws: &mut Draws) -> f64 {
    libm::exp(draws.uniform(libm::log(low), libm::log(high)))
}

/// Returns the size of a box of this area and aspect ratio, where it fits the image.
fn box_size(image: Size, area: f64, aspect: f64) -> Option<Size> {
    let width = (area * aspect).sqrt().round_ties_even();
    let height = (area / aspect).sqrt().round_ties_even();
    let fits = |edge: f64, limit: u32| edge > 0.0 && edge <= f64::from(limit);
    (fits(width, image.width) && fits(height, image.height))
        .then_some(Size { height: height as u32, width: width as u32 })
}

/// Returns the largest central box of an aspect ratio within the bounds.
fn fallback(image: Size, ratio: [f64; 2]) -> Rect {
    let aspect = f64::from(image.width) / f64::from(image.height);
    // Bounds that do not hold the image's own aspect leave an edge of at least one pixel.
    let edge = |edge: f64, limit: u32| (edge.round_ties_even() as u32).clamp(1, limit);
    let size = if aspect < ratio[0] {
        Size { height: edge(f64::from(image.width) / ratio[0], image.height), width: image.width }
    } else if aspect > ratio[1] {
        Size { height: image.height, width: edge(f64::from(image.height) * ratio[1], image.width) }
    } else {
        image
    };
    Rect { top: i64::from((image.height - size.height) / 2), left: i64::from((image.width - size.width) / 2), size }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Key;

    const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];

    const fn size(height: u32, width: u32) -> Size {
        Size { height, width }
    }

    #[test]
    fn resized_sizes_are_those_of_torchvision() {
        // Worked out from the formulas of torchvision 0.29 `_compute_resized_output_size`.
        for (image, to, max, expected) in [
            (size(375, 500), &[256][..], None, size(256, 341)),
            (size(500, 375), &[256], None, size(341, 256)),
            (size(333, 500), &[256], None, size(256, 384)),
            (size(7, 3), &[5], None, size(11, 5)),
            (size(375, 500), &[256], Some(300), size(225, 300)),
            (size(375, 500), &[256], Some(341), size(256, 341)),
            (size(375, 500), &[10, 20], None, size(10, 20)),
            (size(64, 64), &[64], None, size(64, 64)),
        ] {
            assert_eq!(resized(image, to, max).unwrap(), expected, "{image:?} {to:?} {max:?}");
        }
        assert!(resized(size(1, 60_000), &[65_535], None).is_ok());
        assert!(resized(size(1, 70_000), &[65_535], None).is_err());
        assert!(resized(size(1, 1000), &[1], Some(2)).unwrap_err().contains("cannot be resized"));
    }

    #[test]
    fn center_boxes_are_those_of_torchvision() {
        // Halves go to the even neighbour: (341 - 224) / 2 = 58.5 is 58, (343 - 224) / 2 = 59.5 is 60.
        for (image, expected) in [
            (size(256, 341), (16, 58)),
            (size(343, 256), (60, 16)),
            (size(224, 224), (0, 0)),
            (size(100, 301), (-62, 38)),
            (size(101, 223), (-61, 0)),
        ] {
            let found = center(image, size(224, 224));
            assert_eq!((found.top, found.left), expected, "{image:?}");
        }
    }

    #[test]
    fn box_sizes_are_those_of_torchvision() {
        // int(round(sqrt(area * aspect))), int(round(sqrt(area / aspect))), with Python's round.
        assert_eq!(box_size(size(375, 500), 93_750.0, 1.0), Some(size(306, 306)));
        assert_eq!(box_size(size(375, 500), 93_750.0, 1.25), Some(size(274, 342)));
        assert_eq!(box_size(size(10, 10), 6.25, 1.0), Some(size(2, 2)));
        assert_eq!(box_size(size(10, 10), 12.25, 1.0), Some(size(4, 4)));
        assert_eq!(box_size(size(10, 10), 100.0, 1.3), None);
    }

    #[test]
    fn padding_has_torchvisions_sides() {
        assert_eq!(sides(&[]), [0; 4]);
        assert_eq!(sides(&[3]), [3; 4]);
        assert_eq!(sides(&[1, 2]), [1, 2, 1, 2]);
        assert_eq!(sides(&[1, 2, 3, 4]), [1, 2, 3, 4]);
        assert_eq!(padded(size(10, 20), [1, 2, 3, 4]).unwrap(), Rect { top: -2, left: -1, size: size(16, 24) });
    }

    #[test]
    fn the_fallback_is_a_central_box() {
        let expected = Rect { top: 0, left: 433, size: size(100, 133) };
        assert_eq!(fallback(size(100, 1000), RATIO), expected);
        let expected = Rect { top: 433, left: 0, size: size(133, 100) };
        assert_eq!(fallback(size(1000, 100), RATIO), expected);
        assert_eq!(fallback(size(100, 100), RATIO), Rect::whole(size(100, 100)));
    }

    #[test]
    fn the_first_boxes_of_a_seed_never_change() {
        let draw = |index| random_box(size(375, 500), [0.08, 1.0], RATIO, &mut Key { seed: 0, epoch: 0, index }.rng(0));
        let boxes = [0, 1].map(|index| {
            let found = draw(index);
            (found.top, found.left, found.size.height, found.size.width)
        });
        assert_eq!(boxes, [(29, 28, 262, 210), (39, 61, 324, 414)]);
    }

    proptest! {
        #[test]
        fn boxes_lie_inside_the_image(
            height in 1..5000_u32, width in 1..5000_u32, low in 0.01..1.0_f64, more in 0.0..1.0_f64,
            ratio in 0.1..2.0_f64, wider in 1.0..4.0_f64, index: u64,
        ) {
            let image = size(height, width);
            let (scale, ratio) = ([low, low + more], [ratio, ratio * wider]);
            let found = random_box(image, scale, ratio, &mut Key { seed: 1, epoch: 0, index }.rng(0));
            prop_assert!(found.is_inside(image));
            prop_assert!(found.size.area() > 0);
        }

        #[test]
        fn crops_lie_inside_the_padded_image(
            height in 1..99_u32, width in 1..99_u32, to in 1..150_u32, padding in prop::collection::vec(0..9_u32, 4),
            pad_if_needed: bool, index: u64,
        ) {
            let (image, to) = (size(height, width), size(to, to));
            let draws = &mut Key { seed: 1, epoch: 0, index }.rng(0);
            let whole = padded(image, sides(&padding)).unwrap();
            let fits = whole.size.height >= to.height && whole.size.width >= to.width;
            match random_crop(image, sides(&padding), pad_if_needed, to, draws) {
                Ok(found) => {
                    prop_assert_eq!(found.size, to);
                    let room = |have: u32, want: u32| i64::from(want.saturating_sub(have));
                    let (down, across) = (room(whole.size.height, to.height), room(whole.size.width, to.width));
                    prop_assert!(fits || pad_if_needed);
                    prop_assert!(found.top >= whole.top - down && found.bottom() <= whole.bottom() + down);
                    prop_assert!(found.left >= whole.left - across && found.right() <= whole.right() + across);
                }
                Err(_) => prop_assert!(!fits && !pad_if_needed),
            }
        }

        #[test]
        fn erased_boxes_lie_inside(height in 1..300_u32, width in 1..300_u32, index: u64) {
            let draws = &mut Key { seed: 1, epoch: 0, index }.rng(0);
            let found = erased_box(size(height, width), [0.02, 0.33], [0.3, 3.3], draws);
            prop_assert!(found.is_inside(size(height, width)));
            prop_assert!(found.size.area() as f64 <= 0.4 * f64::from(height * width) + 2.0 * f64::from(height + width));
        }

        #[test]
        fn areas_and_aspects_lie_within_their_bounds(height in 200..3000_u32, width in 200..3000_u32, index: u64) {
            let image = size(height, width);
            let found = random_box(image, [0.1, 0.2], RATIO, &mut Key { seed: 2, epoch: 0, index }.rng(3));
            // Only a narrow image is left to the fallback.
            prop_assume!(f64::from(height.max(width)) / f64::from(height.min(width)) < 4.0);
            let area = found.size.area() as f64 / image.area() as f64;
            let aspect = f64::from(found.size.width) / f64::from(found.size.height);
            prop_assert!((0.097..0.206).contains(&area), "area {area}");
            prop_assert!((0.72..1.39).contains(&aspect), "aspect {aspect}");
        }

        #[test]
        fn centers_hold_or_are_held(height in 1..999_u32, width in 1..999_u32, to in 1..999_u32) {
            let (image, to) = (size(height, width), size(to, to));
            let found = center(image, to);
            prop_assert!(found.is_inside(image) || to.height > height || to.width > width);
            if to.height >= height { prop_assert!(found.top <= 0 && found.bottom() >= i64::from(height)); }
        }
    }
}
