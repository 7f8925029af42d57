//! Resizing and copying: a view made into pixels.

use fast_image_resize::{
    FilterType, ResizeAlg, ResizeOptions, Resizer,
    images::{CroppedImage, Image, ImageRef},
};

use super::{
    args::Interpolation,
    fill::Fill,
    pixels::Pixels,
    view::{Outside, View},
};
use crate::{
    buffer::Buffer,
    geometry::{Rect, Size},
    pixel::{Channels, Depth, PixelType},
};

/// Buffers of one thread, used again.
#[derive(Debug, Default)]
pub(super) struct Renderer {
    resizer: Resizer,
    /// What was resized of which only a part is shown.
    whole: Buffer,
    /// What was resized and is still to be set into a larger, padded image.
    part: Buffer,
    /// What was resized in width and is still to be in height.
    narrow: Buffer,
    /// A copy of what lies where its values cannot be read.
    aligned: Buffer,
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
                paint(out, fill, input.pixel());
                return Ok(());
            }
        };
        let pixel = input.pixel();
        let mut part = std::mem::take(&mut self.part);
        let len = inner.size.area() as usize * pixel.size();
        let filled = self.render_inside(view, inner, input, part.grown(len));
        if filled.is_ok() {
            let window = Rect { top: view.window.top - inner.top, left: view.window.left - inner.left, ..view.window };
            set_into(Pixels::new(part.bytes(len), inner.size, pixel), window, view.outside, out);
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
        let pixel = input.pixel();
        let mut whole = std::mem::take(&mut self.whole);
        let pixels = whole.grown(size.area() as usize * pixel.size());
        let resized = self.resize(input, crop, filter, pixels, size);
        if resized.is_ok() {
            copy(Pixels::new(pixels, size, pixel).part(inner), out);
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
        if input.bytes().as_ptr().align_offset(input.pixel().depth.size()) != 0 {
            let mut aligned = std::mem::take(&mut self.aligned);
            let pixels = aligned.grown(input.size().area() as usize * input.pixel().size());
            copy(input, pixels);
            let resized = self.resize(Pixels::new(pixels, input.size(), input.pixel()), crop, filter, out, size);
            self.aligned = aligned;
            return resized;
        }
        if filter == FilterType::Bilinear || size.width == crop.size.width || size.height == crop.size.height {
            return resize(&mut self.resizer, input, crop, filter, out, size);
        }
        let half = Size { height: crop.size.height, width: size.width };
        let narrow = self.narrow.grown(half.area() as usize * input.pixel().size());
        resize(&mut self.resizer, input, crop, filter, narrow, half)?;
        let narrow = Pixels::new(narrow, half, input.pixel());
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
    let pixel = resized_as(input.pixel());
    let Size { height, width } = input.size();
    let image = ImageRef::new(width, height, input.bytes(), pixel).map_err(text)?;
    // The filter must not see what lies outside the crop, so the crop is made an image of its own.
    let source = CroppedImage::new(&image, crop.left as u32, crop.top as u32, crop.size.width, crop.size.height)
        .map_err(text)?;
    let mut target = Image::from_slice_u8(size.width, size.height, out, pixel).map_err(text)?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false);
    resizer.resize(&source, &mut target, &options).map_err(text)
}

/// Returns what the resizer calls pixels of a type.
const fn resized_as(pixel: PixelType) -> fast_image_resize::PixelType {
    use fast_image_resize::PixelType as To;
    match (pixel.depth, pixel.channels) {
        (Depth::U8, Channels::Grey) => To::U8,
        (Depth::U8, Channels::GreyAlpha) => To::U8x2,
        (Depth::U8, Channels::Rgb) => To::U8x3,
        (Depth::U8, Channels::Rgba | Channels::Rgbx) => To::U8x4,
        (Depth::U16, Channels::Grey) => To::U16,
        (Depth::U16, Channels::GreyAlpha) => To::U16x2,
        (Depth::U16, Channels::Rgb) => To::U16x3,
        (Depth::U16, Channels::Rgba | Channels::Rgbx) => To::U16x4,
        (Depth::F32, Channels::Grey) => To::F32,
        (Depth::F32, Channels::GreyAlpha) => To::F32x2,
        (Depth::F32, Channels::Rgb) => To::F32x3,
        (Depth::F32, Channels::Rgba | Channels::Rgbx) => To::F32x4,
    }
}

/// Mirrors each row of an image, left to right.
pub(super) fn mirror(image: &mut [u8], width: u32, pixel: PixelType) {
    for row in image.chunks_exact_mut(width as usize * pixel.size()) {
        row.reverse();
        if pixel.size() > 1 {
            row.chunks_exact_mut(pixel.size()).for_each(<[u8]>::reverse);
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
fn set_into(image: Pixels<'_>, window: Rect, outside: Outside, out: &mut [u8]) {
    let pixel = image.pixel().size();
    // The columns that need no look-up.
    let start = (-window.left).clamp(0, window.size.width.into()) as usize;
    let end = (i64::from(image.size().width) - window.left).clamp(start as i64, window.size.width.into()) as usize;
    let from = (window.left + start as i64).max(0) as usize * pixel;
    if let Outside::Fill(fill) = outside {
        paint(out, fill, image.pixel());
    }
    let row_bytes = window.size.width as usize * pixel;
    for (y, out) in (window.top..).zip(out.chunks_exact_mut(row_bytes)) {
        let Some(y) = outside.source(y, image.size().height) else { continue };
        let row = image.row(y);
        if start < end {
            out[start * pixel..end * pixel].copy_from_slice(&row[from..from + (end - start) * pixel]);
        }
        if matches!(outside, Outside::Fill(_)) {
            continue;
        }
        for x in (0..start).chain(end..window.size.width as usize) {
            if let Some(column) = outside.source(window.left + x as i64, image.size().width) {
                out[x * pixel..(x + 1) * pixel].copy_from_slice(&row[column * pixel..(column + 1) * pixel]);
            }
        }
    }
}

/// Fills an image with one colour.
pub(super) fn paint(out: &mut [u8], fill: Fill, pixel: PixelType) {
    let bytes = fill.bytes(pixel);
    match pixel.size() {
        1 => out.fill(bytes[0]),
        3 => out.as_chunks_mut::<3>().0.fill([bytes[0], bytes[1], bytes[2]]),
        size => out.chunks_exact_mut(size).for_each(|out| out.copy_from_slice(&bytes[..size])),
    }
}

/// Takes for each pixel that whose centre is nearest, as Pillow does.
fn nearest(from: Pixels<'_>, size: Size, inner: Rect, out: &mut [u8]) {
    let pixel = from.pixel().size();
    let columns = neighbours(size.width, from.size().width, inner.left, inner.size.width);
    let rows = neighbours(size.height, from.size().height, inner.top, inner.size.height);
    for (y, out) in rows.into_iter().zip(out.chunks_exact_mut(inner.size.width as usize * pixel)) {
        let row = from.row(y);
        for (x, out) in columns.iter().zip(out.chunks_exact_mut(pixel)) {
            out.copy_from_slice(&row[x * pixel..(x + 1) * pixel]);
        }
    }
}

/// Returns which of the `from` pixels of an edge each of `len` pixels from `start` of the resized edge takes.
fn neighbours(to: u32, from: u32, start: i64, len: u32) -> Vec<usize> {
    let scale = f64::from(from) / f64::from(to);
    // Pillow adds the step up, and where two pixels are equally near, the rounding of its sums decides.
    let centres = std::iter::successors(Some(scale * 0.5), |centre| Some(centre + scale));
    centres.skip(start as usize).take(len as usize).map(|centre| (centre as usize).min(from as usize - 1)).collect()
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
        let mut out = vec![0xee; view.size().area() as usize * input.pixel().size()];
        Renderer::default().render(view, input, &mut out).unwrap();
        out
    }

    #[test]
    fn the_window_of_a_resize_is_the_crop_of_the_resized() {
        let image = noise(size(50, 70), 3);
        let input = Pixels::new(&image, size(50, 70), PixelType::RGB8);
        for filter in [Interpolation::Bilinear, Interpolation::Bicubic, Interpolation::Lanczos, Interpolation::Nearest]
        {
            let mut whole = View::whole(input.size());
            assert!(whole.resize(size(31, 43), filter).is_none());
            let resized = shown(&whole, input);
            let mut window = whole;
            cut(&mut window, Rect { top: 4, left: 7, size: size(20, 30) });
            let mut expected = View::whole(size(31, 43));
            cut(&mut expected, window.window);
            let expected = shown(&expected, Pixels::new(&resized, size(31, 43), PixelType::RGB8));
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
        assert_eq!(shown(&view, Pixels::new(&image, size(20, 20), PixelType::RGB8)), [0; 48]);
    }

    #[test]
    fn values_may_lie_anywhere() {
        let pixel = PixelType::new(Channels::Grey, Depth::U16);
        let mut view = View::whole(size(9, 8));
        assert!(view.resize(size(4, 5), Interpolation::Bicubic).is_none());
        let image = noise(size(9, 8), 2);
        let mut buffer = vec![0_u64; 20];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut buffer);
        let found = [0, 1].map(|start| {
            bytes[start..start + image.len()].copy_from_slice(&image);
            let mut out = vec![0_u16; 20];
            let from = Pixels::new(&bytes[start..start + image.len()], size(9, 8), pixel);
            Renderer::default().render(&view, from, bytemuck::cast_slice_mut(&mut out)).unwrap();
            out
        });
        assert_eq!(found[0], found[1]);
    }

    #[test]
    fn outside_the_image_is_zero() {
        let image = [1, 2, 3, 4];
        let mut view = View::whole(size(2, 2));
        cut(&mut view, Rect { top: -1, left: -1, size: size(4, 3) });
        assert_eq!(
            shown(&view, Pixels::new(&image, size(2, 2), PixelType::GREY8)),
            [0, 0, 0, 0, 1, 2, 0, 3, 4, 0, 0, 0]
        );
        view.window.left = 5;
        assert_eq!(shown(&view, Pixels::new(&image, size(2, 2), PixelType::GREY8)), [0; 12]);
    }

    #[test]
    fn outside_the_image_is_what_was_asked_for() {
        let image = [1, 2, 3, 4, 5, 6];
        let padded = |outside| {
            let mut view = View::whole(size(2, 3));
            assert_eq!(view.crop(Rect { top: -1, left: -2, size: size(3, 6) }, outside), None);
            shown(&view, Pixels::new(&image, size(2, 3), PixelType::GREY8))
        };
        assert_eq!(padded(Outside::Fill(Fill([9.0; 4]))), [9, 9, 9, 9, 9, 9, 9, 9, 1, 2, 3, 9, 9, 9, 4, 5, 6, 9]);
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
        mirror(&mut image, 2, PixelType::RGB8);
        assert_eq!(image, [4, 5, 6, 1, 2, 3]);
        mirror(&mut image, 3, PixelType::GREY8);
        assert_eq!(image, [6, 5, 4, 3, 2, 1]);
    }
}
