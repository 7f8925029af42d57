//! Mixtures of an image with what operations make of it, by torchvision's arithmetic for `uint8` tensors.

use super::{
    canvas::Canvas,
    edit::{Beside, Edit, Spare},
    passes::{run, show},
    plan::Plan,
    vector::{truncated, vectorised},
};
use crate::geometry::Size;

/// An image mixed with others that are made of it.
#[derive(Debug)]
pub(super) struct Mixture {
    /// The weight of the image itself.
    pub(super) own: f32,
    pub(super) branches: Vec<Branch>,
}

/// What is made of the image beside it; the plan leaves its size.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) weight: f32,
    pub(super) plan: Plan,
}

impl Edit for Mixture {
    fn output(&self, image: Size) -> Size {
        image
    }

    fn is_symmetric(&self) -> bool {
        false
    }

    fn apply(&self, image: &mut Canvas, spare: &mut Spare) {
        let Spare { floats, beside, .. } = spare;
        let Beside { renderer, canvas, spare, shown } = &mut **beside.get_or_insert_default();
        floats.clear();
        floats.resize(image.pixels().len(), 0.0);
        add(floats, self.own, image.pixels());
        for Branch { weight, plan } in &self.branches {
            let made = run(&plan.passes, image.as_pixels(), renderer, canvas, spare);
            let made = made.and_then(|made| show(renderer, &plan.last, made, shown));
            assert_eq!(made, Ok(()), "without a resize every view can be made");
            add(floats, *weight, shown.pixels());
        }
        cut_off(floats, image.pixels_mut());
    }
}

vectorised! {
    fn add(sums: &mut [f32], weight: f32, values: &[u8]) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += weight * f32::from(*value);
        }
    }
}

vectorised! {
    fn cut_off(sums: &[f32], out: &mut [u8]) {
        for (sum, out) in sums.iter().zip(out) {
            *out = truncated(sum.clamp(0.0, 255.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pixel::PixelType, transform::color::Color};

    #[test]
    fn an_image_is_mixed_with_what_is_made_of_it() {
        const SIZE: Size = Size { height: 1, width: 4 };
        let mut image = Canvas::default();
        image.reset(SIZE, PixelType::GREY8).copy_from_slice(&[0, 100, 200, 255]);
        let plan = |change: fn(&mut Plan)| {
            let mut plan = Plan::default();
            plan.begin(SIZE, false);
            change(&mut plan);
            plan
        };
        let inverted = Branch { weight: 0.25, plan: plan(|plan| plan.edit(Color::Invert)) };
        let mirrored = Branch { weight: 0.25, plan: plan(Plan::flip) };
        Mixture { own: 0.5, branches: vec![inverted, mirrored] }.apply(&mut image, &mut Spare::default());
        // 0.5 of the value, 0.25 of 255 less it, 0.25 of the value opposite, cut off.
        assert_eq!(image.pixels(), [127, 138, 138, 127]);
    }
}
