//! By how much an image is made smaller while it is decoded.

use crate::geometry::{Rect, Size};

/// By how much an image is made smaller while it is decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scale {
    #[default]
    Whole,
    Half,
    Quarter,
    Eighth,
}

impl Scale {
    /// Returns the scale whose divisor this is.
    pub(super) const fn of_divisor(divisor: u32) -> Option<Self> {
        match divisor {
            1 => Some(Self::Whole),
            2 => Some(Self::Half),
            4 => Some(Self::Quarter),
            8 => Some(Self::Eighth),
            _ => None,
        }
    }

    /// Returns the size of a scaled image; as in libjpeg, a part of a pixel counts as one.
    pub(super) const fn of(self, image: Size) -> Size {
        Size { height: image.height.div_ceil(self.divisor()), width: image.width.div_ceil(self.divisor()) }
    }

    /// Returns what sizes are divided by.
    pub(super) const fn divisor(self) -> u32 {
        match self {
            Self::Whole => 1,
            Self::Half => 2,
            Self::Quarter => 4,
            Self::Eighth => 8,
        }
    }

    /// Returns how much smaller pixels of size `from` can be decoded that are to be reduced to size `to`.
    pub(super) fn towards(from: Size, to: Size) -> Self {
        let fits =
            |scale: &Self| from.height / scale.divisor() >= to.height && from.width / scale.divisor() >= to.width;
        [Self::Eighth, Self::Quarter, Self::Half].into_iter().find(fits).unwrap_or_default()
    }

    /// Returns what becomes of a box of an image whose scaled size is `scaled`: its edges go to the nearest pixel.
    pub(super) fn region(self, region: Rect, scaled: Size) -> Rect {
        let divisor = self.divisor();
        let part = |start: i64, len: u32, all: u32| {
            let nearest = |edge: u32| ((edge + divisor / 2) / divisor).min(all);
            let start = nearest(start as u32).min(all - 1);
            (i64::from(start), nearest(start * divisor + len).max(start + 1).min(all) - start)
        };
        let (left, width) = part(region.left, region.size.width, scaled.width);
        let (top, height) = part(region.top, region.size.height, scaled.height);
        Rect { top, left, size: Size { height, width } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_reduced_enough_is_scaled() {
        let size = |[height, width]: [u32; 2]| Size { height, width };
        for (from, expected) in [
            ([448, 448], Scale::Half),
            ([447, 448], Scale::Whole),
            ([1800, 1800], Scale::Eighth),
            ([1800, 900], Scale::Quarter),
            ([100, 100], Scale::Whole),
        ] {
            assert_eq!(Scale::towards(size(from), size([224, 224])), expected, "{from:?}");
        }
    }

    #[test]
    fn scaled_regions_lie_in_the_scaled_image() {
        for len in [1, 7, 8, 9, 100] {
            for (divisor, at) in [(Scale::Half, 2), (Scale::Quarter, 4), (Scale::Eighth, 8)] {
                let all = u32::div_ceil(len, at);
                let all = Size { height: all, width: all };
                for start in 0..len {
                    for end in start + 1..=len {
                        let size = Size { height: end - start, width: end - start };
                        let region = Rect { top: start.into(), left: start.into(), size };
                        let found = divisor.region(region, all);
                        assert_eq!(found.intersection(all), Some(found), "{start}..{end} of {len}, {at}");
                    }
                }
            }
        }
    }
}
