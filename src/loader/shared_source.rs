//! Sources of the trainer, put where workers can see them.

#![expect(unsafe_code, reason = "copies the caller's arrays into memory that nobody else has yet")]

use std::{
    borrow::Cow,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    error::{Error, Result},
    field::Field,
    shm::SharedBytes,
    source::{
        BlocksAt, Bytes, Column, Concat, ExamplesSpec, Feature, Joined, PartsAt, RunsAt, ShardsAt, Source, SourceSpec,
        Stored, Table, TableSpec, TokensSpec, WindowsAt,
    },
    spec::{DType, FieldSpec},
    stamp::Stamp,
    sys::{limits, memory::SharedMemory},
};

const ALIGN: usize = 64;

/// A source as data, and the shared memory that it lies in.
///
/// The workers belong to a process that was started clean, so they cannot see the trainer's own arrays; they are
/// copied once, here, and may be dropped afterwards. Loaders over the same value share the copy.
#[derive(Clone, Debug)]
pub struct SharedSource {
    spec: SourceSpec,
    memory: Vec<Arc<SharedMemory>>,
}

/// What a column to be copied holds for each sample.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// The path of a file. A relative one is looked up in the directory of now, wherever the program goes later.
    Files(Runs<'a>),
    /// A row of a C-contiguous array.
    Rows(&'a [u8]),
    /// A list's entries, or a file's bytes.
    Runs(Runs<'a>),
    /// Bytes of shards.
    Parts(Parts<'a>),
    /// Rows of arrays in shards, each given by its first sample, its shard, where in that it starts, and how many bytes
    /// after a row the next one starts.
    Blocks(&'a [[u64; 4]]),
    /// Rows of arrays in these bytes, which may overlap, given likewise, all of shard 0. Bytes that several columns have in
    /// common are copied once.
    Windows(&'a [u8], &'a [[u64; 4]]),
}

/// Parts of shards, one for each sample.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The numbers of the shards.
    pub shards: &'a [u32],
    /// Where in its shard each part starts.
    pub starts: &'a [u64],
    /// The bytes of each part.
    pub sizes: &'a [u64],
}

/// Files that hold many samples each.
#[derive(Clone, Copy, Debug)]
pub struct Shards<'a> {
    /// Their absolute paths, and what they were when the parts were found.
    pub files: &'a [(PathBuf, Stamp)],
    /// Whether workers map them into their memory rather than read them: for small rows.
    pub mapped: bool,
}

/// Columns that are to become a table.
#[derive(Clone, Debug, Default)]
pub struct Columns<'a> {
    /// The number of samples.
    pub len: u64,
    /// The fields, and what they hold.
    pub columns: Vec<(Field, Values<'a>)>,
    /// The files that columns lie in.
    pub shards: Option<Shards<'a>>,
    /// What samples are called.
    pub keys: Option<Runs<'a>>,
    /// The names of the classes that a column of labels counts.
    pub classes: Vec<String>,
}

impl<'a> Columns<'a> {
    /// Returns so many samples of these columns.
    pub fn new(len: u64, columns: Vec<(Field, Values<'a>)>) -> Self {
        Self { len, columns, ..Self::default() }
    }
}

/// Runs of bytes of varying length, one for each sample.
#[derive(Clone, Copy, Debug)]
pub struct Runs<'a> {
    /// The runs, one after the other.
    pub bytes: &'a [u8],
    /// Where each run ends.
    pub ends: &'a [u64],
}

/// What is made of windows of tokens; see [`TokensSpec`].
#[derive(Clone, Copy, Debug)]
pub struct TokenWindows<'a> {
    /// The dtype of tokens in a batch.
    pub output: DType,
    /// The first number that is no token.
    pub limit: u64,
    /// The token that ends a document.
    pub separator: Option<u32>,
    /// Whether there are fields that say which tokens are of one document.
    pub segments: bool,
    /// For each shard, where its documents start, as `u64` in native byte order.
    pub documents: Option<Runs<'a>>,
}

impl SharedSource {
    /// Copies arrays of `len` rows each, given with the spec of one row and as C-contiguous bytes.
    ///
    /// # Errors
    /// As [`table`](Self::table), and [`Error::Config`] for bytes of another size than the spec says.
    pub fn copy(len: u64, arrays: &[(FieldSpec, &[u8])]) -> Result<Self> {
        let mut columns = Vec::with_capacity(arrays.len());
        for (spec, bytes) in arrays {
            let rows = usize::try_from(len).ok().and_then(|len| spec.row_bytes().ok()?.checked_mul(len));
            if rows != Some(bytes.len()) {
                let (name, got) = (&spec.name, bytes.len());
                return Err(Error::Config(format!(
                    "array `{name}` of {len} rows has {got} bytes, which do not fit {spec}"
                )));
            }
            columns.push((Field::from(spec.clone()), Values::Rows(bytes)));
        }
        Self::table(Columns::new(len, columns))
    }

    /// Copies columns: the source is a [`Table`](crate::source::Table).
    ///
    /// # Errors
    /// [`Error::Config`] for columns that no table can be made of; [`Error::Memory`] where the copy does not fit under
    /// a limit of this process.
    pub fn table(given: Columns<'_>) -> Result<Self> {
        let Columns { len, columns, shards, keys, classes } = given;
        let mut parts = Pieces::default();
        let mut stored = Vec::with_capacity(columns.len());
        for (mut field, values) in columns {
            let values = match values {
                Values::Files(runs) => {
                    let (bytes, ends) = absolute(runs)?;
                    Stored::Files(parts.add_runs(bytes, ends))
                }
                Values::Rows(bytes) => Stored::Rows(parts.add(bytes.into())),
                Values::Runs(runs) => {
                    let runs = parts.add_runs(runs.bytes.into(), runs.ends.into());
                    field.make_room(runs.longest);
                    Stored::Runs(runs)
                }
                Values::Parts(Parts { shards, starts, sizes }) => {
                    if [shards.len(), starts.len(), sizes.len()].iter().any(|rows| *rows as u64 != len) {
                        return Err(Error::Config(format!("column `{}`: not every sample has one part", field.name)));
                    }
                    let longest = sizes.iter().max().map_or(0, |size| *size as usize);
                    field.make_room(longest);
                    let [starts, sizes] = [starts, sizes].map(|each| parts.add(bytemuck::cast_slice(each).into()));
                    let shards = parts.add(bytemuck::cast_slice(shards).into());
                    Stored::Parts(PartsAt { shards, starts, sizes, longest })
                }
                Values::Blocks(blocks) => Stored::Blocks(parts.add_blocks(blocks)),
                Values::Windows(bytes, blocks) => {
                    let (offset, size) = (parts.add_once(bytes), bytes.len() as u64);
                    Stored::Windows(WindowsAt { blocks: parts.add_blocks(blocks), offset, size })
                }
            };
            stored.push(Column { field, stored: values });
        }
        let shards = shards.map(|shards| parts.add_shards(shards));
        let keys = keys.map(|keys| parts.add_runs(keys.bytes.into(), keys.ends.into()));
        let memory = parts.copy()?;
        let spec = TableSpec { len, columns: stored, shards, keys, classes };
        // Opened once here, so that columns that are none raise where they are made.
        Table::open(spec.clone(), bytes_of(&memory))?;
        Ok(Self { spec: SourceSpec::Table(spec), memory: vec![memory] })
    }

    /// Selects samples of a source of `of` of them, by their indices; see [`Select`](crate::source::Select).
    ///
    /// # Errors
    /// [`Error::Config`] where nothing is selected or an index is not below `of`; [`Error::Memory`] where the indices do not
    /// fit under a limit of this process.
    pub fn select(&self, of: u64, indices: &[u64]) -> Result<Self> {
        if indices.is_empty() {
            return Err(Error::config("a selection needs at least one sample"));
        }
        if let Some(beyond) = indices.iter().find(|index| **index >= of) {
            return Err(Error::Config(format!("index {beyond} is selected of a source of {of} samples")));
        }
        let mut parts = Pieces::default();
        parts.add(bytemuck::cast_slice(indices).into());
        let spec = SourceSpec::Select { source: Box::new(self.spec.clone()), of, len: indices.len() as u64 };
        Ok(Self { spec, memory: [&self.memory[..], &[parts.copy()?]].concat() })
    }

    /// Puts sources one after the other; see [`Concat`].
    ///
    /// # Errors
    /// [`Error::Config`] where there is none, or their fields differ.
    pub fn concat(sources: &[Self]) -> Result<Self> {
        let fields: Vec<Vec<Field>> = sources.iter().map(|source| source.spec.fields()).collect();
        Concat::common(fields.iter().map(|fields| &fields[..]))?;
        let spec = SourceSpec::Concat { sources: sources.iter().map(|source| source.spec.clone()).collect() };
        Ok(Self { spec, memory: sources.iter().flat_map(|source| source.memory.clone()).collect() })
    }

    /// Puts the fields of another source beside those of this one; see [`Joined`].
    ///
    /// # Errors
    /// [`Error::Config`] where both have a field of one name.
    pub fn join(&self, other: &Self) -> Result<Self> {
        Joined::both(&self.spec.fields(), &other.spec.fields())?;
        let spec = SourceSpec::Joined { source: Box::new(self.spec.clone()), other: Box::new(other.spec.clone()) };
        Ok(Self { spec, memory: [&self.memory[..], &other.memory].concat() })
    }

    /// Returns a source whose samples are `tf.train.Example`s: the records that this table has in its only column, each with its
    /// checksum behind it; see [`Examples`](crate::source::Examples).
    ///
    /// # Errors
    /// [`Error::Config`] where it is no such table, or a feature's field is of another type.
    pub fn examples(&self, features: Vec<Feature>, check_crc: bool) -> Result<Self> {
        let SourceSpec::Table(records) = &self.spec else {
            return Err(Error::config("examples are made of a table of records"));
        };
        let spec = ExamplesSpec { records: records.clone(), features, check_crc };
        Self::over(SourceSpec::Examples(spec), self.memory.clone())
    }

    /// Returns a source of windows of tokens: those that this table has in its only column, each of one token more than a
    /// sequence; see [`Tokens`](crate::source::Tokens).
    ///
    /// # Errors
    /// [`Error::Config`] where it is no such table, or documents are not said for each shard; [`Error::Memory`] where these
    /// do not fit under a limit of this process.
    pub fn tokens(&self, tokens: TokenWindows<'_>) -> Result<Self> {
        let SourceSpec::Table(windows) = &self.spec else {
            return Err(Error::config("windows of tokens are made of a table of them"));
        };
        let TokenWindows { output, limit, separator, segments, documents } = tokens;
        let mut memory = self.memory.clone();
        let documents = match documents {
            None => None,
            Some(runs) => {
                let mut parts = Pieces::default();
                let runs = parts.add_runs(runs.bytes.into(), runs.ends.into());
                memory.push(parts.copy()?);
                Some(runs)
            }
        };
        let windows = windows.clone();
        Self::over(SourceSpec::Tokens(TokensSpec { windows, output, limit, separator, segments, documents }), memory)
    }

    /// Returns the source as data.
    pub fn spec(&self) -> &SourceSpec {
        &self.spec
    }

    /// Opens the source in this process.
    ///
    /// # Errors
    /// Those of [`SourceSpec::open`].
    pub fn open(&self) -> Result<Arc<dyn Source>> {
        self.spec.open(&self.bytes())
    }

    /// Returns a source that lies in this memory, after opening it once.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub(crate) fn over(spec: SourceSpec, memory: Vec<Arc<SharedMemory>>) -> Result<Self> {
        let source = Self { spec, memory };
        source.open()?;
        Ok(source)
    }

    /// Tells whether it is a table, or examples in one, whose shards are these.
    pub(crate) fn lies_in<'a>(&self, files: impl Iterator<Item = &'a Path>) -> bool {
        let (SourceSpec::Table(table) | SourceSpec::Examples(ExamplesSpec { records: table, .. })) = &self.spec else {
            return false;
        };
        let [bytes] = &self.bytes()[..] else { return false };
        table.shard_paths((**bytes).as_ref()).eq(files)
    }

    /// Returns the memory that it lies in, for a source in this process.
    pub(crate) fn bytes(&self) -> Vec<Bytes> {
        self.memory.iter().map(bytes_of).collect()
    }

    pub(super) fn memory(&self) -> &[Arc<SharedMemory>] {
        &self.memory
    }
}

impl From<SourceSpec> for SharedSource {
    /// A source that lies in no memory. A relative path is looked up in the directory of now, wherever the program goes
    /// later.
    fn from(spec: SourceSpec) -> Self {
        Self { spec: spec.absolute(), memory: Vec::new() }
    }
}

/// Copies the pickle of code to shared memory, and buffers that go with it to another piece, one after the other, each at
/// a multiple of 64 bytes.
///
/// # Errors
/// [`Error::Memory`] where they do not fit under a limit of this process.
pub fn shared_pieces(pickle: &[u8], buffers: &[&[u8]]) -> Result<Vec<Arc<SharedMemory>>> {
    let mut stream = Pieces::default();
    stream.add(pickle.into());
    let mut pieces = vec![stream.copy()?];
    if !buffers.is_empty() {
        let mut parts = Pieces::default();
        for buffer in buffers {
            parts.add((*buffer).into());
        }
        pieces.push(parts.copy()?);
    }
    Ok(pieces)
}

/// Byte ranges and where they are to lie in the shared memory.
#[derive(Default)]
struct Pieces<'a> {
    parts: Vec<(usize, Cow<'a, [u8]>)>,
    end: usize,
}

impl<'a> Pieces<'a> {
    /// Adds bytes and returns their offset.
    fn add(&mut self, bytes: Cow<'a, [u8]>) -> usize {
        let offset = self.end;
        self.end = (offset + bytes.len()).next_multiple_of(ALIGN);
        self.parts.push((offset, bytes));
        offset
    }

    /// Adds bytes, unless these very ones have been added already, and returns their offset.
    fn add_once(&mut self, bytes: &'a [u8]) -> usize {
        let same = |(_, part): &&(usize, Cow<'a, [u8]>)| std::ptr::eq(&raw const **part, bytes);
        match self.parts.iter().find(same) {
            Some((offset, _)) => *offset,
            None => self.add(bytes.into()),
        }
    }

    fn add_blocks(&mut self, blocks: &'a [[u64; 4]]) -> BlocksAt {
        BlocksAt { offset: self.add(bytemuck::cast_slice(blocks).into()), count: blocks.len() }
    }

    fn add_runs(&mut self, bytes: Cow<'a, [u8]>, ends: Cow<'a, [u64]>) -> RunsAt {
        let starts = std::iter::once(&0).chain(&*ends);
        let sizes = starts.zip(&*ends).map(|(start, end)| end.saturating_sub(*start));
        let longest = sizes.max().unwrap_or(0) as usize;
        let ends = match ends {
            Cow::Borrowed(ends) => Cow::Borrowed(bytemuck::cast_slice(ends)),
            Cow::Owned(ends) => Cow::Owned(bytemuck::cast_slice(&ends).to_vec()),
        };
        RunsAt { offset: self.add(bytes), ends: self.add(ends), longest }
    }

    fn add_shards(&mut self, shards: Shards<'_>) -> ShardsAt {
        let Shards { files, mapped } = shards;
        let (mut paths, mut ends, mut stamps) = (Vec::new(), Vec::new(), Vec::new());
        for (path, stamp) in files {
            paths.extend_from_slice(path.as_os_str().as_bytes());
            ends.push(paths.len() as u64);
            stamps.extend([stamp.size, stamp.changed].map(u64::to_ne_bytes).concat());
        }
        let paths = self.add_runs(paths.into(), ends.into());
        ShardsAt { count: files.len() as u64, paths, stamps: self.add(stamps.into()), mapped }
    }

    /// Copies all parts to new memory.
    fn copy(self) -> Result<Arc<SharedMemory>> {
        let advice = "raise the limit, or leave the arrays in files, which Npy and Safetensors read where they lie";
        limits::check_memory(self.end as u64, "the shared copy of the arrays", advice)?;
        let memory = SharedMemory::create("stokehold-arrays", self.end.max(1))?;
        for (offset, bytes) in self.parts {
            assert!(offset.checked_add(bytes.len()).is_some_and(|end| end <= self.end), "a part lies outside");
            // SAFETY: the memory was made just now for so many bytes, nobody else has it, and the part lies in it.
            unsafe { memory.as_mut_ptr().add(offset).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        }
        Ok(Arc::new(memory))
    }
}

/// The bytes of paths, one after another, and where each ends.
type Paths<'a> = (Cow<'a, [u8]>, Cow<'a, [u64]>);

/// Returns paths that mean the same wherever the program goes.
fn absolute(paths: Runs<'_>) -> Result<Paths<'_>> {
    let starts = std::iter::once(&0).chain(paths.ends);
    let each = starts.zip(paths.ends).map(|(start, end)| paths.bytes.get(*start as usize..*end as usize));
    if each.clone().all(|path| path.is_none_or(|path| path.first() == Some(&b'/'))) {
        // Those that do not fit are refused where the table is opened.
        return Ok((paths.bytes.into(), paths.ends.into()));
    }
    let here = std::env::current_dir().map_err(|error| Error::sys("find the directory of this program", error))?;
    let (mut bytes, mut ends) = (Vec::with_capacity(paths.bytes.len()), Vec::with_capacity(paths.ends.len()));
    for path in each {
        let path = here.join(OsStr::from_bytes(path.unwrap_or_default()));
        bytes.extend_from_slice(path.as_os_str().as_bytes());
        ends.push(bytes.len() as u64);
    }
    Ok((bytes.into(), ends.into()))
}

/// Copies bytes to memory of their own that workers can see.
pub(super) fn shared(bytes: &[u8]) -> Result<Arc<SharedMemory>> {
    let mut parts = Pieces::default();
    parts.add(bytes.into());
    parts.copy()
}

pub(super) fn bytes_of(memory: &Arc<SharedMemory>) -> Bytes {
    // SAFETY: what is here writes the memory only before anybody else can see it.
    Arc::new(unsafe { SharedBytes::new(Arc::clone(memory)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_begin_in_the_directory_of_now() {
        let here = std::env::current_dir().unwrap();
        let (bytes, ends) = absolute(Runs { bytes: b"/a\xffb.png\xfe", ends: &[3, 9, 9] }).unwrap();
        let joined = [b"/a\xff", here.as_os_str().as_bytes(), b"/b.png\xfe"].concat();
        assert!(bytes.starts_with(&joined), "{bytes:?}");
        assert_eq!((ends[0], ends[1]), (3, joined.len() as u64));
        let all = Runs { bytes: b"/a/b", ends: &[2, 4] };
        assert!(matches!(absolute(all).unwrap(), (Cow::Borrowed(b"/a/b"), Cow::Borrowed(&[2, 4]))));
    }
}
