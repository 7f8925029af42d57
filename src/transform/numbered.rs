//! Operations in the order in which a user lists them.

use xxhash_rust::xxh3::Xxh3;

use super::{op::Role, ops::Transform};
use crate::error::{Error, Result};

/// An operation in a list of them.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    /// Its number in the list of the field, or of the field that this one follows; in a composition, behind that one's.
    pub(crate) at: String,
    /// What its draws are keyed by, beside the sample.
    pub(crate) op: u64,
    /// Its name.
    pub(crate) name: &'static str,
    /// What it is applied to.
    pub(crate) role: Role,
}

impl Numbered {
    /// Returns the operations of a field's list, each checked by itself, and in the place of a composition those in it. They
    /// draw as those of the field `draws_of`.
    ///
    /// # Errors
    /// [`Config`](Error::Config) for an argument out of range.
    pub(crate) fn list(field: &str, draws_of: &str, transforms: &[Transform]) -> Result<Vec<Self>> {
        Self::list_for(field, draws_of, transforms, field)
    }

    /// Returns the same as they are for another field, which follows this one.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub(crate) fn list_for(field: &str, draws_of: &str, transforms: &[Transform], follower: &str) -> Result<Vec<Self>> {
        let refused = |at: &str, error| Error::Config(format!("field `{field}`: transform {at}: {error}"));
        let mut resolved = Vec::with_capacity(transforms.len());
        for (at, transform) in transforms.iter().enumerate() {
            resolved.push(transform.for_field(follower).map_err(|error| refused(&at.to_string(), error))?);
        }
        let mut numbered: Vec<Self> = Vec::new();
        for (at, transform) in Transform::flat(&resolved) {
            transform.validate().map_err(|error| refused(&at, error))?;
            let name = transform.name();
            let before = numbered.iter().filter(|other| other.name == name).count();
            numbered.push(Self { at, op: op(draws_of, name, before as u64), name, role: transform.role() });
        }
        Ok(numbered)
    }
}

/// Returns what the draws of a transform are keyed by, beside the sample: its field, its name, and how many of the same
/// name stand before it. So fields draw independently, and what is put between other transforms changes none of them.
fn op(field: &str, name: &str, before: u64) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&(field.len() as u64).to_le_bytes());
    hash.update(field.as_bytes());
    hash.update(name.as_bytes());
    hash.update(&before.to_le_bytes());
    hash.digest()
}
