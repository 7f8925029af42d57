//! What functions give of which nobody has said so: seen from a few samples.

use std::sync::Arc;

use crate::{
    error::{Error, Failure, Result, SampleError},
    field::Recipe,
    function::{Functions, Learned},
    pipeline::{Pipeline, Times},
    rng::Key,
    source::{Record, Source},
    spec::FieldSpec,
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
    let each = recipe.each_variant().into_iter();
    let learned = each.map(|variant| learn_variant(source, variant, functions, key)).collect::<Result<_>>()?;
    Ok(recipe.with_variants(learned))
}

fn learn_variant(source: &Arc<dyn Source>, recipe: Recipe, functions: &Arc<dyn Functions>, key: Key) -> Result<Recipe> {
    let Recipe { batch_transforms, .. } = recipe.clone();
    // What batches become cannot be checked before.
    let mut learning = Recipe { batch_transforms: Vec::new(), ..recipe };
    // Each round gets beyond one more call of each chain.
    while learning.has_unknown() {
        let pipeline = Pipeline::new(Arc::clone(source), &learning)?.with_functions(Arc::clone(functions));
        learning.learn(&seen(&pipeline, key)?)?;
    }
    Ok(Recipe { batch_transforms, ..learning })
}

/// Returns what functions give for some samples of which that is not known.
fn seen(pipeline: &Pipeline, key: Key) -> Result<Vec<Learned>> {
    let len = pipeline.source().len();
    let (mut seen, mut bad, mut tried) = (Vec::new(), Vec::new(), Vec::new());
    // Of a stream only the beginning is there.
    let spread = if pipeline.source().is_stream() { vec![0] } else { vec![0, len - 1, len / 2] };
    for index in spread.into_iter().chain(1..len) {
        if tried.contains(&index) {
            continue;
        }
        tried.push(index);
        match seen_of(pipeline, Key { index, ..key }) {
            Ok(learned) => seen.push(learned),
            Err(failure) => bad.push(failure.of(index, pipeline.source().key(index))),
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

fn seen_of(pipeline: &Pipeline, key: Key) -> Result<Vec<Learned>, Failure> {
    let mut record = Record::default();
    let mut reader = pipeline.reader();
    reader.begin();
    let learned = reader.read(key, &mut record, pipeline.sample_bytes()).and_then(|()| made(pipeline, key, &record));
    reader.end();
    learned
}

fn made(pipeline: &Pipeline, key: Key, record: &Record) -> Result<Vec<Learned>, Failure> {
    let bytes = |field: &FieldSpec| vec![0; field.row_bytes().unwrap_or_default()];
    let mut rows: Vec<Vec<u8>> = pipeline.fields().iter().map(bytes).collect();
    let mut rows: Vec<&mut [u8]> = rows.iter_mut().map(Vec::as_mut_slice).collect();
    pipeline.make((0, key), record, &mut pipeline.scratch(), &mut SlotRows(&mut rows), &mut Times::default())
}

#[cfg(test)]
mod tests;
