//! What the learned and random policies choose from, and how strong each choice is.

use super::{
    super::{
        affine::{Affine, Warp},
        args::{Interpolation, channels, check_warp},
        blur::Sharpness as Sharpen,
        color::Color as Change,
        fill::Fill,
        plan::Plan,
    },
    random_rotation::rotate,
};
use crate::{drawn, rng::Draws};

/// An operation that a policy can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
    Invert,
}

pub(super) use Op::{
    AutoContrast, Brightness, Color as Saturation, Contrast, Equalize, Invert, Posterize, Rotate, Sharpness, ShearX,
    ShearY, Solarize, TranslateX, TranslateY,
};

/// What `RandAugment` and `TrivialAugmentWide` choose from, in torchvision's order.
pub(super) const SPACE: [Op; 14] = [
    Op::Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Saturation,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
];

/// What `AugMix` chooses from; the last four are left out where it is not to choose from all.
pub(super) const MIXED: [Op; 13] = [
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
    Brightness,
    Saturation,
    Contrast,
    Sharpness,
];

/// How a policy's operations look at what they uncover.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edges {
    pub(super) interpolation: Interpolation,
    pub(super) fill: Option<Fill>,
}

impl Edges {
    pub(super) fn new(interpolation: Interpolation, fill: Option<&[f32]>) -> Self {
        Self { interpolation, fill: channels(fill) }
    }
}

/// Checks what all policies have: the number of magnitudes, and how pixels are taken.
pub(super) fn check_policy(bins: u32, interpolation: Interpolation, fill: Option<&[f32]>) -> Result<(), String> {
    // Beyond 2^24, a bin is not a number in `f32`.
    if !(2..=1 << 24).contains(&bins) {
        return Err(format!("num_magnitude_bins = {bins} must be at least 2"));
    }
    check_warp(interpolation, fill)
}

/// The default of `num_magnitude_bins`.
pub(super) const fn default_bins() -> u32 {
    31
}

/// How strong the operations are at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strength {
    Usual,
    Wide,
    /// Of what is mixed with the image.
    Mixed,
}

/// Turns the magnitude of an operation with two directions round, half of the time.
pub(super) fn signed(op: Op, magnitude: f64, draws: &mut Draws) -> f64 {
    if op.has_sign() && draws.unit() < 0.5 { -magnitude } else { magnitude }
}

impl Op {
    pub(super) const fn has_magnitude(self) -> bool {
        !matches!(self, Self::Identity | AutoContrast | Equalize | Invert)
    }

    const fn has_sign(self) -> bool {
        self.has_magnitude() && !matches!(self, Posterize | Solarize)
    }

    /// Returns how strong bin `at` of `bins` is.
    pub(super) fn magnitude(self, strength: Strength, plan: &Plan, at: u32, bins: u32) -> f64 {
        let wide = strength == Strength::Wide;
        let (first, last) = match self {
            ShearX | ShearY => (0.0, if wide { 0.99 } else { 0.3 }),
            TranslateX | TranslateY if wide => (0.0, 32.0),
            TranslateX if strength == Strength::Mixed => (0.0, f64::from(plan.size().width) / 3.0),
            TranslateY if strength == Strength::Mixed => (0.0, f64::from(plan.size().height) / 3.0),
            TranslateX => (0.0, 150.0 / 331.0 * f64::from(plan.size().width)),
            TranslateY => (0.0, 150.0 / 331.0 * f64::from(plan.size().height)),
            Rotate => (0.0, if wide { 135.0 } else { 30.0 }),
            Brightness | Saturation | Contrast | Sharpness => (0.0, if wide { 0.99 } else { 0.9 }),
            Solarize => (1.0, 0.0),
            Posterize => {
                let (most, range) = match strength {
                    Strength::Usual => (8.0, 4.0),
                    Strength::Wide => (8.0, 6.0),
                    Strength::Mixed => (4.0, 4.0),
                };
                return f64::from((most - at as f32 / ((bins - 1) as f32 / range)).round_ties_even());
            }
            Self::Identity | AutoContrast | Equalize | Invert => return 0.0,
        };
        f64::from(linspace(first as f32, last as f32, at, bins))
    }

    /// Returns torchvision's name of the operation.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Identity => "Identity",
            ShearX => "ShearX",
            ShearY => "ShearY",
            TranslateX => "TranslateX",
            TranslateY => "TranslateY",
            Rotate => "Rotate",
            Brightness => "Brightness",
            Saturation => "Color",
            Contrast => "Contrast",
            Sharpness => "Sharpness",
            Posterize => "Posterize",
            Solarize => "Solarize",
            AutoContrast => "AutoContrast",
            Equalize => "Equalize",
            Invert => "Invert",
        }
    }

    /// Adds an operation that was drawn, and tells of it.
    pub(super) fn drawn(self, plan: &mut Plan, magnitude: f64, edges: Edges) {
        drawn::of("", self.name(), || {
            drawn::tell(|| [("magnitude", magnitude.into())]);
            self.add(plan, magnitude, edges);
        });
    }

    pub(super) fn add(self, plan: &mut Plan, magnitude: f64, edges: Edges) {
        let Edges { interpolation, fill } = edges;
        let factor = 1.0 + magnitude;
        let still = Affine::rotation(0.0, None);
        let affine = match self {
            Self::Identity => return,
            Rotate => return rotate(plan, magnitude, false, None, interpolation, fill),
            // The fixed point is the corner: torchvision's `center=[0, 0]`.
            ShearX => Affine { shear: [libm::atan(magnitude).to_degrees(), 0.0], center: Some([0.0; 2]), ..still },
            ShearY => Affine { shear: [0.0, libm::atan(magnitude).to_degrees()], center: Some([0.0; 2]), ..still },
            TranslateX => Affine { translate: [magnitude.trunc(), 0.0], ..still },
            TranslateY => Affine { translate: [0.0, magnitude.trunc()], ..still },
            Brightness => return plan.edit(Change::Brightness(factor as f32)),
            Saturation => return plan.edit(Change::Saturation(factor)),
            Contrast => return plan.edit(Change::Contrast(factor)),
            Sharpness => return plan.edit(Sharpen(factor)),
            Posterize => return plan.edit(Change::Posterize(magnitude as u32)),
            Solarize => return plan.edit(Change::Solarize((255.0 * magnitude) as f32)),
            AutoContrast => return plan.edit(Change::AutoContrast),
            Equalize => return plan.edit(Change::Equalize),
            Invert => return plan.edit(Change::Invert),
        };
        Warp::new(&affine, plan.size(), interpolation, fill).add_to(plan);
    }
}

/// Returns value `at` of torch's `linspace`, which counts from the nearer end.
fn linspace(first: f32, last: f32, at: u32, steps: u32) -> f32 {
    let step = (last - first) / (steps - 1) as f32;
    if at < steps / 2 { first + step * at as f32 } else { last - step * (steps - 1 - at) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{geometry::Size, rng::Key};

    #[test]
    fn magnitudes_are_those_of_torchvision() {
        // `_AUGMENTATION_SPACE` of torchvision 0.29, evaluated.
        let mut plan = Plan::default();
        plan.begin(Size { height: 331, width: 662 }, false);
        let usual = |op: Op| op.magnitude(Strength::Usual, &plan, 9, 31);
        for (op, expected) in [
            (ShearX, 0.09),
            (TranslateX, 90.0),
            (TranslateY, 45.0),
            (Rotate, 9.0),
            (Brightness, 0.27),
            (Posterize, 7.0),
            (Solarize, 0.7),
            (Equalize, 0.0),
        ] {
            assert!((usual(op) - expected).abs() < 1e-5, "{op:?}: {}", usual(op));
        }
        let wide = |op: Op| op.magnitude(Strength::Wide, &plan, 30, 31);
        for (op, expected) in
            [(ShearY, 0.99), (TranslateX, 32.0), (Rotate, 135.0), (Contrast, 0.99), (Posterize, 2.0), (Solarize, 0.0)]
        {
            assert!((wide(op) - expected).abs() < 1e-5, "{op:?}: {}", wide(op));
        }
    }

    #[test]
    fn magnitudes_of_mixtures_are_those_of_torchvision() {
        // `AugMix._AUGMENTATION_SPACE` of torchvision 0.29, evaluated at the fourth of ten.
        let mut plan = Plan::default();
        plan.begin(Size { height: 90, width: 180 }, false);
        for (op, expected) in [
            (ShearX, 0.1),
            (TranslateX, 20.0),
            (TranslateY, 10.0),
            (Rotate, 10.0),
            (Posterize, 3.0),
            (Solarize, 2.0 / 3.0),
            (Brightness, 0.3),
        ] {
            let found = op.magnitude(Strength::Mixed, &plan, 3, 10);
            assert!((found - expected).abs() < 1e-5, "{op:?}: {found}");
        }
        let bits: Vec<u32> = (0..10).map(|bin| Posterize.magnitude(Strength::Mixed, &plan, bin, 10) as u32).collect();
        assert_eq!(bits, [4, 4, 3, 3, 2, 2, 1, 1, 0, 0]);
    }

    #[test]
    fn every_operation_is_chosen_about_as_often() {
        let mut counts = [0_u32; SPACE.len()];
        for index in 0..14_000 {
            let mut draws = Key { seed: 0, epoch: 0, index }.rng(0);
            counts[draws.below(SPACE.len() as u64) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (880..1120).contains(count)), "{counts:?}");
    }
}
