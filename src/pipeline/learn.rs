//! What functions give of which nobody has said so: seen from a few samples.

use std::sync::Arc;

use super::Pipeline;
use crate::{
    error::{Error, Failure, Result, SampleError},
    field::Recipe,
    function::{Functions, Learned},
    rng::Key,
    source::{Record, Source},
    transform::SlotRows,
};

/// How many samples are looked at: the first, the last and one between them.
const SAMPLES: u64 = 3;
/// How many samples may be bad before it is given up.
const MOST_BAD: usize = 16;

/// Completes a recipe by what functions give, where that is not declared. An axis varies where it does so among a few
/// samples, or where it comes from one that does.
///
/// # Errors
/// [`Config`](Error::Config) for a recipe that cannot work, and for functions that give arrays of several dtypes or
/// numbers of axes; [`Sample`](Error::Sample) where all samples that were tried are bad.
pub fn learn(source: &Arc<dyn Source>, recipe: Recipe, functions: &Arc<dyn Functions>, key: Key) -> Result<Recipe> {
    let Recipe { batch_transforms, .. } = recipe.clone();
    // What batches become cannot be checked before.
    let mut learning = Recipe { batch_transforms: Vec::new(), ..recipe };
    // Each round gets beyond one more call of each chain.
    while learning.has_unknown() {
        let pipeline = Pipeline::new(Arc::clone(source), &learning)?.with_functions(Arc::clone(functions));
        learning.learn(&pipeline.seen(key)?)?;
    }
    Ok(Recipe { batch_transforms, ..learning })
}

impl Pipeline {
    /// Returns what functions give for some samples of which that is not known.
    fn seen(&self, key: Key) -> Result<Vec<Learned>> {
        let len = self.source.len();
        let (mut seen, mut bad) = (Vec::new(), Vec::new());
        let mut tried = Vec::new();
        for index in [0, len - 1, len / 2].into_iter().chain(1..len) {
            if tried.contains(&index) {
                continue;
            }
            tried.push(index);
            match self.seen_of(Key { index, ..key }) {
                Ok(learned) => seen.push(learned),
                Err(failure) => bad.push(failure.of(index, self.source.key(index))),
            }
            if seen.len() as u64 == SAMPLES || bad.len() == MOST_BAD {
                break;
            }
        }
        match bad.into_iter().next() {
            Some(error) if seen.is_empty() => Err(Error::Sample(Box::<SampleError>::new(error))),
            Some(_) | None => Ok(seen.into_iter().flatten().collect()),
        }
    }

    fn seen_of(&self, key: Key) -> Result<Vec<Learned>, Failure> {
        let mut record = Record::default();
        self.reader().read(key, &mut record, self.sample_bytes)?;
        let mut rows: Vec<Vec<u8>> =
            self.fields().iter().map(|field| vec![0; field.row_bytes().unwrap_or_default()]).collect();
        let mut rows: Vec<&mut [u8]> = rows.iter_mut().map(Vec::as_mut_slice).collect();
        self.make(key, &record, &mut self.scratch(), &mut SlotRows(&mut rows), &mut super::Times::default())
    }
}

#[cfg(test)]
mod tests;
