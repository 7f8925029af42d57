//! What is done to the pixels of one sample: drawn and computed before any is touched.

use super::{
    Interpolation, Padding, Transform,
    augment::{self, Edges},
    color::Color,
    edit::Edit,
    erase::Erased,
    geometry,
    motion::Motion,
    view::{Outside, View},
    warp::{Affine, Warp},
};
use crate::{
    decode::MAX_PIXELS,
    geometry::{Rect, Size},
    rng::{Draws, Key},
};

/// The part of an image that a plan needs: a box inside the image, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The first row.
    pub top: u32,
    /// The first column.
    pub left: u32,
    /// The number of rows, at least one.
    pub height: u32,
    /// The number of columns, at least one.
    pub width: u32,
    /// The height and width to which the region is resized before anything else; `None` where its pixels are needed as
    /// they are.
    pub resized: Option<(u32, u32)>,
}

/// One pass over the pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pass {
    View(View),
    Edit(Edit),
}

/// The passes for one sample, in order. The first and the last are views.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The size of the image that the plan is for.
    pub(super) image: Size,
    /// All passes but the last.
    pub(super) passes: Vec<Pass>,
    /// The last pass, which writes the row.
    pub(super) last: View,
    /// The boxes of the row that are erased.
    pub(super) erased: Vec<Erased>,
    /// Where what lies in the image goes.
    pub(super) motions: Vec<Motion>,
}

impl Plan {
    /// Begins a plan for an image.
    pub(super) fn begin(&mut self, image: Size) {
        self.image = image;
        self.passes.clear();
        self.erased.clear();
        self.motions.clear();
        self.last = View::whole(image);
    }

    /// Returns the size of the image that the plan makes so far.
    pub(super) const fn size(&self) -> Size {
        self.last.size()
    }

    /// Returns the part of the image that is needed.
    pub(super) fn region(&self) -> Region {
        match self.passes.first() {
            Some(Pass::View(view)) => view.region(),
            _ => self.last.region(),
        }
    }

    /// Makes the plan one for the pixels of its region.
    pub(super) fn take_region(&mut self, pixels: Size) -> Result<(), String> {
        match self.passes.first_mut() {
            Some(Pass::View(view)) => view.take_region(pixels),
            _ => self.last.take_region(pixels),
        }
    }

    /// Adds the transform at place `op` of the chain, one that takes pixels.
    pub(super) fn add(&mut self, transform: &Transform, op: u64, key: Key) -> Result<(), String> {
        let draws = || key.rng(op);
        match transform {
            Transform::Resize { size, max_size, interpolation } => {
                self.resize(geometry::resized(self.size(), size, *max_size)?, *interpolation);
            }
            Transform::CenterCrop { size } => {
                self.crop(geometry::center(self.size(), Size::of(size)), Outside::default());
            }
            Transform::RandomResizedCrop { size, scale, ratio, interpolation } => {
                self.crop(geometry::random_box(self.size(), *scale, *ratio, &mut draws()), Outside::default());
                self.resize(Size::of(size), *interpolation);
            }
            Transform::RandomCrop { size, padding, pad_if_needed } => {
                let sides = geometry::sides(&padding.padding);
                let part = geometry::random_crop(self.size(), sides, *pad_if_needed, Size::of(size), &mut draws())?;
                self.crop(part, padding.outside());
            }
            Transform::Pad(padding) => {
                self.crop(geometry::padded(self.size(), geometry::sides(&padding.padding))?, padding.outside());
            }
            Transform::RandomHorizontalFlip { p } if draws().unit() < *p => {
                self.last.flip = !self.last.flip;
                self.motions.push(Motion::Flip { width: self.size().width as f32 });
            }
            Transform::RandomVerticalFlip { p } if draws().unit() < *p => {
                self.last.flop = !self.last.flop;
                self.motions.push(Motion::Flop { height: self.size().height as f32 });
            }
            Transform::ColorJitter { brightness, contrast, saturation, hue } => {
                self.jitter(
                    [
                        brightness.as_deref().map(around_one),
                        contrast.as_deref().map(around_one),
                        saturation.as_deref().map(around_one),
                        hue.as_deref().map(around_zero),
                    ],
                    &mut draws(),
                );
            }
            Transform::Grayscale { num_output_channels: 1 } => self.edit(Edit::GrayChannel),
            Transform::Grayscale { .. } => self.edit(Edit::Color(Color::Gray)),
            Transform::RandomGrayscale { p } if draws().unit() < *p => self.edit(Edit::Color(Color::Gray)),
            Transform::GaussianBlur { kernel_size, sigma } => {
                self.blur([kernel_size[0], kernel_size[kernel_size.len() - 1]], sigma, &mut draws())?;
            }
            Transform::RandomRotation { degrees, interpolation, expand, center, fill } => {
                let [low, high] = around_zero(degrees);
                let angle = draws().uniform(low, high);
                self.rotate(angle, *interpolation, *expand, *center, channels(fill.as_deref()));
            }
            Transform::RandomAffine { degrees, translate, scale, shear, interpolation, fill, center } => {
                let affine = self.affine(degrees, *translate, *scale, shear.as_deref(), *center, &mut draws());
                self.warp(Warp::new(&affine, self.size(), *interpolation, channels(fill.as_deref())));
            }
            Transform::RandAugment { num_ops, magnitude, num_magnitude_bins, interpolation, fill } => {
                let edges = Edges { interpolation: *interpolation, fill: channels(fill.as_deref()) };
                augment::rand_augment(self, &mut draws(), *num_ops, *magnitude, *num_magnitude_bins, edges);
            }
            Transform::TrivialAugmentWide { num_magnitude_bins, interpolation, fill } => {
                let edges = Edges { interpolation: *interpolation, fill: channels(fill.as_deref()) };
                augment::trivial_augment_wide(self, &mut draws(), *num_magnitude_bins, edges);
            }
            Transform::AutoAugment { policy, interpolation, fill } => {
                let edges = Edges { interpolation: *interpolation, fill: channels(fill.as_deref()) };
                augment::auto_augment(self, &mut draws(), *policy, edges);
            }
            // Nothing, by what was drawn or by what it is.
            _ => {}
        }
        self.check_area()
    }

    /// Shows only a box of the image, or more than there is of it.
    pub(super) fn crop(&mut self, part: Rect, outside: Outside) {
        self.motions.push(Motion::Crop { left: part.left as f32, top: part.top as f32, size: part.size });
        if let Some(next) = self.last.crop(part, outside) {
            self.pass(next);
        }
    }

    fn resize(&mut self, size: Size, interpolation: Interpolation) {
        self.motions.push(Motion::Resize { from: self.size(), to: size });
        if let Some(next) = self.last.resize(size, interpolation) {
            self.pass(next);
        }
    }

    /// Rotates the image anticlockwise by an angle in degrees.
    #[expect(clippy::float_cmp, reason = "only exact quarter turns need no rounding")]
    pub(super) fn rotate(
        &mut self,
        angle: f64,
        interpolation: Interpolation,
        expand: bool,
        center: Option<[f64; 2]>,
        fill: Option<[u8; 3]>,
    ) {
        let (angle, size) = (angle.rem_euclid(360.0), self.size());
        let mut warp = Warp::new(&Affine::rotation(angle, center), size, interpolation, fill);
        if center.is_none() && angle == 180.0 {
            (self.last.flip, self.last.flop) = (!self.last.flip, !self.last.flop);
            self.motions.push(warp.motion(size));
            return;
        }
        if center.is_none() && (angle == 90.0 || angle == 270.0) && (expand || size.height == size.width) {
            warp.quarter(angle == 90.0, size);
        } else if expand {
            warp.expand(size);
        }
        self.warp(warp);
    }

    /// Moves pixels by an affine map; a mere translation needs no pass.
    pub(super) fn warp(&mut self, warp: Warp) {
        match warp.translation() {
            Some((x, y)) if warp.size == self.size() => {
                self.crop(Rect { top: -y, left: -x, size: warp.size }, Outside::Fill(warp.fill()));
            }
            _ => {
                self.motions.push(warp.motion(self.size()));
                self.edit(Edit::Warp(warp));
            }
        }
    }

    /// Adds an operation that needs the pixels.
    pub(super) fn edit(&mut self, edit: Edit) {
        let mut next = View::whole(edit.output(self.size()));
        if edit.is_symmetric() {
            (next.flip, next.flop) = (self.last.flip, self.last.flop);
            (self.last.flip, self.last.flop) = (false, false);
        }
        // What an edit leaves is packed already.
        if self.passes.is_empty() || self.last != View::whole(self.size()) {
            self.passes.push(Pass::View(self.last));
        }
        self.passes.push(Pass::Edit(edit));
        self.last = next;
    }

    fn pass(&mut self, next: View) {
        self.passes.push(Pass::View(self.last));
        self.last = next;
    }

    /// Draws the order and the strength of `ColorJitter`'s four changes, as torchvision does: the order first.
    fn jitter(&mut self, bounds: [Option<[f64; 2]>; 4], draws: &mut Draws) {
        let mut order = [0, 1, 2, 3];
        for at in (1..order.len()).rev() {
            order.swap(at, draws.below(at as u64 + 1) as usize);
        }
        let factors = bounds.map(|bounds| bounds.map(|[low, high]| draws.uniform(low, high)));
        for at in order {
            if let Some(factor) = factors[at] {
                self.edit(Edit::Color(match at {
                    0 => Color::Brightness(factor as f32),
                    1 => Color::Contrast(factor),
                    2 => Color::Saturation(factor),
                    _ => Color::Hue(factor as f32),
                }));
            }
        }
    }

    fn blur(&mut self, kernel: [u32; 2], sigma: &[f64], draws: &mut Draws) -> Result<(), String> {
        let Size { height, width } = self.size();
        if kernel[0] / 2 >= width || kernel[1] / 2 >= height {
            return Err(format!(
                "a blur of {} by {} taps needs more than {width}x{height} pixels",
                kernel[0], kernel[1]
            ));
        }
        let sigma = draws.uniform(sigma[0], sigma[sigma.len() - 1]) as f32;
        self.edit(Edit::Blur { kernel, sigma });
        Ok(())
    }

    fn affine(
        &self,
        degrees: &[f64],
        translate: Option<[f64; 2]>,
        scale: Option<[f64; 2]>,
        shear: Option<&[f64]>,
        center: Option<[f64; 2]>,
        draws: &mut Draws,
    ) -> Affine {
        let [low, high] = around_zero(degrees);
        let angle = draws.uniform(low, high);
        let Size { height, width } = self.size();
        let translate = translate.map_or([0.0; 2], |[across, down]| {
            [across * f64::from(width), down * f64::from(height)]
                .map(|most| draws.uniform(-most, most).round_ties_even())
        });
        let scale = scale.map_or(1.0, |[low, high]| draws.uniform(low, high));
        let shear = match shear {
            None => [0.0; 2],
            Some([left, right, up, down]) => [draws.uniform(*left, *right), draws.uniform(*up, *down)],
            Some(bounds) => {
                let [low, high] = around_zero(bounds);
                [draws.uniform(low, high), 0.0]
            }
        };
        Affine { angle, translate, scale, shear, center }
    }

    /// Refuses to hold more pixels than may be decoded, before or after the window is cut out.
    fn check_area(&self) -> Result<(), String> {
        match [self.last.content(), self.last.size()].into_iter().find(|size| size.area() > MAX_PIXELS) {
            None => Ok(()),
            Some(Size { height, width }) => {
                Err(format!("an image of {width}x{height} takes more than the limit of {MAX_PIXELS} pixels"))
            }
        }
    }
}

impl Padding {
    fn outside(&self) -> Outside {
        self.padding_mode.outside(channels(Some(&self.fill)).unwrap_or_default())
    }
}

/// Returns a value for each channel.
fn channels(fill: Option<&[u8]>) -> Option<[u8; 3]> {
    fill.map(|fill| std::array::from_fn(|channel| fill[channel.min(fill.len() - 1)]))
}

/// Returns the bounds that one number stands for, or two: `[-x, x]`.
fn around_zero(bounds: &[f64]) -> [f64; 2] {
    match bounds {
        [low, high] => [*low, *high],
        _ => [-bounds[0], bounds[0]],
    }
}

/// Returns the bounds that one number stands for, or two: `[1 - x, 1 + x]`, from zero on.
fn around_one(bounds: &[f64]) -> [f64; 2] {
    match bounds {
        [low, high] => [*low, *high],
        _ => [(1.0 - bounds[0]).max(0.0), 1.0 + bounds[0]],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: Size = Size { height: 40, width: 60 };
    const GOLDEN_JITTER: [&str; 2] = ["Edit(Color(Brightness(0.617591)))", "Edit(Color(Hue(-0.24439801)))"];
    const GOLDEN_RAND_AUGMENT: [&str; 2] =
        ["Edit(Color(Solarize(178.5)))", "Edit(Color(Contrast(0.7300000190734863)))"];
    const GOLDEN_BLUR: [&str; 1] = ["Edit(Blur { kernel: [3, 3], sigma: 1.6901475 })"];

    fn planned(transforms: &[Transform], index: u64) -> Plan {
        let mut plan = Plan::default();
        plan.begin(IMAGE);
        for (op, transform) in (0..).zip(transforms) {
            plan.add(transform, op, Key { seed: 0, epoch: 0, index }).unwrap();
        }
        plan
    }

    fn parse(json: &str) -> Transform {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn geometry_without_a_second_resize_is_one_pass() {
        let plan = planned(
            &[
                parse(r#"{"op": "CenterCrop", "size": [60]}"#),
                parse(r#"{"op": "Pad", "padding": [2]}"#),
                parse(r#"{"op": "RandomCrop", "size": [32], "padding": [4]}"#),
                parse(r#"{"op": "RandomHorizontalFlip", "p": 1.0}"#),
                parse(r#"{"op": "RandomVerticalFlip", "p": 1.0}"#),
                parse(r#"{"op": "RandomRotation", "degrees": [180, 180]}"#),
            ],
            1,
        );
        assert!(plan.passes.is_empty(), "{:?}", plan.passes);
        assert_eq!(plan.size(), Size { height: 32, width: 32 });
        assert!(!plan.last.flip && !plan.last.flop);
        let plan = planned(&[parse(r#"{"op": "RandomAffine", "degrees": [0], "translate": [0.2, 0.2]}"#)], 1);
        assert!(plan.passes.is_empty() && plan.last.window.left != 0, "{:?}", plan.passes);
    }

    #[test]
    fn edits_follow_each_other_without_views_between() {
        let jitter = parse(
            r#"{"op": "ColorJitter", "brightness": [0.4], "contrast": [0.4], "saturation": [0.4], "hue": [0.1]}"#,
        );
        let flip = parse(r#"{"op": "RandomHorizontalFlip", "p": 1.0}"#);
        let plan = planned(&[flip, jitter], 0);
        assert!(matches!(plan.passes[..], [Pass::View(_), Pass::Edit(_), Pass::Edit(_), Pass::Edit(_), Pass::Edit(_)]));
        // The flip has been put off to the last pass.
        assert!(plan.last.flip);
        let [Pass::View(first), ..] = plan.passes[..] else { panic!("{:?}", plan.passes) };
        assert_eq!(first, View::whole(IMAGE));
    }

    #[test]
    fn the_first_draws_of_a_seed_never_change() {
        let edits = |json: &str| -> Vec<String> {
            let plan = planned(&[parse(json)], 0);
            plan.passes.iter().skip(1).map(|pass| format!("{pass:?}")).collect()
        };
        let jitter = r#"{"op": "ColorJitter", "brightness": [0.5], "hue": [0.5]}"#;
        assert_eq!(edits(jitter), GOLDEN_JITTER);
        assert_eq!(edits(r#"{"op": "RandAugment"}"#), GOLDEN_RAND_AUGMENT);
        let blur = r#"{"op": "GaussianBlur", "kernel_size": [3]}"#;
        assert_eq!(edits(blur), GOLDEN_BLUR);
    }

    #[test]
    fn a_blur_wider_than_the_image_is_refused() {
        let mut plan = Plan::default();
        plan.begin(Size { height: 4, width: 40 });
        let blur = parse(r#"{"op": "GaussianBlur", "kernel_size": [9]}"#);
        let message = plan.add(&blur, 0, Key { seed: 0, epoch: 0, index: 0 }).unwrap_err();
        assert_eq!(message, "a blur of 9 by 9 taps needs more than 40x4 pixels");
    }
}
