//! Functions of somebody else, such as those of a Python program, and the arrays that they get and give.
//!
//! A chain calls them between its own operations. It knows them by their numbers alone: what they are, how they are
//! called and where their arrays lie is up to whoever implements [`Functions`].

use std::{any::Any, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Failure, Result},
    rng::Key,
    spec::{DType, FieldSpec, Ragged},
};

/// The functions of a pipeline.
pub trait Functions: fmt::Debug + Send + Sync {
    /// Begins a worker's process, before its first sample; `seat` is its number.
    ///
    /// # Errors
    /// [`Raised`](Error::Raised) where code of the user refuses.
    fn enter(&self, seat: u32) -> Result<()>;

    /// Returns the signal at which a worker reports what a function is doing.
    fn stack_signal(&self) -> Option<i32>;

    /// Begins a run of samples, which [ends](Self::leave_run) on the same thread.
    fn enter_run(&self);

    /// Ends a run of samples.
    fn leave_run(&self);

    /// Notes that a sample begins. What functions draw until the next one begins is to depend on this key alone.
    fn begin(&self, key: Key);

    /// Returns an array of arbitrary content.
    ///
    /// # Errors
    /// The reason why there can be none.
    fn array(&self, dtype: DType, shape: &[usize]) -> Result<Box<dyn Array>, String>;

    /// Calls a function with an array that [`array`](Self::array) or another call gave.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage, where the function fails or gives no array.
    fn call(&self, call: Invocation, argument: Box<dyn Array>) -> Result<Box<dyn Array>, Failure>;

    /// Calls a function with the rows of a whole batch, which it changes in place. What it draws is to depend on the key
    /// alone, whose index is the position of the first row in the epoch's order.
    ///
    /// # Errors
    /// A [`Failure`] of the transform stage, where the function fails, or keeps a part of the batch.
    fn finish(&self, function: u32, key: Key, rows: usize, fields: &mut [BatchField<'_>]) -> Result<(), Failure>;
}

/// The rows of one field of a batch.
#[derive(Debug)]
pub struct BatchField<'a> {
    /// What each of them looks like.
    pub spec: &'a FieldSpec,
    /// The bytes of all of them.
    pub bytes: &'a mut [u8],
}

/// What is called, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The number of the function.
    pub function: u32,
    /// Which axis of the array counts channels, where it is an image that has such an axis. The result has the same.
    pub channel_axis: Option<usize>,
}

/// Values in C order, of a function or for one.
pub trait Array: fmt::Debug {
    /// Returns the type of the values.
    fn dtype(&self) -> DType;

    /// Returns the extent of each axis.
    fn shape(&self) -> &[usize];

    /// Returns the bytes of all values.
    fn bytes(&self) -> &[u8];

    /// Returns the bytes of all values, to be written.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Returns the array as what it is to whoever made it.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// What is known of the arrays that a function gets or gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArraySpec {
    /// The type of their values.
    pub dtype: DType,
    /// The extent of each axis, none where it varies.
    pub shape: Vec<Option<usize>>,
}

impl ArraySpec {
    /// Returns what is known of arrays of one shape.
    pub fn fixed(dtype: DType, shape: &[usize]) -> Self {
        Self { dtype, shape: shape.iter().copied().map(Some).collect() }
    }

    /// Tells whether an array is as it should be.
    pub fn admits(&self, array: &dyn Array) -> bool {
        let same = |(extent, found): (&Option<usize>, &usize)| extent.is_none_or(|extent| extent == *found);
        self.dtype == array.dtype()
            && self.shape.len() == array.shape().len()
            && self.shape.iter().zip(array.shape()).all(same)
    }

    /// Returns what the rows of a field look like that hold such arrays.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for arrays of one shape with a capacity, arrays that vary without one, and those that
    /// vary in an axis behind one that does not.
    pub fn rows(&self, field: &str, capacity: Option<usize>) -> Result<FieldSpec> {
        let axes = self.shape.iter().take_while(|extent| extent.is_none()).count();
        let fixed: Option<Vec<usize>> = self.shape[axes..].iter().copied().collect();
        let what = match (fixed, capacity) {
            (Some(shape), None) if axes == 0 => {
                let spec = FieldSpec::new(field, self.dtype, shape);
                spec.row_bytes()?;
                return Ok(spec);
            }
            (Some(_), Some(_)) if axes == 0 => "has a fixed shape and takes no capacity".to_owned(),
            (Some(shape), Some(capacity)) if axes <= 3 => {
                let ragged = Some(Ragged { axes, capacity });
                let spec = FieldSpec { ragged, ..FieldSpec::new(field, self.dtype, shape) };
                spec.row_bytes()?;
                return Ok(spec);
            }
            (Some(_), None) if axes <= 3 => {
                format!("is {self}: give capacity[{field:?}], the positions along the axes that vary")
            }
            (Some(_) | None, _) => format!("is {self}: at most the first three axes may vary, and none behind others"),
        };
        Err(Error::Config(format!("field `{field}` {what}")))
    }
}

impl fmt::Display for ArraySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape: Vec<String> = self
            .shape
            .iter()
            .map(|extent| extent.map_or_else(|| "?".to_owned(), |extent| extent.to_string()))
            .collect();
        write!(f, "{} of shape [{}]", self.dtype, shape.join(", "))
    }
}

/// What a function was seen to give of which it was not said what that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The field.
    pub field: String,
    /// The number of the transform in the field's list; `2.0` is the first of a composition that stands there as 2.
    pub at: String,
    /// What the function gave; an axis varies where it is as long as one of its argument that does.
    pub result: ArraySpec,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(shape: &[Option<usize>]) -> ArraySpec {
        ArraySpec { dtype: DType::UInt8, shape: shape.to_vec() }
    }

    #[test]
    fn rows_vary_in_their_first_axes_alone() {
        let rows = |shape, capacity| spec(shape).rows("x", capacity).map_err(|error| error.to_string());
        assert_eq!(rows(&[Some(2), Some(3)], None).unwrap(), FieldSpec::new("x", DType::UInt8, [2, 3]));
        let ragged = rows(&[None, None, Some(3)], Some(9)).unwrap();
        assert_eq!((ragged.ragged, &ragged.shape[..]), (Some(Ragged { axes: 2, capacity: 9 }), &[3][..]));
        for (shape, capacity, what) in [
            (&[Some(2)][..], Some(3), "takes no capacity"),
            (&[None][..], None, r#"uint8 of shape [?]: give capacity["x"]"#),
            (&[Some(2), None][..], Some(3), "[2, ?]: at most the first three axes may vary"),
            (&[None; 4][..], Some(3), "at most the first three"),
            (&[Some(usize::MAX), Some(2)][..], None, "too large"),
        ] {
            let message = rows(shape, capacity).unwrap_err();
            assert!(message.contains(what), "{message}");
        }
    }
}
