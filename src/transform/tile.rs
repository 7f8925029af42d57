//! Images on one canvas, and where what lies in them goes.

use super::{
    args::Interpolation,
    canvas::Canvas,
    fill::Fill,
    motion::{Motion, Resize},
    pixels::Pixels,
    render::{Renderer, paint},
    view::{Outside, View},
};
use crate::{
    geometry::{Rect, Size},
    pixel::PixelType,
};

/// Where an image lies on a canvas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    image: Size,
    whole: Rect,
    canvas: Size,
    /// The least width and height of what is to be seen of a box, and the least part of its area.
    least: [f64; 2],
}

impl Tile {
    /// Returns where an image lies that is resized to `whole`, which may reach beyond the canvas.
    pub(super) const fn new(image: Size, whole: Rect, canvas: Size, least: [f64; 2]) -> Self {
        Self { image, whole, canvas, least }
    }

    /// Returns the size of the image before.
    pub(crate) const fn image(&self) -> Size {
        self.image
    }

    /// Returns the box of the canvas, or beyond it, that the image is resized to.
    pub(crate) const fn whole(&self) -> Rect {
        self.whole
    }

    /// Returns the part of that which is to be seen.
    pub(crate) fn shown(&self) -> Option<Rect> {
        self.whole.intersection(self.canvas)
    }

    /// Returns where a point of the image lies on the canvas.
    pub(crate) fn point(&self, point: [f32; 2]) -> [f32; 2] {
        let [x, y] = Resize { from: self.image, to: self.whole.size }.point(point);
        [x + self.whole.left as f32, y + self.whole.top as f32]
    }

    /// Tells whether a point of the canvas lies where the image is to be seen.
    pub(crate) fn shows(&self, [x, y]: [f32; 2]) -> bool {
        let inside = |at: f32, start: i64, end: i64| (start as f32..=end as f32).contains(&at);
        self.shown().is_some_and(|shown| inside(x, shown.left, shown.right()) && inside(y, shown.top, shown.bottom()))
    }

    /// Returns what is to be seen of a box of the image, on the canvas; none where that is too little.
    pub(crate) fn bounds(&self, bounds: [f32; 4]) -> Option<[f32; 4]> {
        let shown = self.shown()?;
        let [left, top, right, bottom] = bounds;
        let ([left, top], [right, bottom]) = (self.point([left, top]), self.point([right, bottom]));
        let within = |at: f32, start: i64, end: i64| at.clamp(start as f32, end as f32);
        let seen = [
            within(left, shown.left, shown.right()),
            within(top, shown.top, shown.bottom()),
            within(right, shown.left, shown.right()),
            within(bottom, shown.top, shown.bottom()),
        ];
        let edges = |[left, top, right, bottom]: [f32; 4]| [right - left, bottom - top].map(f64::from);
        let ([width, height], [all_width, all_height]) = (edges(seen), edges([left, top, right, bottom]));
        let [least_edge, least_part] = self.least;
        let is_kept =
            width >= least_edge && height >= least_edge && width * height >= least_part * all_width * all_height;
        is_kept.then_some(seen)
    }
}

/// Several images on one canvas, in memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct Collage {
    canvas: Canvas,
    tile: Canvas,
    renderer: Renderer,
}

impl Collage {
    /// Begins a canvas of one colour.
    pub(crate) fn begin(&mut self, size: Size, pixel: PixelType, fill: Fill) {
        paint(self.canvas.reset(size, pixel), fill, pixel);
    }

    /// Puts an image where its tile says. It may have been reduced before.
    ///
    /// # Errors
    /// The reason, for pixels of another kind than the canvas has.
    pub(crate) fn put(&mut self, image: Pixels<'_>, tile: &Tile, interpolation: Interpolation) -> Result<(), String> {
        let Some(shown) = tile.shown() else { return Ok(()) };
        let mut view = View::whole(image.size());
        let part = Rect { top: shown.top - tile.whole.top, left: shown.left - tile.whole.left, size: shown.size };
        // The whole of an image is resized, and then cut, in one pass.
        if view.resize(tile.whole.size, interpolation).is_some() || view.crop(part, Outside::default()).is_some() {
            return Err("a tile takes more than one pass".to_owned());
        }
        self.renderer.render(&view, image, self.tile.reset(shown.size, image.pixel()))?;
        self.tile.pack();
        if self.tile.pixel != self.canvas.pixel {
            return Err(format!("pixels of {:?} on a canvas of {:?}", self.tile.pixel, self.canvas.pixel));
        }
        let pixel = self.canvas.pixel.size();
        let (stride, row) = (self.canvas.size.width as usize * pixel, shown.size.width as usize * pixel);
        let start = shown.top as usize * stride + shown.left as usize * pixel;
        let lines = self.canvas.pixels_mut()[start..].chunks_mut(stride);
        for (from, to) in self.tile.pixels().chunks_exact(row).zip(lines) {
            to[..row].copy_from_slice(from);
        }
        Ok(())
    }

    /// Returns the canvas.
    pub(crate) fn pixels(&self) -> Pixels<'_> {
        Pixels::new(self.canvas.pixels(), self.canvas.size, self.canvas.pixel)
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these numbers have no fractions to round")]
mod tests {
    use super::*;

    const CANVAS: Size = Size { height: 6, width: 8 };

    fn tile(top: i64, left: i64, [height, width]: [u32; 2]) -> Tile {
        let image = Size { height: 2 * height, width: 2 * width };
        Tile::new(image, Rect { top, left, size: Size { height, width } }, CANVAS, [1.0, 0.25])
    }

    #[test]
    fn images_lie_side_by_side_and_end_with_the_canvas() {
        let mut collage = Collage::default();
        collage.begin(CANVAS, PixelType::GREY8, Fill([9.0; 4]));
        for (value, tile) in [(1, tile(-2, -1, [4, 3])), (2, tile(-1, 2, [3, 9])), (3, tile(2, 4, [3, 2]))] {
            let image = vec![value; tile.image().area() as usize];
            collage.put(Pixels::new(&image, tile.image(), PixelType::GREY8), &tile, Interpolation::Bilinear).unwrap();
        }
        let expected = [
            [1, 1, 2, 2, 2, 2, 2, 2],
            [1, 1, 2, 2, 2, 2, 2, 2],
            [9, 9, 9, 9, 3, 3, 9, 9],
            [9, 9, 9, 9, 3, 3, 9, 9],
            [9, 9, 9, 9, 3, 3, 9, 9],
            [9; 8],
        ];
        assert_eq!(collage.pixels().bytes(), expected.concat());
        let other = PixelType::RGB8;
        let image = vec![0; 24 * 3];
        let refused = collage.put(
            Pixels::new(&image, Size { height: 6, width: 4 }, other),
            &tile(2, 4, [3, 2]),
            Interpolation::Nearest,
        );
        assert!(refused.unwrap_err().contains("on a canvas of"));
    }

    #[test]
    fn boxes_end_where_their_image_ends() {
        // The image is halved, and its first two rows and its first column are cut off.
        let tile = tile(-2, -1, [4, 3]);
        assert_eq!(tile.point([2.0, 4.0]), [0.0, 0.0]);
        assert_eq!(tile.bounds([2.0, 4.0, 6.0, 8.0]), Some([0.0, 0.0, 2.0, 2.0]));
        assert_eq!(tile.bounds([0.0, 4.0, 9.0, 9.0]), Some([0.0, 0.0, 2.0, 2.0]), "reaches out of its image");
        assert_eq!(tile.bounds([0.0, 0.0, 4.0, 8.0]), Some([0.0, 0.0, 1.0, 2.0]), "a quarter of it");
        assert_eq!(tile.bounds([0.0, 0.0, 4.0, 6.0]), None, "a sixth of it");
        assert_eq!(tile.bounds([2.0, 4.0, 3.0, 8.0]), None, "half a pixel wide");
        assert!(tile.shows([2.0, 2.0]) && !tile.shows([2.5, 1.0]) && !tile.shows([0.0, -0.5]));
    }
}
