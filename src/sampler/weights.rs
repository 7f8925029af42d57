//! What weights may be.

use crate::error::{Error, Result};

/// Checks that each weight is finite and allowed; `meaning` says what is.
pub(super) fn check(name: &str, weights: &[f64], allowed: fn(f64) -> bool, meaning: &str) -> Result<()> {
    match weights.iter().position(|weight| !weight.is_finite() || !allowed(*weight)) {
        None => Ok(()),
        Some(at) => Err(Error::Config(format!("{name}[{at}] must be a finite number, {meaning}, not {}", weights[at]))),
    }
}

/// Checks that samples can be drawn by these weights: none is negative, and one is above 0.
pub(super) fn check_drawn(name: &str, weights: &[f64]) -> Result<()> {
    check(name, weights, |weight| weight >= 0.0, "0 or more")?;
    if weights.iter().all(|weight| *weight == 0.0) {
        let what = if weights.is_empty() { "there is none" } else { "all are 0" };
        return Err(Error::Config(format!("{name} must have one above 0, and {what}")));
    }
    Ok(())
}
