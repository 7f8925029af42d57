//! Arrays of the trainer, put where workers can see them.

#![expect(unsafe_code, reason = "copies the caller's arrays into memory that nobody else has yet")]

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    source::{ArrayField, SourceSpec},
    spec::FieldSpec,
    sys::{limits, memory::SharedMemory},
};

const ALIGN: usize = 64;

/// Arrays in shared memory: a source whose samples are the rows.
///
/// The workers belong to a process that was started clean, so they cannot see the trainer's own arrays; they are
/// copied once, here, and may be dropped afterwards. Loaders over the same value share the copy.
#[derive(Clone, Debug)]
pub struct SharedArrays {
    len: u64,
    fields: Vec<ArrayField>,
    memory: Arc<SharedMemory>,
}

impl SharedArrays {
    /// Copies arrays of `len` rows each, given with the spec of one row and as C-contiguous bytes.
    ///
    /// # Errors
    /// [`Error::Config`] for no arrays, no rows, a name given twice, or bytes of another size than the spec says;
    /// [`Error::Memory`] where the copy does not fit under a limit of this process.
    pub fn copy(len: u64, arrays: &[(FieldSpec, &[u8])]) -> Result<Self> {
        if arrays.is_empty() || len == 0 {
            return Err(Error::config("arrays need at least one field and one row"));
        }
        let mut fields: Vec<ArrayField> = Vec::with_capacity(arrays.len());
        let mut end = 0_usize;
        for (spec, bytes) in arrays {
            let rows = usize::try_from(len).ok().and_then(|len| spec.row_bytes().ok()?.checked_mul(len));
            if rows != Some(bytes.len()) {
                let (name, got) = (&spec.name, bytes.len());
                return Err(Error::Config(format!(
                    "array `{name}` of {len} rows has {got} bytes, which do not fit {spec}"
                )));
            }
            if fields.iter().any(|field| field.spec.name == spec.name) {
                return Err(Error::Config(format!("array `{}` is given twice", spec.name)));
            }
            fields.push(ArrayField { spec: spec.clone(), offset: end });
            end = (end + bytes.len()).next_multiple_of(ALIGN);
        }
        limits::check_memory(end as u64, "the shared copy of the arrays")?;
        let memory = SharedMemory::create("stokehold-arrays", end.max(1))?;
        for (field, (_, bytes)) in fields.iter().zip(arrays) {
            // SAFETY: the memory was made just now for end bytes, nobody else has it, and the field's bytes lie in it.
            unsafe {
                let start = memory.as_mut_ptr().add(field.offset);
                start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            }
        }
        Ok(Self { len, fields, memory: Arc::new(memory) })
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.len
    }

    /// Returns the source as data.
    pub fn spec(&self) -> SourceSpec {
        SourceSpec::Arrays { len: self.len, fields: self.fields.clone() }
    }

    pub(super) fn memory(&self) -> &Arc<SharedMemory> {
        &self.memory
    }
}

/// The bytes as a source in this process wants them.
pub(super) struct View(pub(super) Arc<SharedMemory>);

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: SharedArrays writes the memory only before anybody else can see it.
        unsafe { self.0.as_slice() }
    }
}
