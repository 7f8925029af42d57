//! Calls of functions that are none of this crate's.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{failure::failure, row::Rows};
use crate::{
    budget::Budget,
    error::Failure,
    function::{Array, ArraySpec, Functions, Invocation, Learned},
    rng::Key,
    spec::{DType, FieldSpec},
};

/// Calls a function that is none of this crate's with an array of what came before, and goes on with the one that it
/// gives. It stands anywhere among other transforms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The number of the function among those of the loader.
    pub function: u32,
    /// What the function is called in errors.
    pub name: String,
    /// The dtype of what it gives; learned from samples where it is not declared.
    #[serde(default)]
    pub dtype: Option<DType>,
    /// The shape of what it gives, none for axes that vary; learned likewise.
    #[serde(default)]
    pub shape: Option<Vec<Option<usize>>>,
    /// Whether any of both was learned.
    #[serde(default)]
    pub learned: bool,
    /// Whether it may move the pixels of an image. What follows the image cannot know where to.
    #[serde(default = "moves_pixels")]
    pub moves_pixels: bool,
}

const fn moves_pixels() -> bool {
    true
}

impl Call {
    /// Returns what the function gives, where that is known.
    pub fn result(&self) -> Option<ArraySpec> {
        Some(ArraySpec { dtype: self.dtype?, shape: self.shape.clone()? })
    }

    /// Takes what was learned for what was not declared.
    pub(crate) fn learn(&mut self, found: &ArraySpec) {
        self.learned = true;
        self.dtype.get_or_insert(found.dtype);
        self.shape.get_or_insert_with(|| found.shape.clone());
    }
}

/// What a row is made with: where it goes, and who is called meanwhile.
pub(crate) struct Target<'a> {
    /// Whose sample it is.
    pub(crate) key: Key,
    /// The rows of the sample.
    pub(crate) rows: &'a mut dyn Rows,
    /// The field's number among them.
    pub(crate) at: usize,
    /// The functions, where there are any.
    pub(crate) functions: Option<&'a dyn Functions>,
    /// What is left of the sample's budget.
    pub(crate) budget: &'a mut Budget,
    /// What functions were seen to give of which that was not known.
    pub(crate) learned: &'a mut Vec<Learned>,
}

impl<'a> Target<'a> {
    /// Returns the place for the row's values, of this shape.
    pub(super) fn begin(&mut self, spec: &FieldSpec, shape: &[usize]) -> Result<&mut [u8], Failure> {
        self.rows.begin(self.at, spec, shape)
    }

    /// Returns an array for a function.
    pub(crate) fn array(&mut self, dtype: DType, shape: &[usize]) -> Result<Box<dyn Array>, Failure> {
        let functions = self.functions()?;
        let bytes = shape.iter().try_fold(dtype.size() as u64, |bytes, &extent| bytes.checked_mul(extent as u64));
        self.budget.take(bytes.unwrap_or(u64::MAX), "the array of a function").map_err(failure)?;
        functions.array(dtype, shape).map_err(failure)
    }

    pub(super) fn call(&self, call: Invocation, argument: Box<dyn Array>) -> Result<Box<dyn Array>, Failure> {
        self.functions()?.call(call, argument)
    }

    fn functions(&self) -> Result<&'a dyn Functions, Failure> {
        self.functions.ok_or_else(|| failure("there are no functions to be called here".to_owned()))
    }
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("at", &self.at).field("budget", &self.budget).finish_non_exhaustive()
    }
}
