//! The learned and random policies: which operations they choose from, and how strong each is.

use serde::{Deserialize, Serialize};

use super::{
    Interpolation,
    color::Color,
    edit::Edit,
    plan::Plan,
    warp::{Affine, Warp},
};
use crate::rng::Draws;

/// The published policies of [`AutoAugment`](super::Transform::AutoAugment).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each variant is the data set it was found on")]
pub enum AutoAugmentPolicy {
    #[default]
    Imagenet,
    Cifar10,
    Svhn,
}

/// An operation that a policy can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
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

use Op::{
    AutoContrast, Brightness, Color as Saturation, Contrast, Equalize, Invert, Posterize, Rotate, Sharpness, ShearX,
    ShearY, Solarize, TranslateX, TranslateY,
};

/// What `RandAugment` and `TrivialAugmentWide` choose from, in torchvision's order.
const SPACE: [Op; 14] = [
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

/// How a policy's operations look at what they uncover.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edges {
    pub(super) interpolation: Interpolation,
    pub(super) fill: Option<[u8; 3]>,
}

/// How strong the operations are at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strength {
    Usual,
    Wide,
}

/// Adds the operations of `RandAugment`.
pub(super) fn rand_augment(plan: &mut Plan, draws: &mut Draws, ops: u32, magnitude: u32, bins: u32, edges: Edges) {
    for _ in 0..ops {
        let op = SPACE[draws.below(SPACE.len() as u64) as usize];
        let magnitude = op.magnitude(Strength::Usual, plan, magnitude, bins);
        op.add(plan, signed(op, magnitude, draws), edges);
    }
}

/// Adds the operation of `TrivialAugmentWide`.
pub(super) fn trivial_augment_wide(plan: &mut Plan, draws: &mut Draws, bins: u32, edges: Edges) {
    let op = SPACE[draws.below(SPACE.len() as u64) as usize];
    let bin = if op.has_magnitude() { draws.below(bins.into()) as u32 } else { 0 };
    let magnitude = op.magnitude(Strength::Wide, plan, bin, bins);
    op.add(plan, signed(op, magnitude, draws), edges);
}

/// Adds the operations of `AutoAugment`.
pub(super) fn auto_augment(plan: &mut Plan, draws: &mut Draws, policy: AutoAugmentPolicy, edges: Edges) {
    let policies = match policy {
        AutoAugmentPolicy::Imagenet => &IMAGENET,
        AutoAugmentPolicy::Cifar10 => &CIFAR10,
        AutoAugmentPolicy::Svhn => &SVHN,
    };
    for &(op, tenths, bin) in &policies[draws.below(policies.len() as u64) as usize] {
        if draws.unit() * 10.0 < f64::from(tenths) {
            let magnitude = op.magnitude(Strength::Usual, plan, bin, 10);
            op.add(plan, signed(op, magnitude, draws), edges);
        }
    }
}

/// Turns the magnitude of an operation with two directions round, half of the time.
fn signed(op: Op, magnitude: f64, draws: &mut Draws) -> f64 {
    if op.has_sign() && draws.unit() < 0.5 { -magnitude } else { magnitude }
}

impl Op {
    const fn has_magnitude(self) -> bool {
        !matches!(self, Self::Identity | AutoContrast | Equalize | Invert)
    }

    const fn has_sign(self) -> bool {
        self.has_magnitude() && !matches!(self, Posterize | Solarize)
    }

    /// Returns how strong bin `at` of `bins` is.
    fn magnitude(self, strength: Strength, plan: &Plan, at: u32, bins: u32) -> f64 {
        let wide = strength == Strength::Wide;
        let (first, last) = match self {
            ShearX | ShearY => (0.0, if wide { 0.99 } else { 0.3 }),
            TranslateX | TranslateY if wide => (0.0, 32.0),
            TranslateX => (0.0, 150.0 / 331.0 * f64::from(plan.size().width)),
            TranslateY => (0.0, 150.0 / 331.0 * f64::from(plan.size().height)),
            Rotate => (0.0, if wide { 135.0 } else { 30.0 }),
            Brightness | Saturation | Contrast | Sharpness => (0.0, if wide { 0.99 } else { 0.9 }),
            Solarize => (1.0, 0.0),
            Posterize => {
                let bits_per_bin = (bins - 1) as f32 / if wide { 6.0 } else { 4.0 };
                return f64::from((8.0 - at as f32 / bits_per_bin).round_ties_even());
            }
            Self::Identity | AutoContrast | Equalize | Invert => return 0.0,
        };
        f64::from(linspace(first as f32, last as f32, at, bins))
    }

    fn add(self, plan: &mut Plan, magnitude: f64, edges: Edges) {
        let Edges { interpolation, fill } = edges;
        let factor = 1.0 + magnitude;
        let still = Affine::rotation(0.0, None);
        let affine = match self {
            Self::Identity => return,
            Rotate => return plan.rotate(magnitude, interpolation, false, None, fill),
            // The fixed point is the corner: torchvision's `center=[0, 0]`.
            ShearX => Affine { shear: [libm::atan(magnitude).to_degrees(), 0.0], center: Some([0.0; 2]), ..still },
            ShearY => Affine { shear: [0.0, libm::atan(magnitude).to_degrees()], center: Some([0.0; 2]), ..still },
            TranslateX => Affine { translate: [magnitude.trunc(), 0.0], ..still },
            TranslateY => Affine { translate: [0.0, magnitude.trunc()], ..still },
            Brightness => return plan.edit(Edit::Color(Color::Brightness(factor as f32))),
            Saturation => return plan.edit(Edit::Color(Color::Saturation(factor))),
            Contrast => return plan.edit(Edit::Color(Color::Contrast(factor))),
            Sharpness => return plan.edit(Edit::Sharpness(factor)),
            Posterize => return plan.edit(Edit::Color(Color::Posterize(magnitude as u32))),
            Solarize => return plan.edit(Edit::Color(Color::Solarize((255.0 * magnitude) as f32))),
            AutoContrast => return plan.edit(Edit::Color(Color::AutoContrast)),
            Equalize => return plan.edit(Edit::Color(Color::Equalize)),
            Invert => return plan.edit(Edit::Color(Color::Invert)),
        };
        plan.warp(Warp::new(&affine, plan.size(), interpolation, fill));
    }
}

/// Returns value `at` of torch's `linspace`, which counts from the nearer end.
fn linspace(first: f32, last: f32, at: u32, steps: u32) -> f32 {
    let step = (last - first) / (steps - 1) as f32;
    if at < steps / 2 { first + step * at as f32 } else { last - step * (steps - 1 - at) as f32 }
}

/// Two operations, each with its probability in tenths and its magnitude of ten.
type Pair = [(Op, u8, u32); 2];

const IMAGENET: [Pair; 25] = [
    [(Posterize, 4, 8), (Rotate, 6, 9)],
    [(Solarize, 6, 5), (AutoContrast, 6, 0)],
    [(Equalize, 8, 0), (Equalize, 6, 0)],
    [(Posterize, 6, 7), (Posterize, 6, 6)],
    [(Equalize, 4, 0), (Solarize, 2, 4)],
    [(Equalize, 4, 0), (Rotate, 8, 8)],
    [(Solarize, 6, 3), (Equalize, 6, 0)],
    [(Posterize, 8, 5), (Equalize, 10, 0)],
    [(Rotate, 2, 3), (Solarize, 6, 8)],
    [(Equalize, 6, 0), (Posterize, 4, 6)],
    [(Rotate, 8, 8), (Saturation, 4, 0)],
    [(Rotate, 4, 9), (Equalize, 6, 0)],
    [(Equalize, 0, 0), (Equalize, 8, 0)],
    [(Invert, 6, 0), (Equalize, 10, 0)],
    [(Saturation, 6, 4), (Contrast, 10, 8)],
    [(Rotate, 8, 8), (Saturation, 10, 2)],
    [(Saturation, 8, 8), (Solarize, 8, 7)],
    [(Sharpness, 4, 7), (Invert, 6, 0)],
    [(ShearX, 6, 5), (Equalize, 10, 0)],
    [(Saturation, 4, 0), (Equalize, 6, 0)],
    [(Equalize, 4, 0), (Solarize, 2, 4)],
    [(Solarize, 6, 5), (AutoContrast, 6, 0)],
    [(Invert, 6, 0), (Equalize, 10, 0)],
    [(Saturation, 6, 4), (Contrast, 10, 8)],
    [(Equalize, 8, 0), (Equalize, 6, 0)],
];

const CIFAR10: [Pair; 25] = [
    [(Invert, 1, 0), (Contrast, 2, 6)],
    [(Rotate, 7, 2), (TranslateX, 3, 9)],
    [(Sharpness, 8, 1), (Sharpness, 9, 3)],
    [(ShearY, 5, 8), (TranslateY, 7, 9)],
    [(AutoContrast, 5, 0), (Equalize, 9, 0)],
    [(ShearY, 2, 7), (Posterize, 3, 7)],
    [(Saturation, 4, 3), (Brightness, 6, 7)],
    [(Sharpness, 3, 9), (Brightness, 7, 9)],
    [(Equalize, 6, 0), (Equalize, 5, 0)],
    [(Contrast, 6, 7), (Sharpness, 6, 5)],
    [(Saturation, 7, 7), (TranslateX, 5, 8)],
    [(Equalize, 3, 0), (AutoContrast, 4, 0)],
    [(TranslateY, 4, 3), (Sharpness, 2, 6)],
    [(Brightness, 9, 6), (Saturation, 2, 8)],
    [(Solarize, 5, 2), (Invert, 0, 0)],
    [(Equalize, 2, 0), (AutoContrast, 6, 0)],
    [(Equalize, 2, 0), (Equalize, 6, 0)],
    [(Saturation, 9, 9), (Equalize, 6, 0)],
    [(AutoContrast, 8, 0), (Solarize, 2, 8)],
    [(Brightness, 1, 3), (Saturation, 7, 0)],
    [(Solarize, 4, 5), (AutoContrast, 9, 0)],
    [(TranslateY, 9, 9), (TranslateY, 7, 9)],
    [(AutoContrast, 9, 0), (Solarize, 8, 3)],
    [(Equalize, 8, 0), (Invert, 1, 0)],
    [(TranslateY, 7, 9), (AutoContrast, 9, 0)],
];

const SVHN: [Pair; 25] = [
    [(ShearX, 9, 4), (Invert, 2, 0)],
    [(ShearY, 9, 8), (Invert, 7, 0)],
    [(Equalize, 6, 0), (Solarize, 6, 6)],
    [(Invert, 9, 0), (Equalize, 6, 0)],
    [(Equalize, 6, 0), (Rotate, 9, 3)],
    [(ShearX, 9, 4), (AutoContrast, 8, 0)],
    [(ShearY, 9, 8), (Invert, 4, 0)],
    [(ShearY, 9, 5), (Solarize, 2, 6)],
    [(Invert, 9, 0), (AutoContrast, 8, 0)],
    [(Equalize, 6, 0), (Rotate, 9, 3)],
    [(ShearX, 9, 4), (Solarize, 3, 3)],
    [(ShearY, 8, 8), (Invert, 7, 0)],
    [(Equalize, 9, 0), (TranslateY, 6, 6)],
    [(Invert, 9, 0), (Equalize, 6, 0)],
    [(Contrast, 3, 3), (Rotate, 8, 4)],
    [(Invert, 8, 0), (TranslateY, 0, 2)],
    [(ShearY, 7, 6), (Solarize, 4, 8)],
    [(Invert, 6, 0), (Rotate, 8, 4)],
    [(ShearY, 3, 7), (TranslateX, 9, 3)],
    [(ShearX, 1, 6), (Invert, 6, 0)],
    [(Solarize, 7, 2), (TranslateY, 6, 7)],
    [(ShearY, 8, 4), (Invert, 8, 0)],
    [(ShearX, 7, 9), (TranslateY, 8, 3)],
    [(ShearY, 8, 5), (AutoContrast, 7, 0)],
    [(ShearX, 7, 2), (Invert, 1, 0)],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Key;

    #[test]
    fn magnitudes_are_those_of_torchvision() {
        // `_AUGMENTATION_SPACE` of torchvision 0.29, evaluated.
        let mut plan = Plan::default();
        plan.begin(crate::geometry::Size { height: 331, width: 662 });
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
    fn every_operation_is_chosen_about_as_often() {
        let mut counts = [0_u32; SPACE.len()];
        for index in 0..14_000 {
            let mut draws = Key { seed: 0, epoch: 0, index }.rng(0);
            counts[draws.below(SPACE.len() as u64) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (880..1120).contains(count)), "{counts:?}");
    }

    #[test]
    fn policies_are_as_long_as_published() {
        for policy in [&IMAGENET, &CIFAR10, &SVHN] {
            assert_eq!(policy.len(), 25);
            assert!(policy.iter().flatten().all(|&(_, tenths, bin)| tenths <= 10 && bin < 10));
        }
    }
}
