//! The listing of a folder, kept on disk where listing it takes long.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::index::{Index, Listed, is_below};
use crate::{
    error::Result,
    source::{kept_file, path},
    stamp::Stamp,
};

/// What takes longer is kept: a million files of a local disk do not.
const LONG: Duration = Duration::from_secs(1);

/// What was changed so short a time before it was listed may have been changed once more since, at the same time by the
/// clock of its file system.
const RECENT: Duration = Duration::from_secs(2);

/// Goes up with each change of what is kept.
const VERSION: u32 = 2;

/// What stands before the paths of the samples, which the ends of each follow.
#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    #[serde(with = "path")]
    root: PathBuf,
    samples: u64,
    /// How many bytes the paths have.
    bytes: u64,
    /// The stamps of the folders, in whose order their paths stand behind the ends, each with a zero behind it.
    folders: Vec<Stamp>,
}

/// Returns the index of `root`, from `cache` where nothing was added, removed or renamed in any of its folders since.
pub(super) fn index(root: &Path, cache: &Path) -> Result<Index> {
    index_where(root, cache, LONG)
}

fn index_where(root: &Path, cache: &Path, long: Duration) -> Result<Index> {
    let file = cache.join(format!("{:032x}.folder", xxh3_128(root.as_os_str().as_bytes())));
    if let Some(index) = read(&file, root) {
        return Ok(index);
    }
    let (begun, now) = (Instant::now(), SystemTime::now());
    let listed = Index::build(root)?;
    if begun.elapsed() >= long && is_settled(&listed, now) {
        // A disk that is full, or may not be written to, costs the next run its time, and nothing else.
        let _ = write(&file, root, &listed);
    }
    Ok(listed.index)
}

/// Tells whether what is added to a folder from now on changes its time.
fn is_settled(listed: &Listed, now: SystemTime) -> bool {
    let recent = now.checked_sub(RECENT).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    recent.is_some_and(|recent| listed.folders.iter().all(|(_, stamp)| u128::from(stamp.changed) < recent.as_nanos()))
}

fn write(file: &Path, root: &Path, Listed { index, folders }: &Listed) -> std::io::Result<()> {
    let stamps = folders.iter().map(|(_, stamp)| *stamp).collect();
    let bytes = index.paths().len() as u64;
    let header = Header { version: VERSION, root: root.into(), samples: index.len(), bytes, folders: stamps };
    let folders: Vec<u8> = folders.iter().flat_map(|(path, _)| path.iter().copied().chain([0])).collect();
    kept_file::write(file, &header, &[index.paths(), bytemuck::cast_slice(index.ends()), &folders])
}

/// Returns what a file holds; nothing where it is not whole, of another folder, or of folders that have changed.
fn read(file: &Path, root: &Path) -> Option<Index> {
    let (header, mut bytes): (Header, Vec<u8>) = kept_file::read(file)?;
    if header.version != VERSION || header.root != root {
        return None;
    }
    let end = usize::try_from(header.bytes).ok()?;
    let behind = bytes.get(end..)?;
    let (ends, mut rest) = behind.split_at_checked(usize::try_from(header.samples).ok()?.checked_mul(8)?)?;
    for stamp in &header.folders {
        let len = memchr::memchr(0, rest)?;
        let folder = &rest[..len];
        // The root itself has no path below it.
        let is_inside = folder.is_empty() || is_below(folder);
        if !is_inside || Stamp::of(&fs::metadata(root.join(OsStr::from_bytes(folder))).ok()?) != *stamp {
            return None;
        }
        rest = &rest[len + 1..];
    }
    if !rest.is_empty() {
        return None;
    }
    let ends = ends.as_chunks().0.iter().map(|end| u64::from_ne_bytes(*end)).collect();
    bytes.truncate(end);
    bytes.shrink_to_fit();
    Index::of(ends, bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs::FileTimes, os::unix::fs::symlink};

    use super::*;

    /// Makes every folder below `root` one that was changed an hour ago.
    fn settle(root: &Path) {
        for entry in fs::read_dir(root).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
            settle(&entry.path());
        }
        let hour_ago = SystemTime::now() - Duration::from_hours(1);
        fs::File::open(root).unwrap().set_times(FileTimes::new().set_modified(hour_ago)).unwrap();
    }

    fn names(index: &Index) -> Vec<String> {
        (0..index.len()).map(|at| String::from_utf8_lossy(index.path(at)).into_owned()).collect()
    }

    #[test]
    fn a_listing_is_kept_until_a_folder_changes() {
        let (root, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let outside = tempfile::tempdir().unwrap();
        let (root, cache) = (root.path(), cache.path());
        for path in ["b/1.jpg", "b/deep/er/2.jpg", "a/3.png"] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), "x").unwrap();
        }
        fs::write(outside.path().join("4.jpg"), "x").unwrap();
        symlink(outside.path(), root.join("a/link")).unwrap();
        let get = || index_where(root, cache, Duration::ZERO).unwrap();
        let kept = || fs::read_dir(cache).unwrap().count();

        let first = get();
        assert_eq!(kept(), 0, "folders that have just changed");
        settle(root);
        settle(outside.path());
        assert_eq!(names(&get()), names(&first));
        assert_eq!(kept(), 1);
        let again = read(&fs::read_dir(cache).unwrap().next().unwrap().unwrap().path(), root).expect("as it was kept");
        assert_eq!(again, first);

        // Replaced in place, which is no other listing.
        fs::write(root.join("b/1.jpg"), "other").unwrap();
        assert_eq!(get(), first);
        for (at, folder) in [root.join("b/deep/er"), outside.path().into(), root.into()].iter().enumerate() {
            fs::create_dir_all(folder.join("new")).unwrap();
            fs::write(folder.join("new/5.jpg"), "x").unwrap();
            settle(root);
            settle(outside.path());
            fs::File::open(folder).unwrap().set_times(FileTimes::new().set_modified(UNIX_EPOCH)).unwrap();
            assert_eq!(get().len(), first.len() + at as u64 + 1, "{}", folder.display());
        }
    }

    #[test]
    fn what_takes_no_time_is_not_kept_and_what_is_foreign_is_not_used() {
        let (root, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(root.path().join("a")).unwrap();
        fs::write(root.path().join("a/1.jpg"), "x").unwrap();
        settle(root.path());
        index(root.path(), cache.path()).unwrap();
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
        let Listed { index: listed, folders } = Index::build(root.path()).unwrap();
        let file = cache.path().join("x");
        let is_read_with = |ends: &[u64], paths: &[u8], folder: &[u8]| {
            let stamps = vec![Stamp::of(&root.path().metadata().unwrap())];
            let (samples, bytes) = (ends.len() as u64, paths.len() as u64);
            let header = Header { version: VERSION, root: root.path().into(), samples, bytes, folders: stamps };
            kept_file::write(&file, &header, &[paths, bytemuck::cast_slice(ends), folder, &[0]]).unwrap();
            read(&file, root.path()).is_some()
        };
        assert!(is_read_with(listed.ends(), listed.paths(), b""));
        assert!(!is_read_with(listed.ends(), listed.paths(), b"../elsewhere"));
        for (ends, path) in [
            (&[7][..], &b"a/../.."[..]),
            (&[5], b"/etc/"),
            (&[4], b"a.jp"),
            (&[9], b"a/1.jpg"),
            (&[8], b"a/./.jpg"),
            (&[7], b"a//.jpg"),
            (&[8], b"../1.jpg"),
            (&[5, 3, 7], b"a/1.jpg"),
            (&[0, 7], b"a/1.jpg"),
            (&[3, 7], b"b/1a/1."),
            (&[4], b"a/1/"),
            (&[4, 8], b"a/1/a/1."),
            (&[3, 7], b"a/1/b/1"),
            (&[3, 9], b"a/1b/../1"),
            (&[3, 6], b"a/1a/."),
            (&[3], b"/1/"),
        ] {
            assert!(!is_read_with(ends, path, b""), "{ends:?}");
        }
        write(&file, Path::new("/elsewhere"), &Listed { index: listed, folders }).unwrap();
        assert!(read(&file, root.path()).is_none());
    }
}
