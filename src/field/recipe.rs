//! What is asked of the fields of a source.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    function::{ArraySpec, Learned},
    transform::{BatchTransform, Transform, ops::Call},
};

/// What is asked of the fields of a source, by their names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// The transforms of each field that has any. An empty list says that a field is to stay as it is.
    pub transforms: BTreeMap<String, Vec<Transform>>,
    /// Where batches have one of several variants, the transforms that each of them has beside those.
    pub variants: Vec<BTreeMap<String, Vec<Transform>>>,
    /// Fields that are made of others, with transforms of their own.
    pub views: Vec<View>,
    /// The transforms of whole batches.
    pub batch_transforms: Vec<BatchTransform>,
    /// For ragged fields, the positions that a row has room for: entries of a list, pixels of an image. Without it, a
    /// list has room for the source's longest one.
    pub capacity: BTreeMap<String, usize>,
    /// For fields whose transforms draw as those of another field, that field.
    pub draws: BTreeMap<String, String>,
    /// Whether rows are arrays that somebody gets one by one, each as large as it is: then no field needs a capacity.
    #[serde(skip)]
    pub unbounded: bool,
}

/// A field that is made of another one, with transforms and draws of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Its name, which no field of the source has. Its transforms stand under it.
    pub name: String,
    /// The field of the source that it is made of.
    pub of: String,
    /// Of what follows an image, the field whose geometry it follows.
    #[serde(default)]
    pub image: Option<String>,
}

impl Recipe {
    /// Returns what is asked of fields in batches of each variant.
    pub fn each_variant(&self) -> Vec<Self> {
        if self.variants.is_empty() {
            return vec![self.clone()];
        }
        let of = |own: &BTreeMap<String, Vec<Transform>>| {
            let mut variant = Self { variants: Vec::new(), ..self.clone() };
            variant.transforms.extend(own.clone());
            variant
        };
        self.variants.iter().map(of).collect()
    }

    /// Returns the recipe with what became of [each variant](Self::each_variant).
    #[must_use]
    pub fn with_variants(mut self, mut variants: Vec<Self>) -> Self {
        if self.variants.is_empty() {
            return variants.pop().unwrap_or(self);
        }
        for (own, variant) in self.variants.iter_mut().zip(variants) {
            for (field, transforms) in variant.transforms {
                let known = if own.contains_key(&field) { &mut *own } else { &mut self.transforms };
                known.insert(field, transforms);
            }
        }
        self
    }

    /// Tells whether a field is changed in batches of some variant.
    pub fn changes(&self, field: &str) -> bool {
        let mut all = [&self.transforms].into_iter().chain(&self.variants);
        all.any(|transforms| transforms.get(field).is_some_and(|list| !list.is_empty()))
    }

    /// Tells whether a function is called of which it is not known what it gives.
    pub fn has_unknown(&self) -> bool {
        self.all_calls().any(|call| call.result().is_none())
    }

    /// Tells whether functions are called.
    pub fn calls(&self) -> bool {
        let is_call = |transform: &BatchTransform| matches!(transform, BatchTransform::Call(_));
        self.all_calls().next().is_some() || self.batch_transforms.iter().any(is_call)
    }

    fn all_calls(&self) -> impl Iterator<Item = &Call> {
        let lists = [&self.transforms].into_iter().chain(&self.variants).flat_map(BTreeMap::values);
        let all = lists.flat_map(|transforms| Transform::flat(transforms));
        all.filter_map(|(_, transform)| transform.call())
    }

    /// Takes what functions were seen to give for what was not declared.
    ///
    /// # Errors
    /// [`Config`](Error::Config) where a function gave arrays of several dtypes, or numbers of axes.
    pub fn learn(&mut self, seen: &[Learned]) -> Result<()> {
        for (field, transforms) in &mut self.transforms {
            for (at, call) in Transform::calls_mut(transforms) {
                let of_it = seen.iter().filter(|learned| learned.field == *field && learned.at == at);
                let mut found: Option<ArraySpec> = None;
                for Learned { result, .. } in of_it {
                    let spec = found.get_or_insert_with(|| result.clone());
                    if spec.dtype != result.dtype || spec.shape.len() != result.shape.len() {
                        return Err(Error::Config(format!(
                            "field `{field}`: transform {at}: `{}` gives {spec} for one sample, and {result} for \
                             another: a field has one dtype and one number of axes",
                            call.name
                        )));
                    }
                    for (extent, other) in spec.shape.iter_mut().zip(&result.shape) {
                        *extent = extent.filter(|_| extent == other);
                    }
                }
                if let Some(found) = found {
                    call.learn(&found);
                }
            }
        }
        Ok(())
    }
}
