//! `Grayscale` and `RandomGrayscale`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{
    args::check_probability,
    color::{Color, ToGray},
    op::{ImageShape, OnMask, OpKey, Operation, PixelOp, Role},
    plan::Plan,
};
use crate::{drawn, pixel::{Channels, PixelType}};

/// Converts to shades of grey, those of Pillow's mode "L"; alpha is dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Grayscale {
    /// 1, or 3 for three equal channels.
    #[serde(default = "one")]
    pub num_output_channels: u32,
}

const fn one() -> u32 {
    1
}

impl Operation for Grayscale {
    fn check(&self) -> Result<(), String> {
        match self.num_output_channels {
            1 | 3 => Ok(()),
            other => Err(format!("num_output_channels = {other} must be 1 or 3")),
        }
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl Grayscale {
    const fn channels(&self) -> Channels {
        if self.num_output_channels == 1 { Channels::Grey } else { Channels::Rgb }
    }
}

impl PixelOp for Grayscale {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        input.check_eight_bits()?;
        Ok(ImageShape { pixel: PixelType { channels: self.channels(), ..input.pixel }, ..input })
    }

    fn plan(&self, plan: &mut Plan, _key: OpKey) -> Result<(), String> {
        plan.edit(ToGray(self.channels()));
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Leaves
    }
}

/// Converts to shades of grey, those of Pillow's mode "L", with probability `p`; the number of channels stays, and alpha as
/// it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RandomGrayscale {
    /// The probability.
    #[serde(default = "default_p")]
    pub p: f64,
}

const fn default_p() -> f64 {
    0.1
}

impl Operation for RandomGrayscale {
    fn check(&self) -> Result<(), String> {
        check_probability(self.p)
    }

    fn role(&self) -> Role {
        Role::Pixels(Arc::new(self.clone()))
    }
}

impl PixelOp for RandomGrayscale {
    fn output(&self, input: ImageShape) -> Result<ImageShape, String> {
        input.check_eight_bits()?;
        Ok(input)
    }

    fn plan(&self, plan: &mut Plan, key: OpKey) -> Result<(), String> {
        let applied = key.draws().unit() < self.p;
        drawn::tell(|| [("applied", applied.into())]);
        if applied {
            plan.edit(Color::Gray);
        }
        Ok(())
    }

    fn on_mask(&self) -> OnMask {
        OnMask::Leaves
    }
}
