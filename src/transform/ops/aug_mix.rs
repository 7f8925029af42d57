//! `AugMix`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    super::{
        args::{Interpolation, check_fill_of, check_warp},
        mixture::{Branch, Mixture},
        op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
        plan::Plan,
    },
    magnitudes::{Edges, MIXED, Strength, signed},
};
use crate::drawn;

/// How many magnitudes there are.
const BINS: u32 = 10;
/// The most chains, and the most operations of one.
const MOST: u32 = 100;

/// Mixes an image with what several chains of operations make of it, by weights that are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AugMix {
    /// How many of the magnitudes are drawn from, from the weakest on: 1 to 10.
    pub severity: u32,
    /// How many chains.
    pub mixture_width: u32,
    /// How many operations each chain has; 1 to 3, drawn, where this is not positive.
    pub chain_depth: i32,
    /// The parameter of the distributions of weights.
    pub alpha: f64,
    /// Whether brightness, saturation, contrast and sharpness are among the operations.
    pub all_ops: bool,
    /// `Nearest` or `Bilinear`.
    pub interpolation: Interpolation,
    /// What lies outside the image; `None` is black.
    pub fill: Option<Vec<f32>>,
}

impl Operation for AugMix {
    fn check(&self) -> Result<(), String> {
        let Self { severity, mixture_width, chain_depth, alpha, interpolation, fill, .. } = self;
        if !(1..=BINS).contains(severity) {
            return Err(format!("severity = {severity} must lie between 1 and {BINS}"));
        }
        if !(1..=MOST).contains(mixture_width) {
            return Err(format!("mixture_width = {mixture_width} must lie between 1 and {MOST}"));
        }
        if i64::from(*chain_depth) > i64::from(MOST) {
            return Err(format!("chain_depth = {chain_depth} must be at most {MOST}"));
        }
        if !(*alpha > 0.0 && alpha.is_finite()) {
            return Err(format!("alpha = {alpha} must be positive and finite"));
        }
        check_warp(*interpolation, fill.as_deref())
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for AugMix {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        input.check_eight_bits()?;
        check_fill_of(self.fill.as_deref(), input.pixel)?;
        Ok(input)
    }

    /// Draws as torchvision does: how much of the image itself, what is left by chain, then chain by chain.
    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let (edges, mut draws) = (Edges::new(self.interpolation, self.fill.as_deref()), key.draws());
        let own = draws.symmetric_beta(self.alpha);
        let shares = draws.dirichlet(self.alpha, self.mixture_width as usize);
        let space = if self.all_ops { &MIXED[..] } else { &MIXED[..MIXED.len() - 4] };
        drawn::tell(|| [("own", own.into()), ("shares", shares.clone().into())]);
        let branches = shares.into_iter().enumerate().map(|(number, share)| {
            let mut made = Plan::default();
            made.begin(plan.size(), false);
            let depth = u32::try_from(self.chain_depth).ok().filter(|depth| *depth > 0);
            for _ in 0..depth.unwrap_or_else(|| 1 + draws.below(3) as u32) {
                let op = space[draws.below(space.len() as u64) as usize];
                let bin = if op.has_magnitude() { draws.below(self.severity.into()) as u32 } else { 0 };
                let magnitude = op.magnitude(Strength::Mixed, &made, bin, BINS);
                let signed = signed(op, magnitude, &mut draws);
                drawn::of("", op.name(), || {
                    drawn::tell(|| [("chain", number.into()), ("magnitude", signed.into())]);
                    op.add(&mut made, signed, edges);
                });
            }
            Branch { weight: share as f32 * (1.0 - own), plan: made }
        });
        let branches = branches.collect();
        plan.edit(Mixture { own, branches });
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Refuses
    }
}
