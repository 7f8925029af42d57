//! Indices that are kept on disk.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    error::Result,
    loader::SharedSource,
    source::{SourceSpec, kept_file},
    stamp::Stamp,
    sys::memory::SharedMemory,
};

/// A folder with indices; or none, and each is built again.
///
/// What is in the folder is not trusted: an index is used where it is whole, was made of files of the same paths, sizes and
/// times of change by this version, and points to nothing outside of these. Where it cannot be written, nothing is kept.
#[derive(Clone, Debug)]
pub struct Cache(Option<PathBuf>);

/// Goes up with each change of what indices hold.
const VERSION: u32 = 1;

/// What stands at the begin of a file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    version: u32,
    /// What the index is of, and of which files.
    what: String,
    files: Vec<(PathBuf, Stamp)>,
    spec: SourceSpec,
    skipped: u64,
}

impl Cache {
    /// Returns the cache in this folder, which need not exist yet.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self(folder)
    }

    /// Returns the index of `what` over these files and a count that goes with it; builds them where they are not there.
    pub(super) fn get(
        &self,
        what: &str,
        files: &[(PathBuf, Stamp)],
        build: impl FnOnce() -> Result<(SharedSource, u64)>,
    ) -> Result<(SharedSource, u64)> {
        let Some(folder) = &self.0 else { return build() };
        let path = folder.join(format!("{:032x}.index", xxh3_128(what.as_bytes())));
        if let Some(found) = read(&path, what, files) {
            return Ok(found);
        }
        let (source, skipped) = build()?;
        let header =
            Header { version: VERSION, what: what.into(), files: files.to_vec(), spec: source.spec().clone(), skipped };
        // A disk that is full, or may not be written to, costs the next run its time, and nothing else.
        let _ = write(&path, &header, &source);
        Ok((source, skipped))
    }
}

/// Returns what a file holds; nothing where it is not whole, or of something else.
fn read(path: &Path, what: &str, files: &[(PathBuf, Stamp)]) -> Option<(SharedSource, u64)> {
    let (header, memory): (Header, _) = kept_file::read(path)?;
    if header.version != VERSION || header.what != what || header.files != files {
        return None;
    }
    let memory = Arc::new(SharedMemory::of("stokehold-index", &memory).ok()?);
    let source = SharedSource::over(header.spec, vec![memory]).ok()?;
    source.lies_in(files.iter().map(|(path, _)| path.as_path())).then_some((source, header.skipped))
}

fn write(path: &Path, header: &Header, source: &SharedSource) -> io::Result<()> {
    let pieces = source.bytes();
    kept_file::write(path, header, &pieces.iter().map(|piece| (**piece).as_ref()).collect::<Vec<_>>())
}
