//! Fields of a sample: what kinds of them there are, and how each becomes a row of the batch.
//!
//! A kind says in a file of its own what a source gives for it, what its rows look like, which operations it takes,
//! and how a row is filled. What follows an image (a mask, boxes, keypoints) is filled by the image, and what goes with
//! boxes by the boxes, so that no order among fields has to be kept.

mod called;
mod checks;
mod compile;
mod decoded;
mod fill;
mod kind;
mod left_behind;
mod made;
mod mosaic;
mod recipe;
mod relations;
mod scratch;
mod tokens;
mod variants;

use std::fmt;

use serde::{Deserialize, Serialize};

use self::kind::FieldKind;
pub use self::{
    compile::Compiled,
    fill::{Sample, Times},
    kind::Payload,
    recipe::{Recipe, View},
    scratch::Scratch,
    variants::Variants,
};
use crate::{
    error::Result,
    spec::{DType, FieldSpec, Ragged},
};

/// Declares the files of kinds and makes [`Kind`] of what is in them.
macro_rules! kinds {
    ($($file:ident { $name:ident })+) => {
        $(mod $file;)+
        $(pub use self::$file::$name;)+

        /// What a field is.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Kind {
            $(#[doc = concat!("See [`struct@", stringify!($name), "`].")] $name($name),)+
        }

        /// Returns the names of all that may be counted while rows of any kind are filled.
        pub fn counters() -> Vec<&'static str> {
            [$($file::COUNTERS),+].concat()
        }

        impl Kind {
            const fn get(&self) -> &dyn FieldKind {
                match self {
                    $(Self::$name(kind) => kind,)+
                }
            }

            const fn get_mut(&mut self) -> &mut dyn FieldKind {
                match self {
                    $(Self::$name(kind) => kind,)+
                }
            }
        }

        $(impl From<$name> for Kind {
            fn from(kind: $name) -> Self {
                Self::$name(kind)
            }
        })+
    };
}

kinds! {
    image { Image }
    mask { Mask }
    segmentation { Segmentation }
    boxes { BoundingBoxes }
    key_points { KeyPoints }
    tensor { Tensor }
    list { List }
    varying { Varying }
    label { Label }
    text { Text }
    bytes { Bytes }
    audio { Audio }
    object { Object }
}

/// A field as a source has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(flatten)]
    pub kind: Kind,
}

impl Field {
    /// Returns the field of this name and kind.
    pub fn new(name: impl Into<String>, kind: impl Into<Kind>) -> Self {
        Self { name: name.into(), kind: kind.into() }
    }

    /// Returns what a source gives for a sample of the field.
    ///
    /// # Errors
    /// [`Config`](crate::Error::Config) for rows that are larger than memory, or entries of no size.
    pub fn payload(&self) -> Result<Payload> {
        self.kind.get().payload(&self.name)
    }

    /// Returns the field of the image whose geometry this one follows.
    pub fn image(&self) -> Option<&str> {
        self.kind.get().image()
    }

    /// Makes room in rows for so many bytes, where samples vary in length.
    pub fn make_room(&mut self, longest: usize) {
        self.kind.get_mut().make_room(longest);
    }

    /// Returns the field that this one and another are where they differ in nothing but how long samples are: it has room
    /// for those of either. A label is a number as any other.
    pub fn with(&self, other: &Self) -> Option<Self> {
        let (mut one, mut other) = (self.clone(), other.clone());
        if let (Some(room), Some(more)) = (one.kind.get_mut().capacity_mut(), other.kind.get_mut().capacity_mut()) {
            *room = (*room).max(*more);
            *more = *room;
        }
        if one == other {
            return Some(one);
        }
        let number = |field: Self| {
            let is_label = matches!(field.kind, Kind::Label(_));
            let tensor = || Tensor { dtype: DType::Int64, shape: Vec::new() };
            if is_label { Self::new(field.name, tensor()) } else { field }
        };
        let one = number(one);
        (one == number(other)).then_some(one)
    }
}

impl From<FieldSpec> for Field {
    /// Returns the field whose rows look so and are copied: a tensor, or a list where it is ragged.
    fn from(spec: FieldSpec) -> Self {
        let FieldSpec { name, dtype, shape, ragged } = spec;
        match ragged {
            None => Self::new(name, Tensor { dtype, shape }),
            Some(Ragged { capacity, .. }) => Self::new(name, List { dtype, shape, capacity }),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind.get().describe(&self.name))
    }
}
