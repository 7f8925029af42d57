//! `RandAugment`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    super::{
        args::{Interpolation, check_fill_of, nearest},
        op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
        plan::Plan,
    },
    magnitudes::{Edges, SPACE, Strength, check_policy, default_bins, signed},
};

/// The most operations of one `RandAugment`.
const MAX_OPS: u32 = 1000;

/// Applies operations drawn from a fixed set, all of one magnitude.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RandAugment {
    /// How many, one after the other.
    #[serde(default = "two")]
    pub num_ops: u32,
    /// Which of the magnitudes.
    #[serde(default = "nine")]
    pub magnitude: u32,
    /// How many magnitudes there are.
    #[serde(default = "default_bins")]
    pub num_magnitude_bins: u32,
    /// `Nearest` or `Bilinear`.
    #[serde(default = "nearest")]
    pub interpolation: Interpolation,
    /// What lies outside the image; `None` is black.
    #[serde(default)]
    pub fill: Option<Vec<f32>>,
}

const fn two() -> u32 {
    2
}

const fn nine() -> u32 {
    9
}

impl Operation for RandAugment {
    fn check(&self) -> Result<(), String> {
        let Self { num_ops, magnitude, num_magnitude_bins, interpolation, fill } = self;
        check_policy(*num_magnitude_bins, *interpolation, fill.as_deref())?;
        if magnitude >= num_magnitude_bins {
            return Err(format!("magnitude = {magnitude} must be less than num_magnitude_bins"));
        }
        if *num_ops > MAX_OPS {
            return Err(format!("num_ops = {num_ops} must be at most {MAX_OPS}"));
        }
        Ok(())
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for RandAugment {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        input.check_eight_bits()?;
        check_fill_of(self.fill.as_deref(), input.pixel)?;
        Ok(input)
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let (edges, mut draws) = (Edges::new(self.interpolation, self.fill.as_deref()), key.draws());
        for _ in 0..self.num_ops {
            let op = SPACE[draws.below(SPACE.len() as u64) as usize];
            let magnitude = op.magnitude(Strength::Usual, plan, self.magnitude, self.num_magnitude_bins);
            op.drawn(plan, signed(op, magnitude, &mut draws), edges);
        }
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Refuses
    }
}
