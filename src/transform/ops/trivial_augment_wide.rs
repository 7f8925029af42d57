//! `TrivialAugmentWide`.

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

/// Applies one operation drawn from a fixed set, with a random magnitude.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TrivialAugmentWide {
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

impl Operation for TrivialAugmentWide {
    fn check(&self) -> Result<(), String> {
        check_policy(self.num_magnitude_bins, self.interpolation, self.fill.as_deref())
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for TrivialAugmentWide {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        input.check_eight_bits()?;
        check_fill_of(self.fill.as_deref(), input.pixel)?;
        Ok(input)
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let (edges, mut draws) = (Edges::new(self.interpolation, self.fill.as_deref()), key.draws());
        let (op, bins) = (SPACE[draws.below(SPACE.len() as u64) as usize], self.num_magnitude_bins);
        let bin = if op.has_magnitude() { draws.below(bins.into()) as u32 } else { 0 };
        let magnitude = op.magnitude(Strength::Wide, plan, bin, bins);
        op.drawn(plan, signed(op, magnitude, &mut draws), edges);
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Refuses
    }
}
