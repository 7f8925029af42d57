//! Passes over pixels, done one after the other.

use super::{
    canvas::Canvas,
    edit::Spare,
    pixels::Pixels,
    plan::Pass,
    render::{self, Renderer},
    view::View,
};

/// Does passes, and returns what the image becomes by them: the image itself where there are none.
///
/// # Errors
/// The reason why a view cannot be made.
pub(super) fn run<'a>(
    passes: &[Pass],
    image: Pixels<'a>,
    renderer: &mut Renderer,
    canvas: &'a mut Canvas,
    spare: &mut Spare,
) -> Result<Pixels<'a>, String> {
    let mut input = Some(image);
    for pass in passes {
        match pass {
            Pass::View(view) => {
                let from = input.take().unwrap_or_else(|| canvas.as_pixels());
                show(renderer, view, from, &mut spare.canvas)?;
                spare.canvas.pack();
                std::mem::swap(canvas, &mut spare.canvas);
            }
            Pass::Edit(edit) => edit.apply(canvas, spare),
        }
    }
    Ok(input.unwrap_or_else(|| canvas.as_pixels()))
}

/// Makes a view into pixels, flips included.
///
/// # Errors
/// The reason why it cannot be made.
pub(super) fn show(renderer: &mut Renderer, view: &View, from: Pixels<'_>, canvas: &mut Canvas) -> Result<(), String> {
    let (size, pixel) = (view.size(), from.pixel());
    let out = canvas.reset(size, pixel);
    renderer.render(view, from, out)?;
    if view.flip {
        render::mirror(out, size.width, pixel);
    }
    if view.flop {
        render::turn_over(out, size.width as usize * pixel.size());
    }
    Ok(())
}
