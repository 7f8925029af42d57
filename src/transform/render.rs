//! Resizing and copying: a view made into pixels.

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{CroppedImage, Image, ImageRef},
};

use super::{
    Interpolation,
    view::{Outside, View},
    write::Pixels,
};
use crate::geometry::{Rect, Size};

/// Buffers of one thread, used again.
#[derive(Debug, Default)]
pub(super) struct Renderer {
    resizer: Resizer,
    /// What was resized of which only a part is shown.
    whole: Vec<u8>,
    /// What was resized and is still to be placed into a larger, padded image.
    part: Vec<u8>,
    /// What was resized in width and is still to be in height.
    narrow: Vec<u8>,
}

impl Renderer {
    /// Writes what `view` shows of `input` to `out`, without the view's flips.
    pub(super) fn render(&mut self, view: &View, input: Pixels<'_>, out: &mut [u8]) -> Result<(), String> {
        if view.is_inside() {
            return self.render_inside(view, view.window, input, out);
        }
        let content = Rect::whole(view.content());
        let inner = match (view.outside, view.window.intersection(content.size)) {
            // What is repeated outside may lie anywhere inside.
            (Outside::Edge | Outside::Reflect | Outside::Symmetric, _) => content,
            (Outside::Fill(_), Some(inner)) => inner,
            (Outside::Fill(fill), None) => {
                paint(out, fill, input.channels());
                return Ok(());
            }
        };
        let channels = input.channels();
        let mut part = std::mem::take(&mut self.part);
        let len = inner.size.area() as usize * channels;
        let filled = self.render_inside(view, inner, input, grown(&mut part, len));
        if filled.is_ok() {
            let window = Rect { top: view.window.top - inner.top, left: view.window.left - inner.left, ..view.window };
            place(Pixels::new(&part[..len], inner.size, channels), window, view.outside, out);
        }
        self.part = part;
        filled
    }

    /// Writes the box `inner` of the view's content, which lies inside it.
    fn render_inside(&mut self, view: &View, inner: Rect, input: Pixels<'_>, out: &mut [u8]) -> Result<(), String> {
        match view.scale {
            None => {
                copy(input.part(View { window: inner, ..*view }.inner_crop()), out);
                Ok(())
            }
            Some((size, Interpolation::Nearest)) => {
                nearest(input.part(view.crop), size, inner, out);
                Ok(())
            }
            Some((size, Interpolation::Bilinear)) => {
                self.convolve(view.crop, size, inner, FilterType::Bilinear, input, out)
            }
            Some((size, Interpolation::Bicubic)) => {
                self.convolve(view.crop, size, inner, FilterType::CatmullRom, input, out)
            }
            Some((size, Interpolation::Lanczos)) => {
                self.convolve(view.crop, size, inner, FilterType::Lanczos3, input, out)
            }
        }
    }

    /// Writes the box `inner` of what `crop` becomes when it is resized to `size`.
    ///
    /// The whole is resized even for a part: `fast_image_resize` 6.1 can resize from a box between pixels, but it
    /// then takes its first and last column for the outermost ones, which they need not be, and reads outside its
    /// buffer.
    fn convolve(
        &mut self,
        crop: Rect,
        size: Size,
        inner: Rect,
        filter: FilterType,
        input: Pixels<'_>,
        out: &mut [u8],
    ) -> Result<(), String> {
        if inner == Rect::whole(size) {
            return self.resize(input, crop, filter, out, size);
        }
        let channels = input.channels();
        let mut whole = std::mem::take(&mut self.whole);
        let pixels = grown(&mut whole, size.area() as usize * channels);
        let resized = self.resize(input, crop, filter, pixels, size);
        if resized.is_ok() {
            copy(Pixels::new(pixels, size, channels).part(inner), out);
        }
        self.whole = whole;
        resized
    }

    /// Resizes the box `crop` of an image to `size`.
    ///
    /// Filters with negative lobes overshoot at edges and are cut to 0 to 255 after each pass, so the order of the
    /// passes shows. Pillow does the width first and `fast_image_resize` the height, unless it is called twice.
    fn resize(
        &mut self,
        input: Pixels<'_>,
        crop: Rect,
        filter: FilterType,
        out: &mut [u8],
        size: Size,
    ) -> Result<(), String> {
        if filter == FilterType::Bilinear || size.width == crop.size.width || size.height == crop.size.height {
            return resize(&mut self.resizer, input, crop, filter, out, size);
        }
        let half = Size { height: crop.size.height, width: size.width };
        let narrow = grown(&mut self.narrow, half.area() as usize * input.channels());
        resize(&mut self.resizer, input, crop, filter, narrow, half)?;
        let narrow = Pixels::new(narrow, half, input.channels());
        resize(&mut self.resizer, narrow, Rect::whole(half), filter, out, size)
    }
}

/// Resizes the box `crop` of an image to `size`.
fn resize(
    resizer: &mut Resizer,
    input: Pixels<'_>,
    crop: Rect,
    filter: FilterType,
    out: &mut [u8],
    size: Size,
) -> Result<(), String> {
    let pixel = match input.channels() {
        1 => PixelType::U8,
        3 => PixelType::U8x3,
        _ => PixelType::U8x4,
    };
    let Size { height, width } = input.size();
    let image = ImageRef::new(width, height, input.bytes(), pixel).map_err(text)?;
    // The filter must not see what lies outside the crop, so the crop is made an image of its own.
    let source = CroppedImage::new(&image, crop.left as u32, crop.top as u32, crop.size.width, crop.size.height)
        .map_err(text)?;
    let mut target = Image::from_slice_u8(size.width, size.height, out, pixel).map_err(text)?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false);
    resizer.resize(&source, &mut target, &options).map_err(text)
}

/// Returns `buffer` with at least `len` bytes, cut to that.
pub(super) fn grown(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        *buffer = Vec::new();
        *buffer = vec![0; len];
    }
    &mut buffer[..len]
}

/// Mirrors each row of an image, left to right.
pub(super) fn mirror(image: &mut [u8], width: u32, channels: usize) {
    for row in image.chunks_exact_mut(width as usize * channels) {
        row.reverse();
        if channels > 1 {
            row.chunks_exact_mut(channels).for_each(<[u8]>::reverse);
        }
    }
}

/// Turns an image upside down.
pub(super) fn turn_over(image: &mut [u8], row_bytes: usize) {
    let rows = image.len() / row_bytes;
    let (upper, lower) = image.split_at_mut(rows.div_ceil(2) * row_bytes);
    for (upper, lower) in upper.chunks_exact_mut(row_bytes).zip(lower.chunks_exact_mut(row_bytes).rev()) {
        upper.swap_with_slice(lower);
    }
}

fn copy(from: Pixels<'_>, out: &mut [u8]) {
    for (row, out) in from.rows().zip(out.chunks_exact_mut(from.row_bytes())) {
        out.copy_from_slice(row);
    }
}

/// Writes what `window` shows of an image and of what lies outside of it.
fn place(image: Pixels<'_>, window: Rect, outside: Outside, out: &mut [u8]) {
    let channels = image.channels();
    // The columns that need no look-up.
    let start = (-window.left).clamp(0, window.size.width.into()) as usize;
    let end = (i64::from(image.size().width) - window.left).clamp(start as i64, window.size.width.into()) as usize;
    let from = (window.left + start as i64).max(0) as usize * channels;
    if let Outside::Fill(fill) = outside {
        paint(out, fill, channels);
    }
    let row_bytes = window.size.width as usize * channels;
    for (y, out) in (window.top..).zip(out.chunks_exact_mut(row_bytes)) {
        let Some(y) = outside.source(y, image.size().height) else { continue };
        let row = image.row(y);
        if start < end {
            out[start * channels..end * channels].copy_from_slice(&row[from..from + (end - start) * channels]);
        }
        if matches!(outside, Outside::Fill(_)) {
            continue;
        }
        for x in (0..start).chain(end..window.size.width as usize) {
            if let Some(column) = outside.source(window.left + x as i64, image.size().width) {
                out[x * channels..(x + 1) * channels].copy_from_slice(&row[column * channels..(column + 1) * channels]);
            }
        }
    }
}

/// Fills an image with one colour.
fn paint(out: &mut [u8], fill: [u8; 3], channels: usize) {
    match channels {
        1 => out.fill(fill[0]),
        3 => out.as_chunks_mut::<3>().0.fill(fill),
        _ => out.as_chunks_mut::<4>().0.fill([fill[0], fill[1], fill[2], 0]),
    }
}

/// Takes for each pixel that whose centre is nearest, as Pillow does.
fn nearest(from: Pixels<'_>, size: Size, inner: Rect, out: &mut [u8]) {
    let channels = from.channels();
    let columns = neighbours(size.width, from.size().width, inner.left, inner.size.width);
    let rows = neighbours(size.height, from.size().height, inner.top, inner.size.height);
    for (y, out) in rows.into_iter().zip(out.chunks_exact_mut(inner.size.width as usize * channels)) {
        let row = from.row(y);
        for (x, out) in columns.iter().zip(out.chunks_exact_mut(channels)) {
            out.copy_from_slice(&row[x * channels..(x + 1) * channels]);
        }
    }
}

/// Returns which of the `from` pixels of an edge each of `len` pixels from `start` of the resized edge takes.
fn neighbours(to: u32, from: u32, start: i64, len: u32) -> Vec<usize> {
    let scale = f64::from(from) / f64::from(to);
    // Pillow adds the step up, and where two pixels are equally near, the rounding of its sums decides.
    let places = std::iter::successors(Some(scale * 0.5), |place| Some(place + scale));
    places.skip(start as usize).take(len as usize).map(|place| (place as usize).min(from as usize - 1)).collect()
}

fn text(error: impl std::fmt::Display) -> String {
    format!("resizing failed: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size(height: u32, width: u32) -> Size {
        Size { height, width }
    }

    fn noise(size: Size, channels: usize) -> Vec<u8> {
        let mut state = 1_u32;
        (0..size.area() as usize * channels)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    }

    fn cut(view: &mut View, part: Rect) {
        assert_eq!(view.crop(part, Outside::default()), None);
    }

    fn shown(view: &View, input: Pixels<'_>) -> Vec<u8> {
        let mut out = vec![0xee; view.size().area() as usize * input.channels()];
        Renderer::default().render(view, input, &mut out).unwrap();
        out
    }

    #[test]
    fn the_window_of_a_resize_is_the_crop_of_the_resized() {
        let image = noise(size(50, 70), 3);
        let input = Pixels::new(&image, size(50, 70), 3);
        for filter in [Interpolation::Bilinear, Interpolation::Bicubic, Interpolation::Lanczos, Interpolation::Nearest]
        {
            let mut whole = View::whole(input.size());
            assert!(whole.resize(size(31, 43), filter).is_none());
            let resized = shown(&whole, input);
            let mut window = whole;
            cut(&mut window, Rect { top: 4, left: 7, size: size(20, 30) });
            let mut expected = View::whole(size(31, 43));
            cut(&mut expected, window.window);
            let expected = shown(&expected, Pixels::new(&resized, size(31, 43), 3));
            assert_eq!(shown(&window, input), expected, "{filter:?}");
        }
    }

    #[test]
    fn a_resize_does_not_see_outside_its_crop() {
        let mut image = vec![255; 20 * 20 * 3];
        let crop = Rect { top: 5, left: 5, size: size(10, 10) };
        for y in 5..15 {
            image[(y * 20 + 5) * 3..(y * 20 + 15) * 3].fill(0);
        }
        let mut view = View::whole(size(20, 20));
        cut(&mut view, crop);
        assert!(view.resize(size(4, 4), Interpolation::Bilinear).is_none());
        assert_eq!(shown(&view, Pixels::new(&image, size(20, 20), 3)), [0; 48]);
    }

    #[test]
    fn outside_the_image_is_zero() {
        let image = [1, 2, 3, 4];
        let mut view = View::whole(size(2, 2));
        cut(&mut view, Rect { top: -1, left: -1, size: size(4, 3) });
        assert_eq!(shown(&view, Pixels::new(&image, size(2, 2), 1)), [0, 0, 0, 0, 1, 2, 0, 3, 4, 0, 0, 0]);
        view.window.left = 5;
        assert_eq!(shown(&view, Pixels::new(&image, size(2, 2), 1)), [0; 12]);
    }

    #[test]
    fn outside_the_image_is_what_was_asked_for() {
        let image = [1, 2, 3, 4, 5, 6];
        let padded = |outside| {
            let mut view = View::whole(size(2, 3));
            assert_eq!(view.crop(Rect { top: -1, left: -2, size: size(3, 6) }, outside), None);
            shown(&view, Pixels::new(&image, size(2, 3), 1))
        };
        assert_eq!(padded(Outside::Fill([9; 3])), [9, 9, 9, 9, 9, 9, 9, 9, 1, 2, 3, 9, 9, 9, 4, 5, 6, 9]);
        assert_eq!(padded(Outside::Edge), [1, 1, 1, 2, 3, 3, 1, 1, 1, 2, 3, 3, 4, 4, 4, 5, 6, 6]);
        assert_eq!(padded(Outside::Reflect), [6, 5, 4, 5, 6, 5, 3, 2, 1, 2, 3, 2, 6, 5, 4, 5, 6, 5]);
        assert_eq!(padded(Outside::Symmetric), [2, 1, 1, 2, 3, 3, 2, 1, 1, 2, 3, 3, 5, 4, 4, 5, 6, 6]);
    }

    #[test]
    fn turned_over_rows() {
        let mut image = [1, 2, 3, 4, 5, 6];
        turn_over(&mut image, 2);
        assert_eq!(image, [5, 6, 3, 4, 1, 2]);
        turn_over(&mut image, 3);
        assert_eq!(image, [4, 1, 2, 5, 6, 3]);
    }

    #[test]
    fn mirrored_rows() {
        let mut image = [1, 2, 3, 4, 5, 6];
        mirror(&mut image, 2, 3);
        assert_eq!(image, [4, 5, 6, 1, 2, 3]);
        mirror(&mut image, 3, 1);
        assert_eq!(image, [6, 5, 4, 3, 2, 1]);
    }
}
