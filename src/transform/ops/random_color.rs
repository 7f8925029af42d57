//! Changes of colours that are done to an image or not: `RandomInvert`, `RandomPosterize`, `RandomSolarize`,
//! `RandomAutocontrast`, `RandomEqualize` and `RandomAdjustSharpness`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::{check_probability, half},
    blur::Sharpness,
    color::Color,
    op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
    plan::Plan,
};
use crate::drawn;

/// Declares transforms that make one edit with probability `p`, each with its arguments, what is wrong with them, if
/// anything, and the edit.
macro_rules! sometimes {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident { $($(#[doc = $of:literal])+ $argument:ident: $type:ty)? }
        if $check:expr => $edit:expr;
    )+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[doc = $of])+ pub $argument: $type,)?
            /// The probability.
            #[serde(default = "half")]
            pub p: f64,
        }

        impl Operation for $name {
            fn check(&self) -> Result<(), String> {
                let check: fn(&Self) -> Result<(), String> = $check;
                check(self)?;
                check_probability(self.p)
            }

            fn role(&self) -> Role {
                Role::Pixels(Arc::new(self.clone()))
            }
        }

        impl PixelOp for $name {
            fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
                input.check_eight_bits()?;
                Ok(input)
            }

            fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
                let applied = key.draws().unit() < self.p;
                drawn::tell(|| [("applied", applied.into())]);
                if applied {
                    let edit: fn(&Self) -> _ = $edit;
                    plan.edit(edit(self));
                }
                Ok(())
            }

            fn on_mask(&self) -> OnMask {
                OnMask::Leaves
            }
        }
    )+};
}

sometimes! {
    /// Makes a negative of the image with probability `p`.
    RandomInvert {}
    if |_| Ok(()) => |_| Color::Invert;

    /// Keeps the highest bits of each value with probability `p`.
    RandomPosterize {
        /// How many, 0 to 8.
        bits: u32
    }
    if |this| {
        if this.bits <= 8 { Ok(()) } else { Err(format!("bits = {} must lie between 0 and 8", this.bits)) }
    } => |this| Color::Posterize(this.bits);

    /// Makes a negative of the values from a threshold on with probability `p`.
    RandomSolarize {
        /// The threshold, 0 to 255.
        threshold: f64
    }
    if |this| {
        let takes = 0.0..=255.0;
        let what = || format!("threshold = {} must lie between 0 and 255", this.threshold);
        takes.contains(&this.threshold).then_some(()).ok_or_else(what)
    } => |this| Color::Solarize(this.threshold as f32);

    /// Spreads the values of each channel over 0 to 255 with probability `p`.
    RandomAutocontrast {}
    if |_| Ok(()) => |_| Color::AutoContrast;

    /// Spreads the values of each channel so that each is about as frequent as the others, with probability `p`.
    RandomEqualize {}
    if |_| Ok(()) => |_| Color::Equalize;

    /// Sharpens the image, or smooths it, with probability `p`.
    RandomAdjustSharpness {
        /// 0 for a smoothed image, 1 for the image as it is, 2 for one that is as much sharper.
        sharpness_factor: f64
    }
    if |this| {
        let takes = 0.0..=f64::from(f32::MAX);
        let what = || format!("sharpness_factor = {} must not be negative", this.sharpness_factor);
        takes.contains(&this.sharpness_factor).then_some(()).ok_or_else(what)
    } => |this| Sharpness(this.sharpness_factor);
}
