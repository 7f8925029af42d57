//! Finding the files of an image folder, and keeping them in flat buffers that forked workers share.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::Path,
};

use memchr::{memchr, memchr_iter, memmem};

use crate::{
    error::{Error, Result},
    stamp::Stamp,
};

/// torchvision's `IMG_EXTENSIONS`.
const EXTENSIONS: [&[u8]; 9] = [b".jpg", b".jpeg", b".png", b".ppm", b".bmp", b".pgm", b".tif", b".tiff", b".webp"];

/// An index, and what tells whether it is still right: the folders that were listed, with what they were before.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) index: Index,
    /// Paths below the root; that of the root is empty.
    pub(super) folders: Vec<(Vec<u8>, Stamp)>,
}

/// The samples' paths relative to the root, and their classes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Index {
    classes: Classes,
    paths: Vec<u8>,
    /// Where each path ends.
    ends: Vec<u64>,
}

/// The classes, in whose order the samples stand.
#[derive(Debug, Default, PartialEq)]
struct Classes {
    names: Vec<OsString>,
    /// The label of each, in native-endian bytes, as a field wants it.
    labels: Vec<[u8; 8]>,
    /// The index behind the last sample of each.
    ends: Vec<u64>,
}

impl Classes {
    /// Adds the class of the samples before this index that are of none yet.
    fn push(&mut self, name: Vec<u8>, end: usize) {
        self.labels.push((self.names.len() as i64).to_ne_bytes());
        self.names.push(OsString::from_vec(name));
        self.ends.push(end as u64);
    }
}

impl Index {
    /// Walks `root`.
    pub(super) fn build(root: &Path) -> Result<Listed> {
        let stamp = Stamp::of(&fs::metadata(root).map_err(|error| cannot_list(root, error))?);
        let mut folders = vec![(Vec::new(), stamp)];
        let (mut index, mut empty) = (Self::default(), Vec::new());
        for class in class_folders(root)? {
            let before = index.ends.len();
            folders.extend(index.add_class(root, &class)?);
            if index.ends.len() == before {
                empty.push(format!("`{}`", OsStr::from_bytes(&class).display()));
            }
            index.classes.push(class, index.ends.len());
        }
        if !empty.is_empty() {
            let extensions = EXTENSIONS.map(|extension| String::from_utf8_lossy(extension).into_owned()).join(" ");
            return Err(Error::Config(format!(
                "`{}` has class folders without an image: {}; remove them, or add files ending in {extensions}",
                root.display(),
                empty.join(", ")
            )));
        }
        index.paths.shrink_to_fit();
        index.ends.shrink_to_fit();
        Ok(Listed { index, folders })
    }

    /// Returns the index of these paths, of which each ends where `ends` says; none where they are not sorted by classes,
    /// or do not lie below the root.
    pub(super) fn of(ends: Vec<u64>, paths: Vec<u8>) -> Option<Self> {
        // Where no name begins with a dot, the ends of a path are all that is left to look at.
        let is_plain = [b"/.", b"//"].iter().all(|odd| memmem::find(&paths, *odd).is_none());
        let (mut classes, mut class, mut start) = (Classes::default(), &[][..], 0);
        for (at, &end) in ends.iter().enumerate() {
            let path = paths.get(start..usize::try_from(end).ok()?)?;
            let is_inside = is_plain && !matches!(path, [] | [b'.' | b'/', ..] | [.., b'/']);
            if !is_inside && !is_below(path) {
                return None;
            }
            if path.get(class.len()) != Some(&b'/') || !path.starts_with(class) {
                let next = &path[..memchr(b'/', path)?];
                if next <= class {
                    return None;
                }
                if at > 0 {
                    classes.push(class.to_vec(), at);
                }
                class = next;
            }
            start = end as usize;
        }
        classes.push(class.to_vec(), ends.len());
        (start == paths.len() && start > 0).then_some(Self { classes, paths, ends })
    }

    pub(super) fn len(&self) -> u64 {
        self.ends.len() as u64
    }

    pub(super) fn classes(&self) -> &[OsString] {
        &self.classes.names
    }

    pub(super) fn ends(&self) -> &[u64] {
        &self.ends
    }

    pub(super) fn paths(&self) -> &[u8] {
        &self.paths
    }

    pub(super) fn path(&self, index: u64) -> &[u8] {
        let at = index as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.paths[start as usize..self.ends[at] as usize]
    }

    pub(super) fn label(&self, index: u64) -> &[u8] {
        &self.classes.labels[self.classes.ends.partition_point(|&end| end <= index)]
    }

    /// Adds the images of a class, and returns the folders that it has.
    fn add_class(&mut self, root: &Path, class: &[u8]) -> Result<Vec<(Vec<u8>, Stamp)>> {
        let top = fs::metadata(root).map_err(|error| cannot_list(root, error))?;
        let mut walk = Walk { root, above: vec![(top.dev(), top.ino())], visits: HashMap::new(), found: Vec::new() };
        walk.enter(class)?;
        let mut folders = walk.found;
        // torchvision sorts the walk by the folders' whole paths, then each folder's files.
        folders.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let mut listed = Vec::with_capacity(folders.len());
        for Folder { path: folder, stamp, mut files } in folders {
            files.sort_unstable();
            for file in files {
                self.paths.extend_from_slice(&folder);
                self.paths.push(b'/');
                self.paths.extend_from_slice(&file);
                self.ends.push(self.paths.len() as u64);
            }
            listed.push((folder, stamp));
        }
        Ok(listed)
    }
}

/// Tells whether a path leads nowhere but below the folder that it begins in.
pub(super) fn is_below(path: &[u8]) -> bool {
    let mut parts = std::iter::once(0).chain(memchr_iter(b'/', path).map(|at| at + 1)).map(|at| &path[at..]);
    parts.all(|rest| match rest {
        [] | [b'/', ..] => false,
        [b'.', rest @ ..] => !matches!(rest, [] | [b'/', ..] | [b'.'] | [b'.', b'/', ..]),
        [_, ..] => true,
    })
}

/// Returns the sorted names of the folders in `root`.
fn class_folders(root: &Path) -> Result<Vec<Vec<u8>>> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.raw_os_error() == Some(libc::ENOTDIR) => {
            return Err(Error::Config(format!(
                "`{}` is not a folder: pass the folder that holds one folder per class",
                root.display()
            )));
        }
        entries => entries.map_err(|error| cannot_list(root, error))?,
    };
    let mut classes = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| cannot_list(root, error))?;
        if is_folder(&entry) {
            classes.push(entry.file_name().into_vec());
        }
    }
    if classes.is_empty() {
        return Err(Error::Config(format!(
            "`{}` has no class folders: put the images of each class into a folder of its own",
            root.display()
        )));
    }
    classes.sort_unstable();
    Ok(classes)
}

/// The most paths over which a class may reach one folder. Some links to a folder are meant; where each of several folders
/// has two links to the next one, the paths double with each, and the walk would have no end.
const MAX_PATHS: u32 = 64;

/// What identifies a folder, whatever path leads to it.
type Identity = (u64, u64);

/// A folder that was listed.
struct Folder {
    /// Its path below the root.
    path: Vec<u8>,
    stamp: Stamp,
    /// The names of its image files.
    files: Vec<Vec<u8>>,
}

/// A walk over one class.
struct Walk<'a> {
    root: &'a Path,
    /// The folders that lead to the current one, so that a link to one of them is not followed for ever.
    above: Vec<Identity>,
    /// How many paths have led to each folder.
    visits: HashMap<Identity, u32>,
    found: Vec<Folder>,
}

impl Walk<'_> {
    /// Adds `folder` and every folder below it.
    fn enter(&mut self, folder: &[u8]) -> Result<()> {
        let path = self.root.join(OsStr::from_bytes(folder));
        let metadata = fs::metadata(&path).map_err(|error| cannot_list(&path, error))?;
        let identity = (metadata.dev(), metadata.ino());
        if self.above.contains(&identity) {
            return Ok(());
        }
        let visits = self.visits.entry(identity).or_insert(0);
        *visits += 1;
        if *visits > MAX_PATHS {
            return Err(Error::Config(format!(
                "the image folder has links that lead to one folder over more than {MAX_PATHS} paths, the last one \
                 `{}`; remove links",
                path.display()
            )));
        }
        let mut files = Vec::new();
        let mut below = Vec::new();
        for entry in fs::read_dir(&path).map_err(|error| cannot_list(&path, error))? {
            let entry = entry.map_err(|error| cannot_list(&path, error))?;
            let name = entry.file_name().into_vec();
            if is_folder(&entry) {
                below.push([folder, b"/", &name].concat());
            } else if is_image(&name) {
                files.push(name);
            }
        }
        self.found.push(Folder { path: folder.to_vec(), stamp: Stamp::of(&metadata), files });
        self.above.push(identity);
        for folder in below {
            self.enter(&folder)?;
        }
        self.above.pop();
        Ok(())
    }
}

/// Tells whether the entry is a folder or a link to one, without a system call where the listing tells.
fn is_folder(entry: &fs::DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if kind.is_symlink() => fs::metadata(entry.path()).is_ok_and(|target| target.is_dir()),
        Ok(kind) => kind.is_dir(),
        Err(_) => false,
    }
}

fn is_image(name: &[u8]) -> bool {
    EXTENSIONS.iter().any(|extension| {
        name.len().checked_sub(extension.len()).is_some_and(|at| name[at..].eq_ignore_ascii_case(extension))
    })
}

fn cannot_list(folder: &Path, error: io::Error) -> Error {
    Error::sys(format!("cannot list the image folder `{}`", folder.display()), error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        root
    }

    fn paths(index: &Index) -> Vec<(&str, i64)> {
        (0..index.len())
            .map(|at| {
                let label = i64::from_ne_bytes(index.label(at).try_into().unwrap());
                (str::from_utf8(index.path(at)).unwrap(), label)
            })
            .collect()
    }

    fn message(root: &Path) -> String {
        match Index::build(root) {
            Err(Error::Config(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn order_is_that_of_torchvision() {
        let root = tree(&[
            "b/2.jpg",
            "b/10.JPG",
            "b/sub/a.webp",
            "b/sub-x/a.tif",
            "b/note.txt",
            "b/.jpeg",
            "a/z.png",
            "stray.jpg",
        ]);
        // `-` sorts before `/`, so `b/sub-x` comes before `b/sub/...` but after `b/sub`.
        let expected = [
            ("a/z.png", 0),
            ("b/.jpeg", 1),
            ("b/10.JPG", 1),
            ("b/2.jpg", 1),
            ("b/sub/a.webp", 1),
            ("b/sub-x/a.tif", 1),
        ];
        assert_eq!(paths(&Index::build(root.path()).unwrap().index), expected);
    }

    #[test]
    fn classes_keep_the_bytes_of_their_names() {
        let root = tree(&["z/1.jpg"]);
        for (name, file) in [(&b"caf\xe9"[..], "a.jpg"), (b"caf\xe8", "b.jpg")] {
            let folder = root.path().join(OsStr::from_bytes(name));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(file), "x").unwrap();
        }
        let index = Index::build(root.path()).unwrap().index;
        let names: Vec<&[u8]> = index.classes().iter().map(|name| name.as_bytes()).collect();
        assert_eq!(names, [&b"caf\xe8"[..], b"caf\xe9", b"z"]);
        assert_eq!(index.path(0), b"caf\xe8/b.jpg");
    }

    #[test]
    fn linked_folders_are_followed_once_round() {
        let root = tree(&["a/1.jpg", "b/2.jpg"]);
        symlink(root.path().join("a"), root.path().join("b/other")).unwrap();
        symlink("..", root.path().join("a/loop")).unwrap();
        let index = Index::build(root.path()).unwrap().index;
        let found = paths(&index);
        assert!(found.contains(&("b/other/1.jpg", 1)), "{found:?}");
        assert!(found.len() < 20, "{found:?}");
    }

    #[test]
    fn links_to_one_folder_are_followed_on_every_path() {
        let root = tree(&["a/1.jpg", "b/2.jpg"]);
        for name in ["one", "other"] {
            symlink(root.path().join("a"), root.path().join("b").join(name)).unwrap();
        }
        let index = Index::build(root.path()).unwrap().index;
        assert_eq!(paths(&index), [("a/1.jpg", 0), ("b/2.jpg", 1), ("b/one/1.jpg", 1), ("b/other/1.jpg", 1)]);
    }

    #[test]
    fn chains_of_links_end() {
        let root = tree(&["root/ash/0.jpg", "chain/31/1.jpg"]);
        let level = |number: u32| root.path().join(format!("chain/{number}"));
        for number in 0..31 {
            fs::create_dir_all(level(number)).unwrap();
            for name in ["one", "other"] {
                symlink(level(number + 1), level(number).join(name)).unwrap();
            }
        }
        symlink(level(0), root.path().join("root/ash/chain")).unwrap();
        assert!(message(&root.path().join("root")).contains("more than 64 paths, the last one"));
        // As many as are meant.
        symlink(level(26), root.path().join("root/ash/chain-of-five")).unwrap();
        fs::remove_file(root.path().join("root/ash/chain")).unwrap();
        assert_eq!(Index::build(&root.path().join("root")).unwrap().index.len(), 1 + 32);
    }

    #[test]
    fn folders_that_cannot_be_used_are_explained() {
        let root = tree(&["a/1.jpg", "b/readme.txt"]);
        assert!(message(root.path()).contains("without an image: `b`"));
        assert!(message(&root.path().join("a/1.jpg")).contains("is not a folder"));
        assert!(message(&root.path().join("a")).contains("no class folders"));
        match Index::build(&root.path().join("missing")) {
            Err(Error::Sys { call, source }) => {
                assert!(call.contains("missing"));
                assert_eq!(source.raw_os_error(), Some(libc::ENOENT));
            }
            other => panic!("{other:?}"),
        }
    }
}
