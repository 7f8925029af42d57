//! Where files lie whose bytes samples are made of.
//!
//! Sources name files by path and read them by way of a store, so that other ones than this system's need a file here and a line
//! in [`of`].

use std::{fmt::Debug, fs::File, io::ErrorKind, os::unix::fs::FileExt, path::Path};

use super::file;
use crate::{error::Failure, stamp::Stamp};

/// Where files lie.
pub(crate) trait Store: Debug + Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// A [`Failure`] of the read stage, with the errno where there is one: what is no file to be read is none.
    fn open(&self, path: &Path) -> Result<Box<dyn Stored>, Failure>;
}

/// A file of a store, open.
pub(crate) trait Stored: Debug + Send + Sync {
    /// Returns what the file is known again by, as it was when it was opened.
    fn stamp(&self) -> Stamp;

    /// Reads `size` bytes from `start` on, to the end of `bytes`, and returns how many there were: fewer where the file ends
    /// before. No more memory is taken than for `size`.
    ///
    /// # Errors
    /// A [`Failure`] of the read stage; what `bytes` has then behind its old end is arbitrary.
    fn append(&self, start: u64, size: usize, bytes: &mut Vec<u8>) -> Result<usize, Failure>;

    /// Returns the file of this system that it is, which can be mapped into memory; none where it lies elsewhere.
    fn local(&self) -> Option<&File>;
}

/// Returns the store that a path is of.
pub(crate) fn of(_path: &Path) -> &'static dyn Store {
    &Local
}

/// The files of this system.
#[derive(Debug)]
struct Local;

impl Store for Local {
    fn open(&self, path: &Path) -> Result<Box<dyn Stored>, Failure> {
        let (file, metadata) = file::open(path)?;
        Ok(Box::new(LocalFile { file, stamp: Stamp::of(&metadata) }))
    }
}

#[derive(Debug)]
struct LocalFile {
    file: File,
    stamp: Stamp,
}

impl Stored for LocalFile {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn append(&self, start: u64, size: usize, bytes: &mut Vec<u8>) -> Result<usize, Failure> {
        // One call, also for a large file, since each may take long.
        let size = size.min(usize::try_from(self.stamp.size.saturating_sub(start)).unwrap_or(usize::MAX));
        let before = bytes.len();
        bytes.reserve_exact(size);
        bytes.resize(before + size, 0);
        let mut read = 0;
        while read < size {
            match self.file.read_at(&mut bytes[before + read..], start + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::io("", &error)),
            }
        }
        bytes.truncate(before + read);
        Ok(read)
    }

    fn local(&self) -> Option<&File> {
        Some(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, fs, io, path::PathBuf, sync::Arc};

    use proptest::prelude::*;

    use super::*;
    use crate::error::Stage;

    /// Files in memory.
    #[derive(Debug, Default)]
    struct Memory(HashMap<PathBuf, Arc<[u8]>>);

    impl Store for Memory {
        fn open(&self, path: &Path) -> Result<Box<dyn Stored>, Failure> {
            let missing = || Failure::io("", &io::Error::from_raw_os_error(libc::ENOENT));
            Ok(Box::new(Arc::clone(self.0.get(path).ok_or_else(missing)?)))
        }
    }

    impl Stored for Arc<[u8]> {
        fn stamp(&self) -> Stamp {
            Stamp { size: self.len() as u64, changed: 0 }
        }

        fn append(&self, start: u64, size: usize, bytes: &mut Vec<u8>) -> Result<usize, Failure> {
            let rest = &self[self.len().min(start as usize)..];
            bytes.reserve_exact(rest.len().min(size));
            bytes.extend_from_slice(&rest[..rest.len().min(size)]);
            Ok(rest.len().min(size))
        }

        fn local(&self) -> Option<&File> {
            None
        }
    }

    /// What every store has to do, of which `path` has these bytes and `missing` is none.
    fn check(store: &dyn Store, (path, content): (&Path, &[u8]), missing: &Path, reads: &[(u64, usize)]) {
        let failure = store.open(missing).unwrap_err();
        assert_eq!((failure.stage, failure.errno), (Stage::Read, Some(libc::ENOENT)));
        let (one, other) = (store.open(path).unwrap(), store.open(path).unwrap());
        assert_eq!(one.stamp().size, content.len() as u64);
        assert_eq!(one.stamp(), other.stamp());
        let mut bytes = b"before".to_vec();
        for &(start, size) in reads {
            let rest = content.get(start as usize..).unwrap_or_default();
            let expected = &rest[..rest.len().min(size)];
            // Two that are open know nothing of each other.
            assert_eq!(other.append(0, 1, &mut Vec::new()).unwrap(), content.len().min(1));
            let end = bytes.len();
            assert_eq!(one.append(start, size, &mut bytes).unwrap(), expected.len());
            assert_eq!(&bytes[end..], expected);
        }
        assert!(bytes.starts_with(b"before"));
        let mut exact = Vec::new();
        one.append(0, content.len(), &mut exact).unwrap();
        assert!(exact == content && exact.capacity() == content.len());
        if let Some(file) = one.local() {
            assert_eq!(file.metadata().unwrap().len(), content.len() as u64);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_store_gives_the_bytes_that_it_has(
            content in prop::collection::vec(any::<u8>(), 0..300),
            reads in prop::collection::vec((0_u64..400, 0_usize..400), 0..8),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (path, missing) = (folder.path().join("x"), folder.path().join("y"));
            fs::write(&path, &content).unwrap();
            check(of(&path), (&path, &content), &missing, &reads);
            let memory = Memory([(path.clone(), content.clone().into())].into());
            check(&memory, (&path, &content), &missing, &reads);
        }
    }

    /// How often this thread has read from any file, where the kernel counts that.
    fn reads() -> Option<u64> {
        let counts = fs::read_to_string("/proc/thread-self/io").ok()?;
        counts.lines().find_map(|line| line.strip_prefix("syscr: "))?.parse().ok()
    }

    #[test]
    fn a_large_file_is_read_by_one_call() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, vec![7; 1 << 20]).unwrap();
        let file = of(&path).open(&path).unwrap();
        let mut bytes = Vec::new();
        let counted = (reads(), reads(), file.append(0, 1 << 20, &mut bytes).unwrap(), reads());
        let (Some(first), Some(before), read, Some(after)) = counted else { return };
        assert_eq!(read, 1 << 20);
        // Counting reads too, as often each time.
        assert_eq!(after - before, before - first + 1);
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        for (path, what) in [(folder.path(), "is a directory"), (Path::new("/dev/null"), "is a device")] {
            let failure = of(path).open(path).unwrap_err();
            assert_eq!(failure.reason, format!("{what}, not a regular file"));
        }
    }
}
