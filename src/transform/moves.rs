//! Where an image's geometry takes what lies in it.

use super::{motion::Motion, tile::Tile};
use crate::geometry::Size;

/// Where an image's geometry takes what lies in it.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// The size of the image before.
    pub(crate) before: Size,
    /// The size of the image after.
    pub(crate) after: Size,
    /// The boxes in the image before, where a step looks at them: left, top, right, bottom of each.
    pub(crate) boxes: Vec<[f32; 4]>,
    /// Where the images of several samples lie in the image before; none where it is that of one.
    pub(crate) tiles: Vec<Tile>,
    pub(super) motions: Vec<Box<dyn Motion>>,
}

impl Moves {
    /// Returns of how many samples the image is made.
    pub(crate) fn parts(&self) -> usize {
        self.tiles.len().max(1)
    }

    /// Returns where a point goes that lies in the image of a part, and whether that image is to be seen there before.
    pub(crate) fn point(&self, part: usize, point: [f32; 2]) -> ([f32; 2], bool) {
        let (point, is_seen) = self.tiles.get(part).map_or((point, true), |tile| {
            let point = tile.point(point);
            (point, tile.shows(point))
        });
        (self.motions.iter().fold(point, |point, motion| motion.point(point)), is_seen)
    }

    /// Returns where a box goes that lies in the image of a part; none where too little of it is to be seen before.
    pub(crate) fn bounds(&self, part: usize, bounds: [f32; 4]) -> Option<[f32; 4]> {
        let bounds = self.tiles.get(part).map_or(Some(bounds), |tile| tile.bounds(bounds))?;
        Some(self.motions.iter().fold(bounds, |bounds, motion| motion.bounds(bounds)))
    }
}
