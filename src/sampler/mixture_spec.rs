//! Mixtures as data: what the weights of parts may be, and from which epoch on.

use super::{
    mixture::{Stage, Turns},
    order_spec::{OrderKind, OrderSpec, positive},
    weights,
};
use crate::error::{Error, Result};

/// The most parts of a mixture.
const MOST_PARTS: usize = 256;

impl OrderSpec {
    /// Mixes parts of a source, which lie one after the other and are so long, by weight, over `num_samples` positions; by
    /// default as many as the source has samples.
    ///
    /// # Errors
    /// [`Error::Config`] where there are no parts or more than 256, not a weight for each, one that is not above 0, or an
    /// empty part.
    pub fn mixture(weights: &[f64], lengths: &[u64], num_samples: Option<u64>) -> Result<(Self, Vec<u8>)> {
        Self::scheduled_mixture(&[(0, weights.to_vec())], lengths, num_samples)
    }

    /// The same with weights that hold from an epoch on, until the next ones do: those of epoch 0 come first. Where there are
    /// several, a weight may be 0.
    ///
    /// # Errors
    /// As above, but for weights of 0; and where the first ones are not of epoch 0, epochs do not rise, all weights of an epoch
    /// are 0, or all of a part.
    pub fn scheduled_mixture(
        stages: &[(u64, Vec<f64>)],
        lengths: &[u64],
        num_samples: Option<u64>,
    ) -> Result<(Self, Vec<u8>)> {
        let samples = check(stages, lengths)?;
        let num_samples = positive("Mixture", num_samples)?.unwrap_or(samples);
        let [(_, weights), rest @ ..] = stages else { return Err(Error::config("Mixture: weights are missing")) };
        let Turns { mut table, counts } = Turns::new(weights, num_samples);
        let kind = |later| OrderKind::Mixture { lengths: lengths.into(), counts: counts.clone(), later };
        let (mut spec, mut later) = (Self::new(kind(Vec::new()), &table), Vec::new());
        for (epoch, weights) in rest {
            let turns = Turns::new(weights, num_samples);
            table.extend(turns.table);
            later.push(Stage { epoch: *epoch, counts: turns.counts });
            spec = Self::new(kind(later.clone()), &table).after(*epoch, spec);
        }
        Ok((spec, table))
    }

    /// Returns how many bytes the table of a mixture has, of so many parts and positions, and weights of so many epochs.
    pub fn mixture_bytes(parts: usize, num_samples: u64, stages: usize) -> u64 {
        Turns::bytes(parts, num_samples).saturating_mul(stages as u64)
    }
}

/// Checks weights and lengths, and returns how many samples there are.
fn check(stages: &[(u64, Vec<f64>)], lengths: &[u64]) -> Result<u64> {
    let parts = lengths.len();
    if parts == 0 || parts > MOST_PARTS {
        return Err(Error::Config(format!("Mixture: weights must be 1 to {MOST_PARTS}, not {parts}")));
    }
    if stages.first().is_none_or(|(epoch, _)| *epoch != 0) || stages.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
        return Err(Error::config("Mixture: weights must begin with those of epoch 0, and their epochs must rise"));
    }
    for (epoch, weights) in stages {
        if weights.len() != parts {
            let given = weights.len();
            return Err(Error::Config(format!(
                "Mixture: weights must be one for each part of the source, {parts}, not {given}"
            )));
        }
        if stages.len() == 1 {
            let meaning = "more than 0: leave a part out that is not to come";
            weights::check("Mixture: weights", weights, |weight| weight > 0.0, meaning)?;
        } else {
            weights::check_drawn(&format!("Mixture: weights of epoch {epoch}"), weights)?;
        }
    }
    if let Some(part) = (0..parts).find(|part| stages.iter().all(|(_, weights)| weights[*part] == 0.0)) {
        return Err(Error::Config(format!(
            "Mixture: weights[{part}] must be above 0 in some epoch: leave a part out that is not to come"
        )));
    }
    if let Some(at) = lengths.iter().position(|length| *length == 0) {
        return Err(Error::Config(format!("Mixture: lengths[{at}] must be 1 or more, not 0")));
    }
    let samples = lengths.iter().try_fold(0_u64, |sum, length| sum.checked_add(*length));
    samples.ok_or_else(|| Error::config("Mixture: lengths are too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(stages: &[(u64, Vec<f64>)]) -> String {
        OrderSpec::scheduled_mixture(stages, &[3, 4], None).unwrap_err().to_string()
    }

    #[test]
    fn stages_are_named_where_they_cannot_be() {
        assert!(refused(&[]).contains("begin with those of epoch 0"));
        assert!(refused(&[(1, vec![1.0, 1.0])]).contains("begin with those of epoch 0"));
        let twice = [(0, vec![1.0, 1.0]), (2, vec![1.0, 2.0]), (2, vec![1.0, 3.0])];
        assert!(refused(&twice).contains("epochs must rise"));
        assert!(refused(&[(0, vec![1.0, 1.0]), (2, vec![1.0])]).contains("one for each part of the source, 2, not 1"));
        assert!(
            refused(&[(0, vec![1.0, 1.0]), (2, vec![0.0; 2])]).contains("weights of epoch 2 must have one above 0")
        );
        assert!(refused(&[(0, vec![1.0, 0.0]), (2, vec![2.0, 0.0])]).contains("weights[1] must be above 0 in some"));
        assert!(refused(&[(0, vec![1.0, 0.0])]).contains("weights[1] must be a finite number, more than 0"));
    }

    #[test]
    fn a_digest_is_of_the_epochs_that_have_been() {
        let of = |stages: &[(u64, Vec<f64>)]| OrderSpec::scheduled_mixture(stages, &[3, 4], None).unwrap().0;
        let [one, two, three] = [vec![1.0, 2.0], vec![2.0, 1.0], vec![0.0, 1.0]];
        let constant = of(&[(0, one.clone())]);
        let changed = of(&[(0, one.clone()), (3, two.clone())]);
        let again = of(&[(0, one.clone()), (3, two.clone()), (5, three.clone())]);
        let other = of(&[(0, one), (3, three), (5, two)]);
        let digests = |spec: &OrderSpec| [0, 2, 3, 4, 5, 9].map(|epoch| spec.digest(epoch));
        assert_eq!(digests(&constant), [constant.digest(0); 6]);
        assert_eq!(digests(&changed)[..2], digests(&constant)[..2]);
        assert_eq!((digests(&changed)[2] == constant.digest(3), digests(&changed)[2]), (false, changed.digest(9)));
        assert_eq!(digests(&again)[..4], digests(&changed)[..4]);
        assert_ne!(again.digest(5), changed.digest(5));
        assert_eq!(digests(&other)[..2], digests(&again)[..2]);
        assert!(digests(&other)[2..].iter().zip(&digests(&again)[2..]).all(|(one, other)| one != other));
    }
}
