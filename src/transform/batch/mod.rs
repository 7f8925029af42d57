//! What is done to a whole batch when all its rows are written, under torchvision's names.
//!
//! Whoever writes a label's row writes it as probabilities already ([`OneHot`]), so a label that is none fails as a
//! sample does. What is left for the batch as a whole cannot fail, but for functions that are called. Its choices are drawn once a batch, by seed, epoch and
//! the batch's place in the epoch's order.

mod chain;
mod label;
mod mix;

use serde::{Deserialize, Serialize};

pub use self::{
    chain::{BatchChain, BatchRows},
    label::OneHot,
};
use super::args::check_weights;
use crate::error::{Error, Result};

/// A transform of a whole batch, with torchvision's meaning.
///
/// Both mixes mix every sample with the one in the row before it, the first with the last, so shuffle. The label becomes
/// `float32` of shape (`num_classes`,).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op")]
#[non_exhaustive]
pub enum BatchTransform {
    /// Adds the two images and the two labels up, weighted by `lam` and `1 - lam`, with `lam` from Beta(alpha, alpha).
    ///
    /// Computed in `f32` and rounded once, to the dtype of the field. Any shape will do.
    MixUp(Mixing),
    /// Pastes a box of the one image into the other; the labels are weighted by area.
    ///
    /// Takes images of shape (H, W), (H, W, C) or (C, H, W) with 1 to 4 channels.
    CutMix(Mixing),
    /// Applies one of several, drawn for each batch.
    RandomChoice {
        /// What to choose from.
        transforms: Vec<Self>,
        /// Their probabilities, up to a common factor. Default: all are equally likely.
        #[serde(default)]
        p: Option<Vec<f64>>,
    },
    /// Calls a function that is none of this crate's, which changes the rows in place.
    Call(BatchCall),
}

/// The arguments of a call with a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchCall {
    /// The number of the function among those of the loader.
    pub function: u32,
    /// What the function is called in errors.
    pub name: String,
}

/// The arguments of a mix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Mixing {
    /// The parameter of the beta distribution. Default: 1, a uniform one.
    #[serde(default = "default_alpha")]
    pub alpha: f64,
    /// The number of classes; may be left out where labels are probabilities already.
    #[serde(default)]
    pub num_classes: Option<u32>,
    /// The field with the images. Default: "image".
    #[serde(default = "default_image")]
    pub image: String,
    /// The field with the labels; none where masks say what is where. Default: "label".
    #[serde(default = "default_label")]
    pub label: Option<String>,
    /// Fields with masks of the images, which are mixed as these. Default: none.
    #[serde(default)]
    pub masks: Vec<String>,
    /// The probability that a batch is mixed. Default: 1.
    #[serde(default = "default_p")]
    pub p: f64,
}

const fn default_p() -> f64 {
    1.0
}

const fn default_alpha() -> f64 {
    1.0
}

fn default_image() -> String {
    "image".into()
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional argument")]
fn default_label() -> Option<String> {
    Some("label".into())
}

impl Mixing {
    /// Returns the default arguments for labels below `num_classes`.
    pub fn new(num_classes: u32) -> Self {
        let num_classes = Some(num_classes);
        let (image, label) = (default_image(), default_label());
        Self { alpha: default_alpha(), num_classes, image, label, masks: Vec::new(), p: default_p() }
    }

    /// Sets the parameter of the beta distribution.
    #[must_use]
    pub const fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets the field with the images.
    #[must_use]
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.image = image.into();
        self
    }

    /// Sets the field with the labels.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    fn check(&self) -> Result<(), String> {
        if !(self.alpha > 0.0 && self.alpha.is_finite()) {
            return Err(format!("alpha = {} must be positive and finite", self.alpha));
        }
        if self.num_classes == Some(0) {
            return Err("num_classes must be at least 1, not 0".into());
        }
        if self.label.as_ref() == Some(&self.image) {
            return Err(format!("image and label are the same field, `{}`", self.image));
        }
        let others = || [&self.image].into_iter().chain(&self.label);
        if let Some(mask) = self.masks.iter().find(|mask| others().any(|other| other == *mask)) {
            return Err(format!("masks must be fields of their own, and `{mask}` is the image or the label"));
        }
        if self.label.is_none() && self.masks.is_empty() {
            return Err("label is None, and there are no masks: nothing would say what has been mixed".into());
        }
        if self.label.is_none() && self.num_classes.is_some() {
            return Err("num_classes goes with a label, and label is None".into());
        }
        super::args::check_probability(self.p)
    }
}

impl BatchTransform {
    /// Returns a [`MixUp`](Self::MixUp) with its defaults, for labels below `num_classes`.
    pub fn mix_up(num_classes: u32) -> Self {
        Self::MixUp(Mixing::new(num_classes))
    }

    /// Returns a [`CutMix`](Self::CutMix) with its defaults, for labels below `num_classes`.
    pub fn cut_mix(num_classes: u32) -> Self {
        Self::CutMix(Mixing::new(num_classes))
    }

    /// Returns a [`RandomChoice`](Self::RandomChoice) of these, all equally likely.
    pub fn random_choice(transforms: impl Into<Vec<Self>>) -> Self {
        Self::RandomChoice { transforms: transforms.into(), p: None }
    }

    /// Returns the transform's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::MixUp(_) => "MixUp",
            Self::CutMix(_) => "CutMix",
            Self::RandomChoice { .. } => "RandomChoice",
            Self::Call(_) => "Call",
        }
    }

    /// Checks the arguments, as far as they can be checked without knowing what they are applied to.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for an argument outside its range.
    pub fn validate(&self) -> Result<()> {
        self.check().map_err(|what| Error::Config(format!("{}: {what}", self.name())))
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::MixUp(mixing) | Self::CutMix(mixing) => mixing.check(),
            Self::Call(_) => Ok(()),
            Self::RandomChoice { transforms, .. } if transforms.is_empty() => {
                Err("transforms must be at least one: there is nothing to choose from".into())
            }
            Self::RandomChoice { transforms, p } => {
                for inner in transforms {
                    inner.check().map_err(|what| format!("{}: {what}", inner.name()))?;
                }
                p.as_deref().map_or(Ok(()), |p| check_weights(p, transforms.len()))
            }
        }
    }
}
