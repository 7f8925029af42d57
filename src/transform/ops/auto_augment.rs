//! `AutoAugment` and its published policies.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    super::{
        args::{Interpolation, check_fill_of, check_warp, nearest},
        op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
        plan::Plan,
    },
    magnitudes::{
        AutoContrast, Brightness, Contrast, Edges, Equalize, Invert, Op, Posterize, Rotate, Saturation, Sharpness, ShearX, ShearY, Solarize, Strength, TranslateX, TranslateY, signed,
    },
};
use crate::drawn;

/// Applies two operations of a published policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AutoAugment {
    /// The policy.
    #[serde(default)]
    pub policy: AutoAugmentPolicy,
    /// `Nearest` or `Bilinear`.
    #[serde(default = "nearest")]
    pub interpolation: Interpolation,
    /// What lies outside the image; `None` is black.
    #[serde(default)]
    pub fill: Option<Vec<f32>>,
}

/// The published policies of [`AutoAugment`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each variant is the data set it was found on")]
#[non_exhaustive]
pub enum AutoAugmentPolicy {
    #[default]
    Imagenet,
    Cifar10,
    Svhn,
}

impl Operation for AutoAugment {
    fn check(&self) -> Result<(), String> {
        check_warp(self.interpolation, self.fill.as_deref())
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for AutoAugment {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        input.check_eight_bits()?;
        check_fill_of(self.fill.as_deref(), input.pixel)?;
        Ok(input)
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let (edges, mut draws) = (Edges::new(self.interpolation, self.fill.as_deref()), key.draws());
        let policies = match self.policy {
            AutoAugmentPolicy::Imagenet => &IMAGENET,
            AutoAugmentPolicy::Cifar10 => &CIFAR10,
            AutoAugmentPolicy::Svhn => &SVHN,
        };
        let policy = draws.below(policies.len() as u64) as usize;
        drawn::tell(|| [("policy_id", policy.into())]);
        for &(op, tenths, bin) in &policies[policy] {
            if draws.unit() * 10.0 < f64::from(tenths) {
                let magnitude = op.magnitude(Strength::Usual, plan, bin, 10);
                op.drawn(plan, signed(op, magnitude, &mut draws), edges);
            }
        }
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Refuses
    }
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

    #[test]
    fn policies_are_as_long_as_published() {
        for policy in [&IMAGENET, &CIFAR10, &SVHN] {
            assert_eq!(policy.len(), 25);
            assert!(policy.iter().flatten().all(|&(_, tenths, bin)| tenths <= 10 && bin < 10));
        }
    }
}
